"""A small convolutional network for images of 8×8 pixels: three convolutions, seconds to train.

Words: W, the width, is the number of channels of the last convolution and of units of the last hidden
representation.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.vgg16 import draw_kaiming
from netprops.models.wrn28 import AveragePool, check_image


@register("smallcnn")
class SmallCNN(nn.Module):
    """Three 3×3 convolutions with BN and ReLU, of W/2, W/2 and W channels, average pool, linear readout.

    A 2×2 max pool stands after the first, so that the last convolution sees 12×12 pixels. Features follow
    a ReLU and the average, so that they are not negative. Initialisation: convolutions and the readout
    Kaiming normal (fan-in, gain sqrt 2), BN weights 1, biases 0.

    Args:
        width: W, an even number of at least 2.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.

    Raises:
        UsageError: If W is not such a number or the images have another shape.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(self, *, width: float, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        if width < 2 or width % 2:
            raise UsageError(
                f"smallcnn: the width is {width:g} channels, of which the first layers have half; expected "
                "an even number of at least 2"
            )
        check_image("smallcnn", inputs)
        last = int(width)
        first = last // 2
        self.stages = nn.Sequential(
            *_stage(inputs[0], first), nn.MaxPool2d(2), *_stage(first, first), *_stage(first, last)
        )
        self.pool = AveragePool()
        self.readout = nn.Linear(last, outputs)
        draw_kaiming(self)

    @property
    def feature_width(self) -> int:
        """W, the number of channels of the last convolution."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.stages(images)))
        return outputs


def _stage(before: int, after: int) -> tuple[nn.Module, ...]:
    return nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)
