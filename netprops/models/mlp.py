"""A perceptron of any depth with hidden layers of one width, for comparisons across widths.

Words: N samples, d inputs a sample, W units of each hidden layer, the width factor; as in
``parameterization.py``.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import partial
from typing import ClassVar

from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.parameterization import Parameterization, Parameterized, Readout, parameterize, whole


class Erf(nn.Module):
    """The error function of each number."""

    def forward(self, numbers: Tensor) -> Tensor:
        """Return a tensor of the same shape, between -1 and 1."""
        return numbers.erf()


ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "erf": Erf, "gelu": nn.GELU}


@register("mlp")
class MLP(Parameterized):
    """Hidden layers of W units each, ``hidden.linear1`` and so on, and a linear readout.

    The width factor *is* W. Initialisation: hidden weights normal with variance 2/fan-in before a ReLU and
    1/fan-in before another activation, the readout's with variance 1/W, biases 0.

    Args:
        width: W; a whole number.
        inputs: Shape of one sample; whatever it is, the sample is read as one vector of d numbers.
        outputs: Number of outputs.
        depth: Layers of weights, the readout being the last.
        activation: One of :data:`ACTIVATIONS`, after every hidden layer.
        bias: Whether the layers have biases.
        parameterization: ``"mup"``, ``"standard"`` or ``"ntk"``.
        base: The width factor at which all parameterizations are one.
        output_multiplier: As for :class:`netprops.models.parameterization.Readout`, like the next.
        readout_zero_init: Whether the readout starts at 0.

    Raises:
        UsageError: If the width or the base is not a whole number of at least 1, the depth is less than 2, or
            the activation or the parameterization is not known.

    Source: the MLPs of "Feature-Learning Networks Are Consistent Across Widths At Realistic Scales", appendix
    A.1, have depth 3.
    """

    features_layer: ClassVar[str] = "hidden"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        depth: int = 3,
        activation: str = "relu",
        bias: bool = False,
        parameterization: Parameterization = "mup",
        base: float = 64,
        output_multiplier: float = 1.0,
        readout_zero_init: bool = False,
    ) -> None:
        super().__init__()
        if depth < 2:
            raise UsageError(
                f"mlp: a depth of {depth} layers, expected a hidden layer and the readout at least"
            )
        if activation not in ACTIVATIONS:
            raise UsageError(
                f"mlp: activation is {activation!r}, expected one of {', '.join(map(repr, ACTIVATIONS))}"
            )
        units = whole("mlp", width, "units")
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for layer in range(1, depth):
            linear = nn.Linear(math.prod(inputs) if layer == 1 else units, units, bias=bias)
            gain = 2 if activation == "relu" else 1
            nn.init.normal_(linear.weight, std=math.sqrt(gain / linear.in_features))
            if bias:
                nn.init.zeros_(linear.bias)
            layers[f"linear{layer}"] = linear
            layers[f"{activation}{layer}"] = ACTIVATIONS[activation]()
        self.hidden = nn.Sequential(layers)
        self.readout = Readout(
            units, outputs, bias=bias, output_multiplier=output_multiplier, zero_init=readout_zero_init
        )
        build = partial(
            MLP,
            inputs=inputs,
            outputs=outputs,
            depth=depth,
            activation=activation,
            bias=bias,
            parameterization="standard",
        )
        parameterize(self, "mlp", parameterization, base=base, build=lambda width: build(width=width))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of samples (N, ...)."""
        outputs: Tensor = self.readout(self.hidden(inputs.flatten(1)))
        return outputs
