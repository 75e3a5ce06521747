"""A perceptron with one hidden layer, the smallest network whose width can grow.

Words: f is the width factor; N samples, d inputs a sample, W = 128f units of the hidden layer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import ClassVar

from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.initialisation import initialise


@register("mlp1")
class MLP1(nn.Module):
    """One hidden layer of ReLU units and a linear readout, both with biases that start at 0.

    Args:
        width: f; ``units`` times f must be a whole number.
        inputs: Shape of one sample; whatever it is, the sample is read as one vector of d numbers.
        outputs: Number of outputs.
        units: Units of the hidden layer at f = 1.
        init: As in :func:`netprops.models.initialisation.initialise`; the default is ``"normal:0.01"``.
        dropout: Share of the hidden units that is dropped while it trains; networks with dropout train one by
            one.

    Raises:
        UsageError: If the width gives a part of a unit, the dropout is not a share, or the initialisation
            does not exist.

    Source: the MLPs of the paper on robustness and redundancy, appendix A.
    """

    features_layer: ClassVar[str] = "hidden"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        units: int = 128,
        init: str = "default",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        hidden = scaled("mlp1", units, width, "units")
        check_dropout("mlp1", dropout)
        linear = nn.Linear(math.prod(inputs), hidden)
        self.hidden = nn.Sequential(OrderedDict(linear=linear, relu=nn.ReLU()))
        if dropout:
            self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden, outputs)
        for layer in (linear, self.readout):
            nn.init.zeros_(layer.bias)
        initialise(self, init, default="normal:0.01", name="mlp1")

    @property
    def feature_width(self) -> int:
        """W = 128f, the number of hidden units."""
        return self.readout.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of samples (N, ...)."""
        features: Tensor = self.hidden(inputs.flatten(1))
        if hasattr(self, "dropout"):
            features = self.dropout(features)
        outputs: Tensor = self.readout(features)
        return outputs


def scaled(name: str, base: int, width: float, what: str) -> int:
    """Return a number of units or channels times a width factor.

    Args:
        name: Name of the architecture, for the message.
        base: The number at factor 1.
        width: The width factor.
        what: What is counted, for the message.

    Raises:
        UsageError: If it is not a whole number of at least 1.
    """
    count = base * width
    if count < 1 or count != int(count):
        raise UsageError(
            f"{name}: width factor {width:g} makes {count:g} of {base} {what}, expected a whole number of at "
            f"least 1; choose a multiple of 1/{base}"
        )
    return int(count)


def check_dropout(name: str, dropout: float) -> None:
    """Refuse a dropout that is not a share in [0, 1).

    Raises:
        UsageError: If it is not.
    """
    if not 0 <= dropout < 1:
        raise UsageError(f"{name}: dropout is {dropout:g}, expected a share in [0, 1)")
