"""Phases of a training: where a quantity over epochs bends, and by how much it falls before and after.

Words: *epochs* are the P saved ones, in any spacing; a *replicate* is one row of values over them (a seed, or
a draw of neurons), R in all; x is the epoch, or its logarithm; a *broken line* is continuous, of two straight
pieces that meet in a *knot*; the *bend* is the change of its slope there. A *change point* is a knot that the
samples ask for: the bend is the same in the replicates beyond chance, and the broken line describes their
mean better than smooth curves do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.replicates import spread_means
from netprops.statistics import mean_interval, t_quantile, t_tail

Floats = NDArray[np.float64]
Scale = Literal["log", "epoch"]

# Four numbers describe a broken line: with fewer epochs nothing could speak against it.
_LEAST_EPOCHS = 5
# Standard errors in a 95% interval.
_TWO_SIDES = 2 * t_quantile(0.975, math.inf)
# Knots tried between two epochs.
_STEPS = 20
# A bend below this share of the quantity is rounding.
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Series:
    """Replicates over epochs, checked once, with x."""

    name: str
    n_of: str
    scale: str
    epochs: Floats
    x: Floats
    rows: Floats

    @classmethod
    def of(cls, epochs: ArrayLike, replicates: ArrayLike | Curve, scale: str, least: int) -> _Series:
        name, n_of, values = "the quantity", "replicates", replicates
        if isinstance(values, Curve):
            name, n_of = values.name, values.n_of
            if values.replicates is None:
                raise MeasurementError(f"{name}: phases need the replicates of the curve, it has none")
            values = values.replicates
        at, rows = np.asarray(epochs, dtype=np.float64), np.asarray(values, dtype=np.float64)
        if at.ndim != 1 or rows.ndim != 2 or rows.shape[1] != len(at):
            raise MeasurementError(
                f"{name}: epochs {at.shape} and replicates {rows.shape} do not fit; expected (P,) and (R, P)"
            )
        if len(at) < least:
            raise UndeterminedError(f"{name}: at least {least} epochs are needed, got {len(at)}; save more")
        if len(rows) < 2:
            raise MeasurementError(f"{name}: an interval needs at least two {n_of}, got {len(rows)}")
        if not np.isfinite(at).all() or (np.diff(at) <= 0).any():
            raise MeasurementError(f"{name}: epochs do not ascend: {at.tolist()}")
        if not np.isfinite(rows).all():
            row, column = np.argwhere(~np.isfinite(rows))[0]
            raise MeasurementError(
                f"{name} is {rows[row, column]} in row {row} at epoch {at[column]:g}, expected a number"
            )
        if scale not in ("log", "epoch"):
            raise UsageError(f"scale is 'log' or 'epoch', got {scale!r}")
        if scale == "log" and at[0] <= 0:
            raise UsageError(f"{name}: epoch {at[0]:g} has no logarithm; leave it out or give scale='epoch'")
        x = np.log(at) if scale == "log" else at
        return cls(name=name, n_of=n_of, scale=scale, epochs=at, x=x, rows=rows)


def change_point(
    epochs: ArrayLike,
    replicates: ArrayLike | Curve,
    *,
    rng: np.random.Generator,
    scale: Scale = "log",
    level: float = 0.05,
    resamples: int = 1000,
) -> Measurement:
    """Return the epoch at which a quantity passes from one phase to another.

    A broken line is fitted to the mean over replicates by least squares; its knot lies where both pieces have
    at least two epochs. There are two phases if both hold: the bend differs from 0 over replicates (Student's
    t at the inner epochs with Bonferroni's correction, valid however the noise of nearby epochs is related),
    and by BIC the broken line is better than a parabola, an exponential and a logistic curve.

    Args:
        epochs: (P,) ascending, at least five.
        replicates: (R, P) the quantity, one row an independent replicate; or a curve with its replicates.
        rng: Source of the resamples.
        scale: Whether the pieces are straight over the logarithm of the epoch or over the epoch.
        level: Probability of two phases where the truth is one straight line.
        resamples: Resamples of whole replicates.

    Returns:
        The knot, in epochs, with a percentile interval over replicates. The details hold the slopes before
        and after, the p-value of the single line, R2 of each model, and whether the interval reaches an end
        of the range in which knots were tried.

    Raises:
        MeasurementError: If there are fewer than two replicates, epochs do not ascend, a value is not finite,
            or shapes do not fit.
        UndeterminedError: If there are fewer than five epochs, a single line or a smooth curve describes the
            quantity as well, or the best knot lies at an end of the range.
        UsageError: If the scale is not known, or epoch 0 is to be on a logarithmic one.

    Source:
        Doimo et al. 2022, Fig. 5 (two phases, there seen by eye); Muggeo 2003, Statistics in Medicine 22,
        3055-3071 (broken lines); the two conditions are ours.
    """
    series = _Series.of(epochs, replicates, scale, _LEAST_EPOCHS)
    name, x, count = series.name, series.x, len(series.rows)
    line = np.linalg.qr(np.stack([np.ones_like(x), x], axis=1))[0]
    left = series.rows - (series.rows @ line) @ line.T
    tiny = _ROUNDING * np.abs(series.rows).max()
    p_line = _p_of_single_line(left @ _hinges(x, x[1:-1], line).T, tiny)
    if p_line > level:
        raise UndeterminedError(
            f"{name}: a single straight line describes it as well as two phases do (p = {p_line:.2g} over "
            f"{count} {series.n_of}); more of them may tell"
        )
    knots = np.r_[np.linspace(x[1:-2], x[2:-1], _STEPS, endpoint=False).T.reshape(-1), x[-2]]
    hinges = _hinges(x, knots, line)
    mean = left.mean(axis=0)
    gain = hinges @ mean
    best = int(np.abs(gain).argmax())
    squares = {
        "single line": float(mean @ mean),
        "broken line": max(0.0, float(mean @ mean - gain[best] ** 2)),
        **_smooth_squares(x, series.rows.mean(axis=0)),
    }
    _expect_a_kink(series, squares, tiny)
    if best in (0, len(knots) - 1):
        where, side = ("first", "before") if best == 0 else ("last", "after")
        raise UndeterminedError(
            f"{name}: the change point lies at the {where} knot that was tried, epoch "
            f"{series.epochs[1 if best == 0 else -2]:g}; more epochs {side} it would determine it"
        )
    drawn = spread_means(left, rng, resamples)
    picked = np.abs(drawn @ hinges.T).argmax(axis=1)
    tried = np.exp(knots) if scale == "log" else knots
    # Half a step to either side, for the knots are a grid.
    first, last = np.quantile(picked, [0.025, 0.975])
    ends = min(first, best) - 0.5, max(last, best) + 0.5
    low, high = np.interp(ends, np.arange(len(tried)), tried).tolist()
    centred = series.rows.mean(axis=0) - series.rows.mean()
    total = float(centred @ centred)
    pieces = np.stack([np.ones_like(x), x, np.maximum(x - knots[best], 0.0)], axis=1)
    _, before, bend = np.linalg.lstsq(pieces, centred)[0]
    return Measurement(
        name=f"change point of {name}",
        value=float(tried[best]),
        low=low,
        high=high,
        standard_error=float(max(tried[picked].std(ddof=1), (high - low) / _TWO_SIDES)),
        df=count - 1.0,
        n=count,
        n_of=series.n_of,
        unit="epochs",
        how=f"knot of a broken line over the {'log epoch' if scale == 'log' else 'epoch'}, least squares; "
        f"percentile bootstrap over whole {series.n_of}",
        details={
            "scale": scale,
            "slope_before": float(before),
            "slope_after": float(before + bend),
            "p_single_line": p_line,
            "open_below": low == float(tried[0]),
            "open_above": high == float(tried[-1]),
            **{f"r2_{model.replace(' ', '_')}": 1 - ss / total for model, ss in squares.items()},
        },
    )


def first_epoch_below(
    epochs: ArrayLike,
    replicates: ArrayLike | Curve,
    threshold: float,
    *,
    rng: np.random.Generator,
    scale: Scale = "log",
    resamples: int = 1000,
) -> Measurement:
    """Return the epoch at which the mean of a quantity first falls to a threshold.

    Args:
        epochs: (P,) ascending, at least two.
        replicates: (R, P) the quantity, or a curve with its replicates.
        threshold: In the quantity's unit, such as a training error of 0.005.
        rng: Source of the resamples.
        scale: Whether values between two saved epochs are linear in the logarithm of the epoch or in itself.
        resamples: Resamples of whole replicates.

    Returns:
        The epoch, interpolated. The interval over replicates is widened to saved epochs: when the quantity
        passed the threshold between two of them nobody saw. ``open_below`` in the details says that its low
        end is the first saved epoch, and that the threshold may have been reached earlier.

    Raises:
        MeasurementError: As :func:`change_point`, but two epochs are enough.
        UndeterminedError: If the mean does not reach the threshold, or not in more than 2.5% of the
            resamples: longer training may determine it.

    Source:
        Doimo et al. 2022, Fig. 5 (the first phase ends when the full network interpolates).
    """
    series = _Series.of(epochs, replicates, scale, 2)
    mean = series.rows.mean(axis=0)
    value = float(_first_below(series, mean[None], threshold)[0])
    if math.isinf(value):
        raise UndeterminedError(
            f"{series.name} does not fall to {threshold:g} within {series.epochs[-1]:g} epochs; the smallest "
            f"is {mean.min():.4g}, at epoch {series.epochs[mean.argmin()]:g}"
        )
    drawn = _first_below(series, mean + spread_means(series.rows - mean, rng, resamples), threshold)
    missed = int(np.isinf(drawn).sum())
    if missed > 0.025 * resamples:
        raise UndeterminedError(
            f"{series.name} falls to {threshold:g} at epoch {value:.4g}, but does not within "
            f"{series.epochs[-1]:g} epochs in {missed} of {resamples} resamples; train longer"
        )
    known = np.where(np.isinf(drawn), series.epochs[-1], drawn)
    low, high = np.quantile(known, [0.025, 0.975])
    floor = series.epochs[np.searchsorted(series.epochs, min(low, value) * (1 + 1e-12), side="right") - 1]
    ceiling = series.epochs[np.searchsorted(series.epochs, max(high, value) * (1 - 1e-12))]
    return Measurement(
        name=f"epoch at which {series.name} falls to {threshold:g}",
        value=value,
        low=float(floor),
        high=float(ceiling),
        standard_error=float(max(known.std(ddof=1), (ceiling - floor) / _TWO_SIDES)),
        df=len(series.rows) - 1.0,
        n=len(series.rows),
        n_of=series.n_of,
        unit="epochs",
        how=f"first crossing of the mean; percentile bootstrap over whole {series.n_of}, "
        "widened to saved epochs",
        details={"threshold": threshold, "scale": scale, "open_below": bool(floor == series.epochs[0])},
    )


def fall_before(
    epochs: ArrayLike, replicates: ArrayLike | Curve, epoch: float, *, scale: Scale = "log"
) -> Measurement:
    """Return by how much a quantity falls from the first saved epoch to a given one.

    Args:
        epochs: (P,) ascending, at least two.
        replicates: (R, P) the quantity, or a curve with its replicates.
        epoch: Within the range of epochs; between two saved ones each replicate is interpolated. It is taken
            as given: for a measured one, both ends of its interval tell how much depends on it.
        scale: As in :func:`first_epoch_below`.

    Returns:
        Mean decrease over replicates, paired, in the quantity's unit; negative where it rises.

    Raises:
        MeasurementError: As :func:`first_epoch_below`.
        UsageError: If the epoch lies outside the range.
    """
    return _fall(epochs, replicates, epoch, scale, after=False)


def fall_after(
    epochs: ArrayLike, replicates: ArrayLike | Curve, epoch: float, *, scale: Scale = "log"
) -> Measurement:
    """Return by how much a quantity falls from a given epoch to the last saved one.

    Args:
        epochs: (P,) ascending, at least two.
        replicates: (R, P) the quantity, or a curve with its replicates.
        epoch: As in :func:`fall_before`.
        scale: As in :func:`fall_before`.

    Returns:
        Mean decrease over replicates, paired, in the quantity's unit; negative where it rises.

    Raises:
        MeasurementError: As :func:`first_epoch_below`.
        UsageError: If the epoch lies outside the range.

    Source:
        Doimo et al. 2022, Fig. 5 b (the chunks' training error falls after the full network interpolates).
    """
    return _fall(epochs, replicates, epoch, scale, after=True)


def _hinges(x: Floats, knots: Floats, line: Floats) -> Floats:
    """Return (K, P) bends at each knot, free of straight lines and of length 1."""
    bends = np.maximum(x - knots[:, None], 0.0)
    bends = bends - (bends @ line) @ line.T
    return np.asarray(bends / np.linalg.norm(bends, axis=1, keepdims=True))


def _p_of_single_line(bends: Floats, tiny: float) -> float:
    """Return the p-value of no bend, from (R, K) bends of replicates at K knots."""
    count, knots = bends.shape
    mean = bends.mean(axis=0)
    error = np.maximum(bends.std(axis=0, ddof=1) / math.sqrt(count), max(1e-3 * tiny, 1e-300))
    t = np.where(np.abs(mean) > tiny, np.abs(mean) / error, 0.0)
    return float(min(1.0, 2 * knots * t_tail(float(t.max()), count - 1.0)))


def _smooth_squares(x: Floats, mean: Floats) -> dict[str, float]:
    """Return the squared residuals of smooth curves: a parabola, and the best of grids of two kinds."""
    u = (x - x[0]) / (x[-1] - x[0])
    parabola = np.linalg.qr(np.stack([np.ones_like(u), u, u**2], axis=1))[0]
    rates = np.r_[-np.geomspace(0.2, 40, 40), np.geomspace(0.2, 40, 40)]
    exponentials = np.exp(rates[:, None] * (u - (rates[:, None] > 0)))
    steep, middle = np.meshgrid(np.geomspace(2, 60, 30), np.linspace(-0.2, 1.2, 57))
    logistic = 1 / (1 + np.exp(-steep.reshape(-1, 1) * (u - middle.reshape(-1, 1))))
    centred = mean - mean.mean()
    left = centred - parabola @ (parabola.T @ centred)
    found = {"exponential": _best(exponentials, centred), "logistic": _best(logistic, centred)}
    return {"parabola": float(left @ left), **found}


def _best(shapes: Floats, centred: Floats) -> float:
    """Return the least squared residual of a constant plus a multiple of one of (K, P) shapes."""
    free = shapes - shapes.mean(axis=1, keepdims=True)
    length = np.linalg.norm(free, axis=1)
    gain = np.divide(free @ centred, length, out=np.zeros_like(length), where=length > 0)
    return max(0.0, float(centred @ centred - (gain**2).max()))


def _expect_a_kink(series: _Series, squares: dict[str, float], tiny: float) -> None:
    """Refuse a quantity that a smooth curve describes better than the broken line, by BIC."""
    points = len(series.x)
    parameters = {"broken line": 4, "parabola": 3, "exponential": 3, "logistic": 4}
    bic = {
        model: points * math.log((squares[model] + tiny**2) / points) + k * math.log(points)
        for model, k in parameters.items()
    }
    better = min(bic, key=lambda model: bic[model])
    if better != "broken line":
        raise UndeterminedError(
            f"{series.name} bends, but not at one epoch: over {points} epochs a smooth curve ({better}) "
            f"describes it better than two straight pieces (BIC {bic[better]:.1f}, {bic['broken line']:.1f})"
        )


def _first_below(series: _Series, means: Floats, threshold: float) -> Floats:
    """Return (B,) epochs at which (B, P) means first fall to the threshold; infinity where they do not."""
    below = means <= threshold
    column, row = below.argmax(axis=1), np.arange(len(means))
    last = np.maximum(column - 1, 0)
    above, under = means[row, last], means[row, column]
    share = np.where(column > 0, (above - threshold) / np.where(column > 0, above - under, 1.0), 1.0)
    x = series.x[last] + share * (series.x[column] - series.x[last])
    epoch = np.clip(np.exp(x) if series.scale == "log" else x, series.epochs[last], series.epochs[column])
    return np.where(below.any(axis=1), epoch, math.inf)


def _fall(
    epochs: ArrayLike, replicates: ArrayLike | Curve, epoch: float, scale: Scale, *, after: bool
) -> Measurement:
    series = _Series.of(epochs, replicates, scale, 2)
    first, last = series.epochs[[0, -1]]
    if not first <= epoch <= last:
        raise UsageError(f"{series.name}: epoch {epoch:g} lies outside the saved ones, {first:g} to {last:g}")
    x = math.log(epoch) if scale == "log" else epoch
    there = np.array([np.interp(x, series.x, row) for row in series.rows])
    where = f"from epoch {epoch:.4g} to {last:g}" if after else f"from epoch {first:g} to {epoch:.4g}"
    return mean_interval(
        there - series.rows[:, -1] if after else series.rows[:, 0] - there,
        name=f"fall of {series.name} {where}",
        n_of=series.n_of,
        how=f"mean decrease over paired {series.n_of}, Student's t interval",
        details={"epoch": float(epoch)},
    )
