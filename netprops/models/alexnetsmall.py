"""A scaled-down AlexNet for images of 32×32 pixels or less: two convolutions, two dense layers, a readout.

Words: f is the width factor; a *stage* is a 5×5 convolution, ReLU, a 3×3 max pool of stride 2 and local
response normalisation; W = 192f units of the last hidden representation.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from netprops.models import register
from netprops.models.initialisation import initialise
from netprops.models.mlp1 import check_dropout, scaled
from netprops.models.wrn28 import check_image

BIASES = {"conv1": 0.0, "conv2": 0.1, "dense3": 0.1, "dense4": 0.1, "readout": 0.0}
RADIUS, ALPHA, BETA = 2, 2e-5, 0.75


class LocalNorm(nn.Module):
    """Local response normalisation: x / (1 + α s)^β, where s is the sum of squares of neighbouring channels.

    The sum goes over the channels up to the radius away, those beyond the first and the last being 0. It is a
    sum as in the paper's framework, TensorFlow; ``torch.nn.LocalResponseNorm`` has the mean over all 2 radius
    + 1 of them in its place, so that its α is so many times larger.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C, H, W) from the same."""
        channels = images.shape[1]
        squares = functional.pad(images.square(), (0, 0, 0, 0, RADIUS, RADIUS))
        total = squares[:, :channels]
        for shift in range(1, 2 * RADIUS + 1):
            total = total + squares[:, shift : shift + channels]
        return images / (1.0 + ALPHA * total).pow(BETA)


@register("alexnetsmall")
class AlexNetSmall(nn.Module):
    """Two stages with 96f and 256f channels, two dense ReLU layers with 384f and 192f units, a readout.

    Convolutions keep the size (padding 2). Pools halve it: where a side is even, the last window reaches over
    the border and sees what is there (``SAME`` padding of TensorFlow). Biases start at 0, 0.1, 0.1, 0.1 and
    0. Dropout stands behind both dense layers.

    Args:
        width: f; times all four numbers it must be whole.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.
        channels: Channels of both convolutions at f = 1.
        units: Units of both dense layers at f = 1.
        init: As in :func:`netprops.models.initialisation.initialise`; the default is ``"glorot-normal"``.
        dropout: Share of the dense units that is dropped while it trains.

    Raises:
        UsageError: If f gives a part of a channel or unit, the images have another shape, the dropout is not
            a share, or the initialisation does not exist.

    Source: the AlexNets of the paper on robustness and redundancy, appendix A, after Zhang et al. 2016, whose
    network of 1,387,786 parameters for images of 28×28 it is with 64 channels in both convolutions.
    """

    features_layer: ClassVar[str] = "hidden"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        channels: tuple[int, int] = (96, 256),
        units: tuple[int, int] = (384, 192),
        init: str = "default",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_image("alexnetsmall", inputs)
        check_dropout("alexnetsmall", dropout)
        first, second = (scaled("alexnetsmall", count, width, "channels") for count in channels)
        third, last = (scaled("alexnetsmall", count, width, "units") for count in units)
        height, breadth = (side // 4 for side in inputs[1:])
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for stage, (before, after) in enumerate(((inputs[0], first), (first, second)), 1):
            layers[f"conv{stage}"] = nn.Conv2d(before, after, 5, padding=2)
            layers[f"relu{stage}"] = nn.ReLU()
            layers[f"pool{stage}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            layers[f"norm{stage}"] = LocalNorm()
        layers["flatten"] = nn.Flatten()
        layers["dense3"] = nn.Linear(second * height * breadth, third)
        layers["relu3"] = nn.ReLU()
        layers["dropout3"] = nn.Dropout(dropout)
        layers["dense4"] = nn.Linear(third, last)
        layers["relu4"] = nn.ReLU()
        self.hidden = nn.Sequential(layers)
        self.dropout4 = nn.Dropout(dropout)
        self.readout = nn.Linear(last, outputs)
        for layer, bias in BIASES.items():
            module = self.readout if layer == "readout" else self.hidden.get_submodule(layer)
            nn.init.constant_(module.get_parameter("bias"), bias)
        initialise(self, init, default="glorot-normal", name="alexnetsmall")

    @property
    def feature_width(self) -> int:
        """W = 192f, the number of units of the last dense layer."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.dropout4(self.hidden(images)))
        return outputs
