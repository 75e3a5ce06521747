"""Where the content lies: the suites, fixtures and report templates that travel with the engine.

Words: *content* is a folder of ``suites``, ``fixtures`` or ``reports``; in a wheel it lies below
``netprops/_content``, in a checkout beside the package. Nothing else in netprops knows a path to it.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from netprops.errors import UsageError

if TYPE_CHECKING:
    from netprops.declaration import Family

Content = Literal["suites", "fixtures", "reports"]

_PACKAGE = Path(__file__).resolve().parent


def content(name: Content) -> Path:
    """Return the folder of one kind of content, from the installed wheel or from the checkout.

    Args:
        name: ``"suites"``, ``"fixtures"`` or ``"reports"``.

    Raises:
        UsageError: If the name is not one of these, or the installation carries no such folder.
    """
    if name not in get_args(Content):
        raise UsageError(f"no content is called {name!r}{nearest(name, get_args(Content))}")
    places = (_PACKAGE / "_content" / name, _PACKAGE.parent / name)
    for place in places:
        if place.is_dir():
            return place
    raise UsageError(
        f"the folder {name} was found neither at {places[0]} (a wheel) nor at {places[1]} (a checkout); "
        "install netprops again"
    )


def from_wheel() -> bool:
    """Return whether the content comes from an installed wheel rather than from a checkout."""
    return (_PACKAGE / "_content").is_dir()


def suites() -> dict[str, Path]:
    """Return the folders of the shipped suites by name."""
    return {
        folder.name: folder
        for folder in sorted(content("suites").iterdir())
        if folder.is_dir() and folder.name[0] not in "._"
    }


def suite_digest(folder: Path) -> str:
    """Return the SHA-256 of what a suite's folder tests: its Python and TOML files with their names.

    Line ends count as one, so that a checkout on Windows has the same digest.
    """
    files = sorted(path for ending in ("py", "toml") for path in folder.glob(f"*.{ending}"))
    digest = hashlib.sha256()
    for path in files:
        content = path.read_bytes().replace(b"\r\n", b"\n")
        digest.update(f"{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message that refuses a name: the nearest known one, or else all of them.

    Example:
        >>> nearest("minni", ["mini", "paper"])
        "; did you mean 'mini'? known: mini, paper"
    """
    names = sorted(known)
    return f"{did_you_mean(name, names) or ';'} known: {', '.join(names) or 'none'}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a question after the nearest known name; empty where none is near."""
    close = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def families(scale: str | None = None, extra_dirs: Sequence[Path] = ()) -> tuple[Family, ...]:
    """Return the families that the shipped fixtures and further folders declare.

    Args:
        scale: ``"mini"`` or ``"paper"``; None for both.
        extra_dirs: Folders of a user's own fixtures, in the same form as the shipped ones.

    Returns:
        The families of that scale, in the order of folders, files and declarations.

    Raises:
        UsageError: If a folder or its ``FAMILIES`` is missing, a file cannot be imported, or two files
            declare one id at one scale.
    """
    found: dict[tuple[str, str], tuple[Family, Path]] = {}
    for folder in (content("fixtures"), *extra_dirs):
        if not folder.is_dir():
            raise UsageError(f"the folder of fixtures {folder} does not exist")
        for path in sorted(folder.glob("*.py")):
            if path.name.startswith(("_", "conftest")):
                continue
            for family in _declared(path.resolve(), path.stat().st_mtime_ns):
                key = (family.scale, family.id)
                if key in found:
                    raise UsageError(
                        f"{family.id} is declared twice at scale {family.scale}: "
                        f"in {found[key][1]} and in {path}"
                    )
                found[key] = (family, path)
    return tuple(family for family, _ in found.values() if scale in (None, family.scale))


@lru_cache(maxsize=256)
def _declared(path: Path, _changed: int) -> tuple[Family, ...]:
    """Return ``FAMILIES`` of one file; read again only when the file has changed."""
    from netprops.declaration import Family

    name = f"netprops_fixture_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be imported as a file of fixtures")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise UsageError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    declared = getattr(module, "FAMILIES", None)
    if not isinstance(declared, tuple) or not all(isinstance(one, Family) for one in declared):
        raise UsageError(
            f"{path} must define FAMILIES, a tuple of netprops.Family; it has {type(declared).__name__}"
        )
    return declared
