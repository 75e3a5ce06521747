"""Architectures: a registry by name; every network says where its last hidden representation is.

Words: the *width factor* is what a family varies (units of a hidden layer for ``fc5`` and ``mlp``, n of
WRN28-n for ``wrn28``, channels of the first convolution for ``densenet40`` and ``resnet18ln``, c of
ResNet50×c for ``resnet50``, α for ``vgg16``, ``resnet18`` and ``transformer``, units of the stream for
``tokentransformer``, channels of the last convolution for ``smallcnn``, f for ``alexnetsmall``,
``inceptionv3``, ``mlp1`` and ``resnet56``); the *features* are the last hidden representation, N samples × W
units; the *readout* is the linear layer that turns them into outputs. Importing this package imports no
torch; :func:`build` imports the file of the architecture that it builds.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from netprops.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

_HOMES = {
    "alexnetsmall": "netprops.models.alexnetsmall",
    "densenet40": "netprops.models.densenet40",
    "fc5": "netprops.models.fc5",
    "inceptionv3": "netprops.models.inceptionv3",
    "mlp": "netprops.models.mlp",
    "mlp1": "netprops.models.mlp1",
    "resnet18": "netprops.models.resnet18",
    "resnet18ln": "netprops.models.resnet18ln",
    "resnet50": "netprops.models.resnet50",
    "resnet56": "netprops.models.resnet56",
    "signals": "netprops.models.signals",
    "smallcnn": "netprops.models.smallcnn",
    "tokentransformer": "netprops.models.tokentransformer",
    "transformer": "netprops.models.transformer",
    "vgg16": "netprops.models.vgg16",
    "wrn28": "netprops.models.wrn28",
}
_REGISTRY: dict[str, Callable[..., Any]] = {}

Architecture = TypeVar("Architecture", bound=Callable[..., Any])


class Network(Protocol):
    """What every registered architecture has besides being an ``nn.Module``.

    Attributes:
        features_layer: Path of the module whose output is the (N, W) last hidden representation.
        readout_layer: Path of the ``nn.Linear`` that reads it.
    """

    features_layer: str
    readout_layer: str

    @property
    def feature_width(self) -> int:
        """W, the number of units of the last hidden representation."""


def register(name: str) -> Callable[[Architecture], Architecture]:
    """Return a decorator that enters an architecture under a name.

    The decorated class or function is called as
    ``architecture(width=..., inputs=..., outputs=..., **kwargs)`` and returns an ``nn.Module`` that satisfies
    :class:`Network`.

    Raises:
        UsageError: If another architecture has the name already.
    """

    def enter(architecture: Architecture) -> Architecture:
        home = _HOMES.get(name, architecture.__module__)
        if name in _REGISTRY or home != architecture.__module__:
            raise UsageError(f"architecture {name!r} is registered already, by {home}; choose another name")
        _REGISTRY[name] = architecture
        return architecture

    return enter


def names() -> tuple[str, ...]:
    """Return the names of all architectures, sorted, without importing any of them."""
    return tuple(sorted({*_HOMES, *_REGISTRY}))


def build(name: str, *, width: float, inputs: tuple[int, ...], outputs: int, **kwargs: Any) -> nn.Module:
    """Build one network with freshly drawn weights.

    Equal states of torch's global generator give equal weights; ``with torch.device("meta")`` gives the
    shapes alone.

    Args:
        name: One of :func:`names`.
        width: The width factor, as the architecture counts it; positive.
        inputs: Shape of one sample: (d,), (C, H, W) in pixels, or (T,) tokens.
        outputs: Number of outputs: classes, or 1 for labels -1 and 1.
        kwargs: Further arguments of the architecture.

    Returns:
        The network in training mode; it satisfies :class:`Network`.

    Raises:
        UsageError: If the name, the width, a shape or a further argument is not one that the architecture
            knows.

    >>> build("fc5", width=32, inputs=(10,), outputs=1).feature_width
    32
    """
    if name not in _REGISTRY and name in _HOMES:
        import_module(_HOMES[name])
    if name not in _REGISTRY:
        near = get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(names())}"
        raise UsageError(f"architecture {name!r} is not known; {hint}")
    if not (math.isfinite(width) and width > 0):
        raise UsageError(f"{name}: the width is {width:g}, expected a positive finite number")
    if outputs < 1:
        raise UsageError(f"{name}: {outputs} outputs, expected at least 1")
    if not inputs or min(inputs) < 1:
        raise UsageError(f"{name}: samples of shape {inputs}, expected (d,) or (C, H, W) of positive numbers")
    architecture = _REGISTRY[name]
    try:
        inspect.signature(architecture).bind(width=width, inputs=inputs, outputs=outputs, **kwargs)
    except TypeError as error:
        raise UsageError(f"{name}: {error}; it takes {inspect.signature(architecture)}") from error
    return cast("nn.Module", architecture(width=width, inputs=inputs, outputs=outputs, **kwargs))
