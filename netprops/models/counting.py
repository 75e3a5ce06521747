"""How many narrow networks are as large as a wide one, counted without drawing a weight.

Words: the *size* of a network is the number of its features or of its trainable parameters.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Literal

from netprops.errors import UsageError
from netprops.models import build

Equal = Literal["features", "parameters"]


def networks_of_equal_size(
    architecture: str,
    wide: float,
    narrow: float,
    *,
    inputs: tuple[int, ...],
    outputs: int,
    by: Equal,
    **kwargs: Any,
) -> int:
    """Return the smallest number of narrow networks that together are at least as large as a wide one.

    Args:
        architecture: One of :func:`netprops.models.names`.
        wide: Width factor of the wide network.
        narrow: Width factor of the narrow ones.
        inputs: Shape of one sample.
        outputs: Number of outputs.
        by: ``"features"`` (n₁: units of the last hidden representation) or ``"parameters"`` (n₂: every
            trainable number, the readout's included).
        kwargs: Further arguments of the architecture.

    Returns:
        At least 1. The networks are built on the meta device, once a process for each size.

    Raises:
        UsageError: If ``by`` is neither of both, or a network cannot be built.

    Source: "How does overparameterization affect features?", definition 2.4.

    >>> networks_of_equal_size("fc5", 64, 16, inputs=(10,), outputs=1, by="features")
    4
    """
    if by not in ("features", "parameters"):
        raise UsageError(f"networks are counted by 'features' or by 'parameters', not by {by!r}")
    shape = (tuple(inputs), outputs, tuple(sorted(kwargs.items())))
    large, small = (_sizes(architecture, width, *shape)[by] for width in (wide, narrow))
    return -(-large // small)


@cache
def _sizes(
    architecture: str,
    width: float,
    inputs: tuple[int, ...],
    outputs: int,
    kwargs: tuple[tuple[str, Any], ...],
) -> dict[str, int]:
    import torch

    with torch.device("meta"):
        network = build(architecture, width=width, inputs=inputs, outputs=outputs, **dict(kwargs))
    return {
        "features": int(network.feature_width),  # type: ignore[arg-type]
        "parameters": sum(weight.numel() for weight in network.parameters() if weight.requires_grad),
    }
