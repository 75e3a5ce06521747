"""Intrinsic dimension of a representation, from the distances to two neighbours.

Words: N samples, W units; *distinct* samples differ in some unit; r1 and r2 are the distances of a sample to
its nearest and second nearest distinct sample, and mu = r2 / r1; d is the *dimension*: where the density
hardly varies over r2, log mu is exponential with rate d (TwoNN). It is a dimension at the scale of those
distances, which shrink as n grows, the number of samples that are looked at together: noise of many
directions shows at a small scale, folds at a large one.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve, Measurement

Floats = NDArray[np.float64]
Definition = Literal["default", "reference"]

# The largest ratios are discarded: they reach furthest, where the density varies most (Facco et al. 2017).
_DISCARDED = 0.1
# Fewer distinct samples than this leave an interval of more than a factor of two.
_LEAST = 20
# Neighbours share distances: k ratios weigh as k / 1.8 independent ones. Simulated for 900 points, d = 1, 2,
# 5, 12, on a torus, in a cube, Gaussian: 1.2 to 1.9 for the default, 1.1 to 2.2 for the reference.
_SHARED = 1.8
# How far the mean estimate e lies from d, simulated for 900 and 2,500 points, d = 2, 5, 12, of nine densities
# (Gaussian, uniform, exponential, Laplace, Student's t, simplex, ten clusters, ReLU features, unequal axes):
# above by at most 5%, and below such that d <= e + 0.04 (900 / n)^(1/4) e^2.
_ABOVE = 0.05
_BELOW, _BELOW_SAMPLES, _BELOW_POWER = 0.04, 900, 0.25
# The largest number of parts that a scale of the curve is measured on.
_PARTS = 16


def intrinsic_dimension(
    features: ArrayLike,
    *,
    rng: np.random.Generator,
    samples: int = 2500,
    definition: Definition = "default",
    name: str = "intrinsic dimension",
) -> Measurement:
    """Return the TwoNN dimension of a representation.

    The default is the unbiased maximum-likelihood estimate with the largest tenth of the ratios censored; the
    reference fits a line through the origin to the other nine tenths, as the authors do.

    Args:
        features: (N, W), any float type; may be a memmap, read in blocks of rows.
        rng: Source of the subset, where N exceeds ``samples``.
        samples: How many samples are looked at together, at most.
        definition: ``"default"`` or ``"reference"``.
        name: Name of the measurement.

    Returns:
        d, a number of directions. Its interval is that of the sampling law (of the estimate on other samples;
        in the details as ``sampling_low`` and ``sampling_high``), widened by how far the estimate may lie
        from the dimension of a density that varies or has an edge: a few percent downward, and upward the
        more the larger d is, for neighbours are far away in many dimensions. It does not cover folds: where
        a manifold curves within the distance of neighbours, its turns count as directions. The standard error
        is the sampling law's. Copies of a sample are dropped and counted in the details.

    Raises:
        MeasurementError: If fewer than 20 distinct samples are given, a feature is not finite, or most
            distances tie (features on a grid).
        UsageError: If ``samples`` is below 20 or the definition is not known.

    Source:
        Facco et al. 2017, Scientific Reports 7, 12140; Doimo et al. 2022, section 3 (2 on pMNIST, 12 on
        CIFAR10, 14 on CIFAR100: lower bounds of w*).
    """
    points, copies = _distinct(features, rng, samples, definition, name)
    value, kept = _two_nn(points, definition, name)
    low, high = _sampling_interval(value, kept)
    reach = _BELOW * (_BELOW_SAMPLES / len(points)) ** _BELOW_POWER
    return Measurement(
        name=name,
        value=value,
        low=low / (1 + _ABOVE),
        high=high * (1 + reach * high),
        standard_error=value * math.sqrt(_SHARED / kept),
        n=len(points),
        n_of="samples",
        unit="directions",
        how=f"TwoNN ({_method(definition)}) at the scale of {len(points)} samples; sampling law, "
        "widened for densities that vary",
        definition=definition,
        details={
            "sampling_low": low,
            "sampling_high": high,
            "copies": copies,
            "samples": len(points) + copies,
        },
    )


def dimension_curve(
    features: ArrayLike,
    *,
    rng: np.random.Generator,
    samples: int = 2500,
    smallest: int = 40,
    definition: Definition = "default",
    name: str = "intrinsic dimension",
) -> Curve:
    """Return the TwoNN dimension over the number of samples that are looked at together.

    Each scale halves the number of the one above; the estimates of up to 16 disjoint parts are averaged. A
    dimension that hardly depends on the scale is that of a manifold; one that grows with the number of
    samples is noise coming into sight, or an estimate with too few samples for so many directions.

    Args:
        features: (N, W), any float type.
        rng: Source of the parts.
        samples: The largest number of samples.
        smallest: The smallest, at least 20.
        definition: As in :func:`intrinsic_dimension`.
        name: Name of the curve.

    Returns:
        d over samples, for the picture; the intervals are those of the sampling law alone.

    Raises:
        MeasurementError: As :func:`intrinsic_dimension`.
        UsageError: As :func:`intrinsic_dimension`, for ``smallest`` too.

    Source:
        Facco et al. 2017, Fig. 3 (decimation).
    """
    if smallest < _LEAST:
        raise UsageError(f"{name}: a scale needs at least {_LEAST} samples, got smallest={smallest}")
    points, copies = _distinct(features, rng, samples, definition, name)
    rng.shuffle(points)
    sizes, found = [len(points)], []
    while sizes[-1] // 2 >= smallest:
        sizes.append(sizes[-1] // 2)
    for size in reversed(sizes):
        parts = [
            _two_nn(points[start : start + size], definition, name)
            for start in range(0, len(points) - size + 1, size)[:_PARTS]
        ]
        value = float(np.mean([one for one, _ in parts]))
        found.append((value, *_sampling_interval(value, sum(kept for _, kept in parts))))
    y, low, high = np.array(found).T
    return Curve(
        name=name,
        x=np.array(sizes[::-1], dtype=np.float64),
        y=y,
        low=low,
        high=high,
        x_name="samples looked at together",
        y_name="dimension (directions)",
        n=len(points),
        n_of="samples",
        how=f"TwoNN ({_method(definition)}), mean over disjoint parts; sampling law",
        definition=definition,
        details={"copies": copies},
    )


def _method(definition: Definition) -> str:
    return "censored likelihood" if definition == "default" else "line fit"


def _distinct(
    features: ArrayLike, rng: np.random.Generator, samples: int, definition: str, name: str
) -> tuple[Floats, int]:
    """Return (n, W) distinct samples in float64, centred, of unit size, and the number of dropped copies."""
    if definition not in ("default", "reference"):
        raise UsageError(f"definition is 'default' or 'reference', got {definition!r}")
    if samples < _LEAST:
        raise UsageError(f"{name}: at least {_LEAST} samples are looked at together, got samples={samples}")
    given = np.asarray(features)
    if given.ndim != 2 or not given.size:
        raise MeasurementError(
            f"{name}: features need N >= 1 samples of W >= 1 units, got shape {given.shape}"
        )
    for start in range(0, len(given), 4096):
        finite = np.isfinite(given[start : start + 4096]).all(axis=1)
        if not finite.all():
            raise MeasurementError(f"{name}: the features of sample {start + finite.argmin()} are not finite")
    rows = np.sort(rng.choice(len(given), samples, replace=False)) if len(given) > samples else slice(None)
    chosen = given[rows].astype(np.float64) + 0.0  # a negative zero is a zero
    points = np.unique(chosen, axis=0)
    if len(points) < _LEAST:
        raise MeasurementError(
            f"{name}: at least {_LEAST} distinct samples are needed, got {len(points)} among {len(chosen)}"
        )
    points -= points.mean(axis=0)
    return points / np.abs(points).max(), len(chosen) - len(points)


def _two_nn(points: Floats, definition: Definition, name: str) -> tuple[float, int]:
    """Return the dimension of (n, W) distinct points, and how many ratios were kept."""
    from skdim.id import TwoNN
    from sklearn.neighbors import NearestNeighbors

    # The search rounds where neighbours are near each other and far from the origin; a few candidates
    # more than two, and their differences, do not.
    near = (
        NearestNeighbors(n_neighbors=min(6, len(points) - 1), algorithm="brute").fit(points).kneighbors()[1]
    )
    distances = np.empty(near.shape)
    for column, others in enumerate(near.T):
        distances[:, column] = np.linalg.norm(points - points[others], axis=1)
    two = np.sort(distances, axis=1)[:, :2]
    kept = int(len(points) * (1 - _DISCARDED))
    if np.sort(two[:, 1] / two[:, 0])[kept // 2] <= 1:
        raise MeasurementError(
            f"{name}: most samples have their two nearest neighbours at one distance; features on a grid "
            f"have no dimension"
        )
    method = "mle" if definition == "default" else "linear"
    fitted = TwoNN(discard_fraction=_DISCARDED, dist=True, method=method).fit(two)
    return float(fitted.dimension_), kept


def _sampling_interval(value: float, kept: int) -> tuple[float, float]:
    """Return the 95% interval of a dimension from the gamma law of a sum of exponential log ratios."""
    shape = kept / _SHARED
    low, high = (float(special.gammaincinv(shape, tail)) for tail in (0.025, 0.975))
    return value * low / shape, value * high / shape
