"""Measured values as arrays and back, so that what a suite measures of a network is measured once.

Words: a *value* is a number, a text, an array, a result of a measure (``Curve``, ``Measurement``, another
dataclass of netprops), or a list, tuple or dictionary of values; the *code* of a result is a digest of the
source that makes it: of all measures, and of the file whose function calls them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops import durable

_TREE = "tree"
_PACKAGE = "netprops"
# Whatever a result of a measure is made with, relative to the package.
_SOURCES = ("measures/*.py", "measurement.py", "replicates.py", "statistics.py")


def code(measure: Callable[[], Any]) -> str:
    """Return twelve hexadecimal digits that change with the source of the measures or of the function's file.

    Args:
        measure: Calls measures; a function of a file, or a ``functools.partial`` of one.
    """
    while isinstance(measure, partial):
        measure = measure.func
    return _code(measure.__code__.co_filename)


@lru_cache(maxsize=64)
def _code(file: str) -> str:
    package = Path(__file__).parent
    files = sorted(path for pattern in _SOURCES for path in package.glob(pattern))
    return durable.digest_of(b"".join(path.read_bytes() for path in [*files, Path(file)]))[:12]


def pack(value: Any) -> dict[str, NDArray[Any]]:
    """Return a value as named arrays, of which one says how the others belong together.

    Raises:
        TypeError: If the value is or holds something else than a value.
    """
    arrays: dict[str, NDArray[Any]] = {}
    tree = _packed(value, arrays)
    return {_TREE: np.frombuffer(json.dumps(tree).encode(), dtype=np.uint8), **arrays}


def unpack(arrays: Mapping[str, NDArray[Any]]) -> Any:
    """Return the value that :func:`pack` made arrays of."""
    return _unpacked(json.loads(arrays[_TREE].tobytes()), arrays)


def save(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays to a file, whatever its name ends with."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def _packed(value: Any, arrays: dict[str, NDArray[Any]]) -> Any:
    """Return JSON for a value; its arrays go to ``arrays``."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        name = f"array{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_packed(one, arrays) for one in value]}
    if isinstance(value, Mapping):
        return {"dict": [[_packed(key, arrays), _packed(one, arrays)] for key, one in value.items()]}
    kind = type(value)
    if is_dataclass(value) and kind.__module__.partition(".")[0] == _PACKAGE:
        parts = {one.name: _packed(getattr(value, one.name), arrays) for one in fields(value)}
        return {"result": [kind.__module__, kind.__qualname__], "fields": parts}
    raise TypeError(f"cannot keep a {kind.__module__}.{kind.__qualname__}, expected a result of a measure")


def _unpacked(tree: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if not isinstance(tree, dict):
        return tree
    if "array" in tree:
        return arrays[tree["array"]]
    if "list" in tree:
        return [_unpacked(one, arrays) for one in tree["list"]]
    if "tuple" in tree:
        return tuple(_unpacked(one, arrays) for one in tree["tuple"])
    if "dict" in tree:
        return {_unpacked(key, arrays): _unpacked(one, arrays) for key, one in tree["dict"]}
    module, name = tree["result"]
    kind = getattr(importlib.import_module(module), name)
    return kind(**{key: _unpacked(one, arrays) for key, one in tree["fields"].items()})
