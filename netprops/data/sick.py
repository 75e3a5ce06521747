"""SICK: 9,927 sentence pairs with entailment, neutral or contradiction, from its own files.

Words: as in ``pairs.py``; the *trial* part is the one that the authors gave out first.
"""

from __future__ import annotations

from pathlib import Path

from netprops.data import Dataset, Request, pairs, register
from netprops.errors import DamagedDataError

FOLDER = "SICK"
FILES = {"SICK_train.txt": 4500, "SICK_trial.txt": 500, "SICK_test_annotated.txt": 4927}
"""Sentence pairs of each file; the last one tests, both others train."""
_COLUMNS = ("sentence_A", "sentence_B", "entailment_judgment")


def missing(request: Request) -> str | None:
    """Say what is not there, a file or the encoder, or return None."""
    what = "SICK (SemEval 2014, task 1)"
    return pairs.missing(request, FOLDER, tuple(FILES), what=what, size="1 MB")


@register("sick", missing=missing, takes_argument=True)
def load_sick(request: Request) -> Dataset:
    """Return SICK as token states: 5,000 pairs (train and trial) for training, 4,927 for test.

    The name is ``sick:ENCODER``: ``sick:hashed``, or the folder of a pretrained encoder.

    Raises:
        DamagedDataError: If a file lacks a column or a pair, or has another label.
    """
    assert request.root is not None  # missing() was asked before
    folder = request.root / FOLDER

    def read() -> tuple[pairs.Pairs, pairs.Pairs]:
        train, test = pairs.Pairs(), pairs.Pairs()
        for name, expected in FILES.items():
            _add(folder / name, expected, test if "test" in name else train)
        return train, test

    return pairs.encoded(request, folder, read)


def _add(path: Path, expected: int, found: pairs.Pairs) -> None:
    try:
        header, *lines = path.read_text(encoding="utf-8-sig").splitlines() or [""]
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedDataError(f"{path} cannot be read as a text ({error}); fetch SICK again") from error
    names = header.split("\t")
    lacking = [column for column in _COLUMNS if column not in names]
    if lacking:
        raise DamagedDataError(
            f"{path}: its first line has the columns {names}, expected {', '.join(lacking)}, too; it is not "
            "a file of SICK"
        )
    for number, line in enumerate(lines, start=2):
        values, where = line.split("\t"), f"{path}, line {number}"
        if len(values) != len(names):
            raise DamagedDataError(
                f"{where}: {len(values)} columns, expected {len(names)}; it is cut off or was edited"
            )
        premise, hypothesis, label = (values[names.index(column)] for column in _COLUMNS)
        found.add(premise, hypothesis, label.lower(), where)
    pairs.whole(path, len(lines), expected, "SICK")
