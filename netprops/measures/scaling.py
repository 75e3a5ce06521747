"""Power laws of an error over size, and the critical width.

Words: *error* is a fraction over sizes w (of a chunk or of a network); the *asymptote* is what it falls to;
the *excess* is error minus asymptote; the *exponent* gamma is that of excess = A u^gamma, where u = 1/w, or
1/w - 1/W when a chunk belongs to a layer of W units and its error cannot fall below the layer's own (a finite
population: the *bend*). *Curvature* is the coefficient of (log u)^2: 0 where the law is straight in log-log.
w* is the critical width, from which on the training set is interpolated.

An excess within two standard errors of zero says nothing about its logarithm: it is dropped and counted, in
the curve and in every resample alike, and never clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.measures.loglog import NOISE, Excess, Goodness, Logs, fit_asymptote, reciprocal
from netprops.statistics import t_quantile

Floats = NDArray[np.float64]

INTERPOLATES = 0.005
"""Training error, as a fraction, at which a training set counts as interpolated; it defines w*."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerLaw:
    """A fitted power law, error(w) = asymptote + amplitude u^exponent.

    Args:
        exponent: gamma, with an interval over replicates.
        curvature: Coefficient of (log u)^2 in the curved fit, with an interval over replicates.
        amplitude: A.
        asymptote: The error that the law falls to; for a bend, the error of the whole layer.
        full_width: W of the bend, or None for u = 1/w.
        straight: Goodness of the straight line in log-log.
        curved: Goodness of the parabola in log-log.
        points: Sizes that were used.
        dropped: Sizes in range whose excess was within noise of zero.
    """

    exponent: Measurement
    curvature: Measurement
    amplitude: float
    asymptote: float
    full_width: int | None
    straight: Goodness
    curved: Goodness
    points: tuple[float, ...]
    dropped: tuple[float, ...]

    @property
    def straight_is_better(self) -> bool | None:
        """Whether the straight line is the better model by AICc; None where too few points can tell."""
        if self.straight.aicc is None or self.curved.aicc is None:
            return None
        return self.straight.aicc <= self.curved.aicc

    def predict(self, sizes: ArrayLike) -> Floats:
        """Return the fitted error at some sizes, same shape."""
        fitted: Floats = (
            self.asymptote
            + self.amplitude
            * reciprocal(np.asarray(sizes, dtype=np.float64), self.full_width) ** self.exponent.value
        )
        return fitted

    @property
    def comparison(self) -> str:
        """Both models' goodness in one phrase, and which of them is better."""
        better = {
            True: "the straight line is better",
            False: "the parabola is better",
            None: "too few points tell them apart",
        }[self.straight_is_better]
        return f"R2 {self.straight.r2:.4f} against {self.curved.r2:.4f}, {better} by AICc"

    def line(self, sizes: ArrayLike) -> Curve:
        """Return the fitted law as a dashed curve over those of some sizes that it was fitted on."""
        at = np.asarray(sizes, dtype=np.float64)
        at = at[(at >= self.points[0]) & (at <= self.points[-1])]
        drawn = Curve.plain(
            f"power law, exponent {self.exponent.value:.2f}",
            at.tolist(),
            self.predict(at).tolist(),
            x_name="chunk size w (neurons)",
            y_name="error (fraction)",
            how=self.exponent.how,
        )
        return replace(drawn, details={"line": "dashed"})


def power_law(
    curve: Curve,
    *,
    rng: np.random.Generator,
    asymptote: float | Measurement | None = None,
    full_width: int | None = None,
    above: float = 0.0,
    resamples: int = 1000,
) -> PowerLaw:
    """Fit a power law to an error curve, straight and curved.

    With an asymptote, or with the full width, the log excess is fitted by least squares, weighted by the
    delta method. With neither, asymptote and exponent are fitted together, by least squares of the error
    weighted by its standard errors, with an asymptote that is not negative.

    Args:
        curve: Error over size, with replicates.
        rng: Source of the resamples.
        asymptote: Error that the law falls to, exact or with its standard error; None to fit it or, with
            ``full_width``, to take the curve's own value there.
        full_width: W of the layer that the chunks belong to; None for u = 1/w.
        above: Smallest size that is used, such as w*.
        resamples: Resamples of whole replicates.

    Returns:
        The law; the intervals repeat every step, the dropping of points included.

    Raises:
        MeasurementError: If the curve has no replicates, or too few sizes are in range.
        UndeterminedError: If too few of them carry an excess above noise to determine the exponent.
        UsageError: If the curve lacks ``full_width`` and no asymptote is given.

    Source:
        Doimo et al. 2022, Fig. 2 and 3 (exponent 1/2 above w*); the bend is ours, a sample of w of W units.
    """
    data = Excess.of(curve, rng, asymptote, full_width, above, resamples)
    fitted = data.limits is None
    least = 4 if fitted else 3
    if len(data.x) < least:
        raise MeasurementError(
            f"power law of {curve.name}: {least} sizes are needed, {len(data.x)} lie from {above:g} on"
        )
    exponents, limits = fit_asymptote(data) if data.limits is None else (None, data.limits)
    logs = Logs(data, limits)
    if logs.count[0] < least:
        raise UndeterminedError(
            f"power law of {curve.name}: {least} sizes from {above:g} on with an excess above {NOISE:g} "
            f"standard errors are needed, only {logs.count[0]} of {len(data.x)} have one over the asymptote "
            f"{limits[0]:.3g}"
        )
    if exponents is None:
        exponents = logs.slopes()
    how = (
        "weighted least squares with a fitted asymptote" if fitted else "weighted least squares in log-log"
    ) + (f" over 1/w - 1/{full_width}" if full_width else " over 1/w")
    kept = logs.weight[0] > 0
    details = {
        "points": int(kept.sum()),
        "dropped": int((~kept).sum()),
        "asymptote": float(limits[0]),
        "from": above,
        "full_width": full_width,
    }
    return PowerLaw(
        exponent=data.measure(exponents, f"exponent of {curve.name}", how, details),
        curvature=data.measure(
            logs.curvatures(), f"curvature of {curve.name}", f"parabola by {how}", details
        ),
        amplitude=logs.amplitude(float(exponents[0])),
        asymptote=float(limits[0]),
        full_width=full_width,
        straight=logs.goodness(1),
        curved=logs.goodness(2),
        points=tuple(data.x[kept].tolist()),
        dropped=tuple(data.x[~kept].tolist()),
    )


def local_slope(
    curve: Curve,
    low: float,
    high: float,
    *,
    rng: np.random.Generator,
    asymptote: float | Measurement | None = None,
    full_width: int | None = None,
    resamples: int = 1000,
) -> Measurement:
    """Return the exponent between two sizes, such as below and above w*.

    Args:
        curve: Error over size, with replicates.
        low: A size that was measured.
        high: A larger one.
        rng: Source of the resamples.
        asymptote: Error that the law falls to; None, with ``full_width``, for the curve's own value there.
        full_width: W of the layer that the chunks belong to; None for u = 1/w.
        resamples: Resamples of whole replicates.

    Returns:
        gamma = log(excess(low) / excess(high)) / log(u(low) / u(high)), with an interval over replicates.

    Raises:
        UndeterminedError: If either excess is within noise of zero.
        UsageError: If a size was not measured, or there is nothing to take the asymptote from.
    """
    if asymptote is None and full_width is None:
        raise UsageError("a local slope needs an asymptote or the full width")
    data = Excess.of(curve, rng, asymptote, full_width, 0.0, resamples)
    if data.limits is None:
        raise UsageError("a local slope needs an asymptote or the full width")
    logs = Logs(data, data.limits)
    ends = [data.column(low), data.column(high)]
    kept = logs.weight[:, ends] > 0
    if not kept[0].all():
        raise UndeterminedError(
            f"slope of {curve.name} from {low:g} to {high:g}: the excess at "
            f"{high if kept[0, 0] else low:g} is within {NOISE:g} standard errors of zero"
        )
    steps = logs.log_excess[:, ends] @ [1.0, -1.0] / (logs.log_u[ends] @ [1.0, -1.0])
    return data.measure(
        np.where(kept.all(axis=1), steps, math.nan),
        f"slope of {curve.name} from {low:g} to {high:g}",
        "two points in log-log",
        {"asymptote": float(data.limits[0]), "full_width": full_width},
    )


def crossing(train_error_curve: Curve, threshold: float = INTERPOLATES) -> float:
    """Return the size at which the mean training error crosses the threshold, between measured sizes.

    Args:
        train_error_curve: Training error (fraction) over size.
        threshold: Error at which the training set counts as interpolated.

    Returns:
        The size at which a line in log size and error reaches the threshold, from the last size above it to
        the first one at or below it: at most :func:`critical_width`, and without its steps.

    Raises:
        MeasurementError: If no size reaches the threshold.
    """
    w_star = critical_width(train_error_curve, threshold).value
    x, y = train_error_curve.x, train_error_curve.y
    i = int(np.flatnonzero(x == w_star)[0])
    if i == 0:
        return w_star
    part = (y[i - 1] - threshold) / (y[i - 1] - y[i])
    return float(np.exp(np.log(x[i - 1]) + part * np.log(x[i] / x[i - 1])))


def critical_width(train_error_curve: Curve, threshold: float = INTERPOLATES) -> Measurement:
    """Return w*, the smallest measured size whose mean training error is at most the threshold.

    Args:
        train_error_curve: Training error (fraction) over size.
        threshold: Error at which the training set counts as interpolated.

    Returns:
        w* in neurons. Its interval runs from the smallest size whose own interval reaches the threshold to
        the smallest one whose interval lies below it (the largest measured size where none does).

    Raises:
        MeasurementError: If no size reaches the threshold.

    Source:
        Doimo et al. 2022, section 3.1.
    """
    curve = train_error_curve

    def first(errors: Floats) -> float | None:
        reached = np.flatnonzero(errors <= threshold)
        return float(curve.x[reached[0]]) if len(reached) else None

    value = first(curve.y)
    if value is None:
        raise MeasurementError(
            f"w*: no size of {curve.name} reaches an error of {threshold:g}; the smallest is "
            f"{curve.y.min():.4g}, at w = {curve.x[curve.y.argmin()]:g}: the training set is not interpolated"
        )
    low, high = first(curve.low) or value, first(curve.high)
    top = float(curve.x[-1]) if high is None else high
    return Measurement(
        name="w*",
        value=value,
        low=low,
        high=top,
        standard_error=(top - low) / (2 * t_quantile(0.975, math.inf)),
        n=curve.n,
        n_of=curve.n_of,
        unit="neurons",
        definition=curve.definition,
        how=f"smallest measured size with mean training error <= {threshold:g}; pointwise intervals inverted",
        details={"threshold": threshold, "open_above": high is None},
    )


def clones(width: int, w_star: Measurement) -> Measurement:
    """Return the number of clones, W / w*.

    Args:
        width: W, units of the layer.
        w_star: w* as :func:`critical_width` has it.
    """
    value = width / w_star.value
    return Measurement(
        name="number of clones",
        value=value,
        low=width / w_star.high,
        high=width / w_star.low,
        standard_error=value * w_star.standard_error / w_star.value,
        df=w_star.df,
        confidence=w_star.confidence,
        n=w_star.n,
        n_of=w_star.n_of,
        how=f"W / w*; {w_star.how}",
        definition=w_star.definition,
        details={"width": width, **w_star.details},
    )


def independent_size(width: float, w_star: float) -> float:
    """Return the size of a chunk of an infinitely wide layer that has as much noise as w* of W neurons.

    A chunk of w of W neurons differs from the whole layer by noise of variance proportional to 1/w - 1/W. So
    perfect clones of a size w∞ that no width changes have 1/w* = 1/w∞ + 1/W: w* itself grows with W, and
    W / w* = W / w∞ + 1 grows less than in proportion to W. W / w∞ does grow in proportion.

    Args:
        width: W, units of the layer.
        w_star: w*, below W.

    Returns:
        w∞ = 1 / (1/w* - 1/W), in neurons.

    Raises:
        MeasurementError: If w* is not below W: only the whole layer interpolates.

    Source:
        The variance of a mean over a sample of a finite population; Cochran 1977, Sampling Techniques, 2.5.

    Example:
        >>> round(independent_size(128, 32), 1)
        42.7
    """
    if not 0 < w_star < width:
        raise MeasurementError(
            f"w* is {w_star:g} of {width:g} neurons: only the whole layer interpolates, and no chunk tells "
            "the size of a clone"
        )
    return 1 / (1 / w_star - 1 / width)


def growth_exponent(sizes: ArrayLike, values: ArrayLike) -> float:
    """Return the slope of log(values) over log(sizes): 1 where a value grows in proportion to size.

    Args:
        sizes: (P,) positive sizes, at least two different ones.
        values: (P,) positive values.

    Raises:
        MeasurementError: If fewer than two different sizes are given, or a number is not positive.

    Example:
        >>> round(growth_exponent([64, 128, 256], [2, 4, 8]), 6)
        1.0
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.shape != y.shape or len(np.unique(x)) < 2 or (x <= 0).any() or (y <= 0).any():
        raise MeasurementError(
            f"growth exponent: at least two different positive sizes with positive values are needed, got "
            f"{x.tolist()} and {y.tolist()}"
        )
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])
