"""VGG16 for images of 32×32 pixels, with every channel count multiplied by α.

Words: α is the width factor; a *stage* is two or three 3×3 convolutions at one resolution, each with a ReLU,
and a 2×2 max pool; W = 512α units of the last hidden representation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.wrn28 import AveragePool

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
"""Channels at α = 1 and convolutions of each stage: thirteen, with the readout fourteen layers of weights."""
SMALLEST_IMAGE = 2 ** len(STAGES)


@register("vgg16")
class VGG16(nn.Module):
    """VGG16 with one linear readout: thirteen convolutions with biases and ReLU, five max pools.

    What is left after the last pool (1×1 for images of 32×32) is averaged; the features are not negative.
    Dropout stands between them and the readout. The original has no batch norm, and the table of the
    paper says that its networks had none either: 254 networks of α = 1/16 have as many parameters as one of
    α = 1 only if there is about one parameter a channel beside the kernels, which is the bias of the
    convolution. Batch norm (a scale and a shift) gives 253 without biases and 251 with them. It is there
    for who wants it (``norm="batch"``; the convolutions have no bias then). Initialisation: Kaiming normal
    (fan-in, gain sqrt 2), biases 0; BN weights 1.

    Args:
        width: α; 64α must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 32 pixels.
        outputs: Number of outputs.
        dropout: Share of the features that is dropped before the readout while it trains.
        norm: ``"none"``, or ``"batch"`` for batch norm after every convolution.

    Raises:
        UsageError: If 64α is not a whole number of at least 1, dropout is not a share, ``norm`` is neither of
            both, or the images have another shape.

    Source: Simonyan and Zisserman 2014, configuration D; scaled, and with the dropout of 0.1, as in "How does
    overparameterization affect features?", appendix A.2.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        dropout: float = 0.1,
        norm: Literal["none", "batch"] = "none",
    ) -> None:
        super().__init__()
        if norm not in ("none", "batch"):
            raise UsageError(f"vgg16: norm is {norm!r}, expected 'none' or 'batch'")
        if not 0 <= dropout < 1:
            raise UsageError(f"vgg16: dropout is {dropout:g}, expected a share in [0, 1)")
        check_factor("vgg16", width, STAGES[0][0])
        if len(inputs) != 3 or inputs[0] not in (1, 3) or min(inputs[1:]) < SMALLEST_IMAGE:
            raise UsageError(
                f"vgg16: samples of shape {inputs}, expected images (C, H, W) with 1 or 3 channels and at "
                f"least {SMALLEST_IMAGE}×{SMALLEST_IMAGE} pixels, because five pools halve them"
            )
        layers: list[nn.Module] = []
        channels = inputs[0]
        for base, convolutions in STAGES:
            for _ in range(convolutions):
                after = int(base * width)
                layers.append(nn.Conv2d(channels, after, 3, padding=1, bias=norm == "none"))
                layers += [nn.BatchNorm2d(after)] if norm == "batch" else []
                layers.append(nn.ReLU(inplace=True))
                channels = after
            layers.append(nn.MaxPool2d(2))
        self.stages = nn.Sequential(*layers)
        self.pool = AveragePool()
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(channels, outputs)
        draw_kaiming(self)

    @property
    def feature_width(self) -> int:
        """W = 512α, the number of channels of the last convolution."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.dropout(self.pool(self.stages(images))))
        return outputs


def check_factor(name: str, width: float, smallest: int) -> None:
    """Refuse a width factor that gives a part of a channel, or none.

    Args:
        name: Name of the architecture, for the message.
        width: α.
        smallest: The fewest channels of a layer at α = 1, of which all others are multiples.

    Raises:
        UsageError: If α times them is not a whole number of at least 1.
    """
    narrowest = smallest * width
    if narrowest < 1 or narrowest != int(narrowest):
        raise UsageError(
            f"{name}: width factor {width:g} gives {narrowest:g} channels in the first layer, expected a "
            f"whole number of at least 1; choose a multiple of 1/{smallest}"
        )


def draw_kaiming(network: nn.Module) -> None:
    """Draw convolutions and linear layers Kaiming normal (fan-in, gain sqrt 2) and set their biases to 0.

    Norms keep weight 1 and bias 0.

    Args:
        network: Changed in place; its layers draw in the order in which they stand.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
