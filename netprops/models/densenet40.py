"""DenseNet40-BC: a densely connected network of 40 layers for small images.

Words: c channels after the first convolution, the width factor; k = c/2 is the *growth*, the channels that
each layer adds; a *layer* is BN, ReLU, 1×1 convolution to 4k, BN, ReLU, 3×3 convolution to k; a *transition*
between two blocks of six layers is BN, ReLU, a 1×1 convolution to half of the channels, and a 2×2 average
pool; W = 5.5c units of the last hidden representation.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torchvision.models import DenseNet

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.wrn28 import AveragePool, check_image

LAYERS = 6
"""Layers of each of the three blocks; with the first convolution, two transitions and the readout, forty
convolutions or linear maps."""
EXPANSION = 4


@register("densenet40")
class DenseNet40(DenseNet):  # type: ignore[misc]  # torchvision carries no types
    """DenseNet40-BC: torchvision's DenseNet with a stem for small images and without the last ReLU.

    The stem is a 3×3 convolution of stride 1 to c channels, BN and ReLU. After the third block stand BN,
    average pool and the readout: no ReLU, so that the features are signed. The bottleneck is one more
    transition without its pool, to a fixed number of channels, with a BN of its own before the average pool:
    the features keep their number while everything before them grows. Initialisation
    is torchvision's: convolutions Kaiming normal (fan-in), BN weights 1, biases 0.

    Args:
        width: c; an even number, so that growth and transitions are whole.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.
        bottleneck: Channels of the 1×1 convolution before the last BN; 0 for none.

    Raises:
        UsageError: If c is not an even number of at least 2, the bottleneck is negative, or the images have
            another shape.

    Source: Huang et al. 2017 (DenseNet-BC), as Doimo et al. ("Redundant representations help generalization
    in wide neural networks") changed it: no last ReLU; the stem's BN and ReLU are those of their public code.
    The bottleneck is that of their Fig. S4 a (128 channels), which does not say what stands around the
    convolution.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(self, *, width: float, inputs: tuple[int, ...], outputs: int, bottleneck: int = 0) -> None:
        if width < 2 or width % 2:
            raise UsageError(
                f"densenet40: the width is {width:g} channels, expected an even number of at least 2"
            )
        if bottleneck < 0:
            raise UsageError(f"densenet40: a bottleneck of {bottleneck} channels, expected 0 or more")
        check_image("densenet40", inputs)
        channels = int(width)
        super().__init__(
            growth_rate=channels // 2,
            block_config=(LAYERS,) * 3,
            num_init_features=channels,
            bn_size=EXPANSION,
            num_classes=outputs,
        )
        del self.features.pool0, self.classifier
        self.features.conv0 = nn.Conv2d(inputs[0], channels, 3, padding=1, bias=False)
        last = 11 * channels // 2
        if bottleneck:
            self.features.relu5 = nn.ReLU(inplace=True)
            self.features.conv5 = nn.Conv2d(last, bottleneck, 1, bias=False)
            self.features.norm6 = nn.BatchNorm2d(bottleneck)
        self.pool = AveragePool()
        self.readout = nn.Linear(bottleneck or last, outputs)
        for module in self.modules():  # torchvision's own, for the modules that are not torchvision's
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
        nn.init.zeros_(self.readout.bias)

    @property
    def feature_width(self) -> int:
        """W: 5.5c, or the bottleneck's channels where there is one."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.features(images)))
        return outputs
