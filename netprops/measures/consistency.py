"""Whether a quantity is consistent across widths: whether its deviations fall as widths grow.

Words: S seeds, P ascending widths, T recorded steps; a *distance* is a number for two networks, as
``agreement`` and ``loss_curves`` give it. *To the widest*: between each narrower width and the widest of the
same seed. *Successive*: between neighbouring widths of the same seed. A seed is a row: it stands for one data
order and one number that starts the generators, and its networks of different widths still start
independently. The *floor* is the distance between two seeds at the widest width.

What to make of them. A single network of width w lies away from the limit by a bias b(w) and by chance, with
a variance v(w) that falls as 1/w. Its squared distance to the widest W has the expectation
(b(w) - b(W))² + v(w) + v(W): so it falls with w even where chance alone falls, it does not fall below the
floor, and a quantity without a limit (one that grows as log w, say) comes nearer to the widest as well,
because the widest is at hand. Hence
 - distances to the widest and successive ones must *both* fall: without a limit the successive ones do not;
 - :func:`to_others` takes the mean of the other seeds' widest networks as the reference, which has less
   variance and never holds the network that is compared;
 - ``expected_distance`` is free of the variance: the distance between expectations over seeds.

An exponent is read off successive distances: those to the widest fall faster than the deviation from the
limit, since at the widest they would be 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.trends import trend
from netprops.replicates import spread_means
from netprops.statistics import mean_interval, paired_difference, share_interval, t_quantile

Floats = NDArray[np.float64]
Networks = Sequence[Sequence[ArrayLike]]
"""What was recorded of each network: S rows of P arrays."""
Distance = Callable[[ArrayLike, ArrayLike], float]
"""From a network's array and the reference's to their distance."""

# Ratios of neighbouring widths may differ by this factor, for widths are whole numbers.
_ONE_FACTOR = 1.1


def checked_widths(widths: ArrayLike, *, one_factor: bool = False) -> Floats:
    """Return (P,) widths as float64, or say why they are none.

    Args:
        widths: (P,) at least two.
        one_factor: Whether each must be the same multiple of the last.

    Raises:
        UsageError: If they are not positive, do not ascend, or not by one factor.
    """
    x = np.asarray(widths, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2 or not x[0] > 0 or (np.diff(x) <= 0).any():
        raise UsageError(f"widths must be positive and ascend, at least two of them; got {x.tolist()}")
    ratios = x[1:] / x[:-1]
    if one_factor and ratios.max() > _ONE_FACTOR * ratios.min():
        raise UsageError(
            f"widths {x.tolist()} do not grow by one factor, and a longer step is a larger distance; leave "
            "some out, or compare with the widest"
        )
    return x


def to_widest(widths: ArrayLike, networks: Networks, distance: Distance) -> Floats:
    """Return the distance of each narrower network to the widest one of its seed, (S, P - 1).

    Args:
        widths: (P,) ascending.
        networks: S rows of P arrays, such as logits (N, C) or kernels (N, N).
        distance: From a network's array and the reference's to a number.

    Raises:
        MeasurementError: If rows and widths do not fit, or the distance cannot be measured.
        UsageError: If the widths do not ascend.
    """
    rows = _rows(checked_widths(widths), networks)
    return np.array([[distance(one, row[-1]) for one in row[:-1]] for row in rows])


def successive(widths: ArrayLike, networks: Networks, distance: Distance) -> Floats:
    """Return the distances between neighbouring widths of the same seed, (S, P - 1), the wider the reference.

    Args:
        widths: (P,) ascending, each by the same factor over the last: a longer step is a larger distance.
        networks: S rows of P arrays.
        distance: From a network's array and the reference's to a number.

    Raises:
        MeasurementError: If rows and widths do not fit, or the distance cannot be measured.
        UsageError: If the widths do not ascend by one factor.
    """
    rows = _rows(checked_widths(widths, one_factor=True), networks)
    return np.array([[distance(row[k], row[k + 1]) for k in range(len(row) - 1)] for row in rows])


def to_others(widths: ArrayLike, networks: Networks, distance: Distance) -> Floats:
    """Return the distance of every network to the mean of the other seeds' widest ones, (S, P).

    The mean of S - 1 networks keeps a share 1 / (S - 1) of the variance of one; the same reference serves all
    widths of a seed, and for the widest, in the last column, it does not hold the network itself.

    Args:
        widths: (P,) ascending.
        networks: S rows of P arrays, of one shape at all widths: logits, kernels, attention.
        distance: From a network's array and the reference's to a number.

    Raises:
        MeasurementError: If rows and widths do not fit, there are fewer than two seeds, or the distance
            cannot be measured.
        UsageError: If the widths do not ascend.
    """
    rows = _rows(checked_widths(widths), networks)
    if len(rows) < 2:
        raise MeasurementError("distances to the other seeds need at least two seeds, got 1")
    widest = np.stack([np.asarray(row[-1], dtype=np.float64) for row in rows])
    references = (widest.sum(axis=0) - widest) / (len(rows) - 1)
    return np.array(
        [[distance(one, reference) for one in row] for row, reference in zip(rows, references, strict=True)]
    )


def floor_of(widest: Sequence[ArrayLike], distance: Distance, *, name: str = "distance") -> Measurement:
    """Return the mean distance between two seeds of one width: what initialisation alone makes of it.

    Args:
        widest: S arrays, one a seed.
        distance: From two arrays to a number.
        name: What the distance is of.

    Returns:
        The mean over all ordered pairs, with a jackknife over seeds.

    Raises:
        UndeterminedError: If there are fewer than three seeds.
    """
    count = len(widest)
    if count < 3:
        raise UndeterminedError(f"floor of {name}: pairs of {count} seeds give no interval; train a third")
    between = np.zeros((count, count))
    for i, j in combinations(range(count), 2):
        between[i, j] = between[j, i] = (distance(widest[i], widest[j]) + distance(widest[j], widest[i])) / 2
    whole, own = between.sum(), between.sum(axis=1)
    without = (whole - 2 * own) / ((count - 1) * (count - 2))
    return mean_interval(
        count * whole / (count * (count - 1)) - (count - 1) * without,
        name=f"floor of {name}",
        n_of="seeds",
        how="mean distance between two seeds of the widest width; jackknife over seeds, Student's t interval",
    )


def falls(
    widths: ArrayLike, distances: ArrayLike, *, name: str = "distance", n_of: str = "seeds"
) -> Measurement:
    """Return the slope of log2 of a distance for each doubling of the width; negative where it falls.

    Args:
        widths: (P,) the narrower width of each distance.
        distances: (S, P) positive, one row a seed.
        name: What the distance is of.
        n_of: What the rows are.

    Returns:
        The mean slope, with Student's t interval over seeds: -1/2 where the distance is the chance of single
        networks, -1 where it is a bias of order 1/w.

    Raises:
        MeasurementError: If a distance is not positive, or as :func:`netprops.measures.trends.trend`.

    Source:
        Vyas et al. 2023, Feature-learning networks are consistent across widths, section 1 ("consistent") and
        Fig. 3-5; appendix G.2 on both exponents.

    Example:
        >>> falls([1, 2, 4], [[4.0, 2.0, 1.0], [8.0, 4.0, 2.0]]).value
        -1.0
    """
    return trend(widths, _logs(distances, name), name=f"slope of log2 {name}", n_of=n_of)


def share_falling(distances: ArrayLike, *, name: str = "distance") -> Measurement:
    """Return the share of steps from one width to the next, over all seeds, at which a distance falls.

    Args:
        distances: (S, P) by ascending width, one row a seed.
        name: What the distance is of.

    Returns:
        A share in [0, 1]; 1/2 by chance alone. Steps count as independent in the interval.

    Raises:
        MeasurementError: If there is no step, or a distance is not finite.
    """
    rows = np.asarray(distances, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] < 2 or not len(rows) or not np.isfinite(rows).all():
        raise MeasurementError(f"{name}: expected (S, P >= 2) finite distances, got {rows.shape}")
    return share_interval(
        (np.diff(rows, axis=1) < 0).ravel(),
        name=f"share of steps in width at which {name} falls",
        n_of="steps of seeds",
    )


def more_consistent(
    first: ArrayLike, second: ArrayLike, *, name: str = "distance", n_of: str = "seeds"
) -> Measurement:
    """Return by how much one parameterization's distance is below another's, as a difference of log2.

    Args:
        first: (S,) or (S, P) positive distances, such as µP's; over widths their logarithms are averaged.
        second: The other's, such as the standard parameterization's, with the same seeds and widths.
        name: What the distance is of.
        n_of: What the rows are.

    Returns:
        The mean paired difference of log2, first minus second: -1 where the first is half as far apart.

    Raises:
        MeasurementError: If shapes differ, a distance is not positive, or there are fewer than two pairs.

    Source:
        Vyas et al. 2023, appendices D and E.

    Example:
        >>> more_consistent([1.0, 2.0], [2.0, 4.0]).value
        -1.0
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim not in (1, 2):
        raise MeasurementError(f"{name}: distances {a.shape} and {b.shape} cannot be paired")
    logs = [_logs(one.reshape(len(one), -1), name).mean(axis=1) for one in (a, b)]
    return paired_difference(
        logs[0],
        logs[1],
        name=f"paired difference of log2 {name}",
        n_of=n_of,
        how=f"mean difference of log2 over paired {n_of}, Student's t interval",
    )


def consistent_until(
    steps: ArrayLike,
    distances: ArrayLike,
    threshold: float,
    *,
    rng: np.random.Generator,
    name: str = "distance",
    n_of: str = "seeds",
    resamples: int = 2000,
) -> Measurement:
    """Return the step until which the distance of two widths, such as the two widest, is within a threshold.

    Args:
        steps: (T,) positive and ascending; leave out step 0.
        distances: (S, T) positive distances at each of them, one row a seed.
        threshold: Largest distance that counts as consistent.
        rng: Source of the resamples.
        name: What the distance is of.
        n_of: What the rows are.
        resamples: Resamples of whole rows.

    Returns:
        The first step at which the geometric mean over seeds exceeds the threshold, between recorded steps on
        a line in log step and log distance. Where it never does the value is the last step, ``censored`` is
        true in the details and the step is *at least* that; ``censored_share`` is the share of resamples
        that never do. The interval ends at the first and last recorded steps.

    Raises:
        MeasurementError: If shapes do not fit, steps do not ascend or are not positive, a distance is not
            positive, or there are fewer than two rows.
        UndeterminedError: If the distance exceeds the threshold at the first recorded step already.

    Source:
        Vyas et al. 2023, section 2 (wider networks agree for longer); the number is ours.
    """
    x, logs = np.asarray(steps, dtype=np.float64), _logs(distances, name)
    if x.ndim != 1 or len(x) < 2 or logs.shape[1] != len(x):
        raise MeasurementError(
            f"{name}: expected (T >= 2,) steps and (S, T) distances, got {x.shape}, {logs.shape}"
        )
    if not x[0] > 0 or (np.diff(x) <= 0).any() or not threshold > 0:
        raise MeasurementError(f"{name}: steps must be positive and ascend, and a threshold be positive")
    bound = math.log2(threshold)
    mean = logs.mean(axis=0)
    if mean[0] > bound:
        raise UndeterminedError(
            f"{name} is {2 ** mean[0]:.3g} at the first recorded step, {x[0]:g}, above {threshold:g}: until "
            "when the widths are consistent lies before; record earlier steps, or compare wider networks"
        )
    known = _first_above(np.log(x), np.vstack([mean, spread_means(logs, rng, resamples)]), bound)
    found = np.where(np.isinf(known), x[-1], np.exp(known))
    value, drawn = float(found[0]), found[1:]
    stretch = t_quantile(0.975, len(logs) - 1) / t_quantile(0.975, math.inf)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Measurement(
        name=f"step until which {name} is at most {threshold:g}",
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        standard_error=float(drawn.std(ddof=1)) / stretch,
        df=len(logs) - 1.0,
        n=len(logs),
        n_of=n_of,
        unit="steps",
        how=f"first crossing of the geometric mean; percentile bootstrap over whole {n_of}"
        + ("; it never crosses: at least" if math.isinf(known[0]) else ""),
        details={
            "threshold": threshold,
            "censored": bool(math.isinf(known[0])),
            "censored_share": float(np.isinf(known[1:]).mean()),
        },
    )


def _first_above(x: Floats, means: Floats, bound: float) -> Floats:
    """Return (B,) places at which (B, T) means first exceed a bound; infinity where they do not."""
    above = means > bound
    column, row = above.argmax(axis=1), np.arange(len(means))
    last = np.maximum(column - 1, 0)
    rise = means[row, column] - means[row, last]
    part = np.divide(bound - means[row, last], rise, out=np.zeros(len(means)), where=rise > 0)
    return np.where(above.any(axis=1), x[last] + part * (x[column] - x[last]), math.inf)


def _logs(distances: ArrayLike, name: str) -> Floats:
    rows = np.asarray(distances, dtype=np.float64)
    if rows.ndim != 2 or not rows.size or not np.isfinite(rows).all() or (rows <= 0).any():
        raise MeasurementError(
            f"{name}: expected (S, P) positive distances, got shape {rows.shape} or one that is 0 or not "
            "finite; a network is at distance 0 from itself only"
        )
    logs: Floats = np.log2(rows)
    return logs


def _rows(x: Floats, networks: Networks) -> list[Sequence[ArrayLike]]:
    rows = list(networks)
    if not rows or any(len(row) != len(x) for row in rows):
        raise MeasurementError(
            f"expected {len(x)} networks for each seed, one a width, got {[len(row) for row in rows]}"
        )
    return rows
