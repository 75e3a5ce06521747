"""A text of words as numbers: its vocabulary is the words of the training text, the most frequent first.

Words: a *word* is what stands between blanks; the end of each line is a word of its own, ``<eos>``; ``<unk>``
stands for words that are not in the vocabulary, and is number 0 wherever it stands in the order.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netprops.errors import DamagedDataError

UNKNOWN, END = b"<unk>", b"<eos>"


def numbered(path: Path) -> tuple[list[bytes], NDArray[np.int32]]:
    """Return the vocabulary of a text and the text in its numbers.

    Args:
        path: The file.

    Returns:
        ``<unk>`` and then the other words, the most frequent first and equally frequent ones in order of
        their bytes; and (L,) numbers.

    Raises:
        DamagedDataError: If it cannot be read.
    """
    known: defaultdict[bytes, int] = defaultdict()
    known.default_factory = known.__len__
    unknown = known[UNKNOWN]
    numbers = np.asarray(_read(path, known))
    words = list(known)
    counts = np.bincount(numbers, minlength=len(words))
    counts[unknown] = len(numbers) + 1
    order = sorted(range(len(words)), key=lambda i: (-counts[i], words[i]))
    place = np.empty(len(words), dtype=np.int32)
    place[order] = np.arange(len(words), dtype=np.int32)
    return [words[i] for i in order], place[numbers]


def looked_up(path: Path, vocabulary: Mapping[bytes, int]) -> NDArray[np.int32]:
    """Return a text in the numbers of a vocabulary, 0 for other words.

    Raises:
        DamagedDataError: If it cannot be read.
    """
    known: defaultdict[bytes, int] = defaultdict(int, vocabulary)
    return np.asarray(_read(path, known), dtype=np.int32)


def _read(path: Path, known: defaultdict[bytes, int]) -> array[int]:
    numbers = array("i")
    try:
        with path.open("rb") as file:
            for line in file:
                numbers.extend(map(known.__getitem__, (*line.split(), END)))
    except OSError as error:
        raise DamagedDataError(f"{path} cannot be read as a text ({error}); fetch it again") from error
    return numbers
