"""FC5: a fully connected network with four equal hidden layers.

Words: N samples, d inputs a sample, W units of each hidden layer.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import ClassVar

from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register

HIDDEN_LAYERS = 4


@register("fc5")
class FC5(nn.Module):
    """Four hidden ReLU layers of W units each and a linear readout: five layers of weights.

    The width factor *is* W. Weights are drawn by torch's default for ``nn.Linear`` (uniform within
    1/sqrt(fan-in), biases too), because the source states no other.

    Args:
        width: W, units of every hidden layer; a whole number.
        inputs: Shape of one sample; whatever it is, the sample is read as one vector of d numbers.
        outputs: Number of outputs; one real number for labels -1 and 1.

    Raises:
        UsageError: If the width is not a whole number of at least 1.

    Source: Doimo et al., "Redundant representations help generalization in wide neural networks": FC5 on
    pMNIST.
    """

    features_layer: ClassVar[str] = "hidden"
    readout_layer: ClassVar[str] = "readout"

    def __init__(self, *, width: float, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        if width < 1 or width != int(width):
            raise UsageError(f"fc5: the width is {width:g} units, expected a whole number of at least 1")
        units = int(width)
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for layer in range(1, HIDDEN_LAYERS + 1):
            layers[f"linear{layer}"] = nn.Linear(math.prod(inputs) if layer == 1 else units, units)
            layers[f"relu{layer}"] = nn.ReLU()
        self.hidden = nn.Sequential(layers)
        self.readout = nn.Linear(units, outputs)

    @property
    def feature_width(self) -> int:
        """W, the number of units of the last hidden layer."""
        return self.readout.in_features

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of samples (N, ...)."""
        outputs: Tensor = self.readout(self.hidden(inputs.flatten(1)))
        return outputs
