"""Inception-v3 with its channel counts multiplied by f, in all layers or in one block alone.

Words: f is the width factor; a *block* is parallel branches of convolutions whose outputs stand side by side;
35, 17 and 8 are the sides of the three resolutions for images of 299×299 pixels; W = 2048f units of the last
hidden representation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal

from torch import Tensor, nn
from torchvision.models.inception import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.initialisation import initialise
from netprops.models.mlp1 import check_dropout, scaled
from netprops.models.wrn28 import AveragePool

SMALLEST = 16
"""All channel counts at f = 1 are multiples of it."""
SMALLEST_IMAGE = 75
_SIGMA = 0.1
_BEFORE = 0  # stands for the channels of a block's input, which are not scaled with those within it


class Convolution(nn.Module):
    """A convolution without bias, BN and ReLU.

    Args:
        before: Channels of the input.
        after: Channels of the output.
        shape: Kernel, stride and padding of the convolution.
    """

    def __init__(self, before: int, after: int, **shape: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, bias=False, **shape)
        self.bn = nn.BatchNorm2d(after, eps=1e-3, momentum=3e-4)
        self.relu = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        """Return (N, after, H', W') from (N, before, H, W)."""
        outputs: Tensor = self.relu(self.bn(self.conv(images)))
        return outputs


def _within(before: int, factor: float) -> Callable[..., Convolution]:
    """Return what makes the convolutions of a block, given its input's channels and its width factor."""

    def convolution(inputs: int, outputs: int, **shape: Any) -> Convolution:
        known = before if inputs == _BEFORE else int(inputs * factor)
        return Convolution(known, int(outputs * factor), **shape)

    return convolution


@register("inceptionv3")
class InceptionV3(nn.Module):
    """torchvision's Inception-v3 without its auxiliary classifier, every channel count multiplied by f.

    At f = 1 it is that network, names of weights included; its ReLUs are modules. BN keeps 0.9997 of its
    running statistics at a step and adds 0.001 to the variance. The features follow a ReLU, so that they are
    not negative. Initialisation: weights normal with deviation 0.1, truncated at two deviations; BN weights
    1, biases 0.

    Args:
        width: f; 16f must be a whole number.
        inputs: (C, H, W) of one image: C = 1 or 3, H and W at least 75 pixels.
        outputs: Number of outputs.
        widened: ``"all"`` layers, or ``"last35"``, the branches of the last block at 35×35 (``Mixed_5d``)
            alone; W is 2048 then.
        init: ``"default"`` is the one above; others as in
            :func:`netprops.models.initialisation.initialise`.
        dropout: Share of the features that is dropped before the readout while it trains.

    Raises:
        UsageError: If 16f is not a whole number, the images have another shape, ``widened`` is neither of
            both, the dropout is not a share, or the initialisation does not exist.

    Source: Szegedy et al. 2016, scaled and initialised as in the paper on robustness and redundancy, appendix
    A.
    """

    features_layer: ClassVar[str] = "avgpool"
    readout_layer: ClassVar[str] = "fc"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        widened: Literal["all", "last35"] = "all",
        init: str = "default",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if widened not in ("all", "last35"):
            raise UsageError(f"inceptionv3: widened is {widened!r}, expected 'all' or 'last35'")
        check_dropout("inceptionv3", dropout)
        if len(inputs) != 3 or inputs[0] not in (1, 3) or min(inputs[1:]) < SMALLEST_IMAGE:
            raise UsageError(
                f"inceptionv3: samples of shape {inputs}, expected images (C, H, W) with 1 or 3 channels and "
                f"at least {SMALLEST_IMAGE}×{SMALLEST_IMAGE} pixels"
            )
        scaled("inceptionv3", SMALLEST, width, "channels")
        factor = width if widened == "all" else 1

        def times(channels: int) -> int:
            return int(channels * factor)

        def within(before: int) -> Callable[..., Convolution]:
            return _within(before, factor)

        self.Conv2d_1a_3x3 = Convolution(inputs[0], times(32), kernel_size=3, stride=2)
        self.Conv2d_2a_3x3 = Convolution(times(32), times(32), kernel_size=3)
        self.Conv2d_2b_3x3 = Convolution(times(32), times(64), kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = Convolution(times(64), times(80), kernel_size=1)
        self.Conv2d_4a_3x3 = Convolution(times(80), times(192), kernel_size=3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(_BEFORE, 32, conv_block=within(times(192)))
        self.Mixed_5c = InceptionA(_BEFORE, 64, conv_block=within(times(256)))
        self.Mixed_5d = InceptionA(_BEFORE, 64, conv_block=_within(times(288), width))
        last35 = int(288 * width)
        self.Mixed_6a = InceptionB(_BEFORE, conv_block=within(last35))
        # The pool branch of 6a passes its input on beside 480 channels of its own.
        self.Mixed_6b = InceptionC(_BEFORE, 128, conv_block=within(times(480) + last35))
        self.Mixed_6c = InceptionC(_BEFORE, 160, conv_block=within(times(768)))
        self.Mixed_6d = InceptionC(_BEFORE, 160, conv_block=within(times(768)))
        self.Mixed_6e = InceptionC(_BEFORE, 192, conv_block=within(times(768)))
        self.Mixed_7a = InceptionD(_BEFORE, conv_block=within(times(768)))
        self.Mixed_7b = InceptionE(_BEFORE, conv_block=within(times(1280)))
        self.Mixed_7c = InceptionE(_BEFORE, conv_block=within(times(2048)))
        self.avgpool = AveragePool()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(times(2048), outputs)
        nn.init.zeros_(self.fc.bias)
        if init == "default":
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(module.weight, std=_SIGMA, a=-2 * _SIGMA, b=2 * _SIGMA)
        else:
            initialise(self, init, default=f"normal:{_SIGMA}", name="inceptionv3")

    @property
    def feature_width(self) -> int:
        """W, the number of channels of the last block."""
        return self.fc.in_features

    def forward(self, images: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of images (N, C, H, W)."""
        for name, module in self.named_children():
            if name == "avgpool":
                break
            images = module(images)
        outputs: Tensor = self.fc(self.dropout(self.avgpool(images)))
        return outputs
