"""netprops: property tests for trained neural networks.

The public names are imported when they are first used, so that ``import netprops`` (and with it every start
of pytest on a machine where netprops is installed) loads neither torch nor numpy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Augmentation": "netprops.training.recipe",
    "Cache": "netprops.cache",
    "Curve": "netprops.measurement",
    "Family": "netprops.declaration",
    "Measurement": "netprops.measurement",
    "NetpropsError": "netprops.errors",
    "PlantedFamily": "netprops.declaration",
    "Recipe": "netprops.training.recipe",
    "Spec": "netprops.declaration",
    "Subject": "netprops.subject",
    "Variant": "netprops.declaration",
    "Zoo": "netprops.zoo",
    "check": "netprops.checking",
}

__all__ = ["__version__", *sorted(_HOMES)]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'netprops' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return list(__all__)
