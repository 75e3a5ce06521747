"""Any data set with labels that say nothing of its inputs: what a network learns of it, it has memorised."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, check, load, register

SEED = 0


def _missing(request: Request) -> str | None:
    return check(request.argument, request.root)


def _download(request: Request) -> None:
    load(request.argument, request.root, cache_root=request.cache_root, download=True)


@register("random-labels", missing=_missing, download=_download, takes_argument=True)
def load_random_labels(request: Request) -> Dataset:
    """Return another data set, ``random-labels:cifar10``, with labels that are drawn uniformly.

    Every label of both parts is drawn by itself from all classes, once and for all: a network that answers
    its training part right has memorised it, and its test error is that of guessing. It has
    no stream.

    Raises:
        UsageError: If there is no such other data set.
        MissingDataError: If its files are not there.

    Source: Zhang et al. 2017, "Understanding deep learning requires rethinking generalization", section 2.1.
    """
    whole = load(request.argument, request.root, cache_root=request.cache_root, progress=request.progress)
    train, test = (_relabelled(whole, part) for part in ("train", "test"))
    return replace(whole, name=request.name, train=train, test=test, stream=None)


def answers(whole: Dataset) -> NDArray[Any]:
    """Return what the labels of a classification or parity are drawn from: (C,) classes, or -1 and 1."""
    return np.array([-1.0, 1.0]) if whole.task == "parity" else np.arange(len(whole.classes))


def _relabelled(whole: Dataset, part: str) -> Split:
    split: Split = getattr(whole, part)
    rng = np.random.default_rng([SEED, part == "test"])
    labels = rng.choice(answers(whole), len(split)).astype(split.labels.numpy().dtype)
    return Split(split.inputs, Split.of_arrays(labels, labels).labels)
