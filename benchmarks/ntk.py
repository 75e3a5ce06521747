"""The empirical NTK: time and memory against other exact ways to it.

N samples, C = 10 outputs, FC5 of 10^6 parameters, as large as the columns say. Promised: N = 256 within a
process of 2 GB (2^31 bytes), libraries included. The other ways are the Jacobian by ``torch.func`` (vmap of
jacrev) times its transpose, the same in blocks of rows, and the kernel column by column (vmap of jvp after
vjp). At N = 256 the first would need 10 GB; they are timed at fewer samples, and so are we. The last rows are
networks with convolutions and norms, and attention. Times are those of the processor.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from similarity import Watch, resident
from torch import nn
from torch.func import functional_call, jacrev, jvp, vjp, vmap

from netprops.models import build
from netprops.tangents import empirical_ntk

MEMORY = 2**31
AGREEMENT = 1e-5


def of(network):
    """Return the detached parameters and the function of parameters and inputs."""
    parameters = {name: one.detach() for name, one in network.named_parameters()}
    return parameters, lambda values, inputs: functional_call(network, values, (inputs,))


def jacobian(network, inputs):
    """Return (N C, P)."""
    parameters, run = of(network)
    slopes = vmap(jacrev(lambda values, one: run(values, one[None])[0]), in_dims=(None, 0))(
        parameters, inputs
    )
    return torch.cat([one.flatten(2) for one in slopes.values()], dim=2).flatten(0, 1)


def by_jacobian(network, inputs):
    rows = jacobian(network, inputs)
    return rows @ rows.mT


def by_blocks(network, inputs, size=8):
    """Return the kernel from two blocks of rows at a time."""
    parts = inputs.split(size)
    kernel = None
    for i, some in enumerate(parts):
        left = jacobian(network, some)
        if kernel is None:
            outputs = len(left) // len(some)
            kernel = torch.zeros(len(inputs) * outputs, len(inputs) * outputs)
        for j, others in enumerate(parts[i:], i):
            block = left @ (left if i == j else jacobian(network, others)).mT
            at, to = i * size * outputs, j * size * outputs
            kernel[at : at + len(block), to : to + block.shape[1]] = block
            kernel[to : to + block.shape[1], at : at + len(block)] = block.mT
    return kernel


def by_products(network, inputs, size=16):
    """Return the kernel by columns: a derivative back from one output, and forward to all."""
    parameters, run = of(network)
    outputs, back = vjp(lambda values: run(values, inputs), parameters)
    every = torch.eye(outputs.numel())

    def column(unit):
        (slope,) = back(unit.view_as(outputs))
        return jvp(lambda values: run(values, inputs), (parameters,), (slope,))[1].flatten()

    return torch.cat([vmap(column)(some) for some in every.split(size)])


def measured(way, network, inputs):
    """Return the kernel, seconds of the processor, and the process's largest memory in bytes."""
    with Watch() as memory:
        start = time.process_time()
        kernel = way(network, inputs)
        seconds = time.process_time() - start
    return np.asarray(kernel), seconds, memory.peak


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a network of 100,000 parameters")
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file, too")
    arguments = parser.parse_args()
    units = 160 if arguments.quick else 565
    torch.manual_seed(0)
    network = build("fc5", width=units, inputs=(64,), outputs=10).eval()
    small = nn.Sequential(nn.Linear(64, 8), nn.LayerNorm(8), nn.Linear(8, 10))
    ways = {
        "netprops": empirical_ntk,
        "Jacobian": by_jacobian,
        "Jacobian in blocks": by_blocks,
        "columns": by_products,
    }
    for way in ways.values():
        way(small, torch.randn(4, 64))  # loads the libraries
    libraries = resident()
    count = sum(one.numel() for one in network.parameters())
    lines = [
        "| network | parameters | samples | way | seconds | process, MiB | apart |",
        "|---|---:|---:|---|---:|---:|---:|",
    ]
    kept = True

    def row(name, count, samples, way, found, expected):
        kernel, seconds, memory = found
        apart = np.abs(kernel - expected).max() / np.abs(expected).max()
        lines.append(
            f"| {name} | {count} | {samples} | {way} | {seconds:.2f} | {memory / 2**20:.0f} | {apart:.0e} |"
        )
        return apart <= AGREEMENT

    inputs = torch.randn(256, 64)
    whole = measured(empirical_ntk, network, inputs)
    kept = kept and whole[2] <= MEMORY
    row("FC5", count, 256, "netprops", whole, whole[0])
    row(
        "FC5",
        count,
        256,
        "netprops, trace",
        measured(lambda *given: empirical_ntk(*given, kind="trace"), network, inputs),
        np.einsum("icjc->ij", whole[0].reshape(256, 10, 256, 10)),
    )
    few = 24
    for name, way in ways.items():
        found = measured(way, network, inputs[:few])
        kept = row("FC5", count, few, name, found, whole[0][: 10 * few, : 10 * few]) and kept
    for name, width, shape in (("resnet18", 0.125, (1, 8, 8)), ("transformer", 0.5, (16, 64))):
        other = build(name, width=width, inputs=shape, outputs=10).eval()
        samples = torch.randn(few, *shape)
        numbers = sum(one.numel() for one in other.parameters())
        expected = measured(by_jacobian, other, samples)
        kept = (
            row(name, numbers, few, "netprops", measured(empirical_ntk, other, samples), expected[0]) and kept
        )
        row(name, numbers, few, "Jacobian", expected, expected[0])
    table = "\n".join(lines)
    promise = (
        f"Libraries and network alone: {libraries / 2**20:.0f} MiB. Promised: 256 samples within "
        f"{MEMORY >> 20} MiB, and no difference beyond {AGREEMENT:.0e} of the largest entry; "
        f"{'kept' if kept else 'not kept'}."
    )
    print(f"{table}\n\n{promise}")
    if arguments.out:
        heading = (
            "# The empirical NTK against other ways to it\n\nMade by `python benchmarks/ntk.py`, threads: "
            f"{torch.get_num_threads()}.\n\n"
        )
        arguments.out.write_text(f"{heading}{table}\n\n{promise}\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
