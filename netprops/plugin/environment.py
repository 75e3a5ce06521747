"""What a record says of the software and the kind of machine of a run; no name of a host or a user."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

_PACKAGES = ("torch", "torchvision", "numpy", "scipy", "scikit-learn", "pytest", "pytest-xdist", "hypothesis")


def environment(device: str) -> dict[str, Any]:
    """Return the environment of this process in JSON types.

    Args:
        device: The kind of device, such as ``"cpu"``.
    """
    from netprops import __version__

    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        "netprops": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count() or 1,
        "device": device,
        "packages": packages,
    }
