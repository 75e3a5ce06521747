"""What a layer of a network gives for every sample, captured batch by batch.

Words: N samples, W units of the *layer*, which is named by its path in the network (``"hidden"``,
``"groups.2.0"``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from netprops.errors import MeasurementError, UsageError


@torch.no_grad()
def capture(
    network: nn.Module,
    inputs: Tensor,
    layer: str,
    *,
    batch: int = 512,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
    out: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Return the outputs of one layer for all inputs, in eval mode.

    Only one batch of inputs and activations is on the device at a time. The layer's output is copied before
    anything behind it (a ReLU in place) can change it. The mode of every module is restored, also after an
    error.

    Args:
        network: The network, on ``device``; its weights are not changed.
        inputs: (N, ...) on any device.
        layer: Path of the layer, as ``network.named_modules()`` gives it; ``""`` is the network itself.
        batch: Samples at a time.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device, such as ``Dataset.prepare``.
        out: (N, W) float32 array or memmap to write into; None makes an array.

    Returns:
        (N, W) float32: ``out`` where it was given.

    Raises:
        UsageError: If there is no such layer, it does not give one tensor of shape (B, W) exactly once in a
            pass, or ``out`` has another shape.
        MeasurementError: If there are no samples, or an activation is not a finite number: names layer and
            sample.
    """
    target = find_layer(network, layer)
    if not len(inputs):
        raise MeasurementError(f"layer {layer!r}: there are no samples to capture, expected at least one")
    with evaluating(network), _recording(target) as recorded:
        for start, samples in batches(network, inputs, batch=batch, device=device, prepare=prepare):
            recorded.clear()
            network(samples)
            values = _vectors(recorded, layer, len(samples)).to(torch.float32)
            _refuse_infinite(values, layer, start)
            if out is None:
                out = np.empty((len(inputs), values.shape[1]), dtype=np.float32)
            if out.shape != (len(inputs), values.shape[1]) or out.dtype != np.float32:
                raise UsageError(
                    f"layer {layer!r}: out is {out.dtype} of shape {out.shape}, expected float32 of shape "
                    f"{(len(inputs), values.shape[1])}"
                )
            out[start : start + batch] = values.cpu().numpy()
    assert out is not None  # there was at least one batch
    return out


def batches(
    network: nn.Module,
    inputs: Tensor,
    *,
    batch: int,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first index and the samples of each batch, where the network is and in its floating type.

    Args:
        network: The network; only its parameters' device and type are looked at.
        inputs: (N, ...) on any device.
        batch: Samples at a time.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device.
    """
    place = torch.device(device) if device is not None else next(network.parameters(), inputs).device
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), None)
    for start in range(0, len(inputs), batch):
        samples = inputs[start : start + batch].to(place)
        samples = prepare(samples) if prepare is not None else samples
        if dtype is not None and samples.is_floating_point():
            samples = samples.to(dtype)
        yield start, samples


def find_layer(network: nn.Module, layer: str) -> nn.Module:
    """Return the module of a path.

    Raises:
        UsageError: If there is none; names the nearest paths.
    """
    layers: dict[str, nn.Module] = dict(network.named_modules())
    if layer not in layers:
        near = get_close_matches(layer, layers, n=3, cutoff=0.5) or [name for name in layers if name][-5:]
        raise UsageError(f"the network has no layer {layer!r}; near to it are {', '.join(map(repr, near))}")
    return layers[layer]


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Put a network into eval mode; every module's mode is restored, also after an error."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def _recording(target: nn.Module) -> Iterator[list[Any]]:
    recorded: list[Any] = []

    def record(module: nn.Module, arguments: object, output: object) -> None:
        recorded.append(output.detach().clone() if isinstance(output, Tensor) else output)

    handle = target.register_forward_hook(record)
    try:
        yield recorded
    finally:
        handle.remove()


def _vectors(recorded: list[Any], layer: str, samples: int) -> Tensor:
    if len(recorded) != 1:
        raise UsageError(
            f"layer {layer!r} ran {len(recorded)} times in one pass, expected once; name a layer that has "
            "one output"
        )
    output = recorded[0]
    if not isinstance(output, Tensor):
        raise UsageError(
            f"layer {layer!r} gives a {type(output).__name__}, expected one tensor; name a layer inside it"
        )
    if output.dim() != 2 or len(output) != samples:
        raise UsageError(
            f"layer {layer!r} gives shape {tuple(output.shape)} for {samples} samples, expected ({samples}, "
            "W): one vector a sample; name a layer after pooling"
        )
    return output


def _refuse_infinite(values: Tensor, layer: str, start: int) -> None:
    finite = values.isfinite()
    if not bool(finite.all()):
        row, unit = (int(i) for i in torch.nonzero(~finite)[0])
        raise MeasurementError(
            f"layer {layer!r}: unit {unit} is {float(values[row, unit])} for sample {start + row}, expected "
            "finite activations; the training diverged or the inputs are not what the network expects"
        )
