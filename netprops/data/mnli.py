"""MNLI (MultiNLI 1.0): 392,702 labelled sentence pairs of ten genres, from its own files.

Words: as in ``pairs.py``; the *matched* part is of the genres of the training part; a pair whose annotators
did not agree has the gold label ``-`` and belongs to no class.
"""

from __future__ import annotations

import json
from pathlib import Path

from netprops.data import Dataset, Request, pairs, register
from netprops.errors import DamagedDataError

FOLDER = "multinli_1.0"
FILES = {"multinli_1.0_train.jsonl": 392_702, "multinli_1.0_dev_matched.jsonl": 10_000}
"""Lines of each file; the labels of the published test part are secret, so that the matched one tests."""
_COLUMNS = ("sentence1", "sentence2", "gold_label")
_UNDECIDED = "-"


def missing(request: Request) -> str | None:
    """Say what is not there, a file or the encoder, or return None."""
    size = "a download of 227 MB as multinli_1.0.zip; its states of 128 numbers take 6.6 GB in the cache"
    return pairs.missing(request, FOLDER, tuple(FILES), what="MNLI (MultiNLI 1.0)", size=size)


@register("mnli", missing=missing, takes_argument=True)
def load_mnli(request: Request) -> Dataset:
    """Return MNLI as token states: 392,702 pairs for training, the 9,815 matched ones with a label for test.

    The name is ``mnli:ENCODER``: ``mnli:hashed``, or the folder of a pretrained encoder. Pairs with the label
    ``-`` are left out.

    Raises:
        DamagedDataError: If a file lacks a column or a pair, or has another label.
    """
    assert request.root is not None  # missing() was asked before
    folder = request.root / FOLDER
    return pairs.encoded(
        request,
        folder,
        lambda: (
            _read(folder / "multinli_1.0_train.jsonl"),
            _read(folder / "multinli_1.0_dev_matched.jsonl"),
        ),
    )


def _read(path: Path) -> pairs.Pairs:
    found, number = pairs.Pairs(), 0
    try:
        with path.open(encoding="utf-8") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}, line {number}"
                premise, hypothesis, label = _columns(line, where)
                if label != _UNDECIDED:
                    found.add(premise, hypothesis, label, where)
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedDataError(f"{path} cannot be read as a text ({error}); fetch MNLI again") from error
    pairs.whole(path, number, FILES[path.name], "MNLI")
    return found


def _columns(line: str, where: str) -> list[str]:
    try:
        values = json.loads(line)
    except json.JSONDecodeError as error:
        raise DamagedDataError(f"{where}: it is not JSON ({error}); the file is cut off") from error
    there = values if isinstance(values, dict) else {}
    lacking = [column for column in _COLUMNS if not isinstance(there.get(column), str)]
    if lacking:
        raise DamagedDataError(
            f"{where}: it has no text under {', '.join(lacking)}, expected {', '.join(_COLUMNS)}; it is not "
            "a file of MNLI"
        )
    return [there[column] for column in _COLUMNS]
