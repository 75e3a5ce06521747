"""Intervals, tests and corrections that every verdict rests on.

Words: *units* are the independent repetitions behind a number (seeds, permutations); a *replicate* is one
unit's whole row of numbers, resampled whole; *alpha* is a false-alarm probability; *power* the probability of
deciding where there is something to decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Detail, Measurement

Floats = NDArray[np.float64]

# More undefined resamples than this and the percentiles would describe the survivors, not the estimator.
_MOST_UNDEFINED = 0.05


def t_quantile(probability: float, df: float) -> float:
    """Return the quantile of Student's t; of the normal distribution where ``df`` is infinite.

    Example:
        >>> round(t_quantile(0.975, 7), 4), round(t_quantile(0.975, math.inf), 4)
        (2.3646, 1.96)
    """
    return float(special.ndtri(probability) if math.isinf(df) else special.stdtrit(df, probability))


def t_tail(x: float, df: float) -> float:
    """Return the probability of a value above ``x``, under Student's t or, at infinite ``df``, the normal."""
    return float(special.ndtr(-x) if math.isinf(df) else special.stdtr(df, -x))


def mean_interval(
    values: ArrayLike,
    *,
    name: str,
    n_of: str,
    how: str | None = None,
    confidence: float = 0.95,
    unit: str = "",
    details: Mapping[str, Detail] | None = None,
) -> Measurement:
    """Return the mean of independent units with Student's t interval.

    Args:
        values: (n,) one number a unit, in ``unit``.
        name: What was measured.
        n_of: What the units are, such as ``"seeds"``.
        how: The estimator in one phrase; None for the plain one.
        confidence: Coverage of the interval.
        unit: Unit of the values.
        details: Further facts for the record.

    Returns:
        The mean, in ``unit``, with ``n - 1`` degrees of freedom.

    Raises:
        MeasurementError: If there are fewer than two units, or one of them is not finite.

    Example:
        >>> str(mean_interval([1.0, 2.0, 3.0], name="gap", n_of="seeds"))
        '2 [-0.4841, 4.484]'
    """
    known = _row(values, name)
    if len(known) < 2:
        raise MeasurementError(
            f"{name}: an interval needs at least two {n_of}, got {len(known)}; measure more of them"
        )
    mean, error = float(known.mean()), float(known.std(ddof=1)) / math.sqrt(len(known))
    half = t_quantile((1 + confidence) / 2, len(known) - 1) * error
    return Measurement(
        name=name,
        value=mean,
        low=mean - half,
        high=mean + half,
        standard_error=error,
        df=len(known) - 1.0,
        confidence=confidence,
        n=len(known),
        n_of=n_of,
        unit=unit,
        how=how or f"mean over independent {n_of}, Student's t interval",
        details=details or {},
    )


def share_interval(
    hits: ArrayLike,
    *,
    name: str,
    n_of: str,
    how: str | None = None,
    details: Mapping[str, Detail] | None = None,
) -> Measurement:
    """Return the share of independent units for which something holds, with Wilson's 95% interval.

    Args:
        hits: (n,) bool, one a unit.
        name: What was measured.
        n_of: What the units are.
        how: The estimator in one phrase; None for the plain one.
        details: Further facts for the record.

    Raises:
        MeasurementError: If there is no unit.

    Source:
        Wilson 1927, Journal of the American Statistical Association 22, 209-212.

    Example:
        >>> str(share_interval([True, False, False, False], name="share", n_of="networks"))
        '0.25 [0.04559, 0.6994]'
    """
    held = np.asarray(hits, dtype=np.bool_)
    if held.ndim != 1 or not len(held):
        raise MeasurementError(f"{name}: a share needs at least one of {n_of}, got {held.shape}")
    n, share, z = len(held), float(held.mean()), t_quantile(0.975, math.inf)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Measurement(
        name=name,
        value=share,
        low=min(centre - half, share),
        high=max(centre + half, share),
        standard_error=half / z,
        n=n,
        n_of=n_of,
        how=how or f"share of independent {n_of}, Wilson interval",
        details=details or {},
    )


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    name: str,
    n_of: str,
    how: str | None = None,
    confidence: float = 0.95,
    unit: str = "",
    details: Mapping[str, Detail] | None = None,
) -> Measurement:
    """Return the mean of ``a - b`` over pairs with Student's t interval.

    Args:
        a: (n,) one number a pair.
        b: (n,) its partner, in the same order.
        name: What was measured.
        n_of: What the pairs are, such as ``"seeds"``.
        how: The estimator in one phrase; None for the plain one.
        confidence: Coverage of the interval.
        unit: Unit of the values.
        details: Further facts for the record.

    Raises:
        MeasurementError: If the lengths differ, there are fewer than two pairs, or a number is not finite.
    """
    first, second = _row(a, name), _row(b, name)
    if len(first) != len(second):
        raise MeasurementError(f"{name}: {len(first)} and {len(second)} {n_of} cannot be paired")
    return mean_interval(
        first - second,
        name=name,
        n_of=n_of,
        confidence=confidence,
        unit=unit,
        details=details,
        how=how or f"mean difference of paired {n_of}, Student's t interval",
    )


def bootstrap(
    statistic: Callable[[NDArray[np.float64]], float],
    replicates: ArrayLike,
    *,
    name: str,
    n_of: str,
    rng: np.random.Generator,
    resamples: int = 2000,
    confidence: float = 0.95,
    how: str | None = None,
    unit: str = "",
    details: Mapping[str, Detail] | None = None,
) -> Measurement:
    """Return a statistic of replicates with a percentile interval from resampling whole rows.

    Args:
        statistic: From (R, ...) float64 rows to one number; it may raise MeasurementError or return a number
            that is not finite where the resample leaves it undefined.
        replicates: (R, ...) one row an independent unit.
        name: What was measured.
        n_of: What the rows are.
        rng: Source of the resamples.
        resamples: Number of resamples.
        confidence: Coverage of the interval.
        how: The estimator in one phrase; None for the plain one.
        unit: Unit of the statistic.
        details: Further facts for the record.

    Returns:
        The statistic of all rows; the standard error is the resamples' standard deviation, with ``R - 1``
        degrees of freedom. Where the percentiles do not enclose the value, the interval is widened to it.

    Raises:
        MeasurementError: If there are fewer than two rows, the statistic of all rows is undefined, or that of
            more than 5% of the resamples is.

    Source:
        Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    rows = np.asarray(replicates, dtype=np.float64)
    if rows.ndim < 1 or len(rows) < 2:
        count = len(rows) if rows.ndim else 0
        raise MeasurementError(
            f"{name}: a bootstrap needs at least two {n_of}, got {count}; measure more of them"
        )
    value = float(statistic(rows))
    drawn = np.empty(resamples)
    for i in range(resamples):
        try:
            drawn[i] = statistic(rows[rng.integers(0, len(rows), len(rows))])
        except MeasurementError:
            drawn[i] = math.nan
    defined = drawn[np.isfinite(drawn)]
    undefined = resamples - len(defined)
    if undefined > _MOST_UNDEFINED * resamples:
        raise MeasurementError(
            f"{name} is undefined in {undefined} of {resamples} resamples of {len(rows)} {n_of}; "
            f"the data do not determine it"
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Measurement(
        name=name,
        value=value,
        low=min(float(low), value),
        high=max(float(high), value),
        standard_error=float(defined.std(ddof=1)),
        df=len(rows) - 1.0,
        confidence=confidence,
        n=len(rows),
        n_of=n_of,
        unit=unit,
        how=how or f"percentile bootstrap over whole {n_of}, {resamples} resamples",
        details={**(details or {}), **({"undefined_resamples": undefined} if undefined else {})},
    )


def holm(p_values: Sequence[float], alpha: float) -> list[bool]:
    """Return which hypotheses Holm's step-down procedure rejects.

    Args:
        p_values: One p-value a hypothesis, in [0, 1].
        alpha: Probability of any false rejection among all of them, whatever their dependence.

    Returns:
        True where the hypothesis is rejected, in the order given.

    Raises:
        UsageError: If a p-value lies outside [0, 1].

    Source:
        Holm 1979, Scandinavian Journal of Statistics 6, 65-70.

    Example:
        >>> holm([0.01, 0.04, 0.03], alpha=0.05)
        [True, False, False]
    """
    wrong = [p for p in p_values if not 0 <= p <= 1]
    if wrong:
        raise UsageError(f"p-values lie in [0, 1], got {wrong[0]}")
    rejected = [False] * len(p_values)
    for step, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        if p_values[i] > alpha / (len(p_values) - step):
            break
        rejected[i] = True
    return rejected


def detectable_effect(measurement: Measurement, power: float = 0.8, alpha: float = 0.05) -> float:
    """Return the smallest distance from a bound that this measurement could have decided.

    A true value that far from the bound, on either side, is decided with probability ``power``: the estimate
    then clears the bound by the half width of its interval and by the critical value of a one-sided test.

    Args:
        measurement: What was measured.
        power: Probability of a decision.
        alpha: Level of the one-sided test.

    Returns:
        The distance in the measurement's unit; 0 for an exact value.

    Source:
        Bloom 1995, Evaluation Review 19, 547-556 (minimum detectable effects).
    """
    if not measurement.standard_error:
        return 0.0
    critical = max(
        t_quantile(1 - alpha, measurement.df), t_quantile((1 + measurement.confidence) / 2, measurement.df)
    )
    return (critical + t_quantile(power, measurement.df)) * measurement.standard_error


def p_outside(measurement: Measurement, low: float | None, high: float | None) -> float:
    """Return the p-value of the hypothesis that the true value lies within ``[low, high]``.

    Args:
        measurement: What was measured; its standard error and degrees of freedom are used.
        low: Lower end of the bound, or None for none.
        high: Upper end of the bound, or None for none.

    Returns:
        The largest probability, over true values within the bound, of an estimate at least this far outside.
        It is at most 1; for an exact value it is 0 outside and 1 within.

    Raises:
        UsageError: If ``low`` exceeds ``high``.
    """
    below = -math.inf if low is None else low - measurement.value
    above = -math.inf if high is None else measurement.value - high
    if low is not None and high is not None and low > high:
        raise UsageError(f"a bound needs low <= high, got [{low:g}, {high:g}]")
    distance = max(below, above)
    if not measurement.standard_error:
        return 0.0 if distance > 0 else 1.0
    if distance == -math.inf:
        return 1.0
    # At the worst true value, the end of the bound, an estimate may also land beyond the other end.
    width = math.inf if low is None or high is None else high - low
    tails = [t_tail(x / measurement.standard_error, measurement.df) for x in (distance, distance + width)]
    return min(1.0, sum(tails))


def _row(values: ArrayLike, name: str) -> Floats:
    known = np.asarray(values, dtype=np.float64)
    if known.ndim != 1:
        raise MeasurementError(f"{name}: expected one number a unit, shape (n,), got shape {known.shape}")
    if not np.isfinite(known).all():
        at = int(np.flatnonzero(~np.isfinite(known))[0])
        raise MeasurementError(f"{name}: unit {at} is {known[at]}, expected a finite number")
    return known
