"""How weights are drawn: one variance and one form for all convolutions and linear layers of a network.

Words: the *fan-in* of a layer is the number of inputs of one of its units, times the kernel's positions; the
*fan-out* is the number of units that an input reaches, likewise; an *initialisation* is named by its variance
and its form: ``"he-uniform"``.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from netprops.errors import UsageError

_VARIANCES: dict[str, Callable[[int, int], float]] = {
    "glorot": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun": lambda fan_in, fan_out: 1 / fan_in,
    "he": lambda fan_in, fan_out: 2 / fan_in,
}
NAMES = (*(f"{name}-{form}" for name in _VARIANCES for form in ("normal", "uniform")), "normal:SIGMA")


def initialise(network: nn.Module, init: str, *, default: str, name: str) -> None:
    """Draw the weights of all convolutions and linear layers anew; biases and norms stay as they are.

    Args:
        network: Changed in place; its layers draw from torch's global generator in the order in which they
            stand.
        init: ``"glorot-normal"``, ``"glorot-uniform"`` (variance 2 / (fan-in + fan-out); Glorot and Bengio
            2010), ``"lecun-normal"``, ``"lecun-uniform"`` (1 / fan-in; LeCun et al. 1998),
            ``"he-normal"``, ``"he-uniform"`` (2 / fan-in; He et al. 2015), ``"normal:SIGMA"`` (that standard
            deviation in every layer), or ``"default"``. The mean is 0, and no normal is truncated.
        default: What ``"default"`` stands for here; one of the others.
        name: Name of the architecture, for the message.

    Raises:
        UsageError: If the initialisation is none of these, or SIGMA is not a positive number.

    The paper on robustness and redundancy prints √3 / fan-in for LeCun's variance; √(3 / fan-in) is the bound
    of the uniform form, whose variance is 1 / fan-in.
    """
    chosen = default if init == "default" else init
    kind, _, form = chosen.partition(":" if chosen.startswith("normal:") else "-")
    sigma = _sigma(form) if kind == "normal" else None
    if sigma is None and chosen not in NAMES[:-1]:
        raise UsageError(
            f"{name}: init is {init!r}, expected 'default', {', '.join(map(repr, NAMES))}, where SIGMA is a "
            "positive number"
        )
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            deviation = sigma
            if deviation is None:
                positions = module.weight[0, 0].numel()
                fans = module.weight[0].numel(), module.weight.shape[0] * positions
                deviation = math.sqrt(_VARIANCES[kind](*fans))
            if form == "uniform":
                bound = math.sqrt(3) * deviation
                nn.init.uniform_(module.weight, -bound, bound)
            else:
                nn.init.normal_(module.weight, std=deviation)


def _sigma(text: str) -> float | None:
    """Return a standard deviation from its text; None if it is not one."""
    try:
        sigma = float(text)
    except ValueError:
        return None
    return sigma if math.isfinite(sigma) and sigma > 0 else None
