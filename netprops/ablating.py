"""Ablation of any layer of any network: its units are set to zero by hooks, and predictions are compared.

Words: N samples, B of them in a *batch*; n units of a *layer*, which are the channels of an output
(B, C, H, W) and the last dimension of (B, n) and (B, T, n); a *mask* says which units are kept; M masks are
*stacked* where batches are small: the network then sees M B samples. A layer is named by its path; where a
module runs several times in a pass, ``"relu@0"`` is its first run, ``"relu@1"`` its second. The *prefix* is
what has run when the first ablated layer has: it runs once a batch, for all masks. Zeros stay zeros behind
ReLU and its relatives, so that for a network that applies them as functions, the module before one is the
layer to name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netprops.activations import batches, evaluating
from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve
from netprops.measures.ablation import Order, ablated_units, ablation_curve, fractions_of, unit_orders
from netprops.replaying import Replay, Run, find_run, name_of, rows_of, runs_of

_ACTIVATIONS = (
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU, nn.SiLU, nn.Mish,
    nn.Hardswish, nn.Softplus, nn.Tanh,
)  # fmt: skip
# Most units change a prediction among so few samples, and need not be looked at with the others.
_FIRST = 64


@torch.no_grad()
def activation_layers(
    network: nn.Module,
    inputs: Tensor,
    *,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> tuple[str, ...]:
    """Return the layers whose outputs are hidden activations: every run of an activation module, in order.

    A network that applies activations as functions runs none: then every module whose output is rectified,
    nowhere negative and somewhere exactly zero, is such a layer, as a block that ends in a ReLU is.

    Args:
        network: The network, on ``device``.
        inputs: (N, ...); the first two samples are run.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to the samples on the device.

    Raises:
        UsageError: If there is no such layer, as in a network whose activations are functions within its
            forward: its layers are to be named.
        MeasurementError: If there are no samples.
    """
    with evaluating(network):
        runs = runs_of(network, _probe(network, inputs, device, prepare))
    active = [run for run in runs if isinstance(run.module, _ACTIVATIONS)] or [
        run for run in runs if run.rectified and not isinstance(run.module, nn.Sequential)
    ]
    found = tuple(name_of(network, runs, run) for run in active)
    if not found:
        raise UsageError(
            "the network runs no activation module such as nn.ReLU, and no module gives rectified outputs; "
            "name the layers, those before an activation function"
        )
    return found


@torch.no_grad()
def ablate(
    network: nn.Module,
    inputs: Tensor,
    layers: str | Sequence[str] | None = None,
    *,
    steps: int = 7,
    repeats: int = 3,
    rng: np.random.Generator,
    order: Order = "random",
    batch: int = 512,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    name: str | None = None,
) -> Curve:
    """Return the ablation curve of one layer, or of several at once.

    Args:
        network: The network, on ``device``; its weights and modes are not changed.
        inputs: (N, ...) on any device.
        layers: One layer, several that lose the same fraction at once, or None for all
            :func:`activation_layers`.
        steps: Equal steps of the fraction from 0 to 1.
        repeats: Orders that are drawn for every layer.
        rng: Source of the orders.
        order: As in :func:`netprops.measures.ablation.unit_orders`; correlations are those of up to 50,000
            positions of the layer's output.
        batch: Samples, or samples times stacked masks, at a time.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device, such as ``Dataset.prepare``.
        name: Name of the curve; None names the layers.

    Returns:
        As :func:`netprops.measures.ablation.ablation_curve`. Every position of a (B, T, C) output is a
        prediction. The detail ``prefix_once`` says whether the prefix could be computed once: where replaying
        the intact network does not give its outputs, it is computed again for every mask.

    Raises:
        UsageError: If a layer does not exist (names the nearest), does not run exactly once, or gives
            something else than one tensor of the shapes above; if the network's output is not (B, C) or
            (B, T, C); or an option is not known.
        MeasurementError: If there are no samples, or the intact network's outputs are not finite.

    Source:
        The paper on robustness and redundancy, section 2 and Fig. 2.
    """
    if layers is None:
        layers = activation_layers(network, inputs, device=device, prepare=prepare)
    chosen = (layers,) if isinstance(layers, str) else tuple(layers)
    fractions = fractions_of(steps)
    with evaluating(network):
        replay = Replay(network, _probe(network, inputs, device, prepare), chosen)
        orders = [
            unit_orders(
                run.units,
                repeats=repeats,
                rng=rng,
                order=order,
                activations=None
                if order == "random"
                else layer_samples(
                    network, inputs, layer, rng=rng, batch=batch, device=device, prepare=prepare
                ),
            )
            for layer, run in replay.ablated
        ]
        sizes = [ablated_units(run.units, fractions) for _, run in replay.ablated]
        rows = len(orders[0])
        # Without units to ablate all stay; without units to keep all orders are the same.
        cells = [
            (row, column)
            for row in range(rows)
            for column in range(steps)
            if any(size[column] for size in sizes) and (row == 0 or column < steps - 1)
        ]
        keeps = [
            _kept(run, order_, size, cells)
            for (_, run), order_, size in zip(replay.ablated, orders, sizes, strict=True)
        ]
        counts, total = np.zeros(len(cells)), 0
        for _, samples in batches(network, inputs, batch=batch, device=device, prepare=prepare):
            total += replay.load(samples)
            stack = replay.stack(batch)
            for start in range(0, len(cells), stack):
                changed = replay.changed([keep[start : start + stack] for keep in keeps])
                counts[start : start + stack] += changed.cpu().numpy()
    scores = np.ones((rows, steps))
    for (row, column), count in zip(cells, counts, strict=True):
        scores[row, column] = 1 - count / total
    scores[1:, -1] = scores[0, -1]
    shown = repr(chosen[0]) if len(chosen) == 1 else f"{len(chosen)} layers at once"
    return ablation_curve(
        scores,
        fractions,
        order=order,
        name=name or f"ablation of {shown}",
        details={
            "samples": len(inputs),
            "units": sum(run.units for _, run in replay.ablated),
            "layers": len(chosen),
            "prefix_once": replay.prefix_once,
        },
    )


@torch.no_grad()
def blocked_units(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    *,
    batch: int = 512,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> NDArray[np.bool_]:
    """Return which units of a layer change no prediction when ablated alone.

    Args:
        network: The network, on ``device``.
        inputs: (N, ...) on any device.
        layer: The layer.
        batch: As in :func:`ablate`.
        device: As in :func:`ablate`.
        prepare: As in :func:`ablate`.

    Returns:
        (n,) bool, for these samples. A unit that has changed a prediction is not looked at again.

    Raises:
        UsageError: As :func:`ablate`.
        MeasurementError: As :func:`ablate`.
    """
    with evaluating(network):
        replay = Replay(network, _probe(network, inputs, device, prepare), (layer,))
        blocked = np.ones(replay.ablated[0][1].units, dtype=bool)
        for part in (inputs[:_FIRST], inputs[_FIRST:]):
            for _, samples in batches(network, part, batch=batch, device=device, prepare=prepare):
                replay.load(samples)
                left = np.flatnonzero(blocked)
                stack = replay.stack(batch)
                for start in range(0, len(left), stack):
                    units = left[start : start + stack]
                    keep = torch.ones((len(units), len(blocked)), dtype=torch.bool)
                    keep[torch.arange(len(units)), torch.from_numpy(units)] = False
                    blocked[units] = (replay.changed([keep]) == 0).cpu().numpy()
    return blocked


@torch.no_grad()
def layer_samples(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    *,
    count: int = 50_000,
    rng: np.random.Generator,
    after: Callable[[Tensor], Tensor] | None = None,
    batch: int = 512,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> NDArray[np.float32]:
    """Return activations of a layer's units at samples, every position of an image or a sequence being one.

    What :func:`netprops.measures.redundancy.spatial_sample` draws from the whole output, drawn batch by
    batch.

    Args:
        network: The network, on ``device``.
        inputs: (N, ...) on any device.
        layer: The layer.
        count: Positions at most; all, in order, where there are no more.
        rng: Source of the positions, drawn without replacement.
        after: Applied to the layer's output, such as ``torch.relu`` where the network does so in a function.
        batch: Samples at a time.
        device: As in :func:`ablate`.
        prepare: As in :func:`ablate`.

    Returns:
        (count, n) float32; positions of one image or sequence stay together.

    Raises:
        UsageError: As :func:`ablate`, or the count is not positive.
        MeasurementError: If there are no samples.
    """
    if count < 1:
        raise UsageError(f"layer {layer!r}: a positive count of samples is expected, got {count}")
    found: list[NDArray[np.float32]] = []
    chosen: NDArray[np.intp] | None = None
    outputs: list[Tensor] = []
    with evaluating(network):
        probe = _probe(network, inputs, device, prepare)
        run = find_run(network, runs_of(network, probe), layer, len(probe))
        with run.watched(outputs.append):
            for start, samples in batches(network, inputs, batch=batch, device=device, prepare=prepare):
                outputs.clear()
                network(samples)
                values = outputs[run.turn] if after is None else after(outputs[run.turn])
                rows = rows_of(values)
                positions = len(rows) // len(samples)
                if chosen is None:
                    total = positions * len(inputs)
                    drawn = rng.choice(total, count, replace=False, shuffle=False) if total > count else None
                    chosen = np.arange(total) if drawn is None else np.sort(drawn)
                first, last = np.searchsorted(chosen, [start * positions, (start + len(samples)) * positions])
                part = torch.from_numpy(chosen[first:last] - start * positions).to(rows.device)
                found.append(rows.index_select(0, part).float().cpu().numpy())
    return np.concatenate(found)


def _probe(
    network: nn.Module,
    inputs: Tensor,
    device: torch.device | str | None,
    prepare: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Return the first two samples, as the network takes them."""
    if not len(inputs):
        raise MeasurementError("there are no samples to run the network on, expected at least one")
    return next(batches(network, inputs[:2], batch=2, device=device, prepare=prepare))[1]


def _kept(
    run: Run, orders: NDArray[Any], sizes: NDArray[np.intp], cells: Sequence[tuple[int, int]]
) -> Tensor:
    """Return (masks, n) bool: the units that each mask keeps."""
    keep = torch.ones((len(cells), run.units), dtype=torch.bool)
    for mask, (row, column) in zip(keep, cells, strict=True):
        mask[torch.from_numpy(orders[row, : sizes[column]].copy())] = False
    return keep
