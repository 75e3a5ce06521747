"""Generated data whose labels a random network gives: a task of any difficulty, without a file.

Words: the *teacher* is a network of one hidden ReLU layer with random weights; its answers are the labels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register

DIMENSIONS, UNITS, CLASSES = 30, 200, 10
TRAINING_SAMPLES, TEST_SAMPLES = 8000, 8000
SEED = 0


@register("teacher")
def load_teacher(request: Request) -> Dataset:
    """Return standard normal vectors in 30 dimensions and the class, of ten, that a teacher gives them.

    The teacher has 200 hidden units. Its outputs are standardised over the training part, so that the ten
    classes are about equally frequent. 8,000 vectors are for training and 8,000 for test: too many decisions
    for a small network to get right, so that its training error stays above zero.
    """
    rng = np.random.default_rng(SEED)
    hidden = rng.standard_normal((DIMENSIONS, UNITS)) / np.sqrt(DIMENSIONS)
    readout = rng.standard_normal((UNITS, CLASSES)) / np.sqrt(UNITS)
    vectors = [rng.standard_normal((n, DIMENSIONS)) for n in (TRAINING_SAMPLES, TEST_SAMPLES)]
    outputs = [np.maximum(x @ hidden, 0.0) @ readout for x in vectors]
    mean, std = outputs[0].mean(axis=0), outputs[0].std(axis=0)
    labels: list[NDArray[np.int64]] = [((y - mean) / std).argmax(axis=1) for y in outputs]
    train, test = (Split.of_arrays(x.astype(np.float32), y) for x, y in zip(vectors, labels, strict=True))
    classes = tuple(f"unit {k}" for k in range(CLASSES))
    return Dataset(name=request.name, train=train, test=test, task="classification", classes=classes)
