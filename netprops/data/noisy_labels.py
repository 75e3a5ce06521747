"""Any classification with a share of its training labels drawn at random: what is learnt of those is memory.

Words: the *share* is how much of the training labels is drawn anew, uniformly from all classes, so that one
in C of them stays right; C is the number of classes.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, check, load, register
from netprops.data.chunks import generator
from netprops.data.random_labels import answers
from netprops.data.stream import Stream
from netprops.durable import canonical, digest_of
from netprops.errors import UsageError


class NoisyStream:
    """A stream with a share of the labels of each chunk drawn anew, by a generator of the chunk's own.

    Args:
        clean: The stream whose labels are drawn.
        share: Of each chunk's labels, in (0, 1].
        among: (C,) what labels are drawn from.
    """

    def __init__(self, clean: Stream, share: float, among: NDArray[Any]) -> None:
        self._clean, self._share, self._among = clean, share, among
        self.size, self.chunks = clean.size, clean.chunks
        self.digest = digest_of(canonical(["noisy-labels", share, among.tolist(), clean.digest]))

    def chunk(self, index: int) -> Split:
        """Return a chunk of the clean stream with its noise, always the same for an index.

        Raises:
            UsageError: If the clean stream has no such chunk.
        """
        return noisy(self._clean.chunk(index), self._share, self._among, index)


def _asked(request: Request) -> tuple[float, str]:
    text, _, name = request.argument.partition(":")
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not (0 < share <= 1 and name):
        raise UsageError(
            f"data set {request.name!r}: expected a share in (0, 1] and a data set, such as "
            "noisy-labels:0.5:cifar10"
        )
    return share, name


def _missing(request: Request) -> str | None:
    return check(_asked(request)[1], request.root)


def _download(request: Request) -> None:
    load(_asked(request)[1], request.root, cache_root=request.cache_root, download=True)


@register("noisy-labels", missing=_missing, download=_download, takes_argument=True)
def load_noisy_labels(request: Request) -> Dataset:
    """Return another data set, ``noisy-labels:0.5:cifar10``, with half of its training labels drawn anew.

    Test labels stay. Of a data set with a stream, each chunk has its share.

    Raises:
        UsageError: If the name has no share in (0, 1], there is no such other data set, or it has no classes.
        MissingDataError: If its files are not there.
    """
    share, name = _asked(request)
    clean = load(name, request.root, cache_root=request.cache_root, progress=request.progress)
    return with_noise(clean, share, request.name)


def with_noise(clean: Dataset, share: float, name: str) -> Dataset:
    """Return a data set with a share of its training labels drawn uniformly from all classes.

    Args:
        clean: A classification, or a parity; with or without a stream.
        share: In (0, 1]; of the training part, or of each chunk, to the nearest whole number of samples.
        name: The new data set's.

    Raises:
        UsageError: If the data set is neither classification nor parity.
    """
    if clean.task not in ("classification", "parity"):
        raise UsageError(
            f"{name}: {clean.name} is of the task {clean.task!r}, expected a classification; its labels have "
            "no classes to draw from"
        )
    among = answers(clean)
    if clean.stream is None:
        return replace(clean, name=name, train=noisy(clean.train, share, among, 0))
    stream = NoisyStream(clean.stream, share, among)
    return replace(clean, name=name, train=stream.chunk(0), stream=stream)


def noisy(split: Split, share: float, among: NDArray[Any], index: int) -> Split:
    """Return samples with a share of their labels drawn anew.

    Args:
        split: N samples.
        share: Of N, to the nearest whole number.
        among: (C,) what labels are drawn from.
        index: Number of the chunk; another one draws other labels.
    """
    rng = generator("noisy-labels", index)
    rows = rng.permutation(len(split))[: round(share * len(split))]
    labels = split.labels.numpy().copy()
    labels[rows] = rng.choice(among, len(rows))
    return Split(split.inputs, Split.of_arrays(labels, labels).labels)
