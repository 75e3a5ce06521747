"""scikit-learn's handwritten digits: 1,797 images of 8×8 pixels that need no file of the user's.

Words: *raw* pixels have levels 0 … 16; a *part* is the training or the test part of one fixed division.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register
from netprops.data.whitening import whitened

TRAINING_SAMPLES = 897
"""The other 900 test: errors resolved to 0.1%, as many as the training part has."""

DIVISION_SEED = 0


@cache
def _divided() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    train, test = stratified(labels, TRAINING_SAMPLES, np.random.default_rng(DIVISION_SEED))
    return pixels.astype(np.uint8), labels.astype(np.int64), train, test


def stratified(
    labels: NDArray[np.int64], first: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Divide samples in two so that every class has its share in both, within one sample.

    Args:
        labels: (N,) classes.
        first: Samples of the first part.
        rng: Where the permutation comes from.

    Returns:
        Indices of the two parts, in an order in which the classes alternate.
    """
    order = rng.permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(place, kind="stable")]
    return order[:first], order[first:]


@register("digits")
def load_digits_images(request: Request) -> Dataset:
    """Return the digits as 8×8 images of one channel: 897 for training, 900 for test.

    The 17 raw levels become uint8 by ``round(level * 255 / 16)``.
    """
    pixels, labels, train, test = _divided()
    images = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    parts = [Split.of_arrays(images[rows], labels[rows]) for rows in (train, test)]
    return Dataset.of_images(request.name, *parts, classes=tuple("0123456789"))


@register("pdigits")
def load_digits_parity(request: Request) -> Dataset:
    """Return ten whitened principal components of the same parts, with the parity of the digit: odd is +1.

    The components are fitted on the training part's raw pixels.
    """
    pixels, labels, train, test = _divided()
    vectors = whitened(pixels[train], [pixels[train], pixels[test]])
    return parity(request.name, vectors, [labels[train], labels[test]])


def parity(name: str, vectors: list[NDArray[np.float32]], digits: list[NDArray[np.int64]]) -> Dataset:
    """Return a data set whose labels are +1 for odd and -1 for even digits.

    Args:
        name: Its name.
        vectors: (N, d) of the training and the test part.
        digits: (N,) of the two.
    """
    parts = [
        Split.of_arrays(values, (2 * (digit % 2) - 1).astype(np.float32))
        for values, digit in zip(vectors, digits, strict=True)
    ]
    return Dataset(name=name, train=parts[0], test=parts[1], task="parity", classes=("even", "odd"))
