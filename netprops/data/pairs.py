"""Sentence pairs from files as a data set of token states: what SICK and MNLI have in common.

Words: as in ``tokens.py``; a *pair* is labelled with what the premise says of the hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from netprops.data import Dataset, Request, Split
from netprops.data.decoded import TEST, TRAIN, Place, kept
from netprops.data.encoders import encoder_of, missing_encoder
from netprops.errors import DamagedDataError

CLASSES = ("entailment", "neutral", "contradiction")
LENGTH = 64
"""T: positions of a pair. Longer pairs are cut off, shorter ones padded."""

_VERSION = 1  # raised when the code gives other states for the same files and encoder


@dataclass
class Pairs:
    """Labelled sentence pairs.

    Args:
        premises: N sentences.
        hypotheses: N sentences.
        labels: N places in :data:`CLASSES`.
    """

    premises: list[str] = field(default_factory=list)
    hypotheses: list[str] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, premise: str, hypothesis: str, label: str, where: str) -> None:
        """Add one pair.

        Args:
            premise: A sentence.
            hypothesis: A sentence.
            label: One of :data:`CLASSES`.
            where: File and line, for the message.

        Raises:
            DamagedDataError: If the label is another one or a sentence is empty.
        """
        if label not in CLASSES:
            raise DamagedDataError(f"{where}: the label is {label!r}, expected one of {', '.join(CLASSES)}")
        if not premise.strip() or not hypothesis.strip():
            raise DamagedDataError(f"{where}: a sentence is empty, expected a premise and a hypothesis")
        self.premises.append(premise)
        self.hypotheses.append(hypothesis)
        self.labels.append(CLASSES.index(label))


def missing(request: Request, folder: str, files: tuple[str, ...], *, what: str, size: str) -> str | None:
    """Return None if files and encoder of a data set are there, else the sentence that says what is not.

    Args:
        request: Whose root is looked into.
        folder: Name of the folder below the root.
        files: Names of the files in it.
        what: The data set's own name.
        size: How large it is.
    """
    for file in files:
        if request.root is None or not (request.root / folder / file).is_file():
            where = "no data root is set"
            if request.root is not None:
                where = f"looked for {request.root / folder / file}"
            return (
                f"{request.name} needs {what}, which was not found ({where}); put {', '.join(files)} into a "
                f"folder {folder} and point --netprops-data-root or NETPROPS_DATA at the folder that holds "
                f"it ({size}; netprops cannot download it)"
            )
    return missing_encoder(request)


def encoded(request: Request, folder: Path, read: Callable[[], tuple[Pairs, Pairs]]) -> Dataset:
    """Return sentence pairs as token states of the request's encoder, from the cache where they are kept.

    Args:
        request: It names the encoder.
        folder: Where the files lie; other files there, or another encoder, are encoded anew.
        read: Returns the training and the test part.

    Returns:
        A classification of (T, d) states, float16 as they are kept; ``prepare`` gives float32.
    """
    encoder = encoder_of(request)

    def encode(place: Place) -> Dataset:
        splits = []
        for name, pairs in zip((TRAIN, TEST), read(), strict=True):
            states = place(name, (len(pairs), LENGTH, encoder.numbers), np.float16)
            encoder.encode(pairs.premises, pairs.hypotheses, states)
            splits.append(Split.of_arrays(states, np.array(pairs.labels, dtype=np.int64)))
        train, test = splits
        return Dataset(name=request.name, train=train, test=test, task="classification", classes=CLASSES)

    return kept(folder, request, encode, "pairs", _VERSION, LENGTH, encoder.identity)


def whole(where: Path, lines: int, expected: int, what: str) -> None:
    """Refuse a file that has not as many lines of data as the published one.

    Raises:
        DamagedDataError: If it has not.
    """
    if lines != expected:
        raise DamagedDataError(
            f"{where} has {lines:,} sentence pairs, expected {expected:,}: it is cut off or not the file of "
            f"{what}; fetch it again"
        )
