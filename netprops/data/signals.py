"""Generated data in which five signal vectors decide the label: two by a sum, three by a product.

Words: a sample is P *patches* of d numbers; a *signal vector* v_k is one of five orthonormal directions, and
stands with a sign s_k in a random patch; the other patches are *noise*, orthogonal to all signal vectors.

Source: the toy setting of "How does overparameterization affect features?", section 4. The label is our
reading of it: sign(s_1 + s_2 + s_3 s_4 s_5). One added sign alone answers 75% of the samples; of the product
two factors tell nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register

SIGNALS, ADDED = 5, 2
PATCHES, DIMENSIONS = 6, 16
NOISE = 1.1
"""Root mean square length of a noise patch; a signal has length 1."""
TRAINING_SAMPLES, TEST_SAMPLES = 2000, 1000
SEED = 0


def signal_vectors() -> NDArray[np.float64]:
    """Return the signal vectors, (5, d) with orthonormal rows: the two that are added first."""
    return _basis()[:SIGNALS]


@register("signals")
def load_signals(request: Request) -> Dataset:
    """Return 2,000 training and 1,000 test samples (6, 16) with labels -1 and 1."""
    rng = np.random.default_rng([SEED, 1])
    train, test = (_drawn(count, rng) for count in (TRAINING_SAMPLES, TEST_SAMPLES))
    return Dataset(name=request.name, train=train, test=test, task="parity", classes=("-1", "+1"))


def _basis() -> NDArray[np.float64]:
    rng = np.random.default_rng([SEED, 0])
    return np.linalg.qr(rng.standard_normal((DIMENSIONS, DIMENSIONS)))[0].T


def _drawn(count: int, rng: np.random.Generator) -> Split:
    basis, free = _basis(), DIMENSIONS - SIGNALS
    signs = rng.choice([-1.0, 1.0], (count, SIGNALS))
    patches = rng.standard_normal((count, PATCHES, free)) * (NOISE / np.sqrt(free)) @ basis[SIGNALS:]
    places = rng.permuted(np.tile(np.arange(PATCHES), (count, 1)), axis=1)[:, :SIGNALS]
    np.put_along_axis(patches, places[:, :, None], signs[:, :, None] * basis[:SIGNALS], axis=1)
    labels = np.sign(signs[:, :ADDED].sum(axis=1) + signs[:, ADDED:].prod(axis=1))
    return Split.of_arrays(patches.astype(np.float32), labels.astype(np.float32))
