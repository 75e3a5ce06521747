"""Records that are kept beyond their run: baselines by name, and the history of a folder.

Words: a *kept* record is one without figures, explanations and training histories: some kilobytes a test
less; a *baseline* is kept under a name, a *history* is a folder with one file a run, which nothing removes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netprops import durable, records
from netprops.content import nearest
from netprops.errors import UsageError
from netprops.records import Record

SHOWN = 20
"""Runs of a history that a report shows."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RUN = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{12}\.json")


def slim(record: Record) -> Record:
    """Return a record with what a comparison needs: without figures, explanations and training histories."""
    document = record.model_dump(mode="json")
    for test in document["tests"]:
        test |= {"figures": [], "explanation": "", "notes": []}
    for subject in document["subjects"]:
        subject.pop("history", None)
    return Record.model_validate(document)


def baseline_path(name: str, folder: Path) -> Path:
    """Return where a baseline of this name lies.

    Raises:
        UsageError: If the name cannot be a file's.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise UsageError(
            f"a baseline's name has letters, digits, '.', '_' and '-' and begins with a letter or digit, "
            f"got {name!r}"
        )
    return folder / f"{name.removesuffix('.json')}.json"


def find(named: str, folder: Path, here: Path) -> Path:
    """Return the file of a baseline that a user named: a path, or a name in the folder of baselines.

    Args:
        named: What the user wrote.
        folder: The folder of baselines.
        here: The folder that relative paths are meant from.

    Raises:
        UsageError: If there is neither, with the nearest name.
    """
    path = here / Path(named).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        inside = path / "run.json"
        if inside.is_file():
            return inside
        raise UsageError(f"the baseline {path} is a folder without run.json; name a record or a saved one")
    kept = folder / f"{named.removesuffix('.json')}.json"
    if _NAME.fullmatch(named) and kept.is_file():
        return kept
    if _NAME.fullmatch(named) and not named.endswith((".json", ".jsonl")):
        known = sorted(one.stem for one in folder.glob("*.json")) if folder.is_dir() else []
        raise UsageError(f"no baseline is called {named!r} in {folder}{nearest(named, known)}")
    raise UsageError(f"the baseline {path} does not exist")


def read(path: Path) -> Record:
    """Read a record that is compared with another.

    Raises:
        UsageError: If it cannot be read, is no record of this schema version, or holds a number that is not
            finite: nothing can be said of such a difference.
    """
    record = records.read(path)
    for test in record.tests:
        for one in test.expectations:
            m = one.measurement
            for part in ("value", "low", "high", "standard_error"):
                if not math.isfinite(getattr(m, part)):
                    raise UsageError(
                        f"{path} cannot be compared: {part} of {m.name!r} in {test.id} is "
                        f"{getattr(m, part)}, expected a finite number; measure it again"
                    )
    return record


def save(record: Record, path: Path) -> Path:
    """Keep a record as a baseline; an older one of the name is replaced wholly or not at all."""
    durable.write(path, _bytes(record))
    return path


def add_to_history(record: Record, folder: Path) -> Path:
    """Keep a record in a history, under a name that no other run has."""
    data = _bytes(record)
    stamp = re.sub(r"[^0-9T]", "", record.started.partition("+")[0].partition(".")[0])
    path = folder / f"{stamp}Z-{durable.digest_of(data)[:12]}.json"
    durable.write(path, data)
    return path


def history(folder: Path) -> tuple[list[Record], list[str]]:
    """Return the last runs of a history, the oldest first.

    Returns:
        At most 20 records, and one sentence for every file among them that cannot be read.
    """
    found: list[Record] = []
    problems: list[str] = []
    names = sorted((one.name for one in folder.glob("*.json") if _RUN.fullmatch(one.name)), reverse=True)
    for name in names:
        if len(found) == SHOWN:
            break
        try:
            found.append(read(folder / name))
        except UsageError as error:
            problems.append(f"left out of the history: {str(error).partition(chr(10))[0]}")
    return found[::-1], problems


def names_of(tests: Iterable[records.TestRecord]) -> dict[str, list[str]]:
    """Return ids of tests, each with the names of its expectations."""
    return {test.id: [one.measurement.name for one in test.expectations] for test in tests}


def _bytes(record: Record) -> bytes:
    document: dict[str, Any] = slim(record).model_dump(mode="json")
    return f"{durable.canonical(document)}\n".encode()
