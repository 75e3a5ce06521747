"""Which linear maps and convolutions a network's parameters go into, seen while it runs.

Words: B samples, T *positions* of each; a *map* is one call of ``functional.linear`` or ``functional.conv2d``
on (B, T, i) inputs, for a convolution its *patches*, with (B, T, o) outputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_ARGUMENTS = {
    functional.linear: ("input", "weight", "bias"),
    functional.conv2d: ("input", "weight", "bias", "stride", "padding", "dilation", "groups"),
}
# Questions about a parameter that no output depends on.
_HARMLESS = frozenset(
    getattr(Tensor, name).__get__ for name in ("shape", "dtype", "device", "requires_grad", "ndim")
) | {Tensor.size, Tensor.dim, Tensor.numel}


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """One call of a linear map or a convolution.

    Args:
        weight: Name of the weight, if it counts.
        bias: Name of the bias, if it counts.
        inputs: (B, ..., i) or (B, channels, height, width).
        outputs: What the call gave, (B, ..., o) or (B, o, height, width), within the graph.
        window: What cuts the patches of a convolution out of its inputs; None for a linear map.
    """

    weight: str | None
    bias: str | None
    inputs: Tensor
    outputs: Tensor
    window: Mapping[str, Any] | None

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that count."""
        return tuple(name for name in (self.weight, self.bias) if name is not None)

    def positions(self, values: Tensor, samples: int) -> Tensor:
        """Return (B, T, o) from what has the shape of the outputs."""
        if self.window is None:
            return values.reshape(samples, -1, values.shape[-1])
        return values.flatten(2).mT

    def patches(self, samples: int) -> Tensor:
        """Return (B, T, i), the inputs of each position."""
        values = self.inputs.detach()
        if self.window is None:
            return values.reshape(samples, -1, values.shape[-1])
        return functional.unfold(values, **self.window).mT


class Watch(TorchFunctionMode):
    """Notes all that parameters go into while a network runs: a map, or None for anything else."""

    def __init__(self, parameters: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.names = {id(one): name for name, one in parameters.items()}
        self.met: dict[str, list[Map | None]] = {name: [] for name in parameters}

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        output = func(*args, **given)
        met = [self.names[id(one)] for one in _leaves((args, given)) if id(one) in self.names]
        if not met or func in _HARMLESS:
            return output
        known = self._map(func, args, given, output)
        for name in met:
            self.met[name].append(known if known is not None and name in known.names else None)
        # What the network does to the output in place is not done to the one that is noted.
        return output if known is None else output.clone()

    def _map(self, func: Any, args: Sequence[Any], given: Mapping[str, Any], output: Any) -> Map | None:
        if func not in _ARGUMENTS:
            return None
        call = dict(zip(_ARGUMENTS[func], args, strict=False)) | dict(given)
        window = None
        if call["input"].dim() < 2:
            return None
        if func == functional.conv2d:
            padding = call.get("padding", 0)
            if call.get("groups", 1) != 1 or isinstance(padding, str) or call["input"].dim() != 4:
                return None
            window = {
                "kernel_size": tuple(call["weight"].shape[2:]),
                "dilation": call.get("dilation", 1),
                "padding": padding,
                "stride": call.get("stride", 1),
            }
        weight, bias = (self.names.get(id(call.get(part))) for part in ("weight", "bias"))
        return Map(weight, bias, call["input"], output, window)


def _leaves(values: Any) -> Iterator[Any]:
    """Yield what nested arguments of a call hold."""
    if isinstance(values, Mapping):
        values = values.values()
    elif not isinstance(values, list | tuple):
        yield values
        return
    for one in values:
        yield from _leaves(one)
