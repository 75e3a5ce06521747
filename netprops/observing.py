"""What several layers of a network give for a few samples, whatever its shape, in one pass.

Words: N samples; a *layer* is named by its path. Unlike ``activations.py``, which streams one vector a
sample, this keeps everything: feature maps, streams of tokens, attention matrices.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netprops.activations import batches, evaluating, find_layer
from netprops.errors import MeasurementError, UsageError


@torch.no_grad()
def observe(
    network: nn.Module,
    inputs: Tensor,
    layers: Sequence[str],
    *,
    batch: int = 256,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the outputs of layers for all inputs, in eval mode; the network's own under ``""``.

    Args:
        network: The network, on ``device``; its weights are not changed.
        inputs: (N, ...) on any device.
        layers: Paths of layers that give one tensor, with the samples first, exactly once in a pass.
        batch: Samples at a time.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device, such as ``Dataset.prepare``.

    Returns:
        One (N, ...) float32 array for each layer, and the outputs of the network.

    Raises:
        UsageError: If there is no such layer, or it does not give one tensor once.
        MeasurementError: If there are no samples, or an activation is not a finite number.
    """
    if not len(inputs):
        raise MeasurementError("there are no samples to observe, expected at least one")
    parts: dict[str, list[NDArray[np.float32]]] = {layer: [] for layer in ("", *layers)}

    def recorder(layer: str) -> Callable[[nn.Module, object, object], None]:
        def record(module: nn.Module, arguments: object, output: object) -> None:
            if not isinstance(output, Tensor):
                raise UsageError(f"layer {layer!r} gives a {type(output).__name__}, expected one tensor")
            parts[layer].append(output.to(torch.float32).cpu().clone().numpy())

        return record

    with evaluating(network), ExitStack() as hooks:
        for layer in parts:
            module = network if layer == "" else find_layer(network, layer)
            hooks.enter_context(_removed(module.register_forward_hook(recorder(layer))))
        passes = 0
        for _, samples in batches(network, inputs, batch=batch, device=device, prepare=prepare):
            network(samples)
            passes += 1
    return {layer: _joined(layer, found, passes, len(inputs)) for layer, found in parts.items()}


def _removed(handle: torch.utils.hooks.RemovableHandle) -> ExitStack:
    stack = ExitStack()
    stack.callback(handle.remove)
    return stack


def _joined(layer: str, found: list[NDArray[np.float32]], passes: int, samples: int) -> NDArray[np.float32]:
    """Return the batches of one layer as one array."""
    if len(found) != passes:
        raise UsageError(
            f"layer {layer!r} ran {len(found)} times in {passes} passes, expected once in each; name another"
        )
    whole = np.concatenate(found) if all(one.ndim for one in found) else np.empty(0, np.float32)
    if len(whole) != samples:
        raise UsageError(
            f"layer {layer!r} gives {len(whole)} rows for {samples} samples, expected one for each"
        )
    if not np.isfinite(whole).all():
        raise MeasurementError(
            f"layer {layer!r}: an activation is not a finite number; the training diverged or the inputs are "
            "not what the network expects"
        )
    return whole
