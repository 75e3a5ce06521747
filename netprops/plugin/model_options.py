"""What the options say of a user's own networks, as it is written: no file is opened and no module imported.

Words: as in ``netprops/modeltables.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netprops.errors import UsageError

_WITH_DATA = ("data", "samples")
_WITH_MODEL = ("model_kwargs", "checkpoint", "checkpoint_key", "layer", "readout")


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """The networks of a run, where they are the user's own.

    Args:
        build: Of ``--netprops-model``; None where tables are chosen.
        kwargs: JSON.
        checkpoints: Files and patterns of files.
        checkpoint_key: Name of the state dict in the files.
        data: Of ``--netprops-data``; with tables it takes the place of theirs.
        samples: At most so many samples of each split.
        layer: Path of a module.
        readout: Path of a module.
        tables: Names of the chosen tables.
        folder: Folder that import paths start from.
        places: Folders where tables are looked for.
    """

    build: str | None
    kwargs: str | None
    checkpoints: tuple[Path, ...]
    checkpoint_key: str | None
    data: str | None
    samples: int | None
    layer: str | None
    readout: str | None
    tables: tuple[str, ...]
    folder: Path
    places: tuple[Path, ...]


def chosen(values: Mapping[str, Any], folder: Path, places: tuple[Path, ...]) -> ModelOptions | None:
    """Return what the run says of a user's networks, or None where it says nothing.

    Args:
        values: The run's settings by name.
        folder: Where pytest was started.
        places: Folders where tables are looked for.

    Raises:
        UsageError: If options contradict each other, or one is useless without another.
    """
    build, tables = values["model"], tuple(values["models"] or ())
    if build and tables:
        raise UsageError("--netprops-model names one network and --netprops-models a table: give one of them")
    if not build:
        for name in _WITH_MODEL:
            if values[name]:
                option = f"--netprops-{name.replace('_', '-')}"
                there = "a table says that itself" if tables else "and there is no --netprops-model"
                raise UsageError(f"{option} is about the network of --netprops-model; {there}")
        for name in _WITH_DATA:
            if values[name] and not tables:
                raise UsageError(
                    f"--netprops-{name} is about a network of --netprops-model or --netprops-models, and "
                    "there is none; data sets of the suites' own networks are looked for below "
                    "--netprops-data-root"
                )
        if not tables:
            return None
    return ModelOptions(
        build=build,
        kwargs=values["model_kwargs"],
        checkpoints=tuple(values["checkpoint"] or ()),
        checkpoint_key=values["checkpoint_key"],
        data=values["data"],
        samples=_count(values["samples"]),
        layer=values["layer"],
        readout=values["readout"],
        tables=tables,
        folder=folder,
        places=places,
    )


def _count(text: str | None) -> int | None:
    """Return a number of samples."""
    if text is None:
        return None
    number = text.replace("_", "").replace(",", "")
    if not number.isdecimal() or int(number) < 2:
        raise UsageError(f"--netprops-samples is {text!r}, expected a whole number from 2 on")
    return int(number)
