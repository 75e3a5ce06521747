"""What a user writes into ``netprops.toml``, or into ``pyproject.toml`` below ``[tool.netprops]``.

Words: a *section* is a table of that name, such as ``tolerances`` or ``models``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from netprops.errors import UsageError

FILES: dict[str, tuple[str, ...]] = {"netprops.toml": (), "pyproject.toml": ("tool", "netprops")}
"""Both files, the one that wins first, and where in them the sections lie."""


def document(path: Path) -> dict[str, Any]:
    """Return what a TOML file holds.

    Raises:
        UsageError: If it is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error


def sections(folder: Path, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield a section of each file in a folder that has it, with the path of the file.

    Args:
        folder: Where both files are looked for; neither need be there.
        name: Name of the section.

    Yields:
        That of netprops.toml first: what it says wins.

    Raises:
        UsageError: If a file is not TOML, or the section is not a table.
    """
    for file, above in FILES.items():
        path = folder / file
        if not path.is_file():
            continue
        found: Any = document(path)
        for place in (*above, name):
            found = found.get(place, {})
            if not isinstance(found, dict):
                raise UsageError(f"{path}: {place} must be a table, got {found!r}")
        yield path, found
