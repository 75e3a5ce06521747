"""The learner of the signal toy: a perceptron whose first layer looks at every patch by itself.

Words: a sample is P patches of d numbers; a *neuron* is a unit of the first layer, and *active* for a
direction v where |w·v| exceeds the *threshold* b that is subtracted from every first pre-activation.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register


@register("signals")
class SignalLearner(nn.Module):
    """Readout of three hidden layers of the sum over patches of ReLU(w·patch - b).

    The first weights are drawn normal with standard deviation ``deviation``, so that a neuron is active for
    one given unit vector with the probability of a normal number beyond b / deviation: rarely. The other
    layers are drawn Kaiming normal, with biases of 0.

    Args:
        width: Neurons of the first layer; a whole number.
        inputs: (P, d).
        outputs: Number of outputs; one real number for labels -1 and 1.
        deviation: Standard deviation of the first weights.
        rarity: b / deviation.
        hidden: Units of each of the other three hidden layers.

    Raises:
        UsageError: If the width is not a whole number of at least 1, or a sample is not of patches.

    Source: "How does overparameterization affect features?", section 4 and appendix C; deviation, rarity and
    the width of the other layers are not printed there.
    """

    features_layer: ClassVar[str] = "body"
    readout_layer: ClassVar[str] = "readout"
    first_layer: ClassVar[str] = "first"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        deviation: float = 0.1,
        rarity: float = 1.9,
        hidden: int = 64,
    ) -> None:
        super().__init__()
        if width < 1 or width != int(width):
            raise UsageError(f"signals: the width is {width:g} neurons, expected a whole number, at least 1")
        if len(inputs) != 2:
            raise UsageError(f"signals: samples of shape {inputs}, expected (patches, dimensions)")
        neurons = int(width)
        self.threshold = rarity * deviation
        self.first = nn.Parameter(torch.randn(neurons, inputs[1]) * deviation)
        self.body = nn.Sequential(
            nn.Linear(neurons, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
        )
        self.readout = nn.Linear(hidden, outputs)
        for layer in (*self.body, self.readout):
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    @property
    def feature_width(self) -> int:
        """Units of the last hidden layer; the width factor counts those of the first."""
        return self.readout.in_features

    def forward(self, patches: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of samples (N, P, d)."""
        seen = torch.relu(patches @ self.first.T - self.threshold).sum(dim=1)
        outputs: Tensor = self.readout(self.body(seen))
        return outputs
