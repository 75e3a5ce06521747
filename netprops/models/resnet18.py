"""ResNet18 for small images or for photographs, with every channel count multiplied by α.

Words: α is the width factor; a *block* is two 3×3 convolutions and a shortcut; a *group* is two blocks at one
resolution and one number of channels; W = 512α units of the last hidden representation.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.initialisation import initialise
from netprops.models.vgg16 import check_factor, draw_kaiming
from netprops.models.wrn28 import AveragePool, check_image

BLOCKS = 2
GROUPS = ((64, 1), (128, 2), (256, 2), (512, 2))
"""Channels at α = 1 and stride of each group."""
SMALLEST_PHOTOGRAPH = 32


@register("resnet18")
class ResNet18(nn.Module):
    """ResNet18 whose stem is one 3×3 convolution: torchvision's basic blocks, average pool, linear readout.

    The stem has 64α channels, stride 1, a norm and a ReLU, and no max pool. Where the shape changes, the
    shortcut is a 1×1 convolution with a norm (option B). The features follow a ReLU, so that they are not
    negative. ``norm="layer"`` normalises each image over all of its channels and positions (one group),
    with a weight and a bias a channel, so that no image depends on its batch. ``stem="imagenet"`` is the stem
    for photographs: a 7×7 convolution of stride 2 and a 3×3 max pool of stride 2. Initialisation:
    convolutions and the readout Kaiming normal (fan-in, gain sqrt 2), norms' weights 1, biases 0.

    Args:
        width: α; 64α must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels, 32 with the stem for
            photographs.
        outputs: Number of outputs.
        norm: ``"batch"`` or ``"layer"``.
        stem: ``"cifar"`` or ``"imagenet"``.
        init: As in :func:`netprops.models.initialisation.initialise`; the default is ``"he-normal"``.

    Raises:
        UsageError: If 64α is not a whole number of at least 1, ``norm``, ``stem`` or ``init`` is none of
            these, or the images have another shape.

    Source: He et al. 2016; the stem for images of 32×32 is the usual one for CIFAR. At α = 1 it has the
    11,173,962 parameters with which 251 networks of α = 1/16 are as large as one, as in the table of "How
    does overparameterization affect features?", appendix A.2.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        norm: Literal["batch", "layer"] = "batch",
        stem: Literal["cifar", "imagenet"] = "cifar",
        init: str = "default",
    ) -> None:
        super().__init__()
        if norm not in ("batch", "layer"):
            raise UsageError(f"resnet18: norm is {norm!r}, expected 'batch' or 'layer'")
        if stem not in ("cifar", "imagenet"):
            raise UsageError(f"resnet18: stem is {stem!r}, expected 'cifar' or 'imagenet'")
        check_factor("resnet18", width, GROUPS[0][0])
        check_image("resnet18", inputs)
        large = stem == "imagenet"
        if large and min(inputs[1:]) < SMALLEST_PHOTOGRAPH:
            raise UsageError(
                f"resnet18: images of {inputs[1]}×{inputs[2]} pixels, expected at least "
                f"{SMALLEST_PHOTOGRAPH}×{SMALLEST_PHOTOGRAPH} for the stem {stem!r}"
            )
        norm_layer = nn.BatchNorm2d if norm == "batch" else partial(nn.GroupNorm, 1)
        channels = int(GROUPS[0][0] * width)
        size, step, padding = (7, 2, 3) if large else (3, 1, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(inputs[0], channels, size, stride=step, padding=padding, bias=False),
            norm_layer(channels),
            nn.ReLU(inplace=True),
        )
        if large:
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        blocks = []
        for base, stride in GROUPS:
            for block in range(BLOCKS):
                after, step = int(base * width), stride if block == 0 else 1
                shortcut = None
                if step > 1 or after != channels:
                    shortcut = nn.Sequential(
                        nn.Conv2d(channels, after, 1, stride=step, bias=False), norm_layer(after)
                    )
                blocks.append(BasicBlock(channels, after, step, shortcut, norm_layer=norm_layer))
                channels = after
        self.blocks = nn.Sequential(*blocks)
        self.pool = AveragePool()
        self.readout = nn.Linear(channels, outputs)
        draw_kaiming(self)
        if init != "default":
            initialise(self, init, default="he-normal", name="resnet18")

    @property
    def feature_width(self) -> int:
        """W = 512α, the number of channels after the last group."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.blocks(self.stem(images))))
        return outputs
