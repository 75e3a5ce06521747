"""Sharpness of a network: the top eigenvalue of the Hessian of its loss on given samples.

Words: N samples, P numbers in all parameters, H the (P, P) Hessian of the mean loss; a *product* is H v. It
is exact: the gradient is differentiated once more, batch by batch, and summed. With *scales*, learning rates
of the parameters relative to the recipe's (µP has such), gradient descent sees D^1/2 H D^1/2, D their
diagonal matrix: the Hessian in units in which every parameter has the recipe's own learning rate.

The products are made here and not by curvlinops 3.0, which takes longer and is wrong by percents for
LayerNorm: it differentiates ``torch.func.jacrev``, which with torch 2.14 loses mixed derivatives of the
norm's weight and of what is before it (``benchmarks/curvature.md``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from netprops.activations import batches, evaluating
from netprops.data.dataset import NOT_ASKED
from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.measures.curvature import Product, top_eigenvalue

Loss = Callable[[Tensor, Tensor], Tensor]


def sharpness(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    rng: np.random.Generator,
    scales: Mapping[str, float] | None = None,
    rtol: float = 1e-3,
    most: int = 60,
    batch: int = 256,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    name: str = "sharpness",
) -> Measurement:
    """Return the top eigenvalue of the Hessian of the mean loss.

    Args:
        network: The network, on ``device``; its weights and modes are not changed.
        inputs: (N, ...) on any device.
        labels: (N, ...) as the loss takes them; integers of -100 are not asked.
        loss: Gives the mean loss, (), of outputs and labels, such as
            ``partial(loss_of, recipe=subject.recipe)``; without weight decay.
        rng: Source of the first vector.
        scales: Learning rate of parameters relative to the recipe's, by name; 1 where there is none. Then it
            is the top eigenvalue of D^1/2 H D^1/2, which is what the edge of stability is about.
        rtol: As in :func:`netprops.measures.curvature.top_eigenvalue`.
        most: Products at most.
        batch: Samples at a time; no more memory is needed than for a training step with as many, a few times
            over. Where N is no more, the gradient is differentiated once for all products: a third faster.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device, such as ``Dataset.prepare``.
        name: Name of the measurement.

    Returns:
        As :func:`netprops.measures.curvature.top_eigenvalue`, for these samples; products in the details. A
        kink of ReLU has curvature 0, on either side of it and at it.

    Raises:
        UndeterminedError: As :func:`netprops.measures.curvature.top_eigenvalue`.
        MeasurementError: If there are no samples, none is asked, or the loss is not finite.
        UsageError: If labels do not fit the samples or a scale is unknown or negative.

    Source:
        Width-consistency paper, Fig. 6a; Cohen et al. 2021; the products, Pearlmutter 1994.
    """
    with hessian_products(
        network, inputs, labels, loss, scales=scales, batch=batch, device=device, prepare=prepare
    ) as (product, size):
        found = top_eigenvalue(product, size, rng=rng, rtol=rtol, most=most, name=name)
    return replace(
        found,
        n=len(inputs),
        n_of="samples",
        how=f"Lanczos on {found.n} Hessian-vector products; upward by the residual",
        details={**found.details, "scaled": bool(scales)},
    )


@contextmanager
def hessian_products(
    network: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    loss: Loss,
    *,
    scales: Mapping[str, float] | None = None,
    batch: int = 256,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[Product, int]]:
    """Give what multiplies vectors by the Hessian of the mean loss, and P.

    Within the block the network is in eval mode and must not be changed.

    Args:
        network: As in :func:`sharpness`.
        inputs: As in :func:`sharpness`.
        labels: As in :func:`sharpness`.
        loss: As in :func:`sharpness`.
        scales: As in :func:`sharpness`.
        batch: As in :func:`sharpness`.
        device: As in :func:`sharpness`.
        prepare: As in :func:`sharpness`.

    Yields:
        The function from (P,) to (P,), in the order of ``network.named_parameters()`` (those that are
        trained; all, where none is), in the parameters' type; and P.

    Raises:
        MeasurementError: As :func:`sharpness`.
        UsageError: As :func:`sharpness`.
    """
    if len(labels) != len(inputs):
        raise UsageError(f"{len(inputs)} samples have {len(labels)} labels, expected one each")
    asked = _asked(labels)
    if not asked:
        raise MeasurementError("no sample has a label that is asked; a loss needs at least one")
    with differentiating(network) as parameters:
        roots = [math.sqrt(scale) for scale in scales_of(parameters, scales)]
        weights = list(parameters.values())
        sizes = [weight.numel() for weight in weights]
        Slopes = list[tuple[int, Tensor]]

        def slopes() -> Iterator[Slopes]:
            """Yield the gradient of each batch's share of the loss, where it can be differentiated again."""
            for start, samples in batches(network, inputs, batch=batch, device=device, prepare=prepare):
                truth = labels[start : start + batch]
                share = _asked(truth) / asked
                if not share:
                    continue
                value = loss(network(samples), truth.to(samples.device)) * share
                if not bool(value.isfinite()):
                    raise MeasurementError(
                        f"the loss of samples {start} to {start + len(truth) - 1} is not finite; the "
                        "training has diverged"
                    )
                found = torch.autograd.grad(value, weights, create_graph=True, allow_unused=True)
                yield [(i, one) for i, one in enumerate(found) if one is not None and one.requires_grad]

        kept = list(slopes()) if len(inputs) <= batch else None

        def product(vector: NDArray[np.float64]) -> NDArray[np.floating]:
            parts = torch.split_with_sizes(torch.from_numpy(np.asarray(vector)), sizes)
            along = [
                (part * root).to(weight).view_as(weight)
                for part, root, weight in zip(parts, roots, weights, strict=True)
            ]
            total = [torch.zeros_like(weight) for weight in weights]
            for gradient in slopes() if kept is None else kept:
                if not gradient:
                    continue
                found = torch.autograd.grad(
                    [one for _, one in gradient],
                    weights,
                    [along[i] for i, _ in gradient],
                    retain_graph=kept is not None,
                    allow_unused=True,
                )
                for sum_, one in zip(total, found, strict=True):
                    if one is not None:
                        sum_ += one
            flat = torch.cat([(one * root).flatten() for one, root in zip(total, roots, strict=True)])
            array: NDArray[np.floating] = flat.cpu().numpy()
            return array

        yield product, sum(sizes)


@contextmanager
def differentiating(network: nn.Module) -> Iterator[dict[str, nn.Parameter]]:
    """Put a network into eval mode, with attention that can be differentiated twice; give its parameters.

    Yields:
        The parameters that are trained, by name; all of a network that is frozen as a whole, which are
        frozen again at the end.

    Raises:
        UsageError: If it has none.
    """
    every = {name: one for name, one in network.named_parameters() if one.is_floating_point()}
    trained = {name: one for name, one in every.items() if one.requires_grad}
    if not every:
        raise UsageError("the network has no parameters to differentiate with respect to")
    with evaluating(network), sdpa_kernel(SDPBackend.MATH), torch.enable_grad():
        try:
            if not trained:
                network.requires_grad_(True)
            yield trained or every
        finally:
            if not trained:
                network.requires_grad_(False)


def scales_of(parameters: Mapping[str, nn.Parameter], scales: Mapping[str, float] | None) -> list[float]:
    """Return the learning rate of each parameter, relative to the recipe's.

    Args:
        parameters: By name.
        scales: By name; parameters that it lacks have 1.

    Raises:
        UsageError: If a name is unknown (gives the nearest), or a scale is negative or not finite.
    """
    given = scales or {}
    for name, scale in given.items():
        if name not in parameters:
            near = get_close_matches(name, parameters, n=1, cutoff=0) or ["none"]
            raise UsageError(f"the network trains no parameter {name!r}; near to it is {near[0]!r}")
        if not 0 <= scale < math.inf:
            raise UsageError(f"the scale of {name!r} is {scale:g}, expected a finite number of at least 0")
    return [float(given.get(name, 1.0)) for name in parameters]


def _asked(labels: Tensor) -> int:
    """Return how many of the labels are asked."""
    return labels.numel() if labels.is_floating_point() else int((labels != NOT_ASKED).sum())
