"""ResNet50 with c times as many channels: a residual network of 50 layers for photographs.

Words: c is the width factor; the *stem* is the first convolution and its BN, with 64 channels at every c;
W = 2048c units of the last hidden representation.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.wrn28 import AveragePool

BLOCKS = (3, 4, 6, 3)
CHANNELS = 64
"""Inner channels of the first group of blocks at c = 1, the fewest that are scaled."""
SMALLEST_IMAGE = 32


@register("resnet50")
class ResNet50(ResNet):  # type: ignore[misc]  # torchvision carries no types
    """torchvision's ResNet50 with every channel count after the stem multiplied by c.

    Inner and outer channels of all blocks are multiplied, unlike in Wide-ResNet50-2, where only the inner
    ones are. At c = 1 it is ``torchvision.models.resnet50``, names of weights included: strides in the 3×3
    convolutions, Kaiming normal convolutions (fan-out), BN weights 1. The features follow a ReLU, so that
    they are not negative.

    Args:
        width: c; 64c must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 32 pixels.
        outputs: Number of outputs.

    Raises:
        UsageError: If 64c is not a whole number of at least 1, or the images have another shape.

    Source: He et al. 2016, scaled as by Doimo et al. ("Redundant representations help generalization in wide
    neural networks"), section 2.1.
    """

    features_layer: ClassVar[str] = "avgpool"
    readout_layer: ClassVar[str] = "fc"

    def __init__(self, *, width: float, inputs: tuple[int, ...], outputs: int) -> None:
        narrowest = CHANNELS * width
        if narrowest < 1 or narrowest != int(narrowest):
            raise UsageError(
                f"resnet50: width factor {width:g} gives {narrowest:g} channels in the first group, expected "
                f"a whole number of at least 1; choose a multiple of 1/{CHANNELS}"
            )
        if len(inputs) != 3 or inputs[0] not in (1, 3) or min(inputs[1:]) < SMALLEST_IMAGE:
            raise UsageError(
                f"resnet50: samples of shape {inputs}, expected images (C, H, W) with 1 or 3 channels and at "
                f"least {SMALLEST_IMAGE}×{SMALLEST_IMAGE} pixels"
            )
        self._factor = width
        super().__init__(Bottleneck, list(BLOCKS))
        self.conv1 = nn.Conv2d(inputs[0], CHANNELS, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(self.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.avgpool = AveragePool()
        self.fc = nn.Linear(self.inplanes, outputs)

    def _make_layer(self, block: type[Bottleneck], planes: int, *rest: Any, **more: Any) -> nn.Sequential:
        """Return a group of blocks with c times as many channels."""
        return cast("nn.Sequential", super()._make_layer(block, int(planes * self._factor), *rest, **more))

    @property
    def feature_width(self) -> int:
        """W = 2048c, the number of channels after the last group."""
        return self.fc.in_features
