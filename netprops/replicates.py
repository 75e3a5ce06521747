"""Curves over replicates: resampled means, bands around a mean, curves of several networks in one.

Words: a *replicate* is one unit's whole row of numbers (a seed's errors over widths, a permutation's over
chunk sizes), resampled whole; R replicates, P points of the curve, B resamples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError
from netprops.measurement import Curve
from netprops.statistics import t_quantile

Floats = NDArray[np.float64]


def resampled_means(replicates: Floats, rng: np.random.Generator, resamples: int = 2000) -> Floats:
    """Return mean curves of resampled replicates, each a whole row.

    Args:
        replicates: (R, P) float64, one curve a replicate.
        rng: Source of the resamples.
        resamples: Number of resamples, B.

    Returns:
        (B, P) float64.

    Raises:
        MeasurementError: If there are fewer than two replicates.
    """
    count = len(replicates)
    if count < 2:
        raise MeasurementError(f"an interval over replicates needs at least two of them, got {count}")
    chosen = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    means: Floats = chosen @ replicates / count
    return means


def spread_means(deviations: Floats, rng: np.random.Generator, resamples: int) -> Floats:
    """Return resampled means of replicates, spread as far as few replicates ask for.

    A bootstrap of few replicates lacks the factor R / (R - 1) in its variance, and Student's t in its tails.

    Args:
        deviations: (R, P) replicates.
        rng: Source of the resamples.
        resamples: Number of resamples, B.

    Returns:
        (B, P) float64, about the mean of the replicates.

    Raises:
        MeasurementError: If there are fewer than two replicates.
    """
    count, mean = len(deviations), deviations.mean(axis=0)
    drawn = resampled_means(deviations, rng, resamples) - mean
    stretch = t_quantile(0.975, count - 1) / t_quantile(0.975, math.inf) * math.sqrt(count / (count - 1))
    return np.asarray(mean + drawn * stretch)


def mean_bands(
    replicates: Floats, rng: np.random.Generator, resamples: int = 2000, confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """Return pointwise percentile intervals of the mean curve, from resampling whole replicates.

    Args:
        replicates: (R, P) float64, one curve a replicate.
        rng: Source of the resamples.
        resamples: Number of resamples.
        confidence: Pointwise coverage.

    Returns:
        Lower and upper ends, (P,) each.

    Raises:
        MeasurementError: If there are fewer than two replicates.
    """
    drawn = resampled_means(replicates, rng, resamples)
    low, high = np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)
    mean = replicates.mean(axis=0)
    return np.minimum(low, mean), np.maximum(high, mean)


def mean_curve(
    name: str,
    x: ArrayLike,
    replicates: ArrayLike,
    *,
    x_name: str,
    y_name: str,
    n_of: str,
    rng: np.random.Generator,
) -> Curve:
    """Return the mean of whole rows as a curve, such as the error of several seeds over widths or epochs.

    Args:
        name: Name of the curve.
        x: (P,) strictly increasing.
        replicates: (R, P), one row an independent unit; a single row gives a curve without an interval.
        x_name: Name and unit of ``x``.
        y_name: Name and unit of the values.
        n_of: What the rows are.
        rng: Source of the resamples of the pointwise intervals.

    Raises:
        MeasurementError: If ``x`` does not increase, shapes do not fit or a value is not finite.
    """
    rows = np.asarray(replicates, dtype=np.float64)
    low, high = mean_bands(rows, rng) if len(rows) > 1 else (rows[0], rows[0])
    return Curve(
        name=name,
        x=np.asarray(x, dtype=np.float64),
        y=rows.mean(axis=0),
        low=low,
        high=high,
        x_name=x_name,
        y_name=y_name,
        n=len(rows),
        n_of=n_of,
        how=f"mean over {n_of}; percentile bootstrap over whole {n_of}",
        replicates=rows,
    )


def pooled_curve(curves: Sequence[Curve], *, rng: np.random.Generator) -> Curve:
    """Return the mean of curves that were measured on several given networks, each over its own draws.

    Args:
        curves: One curve a network, all at the same x, with equally many replicates.
        rng: Source of the resamples of the pointwise intervals.

    Returns:
        The mean curve. Its replicates are draws, averaged over the networks: an interval speaks of these
        networks and samples, not of others that the same recipe would give.

    Raises:
        MeasurementError: If there is no curve, or they differ in x or in the number of replicates.
    """
    if not curves:
        raise MeasurementError("a pooled curve needs at least one curve, got none")
    first = curves[0]
    rows = []
    for one in curves:
        if not np.array_equal(one.x, first.x):
            raise MeasurementError(
                f"{first.name}: curves over different {first.x_name} cannot be pooled: {first.x.tolist()} "
                f"and {one.x.tolist()}"
            )
        if one.replicates is None or first.replicates is None or len(one.replicates) != len(first.replicates):
            raise MeasurementError(f"{first.name}: curves without equally many {first.n_of} cannot be pooled")
        rows.append(one.replicates)
    replicates = np.mean(rows, axis=0)
    low, high = mean_bands(replicates, rng)
    return replace(
        first,
        y=replicates.mean(axis=0),
        low=low,
        high=high,
        replicates=replicates,
        how=f"{first.how}; mean over {len(curves)} networks",
        details={**first.details, "networks": len(curves)},
    )
