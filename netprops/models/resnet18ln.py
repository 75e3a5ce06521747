"""ResNet18 with layer norm for comparisons across widths: one in which no image depends on its batch.

Words: the width factor is the number of channels of the first *stage*; a stage is blocks at one resolution
and one number of channels, which doubles from stage to stage; a *block* is two 3×3 convolutions and a
shortcut; W, the units of the last hidden representation, is 8 times the width factor where there are four
stages; as in ``parameterization.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.parameterization import Parameterization, Parameterized, Readout, parameterize, whole
from netprops.models.resnet18 import SMALLEST_PHOTOGRAPH
from netprops.models.wrn28 import AveragePool, check_image

NORM = partial(nn.GroupNorm, 1)


@register("resnet18ln")
class ResNet18LN(Parameterized):
    """ResNet18 whose norms are layer norms: torchvision's basic blocks, average pool, linear readout.

    A group norm of one group normalises each image over all of its channels and positions, which is layer
    norm over (C, H, W); it has a weight and a bias a channel and not one for each number, so that its size
    does not depend on the image's. The stem is a 3×3 convolution of stride 1 with norm and ReLU
    (``"cifar"``) or a 7×7 convolution of stride 2 with norm, ReLU and a 3×3 max pool of stride 2
    (``"imagenet"``). The first block of every stage but the first has stride 2 and a 1×1 convolution with a
    norm as its shortcut. The features follow a ReLU, so that they are not negative. Initialisation:
    convolutions normal with variance 2/fan-in, the readout with variance 1/W, norms' weights 1, biases 0. No
    norm's weight starts at 0, so that every block takes part from the first step on.

    Args:
        width: Channels of the stem and the first stage; a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels, 32 with the stem for
            photographs.
        outputs: Number of outputs.
        blocks: Blocks of each stage; as many stages as numbers.
        stem: ``"cifar"`` or ``"imagenet"``.
        parameterization: ``"mup"``, ``"standard"`` or ``"ntk"``.
        base: The width factor at which all parameterizations are one.
        output_multiplier: As for :class:`netprops.models.parameterization.Readout`, like the next.
        readout_zero_init: Whether the readout starts at 0.

    Raises:
        UsageError: If the width or the base is not a whole number of at least 1, a stage has no block, the
            stem or the parameterization is not known, or the images have another shape.

    Source: He et al. 2016; layer norm instead of batch norm as in "Feature-Learning Networks Are Consistent
    Across Widths At Realistic Scales", appendix A.2.1. With 64 channels it has the sizes of the original.
    """

    features_layer: ClassVar[str] = "pool"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        blocks: Sequence[int] = (2, 2, 2, 2),
        stem: Literal["cifar", "imagenet"] = "cifar",
        parameterization: Parameterization = "mup",
        base: float = 64,
        output_multiplier: float = 1.0,
        readout_zero_init: bool = False,
    ) -> None:
        super().__init__()
        if stem not in ("cifar", "imagenet"):
            raise UsageError(f"resnet18ln: stem is {stem!r}, expected 'cifar' or 'imagenet'")
        if not blocks or min(blocks) < 1:
            raise UsageError(
                f"resnet18ln: blocks of each stage {tuple(blocks)}, expected at least one of each"
            )
        check_image("resnet18ln", inputs)
        large = stem == "imagenet"
        if large and min(inputs[1:]) < SMALLEST_PHOTOGRAPH:
            raise UsageError(
                f"resnet18ln: images of {inputs[1]}×{inputs[2]} pixels, expected at least "
                f"{SMALLEST_PHOTOGRAPH}×{SMALLEST_PHOTOGRAPH} for the stem {stem!r}"
            )
        channels = whole("resnet18ln", width, "channels")
        size, step, padding = (7, 2, 3) if large else (3, 1, 1)
        self.stem = nn.Sequential(
            nn.Conv2d(inputs[0], channels, size, stride=step, padding=padding, bias=False),
            NORM(channels),
            nn.ReLU(inplace=True),
        )
        if large:
            self.stem.append(nn.MaxPool2d(3, stride=2, padding=1))
        self.stages = nn.Sequential()
        for stage, count in enumerate(blocks):
            after, stride = (channels, 1) if stage == 0 else (2 * channels, 2)
            self.stages.append(_stage(channels, after, stride, count))
            channels = after
        self.pool = AveragePool()
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        self.readout = Readout(
            channels, outputs, output_multiplier=output_multiplier, zero_init=readout_zero_init
        )
        build = partial(
            ResNet18LN, inputs=inputs, outputs=outputs, blocks=blocks, stem=stem, parameterization="standard"
        )
        parameterize(self, "resnet18ln", parameterization, base=base, build=lambda width: build(width=width))

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.stages(self.stem(images))))
        return outputs


def _stage(before: int, after: int, stride: int, count: int) -> nn.Sequential:
    """Return the blocks of a stage, which leads from ``before`` channels to ``after``."""
    shortcut = None
    if stride > 1:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), NORM(after))
    first = BasicBlock(before, after, stride, shortcut, norm_layer=NORM)
    others = (BasicBlock(after, after, norm_layer=NORM) for _ in range(count - 1))
    return nn.Sequential(first, *others)
