"""Data sets: a registry by name, one loader a file; nothing is downloaded unless it is asked for.

Words: the *root* is the folder where data lies (``NETPROPS_DATA``, ``--netprops-data-root``); a *source* is
what is registered under a name: how to load it, how to say what is missing, how to download it. A name may
carry an argument after a colon: ``imagefolder:birds.tar``, ``gaussian:10``, ``gegenbauer:2:10``,
``random-labels:cifar10``.
Importing this package imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Literal

from netprops.data.dataset import Dataset, Split
from netprops.errors import MissingDataError, UsageError

__all__ = ["Dataset", "Request", "Source", "Split", "check", "load", "names", "register"]

_HOMES = {
    "cifar10": "netprops.data.cifar",
    "cifar100": "netprops.data.cifar",
    "cifar10jpeg": "netprops.data.images",
    "cifar200k": "netprops.data.cifar5m",
    "cifar50k": "netprops.data.cifar5m",
    "cifar50k-noisy": "netprops.data.cifar5m",
    "cifar5m": "netprops.data.cifar5m",
    "digit-stream": "netprops.data.digitstream",
    "digits": "netprops.data.digits",
    "entailment": "netprops.data.entailment",
    "gaussian": "netprops.data.gaussian",
    "gegenbauer": "netprops.data.gegenbauer",
    "imagefolder": "netprops.data.images",
    "imagefolder256": "netprops.data.images",
    "imagenet": "netprops.data.images",
    "mnist": "netprops.data.mnist",
    "mnli": "netprops.data.mnli",
    "noisy-labels": "netprops.data.noisy_labels",
    "pdigits": "netprops.data.digits",
    "pmnist": "netprops.data.mnist",
    "random-labels": "netprops.data.random_labels",
    "sick": "netprops.data.sick",
    "signals": "netprops.data.signals",
    "source-bytes": "netprops.data.source_bytes",
    "teacher": "netprops.data.teacher",
    "wikitext103": "netprops.data.wikitext",
    "wikitext2": "netprops.data.wikitext",
}


@dataclass(frozen=True)
class Request:
    """What a loader is asked for.

    Args:
        name: The whole name, with its argument.
        argument: What stands after the colon of the name; empty where there is none.
        root: Folder where data lies, or None.
        cache_root: Folder for decoded copies, or None to keep none.
        progress: Called with (done, all) images while a loader decodes, or None.
    """

    name: str
    argument: str = ""
    root: Path | None = None
    cache_root: Path | None = None
    progress: Callable[[int, int], None] | None = None


Loader = Callable[[Request], Dataset]


@dataclass(frozen=True)
class Source:
    """One registered data set.

    Args:
        load: Returns the data set; called only when nothing is missing.
        missing: Returns None if the data is there, else one sentence: what is missing, where it was looked
            for, how to get it, how large it is. It opens no large file.
        download: Fetches the data into the root, or None where it cannot be fetched.
        takes_argument: Whether the name carries an argument after a colon: it must, must not, or may
            (``"optional"``).
    """

    load: Loader
    missing: Callable[[Request], str | None]
    download: Callable[[Request], None] | None = None
    takes_argument: bool | Literal["optional"] = False


_REGISTRY: dict[str, Source] = {}


def _nothing_missing(request: Request) -> str | None:
    return None


def register(
    name: str,
    *,
    missing: Callable[[Request], str | None] = _nothing_missing,
    download: Callable[[Request], None] | None = None,
    takes_argument: bool | Literal["optional"] = False,
) -> Callable[[Loader], Loader]:
    """Return a decorator that enters a loader under a name; arguments as for :class:`Source`.

    Raises:
        UsageError: If another loader has the name already.
    """

    def enter(load: Loader) -> Loader:
        home = _HOMES.get(name, load.__module__)
        if name in _REGISTRY or home != load.__module__:
            raise UsageError(f"data set {name!r} is registered already, by {home}; choose another name")
        _REGISTRY[name] = Source(load, missing, download, takes_argument)
        return load

    return enter


def names() -> tuple[str, ...]:
    """Return the names of all data sets, sorted; ``imagefolder`` stands for ``imagefolder:PATH``."""
    return tuple(sorted({*_HOMES, *_REGISTRY}))


def check(name: str, root: Path | None) -> str | None:
    """Say what is missing of a data set, without loading it.

    Args:
        name: One of :func:`names`.
        root: Folder where data lies, or None.

    Returns:
        None if it is there, else one sentence: what is missing, where it was looked for, how to get it, how
        large.

    Raises:
        UsageError: If there is no such data set.
    """
    source, argument = _find(name)
    return source.missing(Request(name, argument, root))


def load(
    name: str,
    root: Path | None,
    *,
    cache_root: Path | None = None,
    download: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Load a data set.

    Args:
        name: One of :func:`names`; ``imagefolder:PATH`` takes a folder or tar, below the root unless it is
            absolute.
        root: Folder where data lies, or None: then only what the dependencies ship can be loaded.
        cache_root: Folder for decoded copies of image folders, or None to decode them anew each time.
        download: Whether to fetch what is missing into the root.
        progress: Called with (done, all) images while image files are decoded.

    Returns:
        Both parts, in an order that is the same everywhere.

    Raises:
        UsageError: If there is no such data set.
        MissingDataError: If the data is not there; the sentence of :func:`check`.
        DamagedDataError: If it is there but cut off, unreadable or not what its name promises.

    >>> len(load("digits", None).train)
    897
    """
    source, argument = _find(name)
    request = Request(name, argument, root, cache_root, progress)
    sentence = source.missing(request)
    if sentence is not None and download and source.download is not None and root is not None:
        source.download(request)
        sentence = source.missing(request)
    if sentence is not None:
        raise MissingDataError(sentence)
    return source.load(request)


def _find(name: str) -> tuple[Source, str]:
    base, colon, argument = name.partition(":")
    if base not in _REGISTRY and base in _HOMES:
        import_module(_HOMES[base])
    if base not in _REGISTRY:
        near = get_close_matches(base, names(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it is one of {', '.join(names())}"
        raise UsageError(f"data set {name!r} is not known; {hint}")
    source = _REGISTRY[base]
    if not argument and (source.takes_argument is True or (colon and source.takes_argument)):
        raise UsageError(f"data set {name!r} needs an argument after a colon: {base}:ARGUMENT")
    if colon and not source.takes_argument:
        raise UsageError(f"data set {base!r} takes nothing after a colon, but {name!r} was asked for")
    return source, argument
