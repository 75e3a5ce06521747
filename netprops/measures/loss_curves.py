"""Loss curves across widths: how far they are apart when smoothed, and whether they fluctuate alike.

Words: *losses* are those of every step, each of one batch; the *trend* is their running mean over a window of
steps; *fluctuations* are what is left, as a share of the trend. Two networks that saw the same batches in the
same order fluctuate alike where they are alike: by the difficulty of each batch and, at large learning rates,
by what the last steps did. Two that saw other batches must not: the null is the same number for another
order, or for one of the two curves moved by some steps.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]

# Fewer blocks than this, and a jackknife over them says little.
_LEAST_BLOCKS = 8


def smooth(losses: ArrayLike, window: int) -> Floats:
    """Return the running mean of losses, centred at each step; near the ends, over the steps that there are.

    Args:
        losses: (..., steps).
        window: Number of steps; an odd one is centred exactly.

    Returns:
        Of the losses' shape, in their unit.

    Raises:
        MeasurementError: If a loss is not finite.
        UsageError: If the window is below 1 or longer than the curve.

    Example:
        >>> smooth([0.0, 3.0, 0.0, 3.0], window=3).tolist()
        [1.5, 1.0, 2.0, 1.5]
    """
    rows = np.asarray(losses, dtype=np.float64)
    steps = rows.shape[-1] if rows.ndim else 0
    if not 1 <= window <= steps:
        raise UsageError(f"a window of {window} steps does not fit a curve of {steps}; take 1 to {steps}")
    if not np.isfinite(rows).all():
        raise MeasurementError("a loss is not finite: the training diverged, and its curve has no trend")
    total = np.concatenate([np.zeros((*rows.shape[:-1], 1)), rows.cumsum(axis=-1)], axis=-1)
    first = np.maximum(np.arange(steps) - window // 2, 0)
    after = np.minimum(np.arange(steps) - window // 2 + window, steps)
    means: Floats = (total[..., after] - total[..., first]) / (after - first)
    return means


def loss_distance(
    losses: ArrayLike, reference: ArrayLike, *, window: int, start: int = 0, stop: int | None = None
) -> float:
    """Return the mean absolute difference of the logarithms of two smoothed loss curves.

    Args:
        losses: (steps,) positive losses of every step.
        reference: (steps,) those of the other network, on the same batches.
        window: Number of steps of the running mean.
        start: First step that counts, from 0.
        stop: Step before which to stop; None for all.

    Returns:
        A number without a unit: about the mean relative difference where it is small.

    Raises:
        MeasurementError: If the curves do not fit, a loss is not finite, or a smoothed one is not positive.
        UsageError: If the window or the range of steps does not fit the curves.

    Source:
        Vyas et al. 2023, Feature-learning networks are consistent across widths, Fig. 2; the measure is ours.

    Example:
        >>> round(loss_distance([1.1, 1.1, 1.1], [1.0, 1.0, 1.0], window=1), 4)
        0.0953
    """
    curves = [one[start:stop] for one in (smooth(each, window) for each in _alike(losses, reference))]
    if not curves[0].size:
        raise UsageError(f"no step lies from {start} to {stop}; the curves have {len(np.asarray(losses))}")
    if min(one.min() for one in curves) <= 0:
        raise MeasurementError("loss distance: a smoothed loss is not positive, and has no logarithm")
    return float(np.abs(np.log(curves[0]) - np.log(curves[1])).mean())


def fluctuations(losses: ArrayLike, window: int) -> Floats:
    """Return the losses' relative deviations from their trend, where the window lies within the curve.

    Args:
        losses: (steps,) positive losses of every step.
        window: Number of steps of the running mean.

    Returns:
        (steps - window + 1,) loss / trend - 1, from step ``window // 2`` on.

    Raises:
        MeasurementError: If a loss is not finite, or the trend not positive.
        UsageError: If the window does not fit.
    """
    rows, trend = np.asarray(losses, dtype=np.float64), smooth(losses, window)
    if rows.ndim != 1 or trend.min() <= 0:
        raise MeasurementError(
            f"fluctuations: expected (steps,) losses with a positive mean, got {rows.shape}"
        )
    kept = slice(window // 2, len(rows) - window + window // 2 + 1)
    left: Floats = rows[kept] / trend[kept] - 1
    return left


def fluctuation_correlation(
    losses: ArrayLike,
    reference: ArrayLike,
    *,
    window: int,
    shift: int = 0,
    start: int = 0,
    name: str = "correlation of fluctuations",
) -> Measurement:
    """Return the correlation of two networks' batch-by-batch fluctuations.

    Args:
        losses: (steps,) losses of every step.
        reference: (steps,) those of the other network.
        window: Number of steps of the running mean that is taken off. Short enough that the trend bends
            little within it, or the common bend of both curves correlates too.
        shift: Steps by which the reference is moved ahead; 0 compares equal batches. One from ``window`` on
            is the null of networks that share a trend but no batch.
        start: First step that counts, such as one after the first steep fall.
        name: What was measured.

    Returns:
        Pearson's correlation, by a jackknife over blocks of twice the window (fluctuations of neighbouring
        steps depend on each other), Student's t interval in Fisher's z.

    Raises:
        MeasurementError: If the curves do not fit, a loss is not finite, or a curve does not fluctuate.
        UndeterminedError: If there are fewer than 8 blocks.
        UsageError: If the window does not fit, or the shift or the start is negative.

    Source:
        Vyas et al. 2023, Fig. 6 b and 15; the number and its interval are ours (Künsch 1989, Annals of
        Statistics 17, 1217-1241, on blocks).
    """
    first, second = _alike(losses, reference)
    if shift < 0 or start < 0:
        raise UsageError(f"{name}: a shift and a start are not negative, got {shift} and {start}")
    a, b = fluctuations(first[start:], window), fluctuations(second[start:], window)
    a, b = a[: max(len(a) - shift, 0)], b[shift:]
    length = 2 * window
    blocks = len(a) // length
    if blocks < _LEAST_BLOCKS:
        raise UndeterminedError(
            f"{name}: {len(a)} steps make {blocks} blocks of {length}; at least {_LEAST_BLOCKS} are needed: "
            "train longer, or take a shorter window"
        )
    x, y = (one[: blocks * length].reshape(blocks, length) for one in (a, b))
    sums = np.stack([x, y, x * x, y * y, x * y]).sum(axis=2)
    whole = sums.sum(axis=1)
    z = _fisher(whole, blocks * length, name)
    without = _fisher(whole[:, None] - sums, (blocks - 1) * length, name)
    found = mean_interval(blocks * z - (blocks - 1) * without, name=name, n_of="blocks of steps")
    value = float(np.tanh(found.value))
    half = t_quantile(0.975, found.df) * found.standard_error
    return Measurement(
        name=name,
        value=value,
        low=float(np.tanh(found.value - half)),
        high=float(np.tanh(found.value + half)),
        standard_error=found.standard_error * (1 - value**2),
        df=found.df,
        n=blocks,
        n_of="blocks of steps",
        how=f"Pearson correlation of losses over their running mean of {window} steps; jackknife over blocks "
        f"of {length} steps, Student's t interval in Fisher's z",
        details={"window": window, "shift": shift, "start": start, "steps": blocks * length},
    )


def _fisher(sums: Floats, count: int, name: str) -> Floats:
    """Return Fisher's z of (5, ...) sums of x, y, xx, yy and xy over ``count`` steps."""
    x, y, xx, yy, xy = sums / count
    var_x, var_y = xx - x * x, yy - y * y
    if (var_x <= 1e-15).any() or (var_y <= 1e-15).any():
        raise MeasurementError(f"{name}: one of the losses does not fluctuate about its running mean")
    r = (xy - x * y) / np.sqrt(var_x * var_y)
    return np.asarray(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)))


def _alike(losses: ArrayLike, reference: ArrayLike) -> tuple[Floats, Floats]:
    first, second = np.asarray(losses, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise MeasurementError(
            f"loss curves of {first.shape} and {second.shape} cannot be compared; expected (steps,) for "
            "both, one loss for each step of the same batches"
        )
    return first, second
