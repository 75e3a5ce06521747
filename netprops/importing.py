"""A user's network or data by an import path, or a factory of torchvision or timm by its name.

Words: an *import path* is ``pkg.mod:name`` or ``path/to/file.py:name``; a *builder* is what it names: a
function or class that returns an ``nn.Module``, or a module itself; the *base* is the folder that paths start
from. What is imported is the user's own code, and runs.
"""

from __future__ import annotations

import copy
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from netprops.content import did_you_mean
from netprops.errors import NetpropsError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import nn

Prepare = Callable[["torch.Tensor"], "torch.Tensor"]

FACTORIES = ("torchvision", "timm")
_FORM = "expected pkg.mod:name or path/to/file.py:name"


@dataclass(frozen=True)
class Built:
    """A network as its builder returned it.

    Args:
        network: The network, not wrapped any more, with the weights that the builder gave it.
        prepare: The function ``prepare`` of the builder's module, if it has one.
        notes: What was done to it, one sentence each.
    """

    network: nn.Module
    prepare: Prepare | None
    notes: tuple[str, ...] = ()


def name_of(build: str) -> str:
    """Return what a builder is called: the part behind the colon, in lower case, words joined by hyphens.

    >>> name_of("mypkg.models:WideResNet_28")
    'wideresnet-28'
    """
    return slug(build.rpartition(":")[2]) or "network"


def slug(text: str) -> str:
    """Return a text as lower-case ASCII words joined by hyphens; other letters become hyphens too."""
    kept = "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower())
    return "-".join(word for word in kept.split("-") if word)


def find(path: str, base: Path, *, what: str) -> tuple[Any, ModuleType]:
    """Return the object that an import path names, and the module that holds it.

    Args:
        path: ``pkg.mod:name``, looked for in ``base`` and then wherever Python looks, or
            ``path/to/file.py:name``, relative to ``base``.
        base: The folder.
        what: What is said of it in an error, such as ``"the model"``.

    Raises:
        UsageError: If there is no such module or name, or the module cannot be imported.
    """
    place, _, name = path.rpartition(":")
    if not place or not name:
        raise UsageError(f"{what} {path!r} is no import path: {_FORM}")
    file = place.endswith(".py")
    module = _file(base / Path(place).expanduser(), what) if file else _module(place, base, what)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            known = [one for one in vars(module) if not one.startswith("_") and callable(vars(module)[one])]
            raise UsageError(f"{what} {path!r}: {place} has no {name!r}{_among(name, known)}")
        found = getattr(found, part)
    return found, module


def build(path: str, kwargs: Mapping[str, Any], base: Path, *, download: bool = False) -> Built:
    """Return a network from its builder.

    Args:
        path: An import path, ``torchvision:NAME`` or ``timm:NAME``.
        kwargs: Arguments of the builder.
        base: The folder that import paths start from.
        download: Whether a factory may download its own weights.

    Raises:
        UsageError: If there is no such builder, it does not take the arguments, it fails, or it does not
            return an ``nn.Module``.
    """
    import torch
    from torch import nn

    source, _, name = path.partition(":")
    prepare: Prepare | None = None
    with torch.random.fork_rng(devices=[]):
        if source in FACTORIES:
            builder = _factory(source, name, kwargs, download)
        else:
            builder, module = find(path, base, what="the model")
            named = getattr(module, "prepare", None)
            prepare = named if callable(named) else None
        torch.default_generator.manual_seed(0)  # what no checkpoint replaces is the same in every process
        network = _made(path, builder, kwargs)
    if not isinstance(network, nn.Module):
        raise UsageError(
            f"the model {path!r} returned a {type(network).__name__}, expected a torch.nn.Module; name the "
            "function or class that makes the network"
        )
    return unwrapped(network, prepare)


def _made(path: str, builder: Any, kwargs: Mapping[str, Any]) -> Any:
    """Return what a builder makes, or a copy of the module that it is."""
    from torch import nn

    if isinstance(builder, nn.Module):
        if kwargs:
            raise UsageError(
                f"the model {path!r} is a network already, and takes no arguments {sorted(kwargs)}"
            )
        return copy.deepcopy(builder)
    if not callable(builder):
        raise UsageError(
            f"the model {path!r} is a {type(builder).__name__}, expected a function or nn.Module"
        )
    _refuse_wrong(path, builder, kwargs)
    try:
        return builder(**kwargs)
    except NetpropsError:
        raise
    except Exception as error:  # whatever a user's builder raises
        given = f" with {dict(kwargs)}" if kwargs else ""
        raise UsageError(f"the model {path!r} cannot be built{given}: {one_line(error)}") from error


def takes_width(path: str, base: Path) -> bool:
    """Return whether a builder has a parameter that is called ``width``."""
    if path.partition(":")[0] in FACTORIES:
        return False
    builder, _ = find(path, base, what="the model")
    try:
        return callable(builder) and "width" in inspect.signature(builder).parameters
    except (TypeError, ValueError):
        return False


def one_line(error: BaseException) -> str:
    """Return an exception as one line: its type, and the first line of what it says."""
    said = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def unwrapped(network: nn.Module, prepare: Prepare | None) -> Built:
    """Return a network without what DataParallel, DDP or ``torch.compile`` put around it."""
    notes: list[str] = []
    while True:
        inner = getattr(network, "_orig_mod", None)
        if inner is None and type(network).__name__ in ("DataParallel", "DistributedDataParallel"):
            inner = network.module
        if inner is None:
            return Built(network, prepare, tuple(notes))
        notes.append(f"the builder's {type(network).__name__} was taken off")
        network = inner


def _factory(source: str, name: str, kwargs: Mapping[str, Any], download: bool) -> Callable[..., Any]:
    """Return the function of torchvision or timm that makes a network without downloading weights."""
    if not download and (kwargs.get("weights") or kwargs.get("pretrained")):
        raise UsageError(
            f"{source}:{name} would download its weights; allow it with --netprops-download, or give a file "
            "with --netprops-checkpoint"
        )
    try:
        if source == "torchvision":
            from torchvision.models import get_model as create
            from torchvision.models import list_models
        else:
            create, list_models = (
                getattr(importlib.import_module("timm"), one) for one in ("create_model", "list_models")
            )
    except ModuleNotFoundError as error:
        raise UsageError(
            f"{source}:{name} needs {error.name}, which is not installed: pip install {source}"
        ) from error
    known = list_models()
    if name not in known:
        raise UsageError(f"{source} has no model {name!r}{_among(name, known)}")
    defaults = {"weights": None} if source == "torchvision" else {"pretrained": False}
    return lambda **given: create(name, **{**defaults, **given})


def _refuse_wrong(path: str, builder: Callable[..., Any], kwargs: Mapping[str, Any]) -> None:
    """Refuse arguments that the builder's signature does not take, before it is called."""
    try:
        signature = inspect.signature(builder)
    except (TypeError, ValueError):
        return
    names = [
        one.name
        for one in signature.parameters.values()
        if one.kind in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    ]
    try:
        signature.bind(**kwargs)
    except TypeError as error:
        unknown = next((one for one in kwargs if one not in names), None)
        near = did_you_mean(unknown, names) if unknown is not None else ""
        takes = f"it takes {signature}; arguments are given by --netprops-model-kwargs"
        raise UsageError(f"the model {path!r}: {error}{near or ';'} {takes}") from error


def _among(name: str, known: list[str]) -> str:
    """Return the nearest known name, or the first few."""
    near = did_you_mean(name, known)
    return near or (f"; it has {', '.join(sorted(known)[:8])}" if known else "")


def _module(name: str, base: Path, what: str) -> ModuleType:
    _look_in(base)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name == missing or name.startswith(f"{missing}."):
            raise UsageError(
                f"{what}: there is no module {missing!r}, neither below {base} nor installed; {_FORM}"
            ) from error
        raise UsageError(
            f"{what}: {name} needs the package {missing!r}, which is not installed; install it and run again"
        ) from error
    except (Exception, SystemExit) as error:  # whatever a user's module does when it is imported
        raise _broken(what, name, error) from error


def _file(path: Path, what: str) -> ModuleType:
    path = path.resolve()
    if not path.is_file():
        raise UsageError(
            f"{what}: there is no file "
            f"{path}{did_you_mean(path.name, [one.name for one in path.parent.glob('*.py')])}"
        )
    _look_in(path.parent)
    return _executed(path, path.stat().st_mtime_ns, what)


@lru_cache(maxsize=64)
def _executed(path: Path, _changed: int, what: str) -> ModuleType:
    """Return the module of a file; run again only when the file has changed."""
    name = f"netprops_user_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # it ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        del sys.modules[name]
        raise UsageError(
            f"{what}: {path} needs the module {error.name!r}, which is neither beside it nor installed"
        ) from error
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _broken(what, str(path), error) from error
    return module


def _broken(what: str, place: str, error: BaseException) -> UsageError:
    if isinstance(error, SystemExit):
        return UsageError(
            f"{what}: {place} ends the process when it is imported; put what is below the definitions behind "
            "`if __name__ == '__main__':`"
        )
    return UsageError(f"{what}: {place} cannot be imported: {one_line(error)}")


def _look_in(folder: Path) -> None:
    """Let modules in a folder be imported, now and when the user's functions run."""
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
