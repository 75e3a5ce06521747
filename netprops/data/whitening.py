"""Whitened principal components: few numbers a sample, each of mean 0 and variance 1 where they were fitted.

Words: N samples of D raw numbers, d components.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from netprops.errors import DamagedDataError

STEP = 2.0**-12
"""Grid of the values, 0.0002 standard deviations: rounding differs by 1e-12 or so between BLAS libraries and
numbers of threads, and the digest of the data (which every trained network's key holds) must not."""

_BLOCK = 10_000


def whitened(
    fit: NDArray[np.uint8], parts: Sequence[NDArray[np.uint8]], components: int = 10
) -> list[NDArray[np.float32]]:
    """Project samples on the first principal components and scale each to variance 1.

    A component's sign is arbitrary; here the entry of it that is largest in size is positive.

    Args:
        fit: (N, D) samples that mean, components and variances come from.
        parts: Arrays (N_i, D) to project.
        components: d.

    Returns:
        One (N_i, d) float32 array a part, rounded to multiples of :data:`STEP`.

    Raises:
        DamagedDataError: If the samples have fewer than d directions of variance above rounding.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    if min(fit.shape) <= components:
        raise DamagedDataError(
            f"{fit.shape[0]} samples of {fit.shape[1]} numbers, expected more than {components} of both for "
            f"{components} principal components"
        )
    projected = []
    with threadpool_limits(1):  # threads gain nothing on so few rows, and cost seconds beside busy processes
        pca = PCA(components, whiten=True, svd_solver="covariance_eigh").fit(fit.astype(np.float64))
        if pca.explained_variance_[-1] <= 1e-10 * pca.explained_variance_[0]:
            raise DamagedDataError(
                f"the samples vary in fewer than {components} directions, expected real images"
            )
        largest = np.abs(pca.components_).argmax(axis=1)
        signs = np.sign(pca.components_[np.arange(components), largest])
        for part in parts:
            values = np.empty((len(part), components), dtype=np.float32)
            for start in range(0, len(part), _BLOCK):
                block = pca.transform(part[start : start + _BLOCK].astype(np.float64)) * signs
                values[start : start + _BLOCK] = np.round(block / STEP) * STEP
            projected.append(values)
    return projected
