"""WRN28-n: a wide residual network of 28 layers for small images.

Words: n is the width factor; a *block* is two convolutions and a shortcut; a *group* is four blocks at one
resolution and one number of channels; W = 64n units of the last hidden representation; a *T-shaped* network
is wide in its last block alone.
"""

from __future__ import annotations

from typing import ClassVar, Literal

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
    of 16. Where only the last block is widened, everything before it is WRN28-1 and the last block of the
    third group leads from 64 channels to 64n: both of its convolutions have 64n outputs, and where n is not 1
    its shortcut is a bare 1×1 convolution. No ReLU stands between the last BN and the pool, so that the
    features are signed. Initialisation: convolutions and the linear layer Kaiming normal (fan-in, gain sqrt
    2), BN weights uniform in (0, 1), biases 0.

    Args:
        width: n; 16n must be a whole number, or 64n where only the last block is widened.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 8 pixels.
        outputs: Number of outputs.
        widened: ``"all"`` groups, or the ``"last"`` block alone (T-shaped).

    Raises:
        UsageError: If n does not give a whole number of channels, the images have another shape, or
            ``widened`` is neither of both.

    Source: Zagoruyko and Komodakis 2016, with the changes that Doimo et al. ("Redundant representations help
    generalization in wide neural networks") made: shortcut, no last ReLU, n < 1, and the T-shaped network of
    Fig. S4 b, for which they changed the output channels of the last block of conv4.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        widened: Literal["all", "last"] = "all",
    ) -> None:
        super().__init__()
        if widened not in ("all", "last"):
            raise UsageError(f"wrn28: widened is {widened!r}, expected 'all' or 'last'")
        smallest, place = (GROUPS[0][0], "first group") if widened == "all" else (GROUPS[-1][0], "last block")
        narrowest = smallest * width
        if narrowest < 1 or narrowest != int(narrowest):
            raise UsageError(
                f"wrn28: width factor {width:g} gives {narrowest:g} channels in the {place}, expected a "
                f"whole number of at least 1; choose a multiple of 1/{smallest}"
            )
        check_image("wrn28", inputs)
        n = width if widened == "all" else 1
        channels = int(GROUPS[0][0] * min(1, n))
        self.stem = nn.Conv2d(inputs[0], channels, 3, padding=1, bias=False)
        groups = []
        for group, (base, stride) in enumerate(GROUPS, 1):
            blocks = []
            for block in range(1, BLOCKS + 1):
                last = (group, block) == (len(GROUPS), BLOCKS)
                after = int(base * (width if last else n))
                blocks.append(Block(channels, after, stride if block == 1 else 1))
                channels = after
            groups.append(nn.Sequential(*blocks))
        self.groups = nn.Sequential(*groups)
        self.norm = nn.BatchNorm2d(channels)
        self.pool = AveragePool()
        self.readout = nn.Linear(channels, outputs)
        initialise(self)

    @property
    def feature_width(self) -> int:
        """W = 64n, the number of channels after the last group."""
        return self.readout.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        outputs: Tensor = self.readout(self.pool(self.norm(self.groups(self.stem(images)))))
        return outputs


def check_image(name: str, inputs: tuple[int, ...]) -> None:
    """Refuse samples that are not images of a size that three resolutions fit into.

    Args:
        name: Name of the architecture, for the message.
        inputs: Shape of one sample.

    Raises:
        UsageError: If it is not (C, H, W) with C = 1 or 3 and H and W at least 8 pixels.
    """
    if len(inputs) != 3 or inputs[0] not in (1, 3) or min(inputs[1:]) < SMALLEST_IMAGE:
        raise UsageError(
            f"{name}: samples of shape {inputs}, expected images (C, H, W) with 1 or 3 channels and at "
            f"least {SMALLEST_IMAGE}×{SMALLEST_IMAGE} pixels"
        )


def initialise(network: nn.Module) -> None:
    """Draw convolutions and linear layers Kaiming normal, BN weights uniform in (0, 1), and set biases to 0.

    Args:
        network: Changed in place; its layers draw in the order in which they stand.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight)
        if isinstance(module, nn.BatchNorm2d | nn.Linear):
            nn.init.zeros_(module.bias)
