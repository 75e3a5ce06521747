"""Whether a quantity grows with width, and whether one of several does.

Words: S seeds, P widths; a *trend* is the slope of a quantity over log2 of the width: its change for each
doubling. Every seed has a slope of its own; the interval is over seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from netprops.errors import MeasurementError
from netprops.measurement import Measurement
from netprops.statistics import mean_interval, t_quantile, t_tail


def trend(widths: ArrayLike, values: ArrayLike, *, name: str, n_of: str = "seeds") -> Measurement:
    """Return the least-squares slope over log2 of the width, averaged over seeds.

    Args:
        widths: (P,) positive and different.
        values: (S, P), one row a seed.
        name: What was measured.
        n_of: What the rows are.

    Returns:
        The change for each doubling of the width, with Student's t interval over seeds.

    Raises:
        MeasurementError: If there are fewer than two widths or seeds, shapes do not fit, a width is not
            positive or a value not finite.

    Example:
        >>> trend([1, 2, 4], [[1, 2, 3], [1, 3, 5]], name="trend").value
        1.5
    """
    x, rows = np.asarray(widths, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or len(x) < 2 or rows.ndim != 2 or rows.shape[1] != len(x):
        raise MeasurementError(
            f"{name}: a trend needs (S, P) values at P >= 2 widths, got {rows.shape} at {x.shape}"
        )
    if not (x > 0).all() or len(np.unique(x)) < len(x) or not np.isfinite(rows).all():
        raise MeasurementError(f"{name}: widths must be positive and different, and values finite")
    along = np.log2(x) - np.log2(x).mean()
    return mean_interval(
        rows @ along / (along @ along),
        name=name,
        n_of=n_of,
        how=f"slope over log2 of {len(x)} widths, mean over {n_of}, Student's t interval",
    )


def largest_of(trends: Sequence[Measurement]) -> Measurement:
    """Return the trend that is most certainly positive, with the chance of having chosen it taken in.

    For "one of them or more is positive": the smallest of K one-sided p-values, times K, is a p-value of
    "none is" (Bonferroni; the first step of Holm). Its standard error and interval are widened so far that
    they say the same.

    Args:
        trends: K trends, each with a standard error.

    Raises:
        MeasurementError: If there is none.
    """
    if not trends:
        raise MeasurementError("the largest of no trends is not a number; measure at least one")
    p = [t_tail(one.value / max(one.standard_error, 1e-300), one.df) for one in trends]
    best = trends[int(np.argmin(p))]
    adjusted = min(len(trends) * min(p), 0.5)
    if len(trends) == 1 or best.value <= 0 or adjusted >= 0.5:
        error = best.standard_error * (1 if len(trends) == 1 else len(trends))
    else:
        error = best.value / t_quantile(1 - adjusted, best.df)
    half = t_quantile((1 + best.confidence) / 2, best.df) * error
    return replace(
        best,
        low=best.value - half,
        high=best.value + half,
        standard_error=error,
        how=f"{best.how}; the most certain of {len(trends)} trends, widened for the choice (Holm)",
    )
