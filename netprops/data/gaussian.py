"""Uncorrelated data that a small random network has labelled: vectors of any dimension, two classes.

Words: the *teacher* is a network of one hidden layer of 32 ReLU units with random weights and no biases; its
answers, the larger of two outputs, are the labels.

Source: the synthetic data of the paper on robustness and redundancy, section 3 and appendix A.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register
from netprops.errors import UsageError

UNITS = 32
TRAINING_SAMPLES, TEST_SAMPLES = 1000, 1000
BALANCED = (0.4, 0.6)
"""Between which shares each class must lie, in the training and the test part: other teachers are drawn
anew."""
SEED = 0


def _dimensions(request: Request) -> int:
    text = request.argument
    if not text.isdecimal() or not int(text):
        raise UsageError(f"data set {request.name!r}: expected a number of dimensions, such as gaussian:10")
    return int(text)


def _known(request: Request) -> None:
    _dimensions(request)


@register("gaussian", missing=_known, takes_argument=True)
def load_gaussian(request: Request) -> Dataset:
    """Return 1,000 standard normal vectors for training and 1,000 for test, with the teacher's class of each.

    ``gaussian:10`` has 10 dimensions. Every weight of the teacher is normal; its class does not depend on
    their scale.

    Raises:
        UsageError: If the name has no number of dimensions.
    """
    dimensions = _dimensions(request)
    rng = np.random.default_rng([SEED, dimensions])
    vectors = [rng.standard_normal((n, dimensions)) for n in (TRAINING_SAMPLES, TEST_SAMPLES)]
    labels = _labelled(vectors, rng)
    while not all(BALANCED[0] <= part.mean() <= BALANCED[1] for part in labels):
        labels = _labelled(vectors, rng)
    train, test = (Split.of_arrays(x.astype(np.float32), y) for x, y in zip(vectors, labels, strict=True))
    return Dataset(
        name=request.name, train=train, test=test, task="classification", classes=("first", "second")
    )


def _labelled(vectors: list[NDArray[np.float64]], rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the classes that a new teacher gives."""
    hidden = rng.standard_normal((vectors[0].shape[1], UNITS))
    readout = rng.standard_normal((UNITS, 2))
    return [(np.maximum(x @ hidden, 0.0) @ readout).argmax(axis=1).astype(np.int64) for x in vectors]
