"""WRN28-n: a wide residual network of 28 layers for small images.

Words: n is the width factor; a *block* is two convolutions and a shortcut; a *group* is four blocks at one
resolution and one number of channels; W = 64n units of the last hidden representation.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn
from torch.nn.functional import relu

from netprops.errors import UsageError
from netprops.models import register

BLOCKS = 4
GROUPS = ((16, 1), (32, 2), (64, 2))
"""Channels at n = 1 and stride of each group."""
SMALLEST_IMAGE = 8


class Block(nn.Module):
    """A pre-activation block: BN, ReLU, 3×3 convolution, BN, ReLU, 3×3 convolution, added to the shortcut.

    The shortcut takes the block's input as it came, before BN and ReLU: unchanged where the shape stays,
    through a bare 1×1 convolution (no BN, no bias) with the block's stride where it does not.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        stride: Stride of the first convolution.
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(before)
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, after, H / stride, W / stride) from (N, before, H, W)."""
        inner: Tensor = self.conv1(relu(self.norm1(images)))
        inner = self.conv2(relu(self.norm2(inner)))
        shortcut: Tensor = self.shortcut(images)
        return shortcut + inner


class AveragePool(nn.Module):
    """The mean over all positions of each channel."""

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, C) from (N, C, H, W)."""
        return images.mean((2, 3))


@register("wrn28")
class WRN28(nn.Module):
    """WRN28-n: a 3×3 convolution, three groups of four pre-activation blocks, BN, average pool, linear.

    Groups have 16n, 32n and 64n channels; the convolution before them has 16, and 16n where n < 1, so that
    n = 1/4 and 1/2 are WRN28-1 scaled down, first convolution included, to a base of 4 and 8 channels instead
    of 16. No ReLU stands between the last BN and the pool, so that the features are signed. Initialisation:
    convolutions and the linear layer Kaiming normal (fan-in, gain sqrt 2), BN weights uniform in (0, 1),
    biases 0.

    Args:
        width: n; 16n must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.

    Raises:
        UsageError: If 16n is not a whole number of at least 1, or the images have another shape.

    Source: Zagoruyko and Komodakis 2016, with the changes that Doimo et al. ("Redundant representations help
    generalization in wide neural networks") made: shortcut, no last ReLU, n < 1.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(self, *, width: float, inputs: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        narrowest = GROUPS[0][0] * width
        if narrowest < 1 or narrowest != int(narrowest):
            raise UsageError(
                f"wrn28: width factor {width:g} gives {narrowest:g} channels in the first group, expected a "
                "whole number of at least 1; choose a multiple of 1/16"
            )
        if len(inputs) != 3 or inputs[0] not in (1, 3) or min(inputs[1:]) < SMALLEST_IMAGE:
            raise UsageError(
                f"wrn28: samples of shape {inputs}, expected images (C, H, W) with 1 or 3 channels and at "
                f"least {SMALLEST_IMAGE}×{SMALLEST_IMAGE} pixels"
            )
        channels = int(GROUPS[0][0] * min(1, width))
        self.stem = nn.Conv2d(inputs[0], channels, 3, padding=1, bias=False)
        groups = []
        for base, stride in GROUPS:
            after = int(base * width)
            first = Block(channels, after, stride)
            groups.append(nn.Sequential(first, *(Block(after, after, 1) for _ in range(BLOCKS - 1))))
            channels = after
        self.groups = nn.Sequential(*groups)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = AveragePool()
        self.readout = nn.Linear(channels, outputs)
        self._initialise()

    @property
    def feature_width(self) -> int:
        """W = 64n, the number of channels after the last group."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.norm(self.groups(self.stem(images)))))
        return outputs

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            elif isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight)
            if isinstance(module, nn.BatchNorm2d | nn.Linear):
                nn.init.zeros_(module.bias)
