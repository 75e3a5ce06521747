"""ResNet56 and its relatives of 6n + 2 layers for small images, with every channel count multiplied by f.

Words: f is the width factor; n is the number of blocks of each of the three groups; a *block* is two 3×3
convolutions and a shortcut; W = 64f units of the last hidden representation.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from torch import Tensor, nn
from torch.nn.functional import pad

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.initialisation import initialise
from netprops.models.mlp1 import scaled
from netprops.models.wrn28 import AveragePool, check_image

GROUPS = ((16, 1), (32, 2), (64, 2))
"""Channels at f = 1 and stride of each group."""


class Padding(nn.Module):
    """The shortcut without parameters: every second position, and channels of zeros before and after.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        stride: Of the positions.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.stride, self.first = stride, (after - before) // 2
        self.last = after - before - self.first

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, after, H / stride, W / stride) from (N, before, H, W)."""
        return pad(images[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.first, self.last))


class Block(nn.Module):
    """Convolution, BN, ReLU, convolution, BN, added to the shortcut, ReLU.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        stride: Stride of the first convolution.
        shortcut: As for :class:`ResNet56`.
    """

    def __init__(self, before: int, after: int, stride: int, shortcut: Literal["A", "B"]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.shortcut: nn.Module = nn.Identity()
        if (before, stride) != (after, 1):
            projection = nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            self.shortcut = Padding(before, after, stride) if shortcut == "A" else nn.Sequential(*projection)
        self.relu2 = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, after, H / stride, W / stride) from (N, before, H, W)."""
        inner = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(images)))))
        outer: Tensor = self.relu2(inner + self.shortcut(images))
        return outer


@register("resnet56")
class ResNet56(nn.Module):
    """A 3×3 convolution, BN and ReLU, three groups of n blocks, average pool, linear readout.

    The first convolution and the groups have 16f, 16f, 32f and 64f channels. The features follow a ReLU, so
    that they are not negative. BN weights start at 1, biases at 0. Names of weights are those of the widely
    used ResNet56 for CIFAR10 (``conv1``, ``layer1.0.bn1``, ``linear``), so that its files can be read.

    Args:
        width: f; 16f must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.
        depth: 6n + 2: 20 gives ResNet20, 8 one block a group.
        shortcut: What leads around a block that changes the shape: ``"A"``, every second position with
            channels of zeros, or ``"B"``, a 1×1 convolution with a BN.
        init: As in :func:`netprops.models.initialisation.initialise`; the default is ``"glorot-normal"``.

    Raises:
        UsageError: If 16f is not a whole number, the images have another shape, or depth, shortcut or
            initialisation is none of these.

    Source: He et al. 2016, section 4.2; 0.85M parameters at f = 1. Scaled and initialised as in the paper on
    robustness and redundancy, appendix A.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "linear"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        depth: int = 56,
        shortcut: Literal["A", "B"] = "A",
        init: str = "default",
    ) -> None:
        super().__init__()
        check_image("resnet56", inputs)
        if depth < 8 or depth % 6 != 2:
            raise UsageError(f"resnet56: a depth of {depth} layers, expected 6n + 2 of at least 8")
        if shortcut not in ("A", "B"):
            raise UsageError(f"resnet56: shortcut is {shortcut!r}, expected 'A' or 'B'")
        channels = scaled("resnet56", GROUPS[0][0], width, "channels")
        self.conv1 = nn.Conv2d(inputs[0], channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU()
        groups = []
        for base, stride in GROUPS:
            after, blocks = int(base * width), []
            for step in (stride, *[1] * (depth // 6 - 1)):
                blocks.append(Block(channels, after, step, shortcut))
                channels = after
            groups.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3 = groups
        self.pool = AveragePool()
        self.linear = nn.Linear(channels, outputs)
        nn.init.zeros_(self.linear.bias)
        initialise(self, init, default="glorot-normal", name="resnet56")

    @property
    def feature_width(self) -> int:
        """W = 64f, the number of channels after the last group."""
        return self.linear.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        stem = self.relu1(self.bn1(self.conv1(images)))
        outputs: Tensor = self.linear(self.pool(self.layer3(self.layer2(self.layer1(stem)))))
        return outputs
