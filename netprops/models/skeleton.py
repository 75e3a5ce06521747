"""Networks without memory behind their weights, for their shapes, or to be given weights that exist already.

On the meta device there is nothing to draw, but torch loads its compiler to not draw it: some seconds in
every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_DRAWS = {
    *(getattr(torch.Tensor, name) for name in ("normal_", "uniform_", "bernoulli_", "exponential_")),
    *(getattr(nn.init, name) for name in ("normal_", "uniform_", "trunc_normal_", "orthogonal_")),
    *(getattr(nn.init, name) for name in ("kaiming_normal_", "kaiming_uniform_")),
    *(getattr(nn.init, name) for name in ("xavier_normal_", "xavier_uniform_")),
}


class _Undrawn(TorchFunctionMode):
    """Leaves every tensor as it is that would be filled with random numbers in place."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if func in _DRAWS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def skeletons() -> Iterator[None]:
    """Within the block, networks are built on the meta device, and no weights are drawn."""
    with torch.device("meta"), _Undrawn():
        yield
