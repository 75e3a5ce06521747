"""Sharpness: products until the residual is small, and the time of a product, against the libraries for it.

A network of 10^6 parameters (FC5) before and after some steps on random classes, 1,000 samples. Promised: at
most 60 Hessian-vector products for a residual of 1e-3 of the eigenvalue. Against Lanczos as it is here stands
scipy's ``eigsh`` (ARPACK, restarted) on the same products, with the same tolerance; against the products,
curvlinops' ``HessianLinearOperator``, if it is installed, and a forward derivative of the gradient by
``torch.func``; and all of them, for a network with LayerNorm in float64, against differences of the gradient,
for a derivative of ``torch.func.jacrev``, which curvlinops takes, is wrong there (torch 2.14). Times are
those of the processor.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import nn
from torch.func import functional_call, grad, jvp
from torch.nn import functional

from netprops.curving import hessian_products, sharpness
from netprops.models import build

PROMISED, RTOL = 60, 1e-3


def trained(units, samples, steps):
    """Return network, inputs and labels."""
    torch.manual_seed(0)
    network = build("fc5", width=units, inputs=(64,), outputs=10)
    inputs, labels = torch.randn(samples, 64), torch.randint(0, 10, (samples,))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(network(inputs), labels).backward()
        optimizer.step()
    return network, inputs, labels


def by_eigsh(product, size, ncv):
    """Return the top eigenvalue and how many products it took."""
    count = 0

    def counted(vector):
        nonlocal count
        count += 1
        return product(vector.ravel())

    operator = LinearOperator((size, size), matvec=counted, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    values = eigsh(operator, k=1, which="LA", tol=RTOL, v0=start, ncv=ncv, return_eigenvectors=False)
    return float(values[0]), count


def by_curvlinops(network, inputs, labels, batch):
    from curvlinops import HessianLinearOperator

    data = list(zip(inputs.split(batch), labels.split(batch), strict=True))
    operator = HessianLinearOperator(
        network, nn.CrossEntropyLoss(), list(network.parameters()), data, check_deterministic=False
    )
    return operator.to_scipy(dtype=np.float32 if inputs.dtype == torch.float32 else np.float64)


def by_jvp(network, inputs, labels, batch):
    parameters = {name: one.detach() for name, one in network.named_parameters()}
    shapes = [one.shape for one in parameters.values()]
    sizes = [one.numel() for one in parameters.values()]

    def product(vector):
        parts = torch.from_numpy(vector).to(inputs.dtype).split(sizes)
        along = {name: part.view(shape) for name, part, shape in zip(parameters, parts, shapes, strict=True)}
        total = torch.zeros(sum(sizes), dtype=inputs.dtype)
        for some, truth in zip(inputs.split(batch), labels.split(batch), strict=True):

            def loss(values, some=some, truth=truth):
                return functional.cross_entropy(functional_call(network, values, (some,)), truth)

            slope = jvp(grad(loss), (parameters,), (along,))[1]
            total += torch.cat([one.flatten() for one in slope.values()]) * (len(some) / len(inputs))
        return total.numpy()

    return product


def by_differences(network, inputs, labels, vector, step=1e-6):
    weights = list(network.parameters())
    start = nn.utils.parameters_to_vector(weights).detach()
    slopes = []
    for sign in (1, -1):
        nn.utils.vector_to_parameters(start + sign * step * torch.from_numpy(vector), weights)
        found = torch.autograd.grad(functional.cross_entropy(network(inputs), labels), weights)
        slopes.append(torch.cat([one.flatten() for one in found]))
    nn.utils.vector_to_parameters(start, weights)
    return ((slopes[0] - slopes[1]) / (2 * step)).numpy()


def methods(network, inputs, labels, batch):
    """Yield each way to a product, and its name."""
    with hessian_products(network, inputs, labels, functional.cross_entropy, batch=batch) as (ours, _):
        yield "netprops", ours
    yield "jvp of grad", by_jvp(network, inputs, labels, batch)
    try:
        operator = by_curvlinops(network, inputs, labels, batch)
    except ImportError:
        return
    yield "curvlinops", lambda vector: operator @ vector.astype(operator.dtype)


def apart(found, expected):
    return np.linalg.norm(found - expected) / np.linalg.norm(expected)


def timed(product, vector, repeats):
    """Return the product, and seconds of the processor for one, the first left out."""
    found = product(vector)
    start = time.process_time()
    for _ in range(repeats):
        product(vector)
    return found, (time.process_time() - start) / repeats


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a network of 100,000 parameters")
    parser.add_argument("--out", type=Path, help="write the tables as Markdown to this file, too")
    arguments = parser.parse_args()
    units, samples, repeats = (160 if arguments.quick else 565), 1_000, 2
    lines = ["| steps | method | products | top eigenvalue |", "|---:|---|---:|---:|"]
    kept = True
    for steps in (0, 100):
        network, inputs, labels = trained(units, samples, steps)
        found = sharpness(
            network,
            inputs,
            labels,
            functional.cross_entropy,
            rng=np.random.default_rng(0),
            rtol=RTOL,
            batch=samples,
        )
        lines.append(f"| {steps} | netprops | {found.details['products']} | {found.value:.5g} |")
        kept = kept and found.details["products"] <= PROMISED
        with hessian_products(network, inputs, labels, functional.cross_entropy, batch=samples) as (
            product,
            size,
        ):
            for ncv in (10, 20):
                value, count = by_eigsh(product, size, ncv)
                lines.append(f"| {steps} | eigsh, ncv = {ncv} | {count} | {value:.5g} |")
                kept = kept and abs(value - found.value) <= 2 * RTOL * value
    lines += ["", "| product | batch | seconds | apart |", "|---|---:|---:|---:|"]
    vector = np.random.default_rng(1).standard_normal(size)
    vector /= np.linalg.norm(vector)
    reference = None
    for batch in (250, 1000):
        for name, method in methods(network, inputs, labels, batch):
            image, seconds = timed(method, vector, repeats)
            reference = image if reference is None else reference
            lines.append(f"| {name} | {batch} | {seconds:.3f} | {apart(image, reference):.0e} |")
    lines += ["", "| product, with LayerNorm | from differences |", "|---|---:|"]
    torch.manual_seed(0)
    normed = nn.Sequential(nn.Linear(5, 9), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, 4)).double()
    few, classes = torch.randn(30, 5, dtype=torch.float64), torch.randint(0, 4, (30,))
    toward = np.random.default_rng(0).standard_normal(sum(one.numel() for one in normed.parameters()))
    exact = by_differences(normed, few, classes, toward)
    for name, method in methods(normed, few, classes, len(few)):
        far = apart(method(toward), exact)
        kept = kept and (name != "netprops" or far < 1e-6)
        lines.append(f"| {name} | {far:.0e} |")
    table = "\n".join(lines)
    promise = (
        f"{size} parameters, {samples} samples. Promised: at most {PROMISED} products; "
        f"{'kept' if kept else 'not kept'}."
    )
    print(f"{table}\n\n{promise}")
    if arguments.out:
        heading = (
            "# Sharpness: products and their time\n\nMade by `python benchmarks/curvature.py`, "
            f"threads: {torch.get_num_threads()}.\n\n"
        )
        arguments.out.write_text(f"{heading}{table}\n\n{promise}\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
