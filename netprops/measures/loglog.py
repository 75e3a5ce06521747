"""Weighted fits of an excess error in log-log, for a curve and its resamples at once.

Words: P sizes w and B resamples of whole replicates; *means* (1 + B, P) are the errors, row 0 those of the
curve itself; the *excess* is error minus a *limit*; u = 1/w, or 1/w - 1/W where a layer of W units bends the
law. The weight of a log excess is (excess / standard error)^2, by the delta method, and 0 within noise of
zero.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Detail, Measurement
from netprops.replicates import spread_means
from netprops.statistics import t_quantile

Floats = NDArray[np.float64]

# An excess below this many standard errors carries no weight.
NOISE = 2.0
# Exponents tried where the asymptote is fitted; the laws in question lie between 1/3 and 2.
_EXPONENTS = np.arange(0.05, 5.0, 0.05)
# More undefined resamples than this and the data do not determine the number.
_MOST_UNDEFINED = 0.05
# Replicates that the power law of the standard errors is worth, against the standard error of a size itself.
_PRIOR_REPLICATES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Goodness:
    """How well one model fits the log excess.

    Args:
        parameters: Number of fitted parameters, k.
        r2: Weighted share of the explained variance of the log excess.
        chi2: Sum of squared residuals in standard errors; the sizes' errors are taken as independent.
        aicc: chi2 + 2k + 2k(k+1) / (points - k - 1), smaller is better; None with too few points for it.
    """

    parameters: int
    r2: float
    chi2: float
    aicc: float | None


def reciprocal(sizes: Floats, full_width: int | None) -> Floats:
    """Return u: 1/w, or 1/w - 1/W with a full width."""
    return 1 / sizes - (1 / full_width if full_width else 0.0)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Excess:
    """An error curve over its limit, with resamples.

    Args:
        name: Name of the curve.
        x: (P,) sizes in range.
        u: (P,) their reciprocals.
        means: (1 + B, P) errors.
        limits: (1 + B,) what each row falls to; None where it is to be fitted.
        error: (P,) standard errors of the excess.
        n: Number of replicates.
        n_of: What they are.
        stretch: Student's t over the normal quantile, by which the resamples are spread.
    """

    name: str
    x: Floats
    u: Floats
    means: Floats
    limits: Floats | None
    error: Floats
    n: int
    n_of: str
    stretch: float

    @classmethod
    def of(
        cls,
        curve: Curve,
        rng: np.random.Generator,
        asymptote: float | Measurement | None,
        full_width: int | None,
        above: float,
        resamples: int,
    ) -> Excess:
        """Return the excess of a curve; the arguments are those of ``scaling.power_law``."""
        replicates = curve.replicates
        if replicates is None or len(replicates) < 2:
            raise MeasurementError(f"power law of {curve.name}: the curve needs at least two replicates")
        count = len(replicates)
        mean = replicates.mean(axis=0)
        stretch = float(t_quantile(0.975, count - 1) / t_quantile(0.975, math.inf))
        means = np.vstack([mean, spread_means(replicates, rng, resamples)])
        limits, shared = None, 0.0
        if isinstance(asymptote, Measurement):
            shared = asymptote.standard_error
            limits = np.r_[asymptote.value, rng.normal(asymptote.value, shared, resamples)]
        elif asymptote is not None:
            limits = np.full(1 + resamples, float(asymptote))
        elif full_width is not None:
            at = np.flatnonzero(curve.x == full_width)
            if not len(at):
                raise UsageError(
                    f"{curve.name} was not measured at the full width {full_width}; give an asymptote"
                )
            limits = means[:, at[0]]
            replicates = replicates - replicates[:, at]
        used = curve.x >= above
        if full_width is not None:
            used &= curve.x < full_width
        error = np.hypot(replicates.std(axis=0, ddof=1) / math.sqrt(count), shared)[used]
        # Where all replicates agree by chance, no smaller error can be claimed than elsewhere.
        known = error[error > 1e-12 * np.abs(mean[used])]  # equal replicates differ by rounding
        if not len(known):
            raise UndeterminedError(f"power law of {curve.name}: the replicates do not differ at any size")
        u = reciprocal(curve.x[used], full_width)
        return cls(
            name=curve.name,
            x=curve.x[used],
            u=u,
            means=means[:, used],
            limits=limits,
            error=_smoothed(np.maximum(error, known.min()), u, count),
            n=count,
            n_of=curve.n_of,
            stretch=stretch,
        )

    def column(self, size: float) -> int:
        """Return the index of a size.

        Raises:
            UsageError: If it has no excess.
        """
        hits = np.flatnonzero(np.isclose(self.x, size, rtol=1e-9))
        if not len(hits):
            raise UsageError(f"{self.name} has no excess at {size:g}; it has at {self.x.tolist()}")
        return int(hits[0])

    def measure(self, values: Floats, name: str, how: str, details: Mapping[str, Detail]) -> Measurement:
        """Return a number that has one value for the curve and one for each resample, (1 + B,).

        Raises:
            UndeterminedError: If more than 5% of the resamples leave it undefined.
        """
        drawn = values[1:][np.isfinite(values[1:])]
        undefined = len(values) - 1 - len(drawn)
        if undefined > _MOST_UNDEFINED * len(values):
            raise UndeterminedError(
                f"{name} is undefined in {undefined} of {len(values) - 1} resamples of {self.n} {self.n_of}: "
                f"too few sizes have an excess above noise; measure more {self.n_of}"
            )
        low, high = np.quantile(drawn, [0.025, 0.975])
        value = float(values[0])
        return Measurement(
            name=name,
            value=value,
            low=min(float(low), value),
            high=max(float(high), value),
            standard_error=float(drawn.std(ddof=1)) / self.stretch,
            df=self.n - 1.0,
            n=self.n,
            n_of=self.n_of,
            how=f"{how}; percentile bootstrap over whole {self.n_of}",
            details=details,
        )


def _smoothed(error: Floats, u: Floats, count: int) -> Floats:
    """Return standard errors drawn towards their power law in u, the more the fewer the replicates.

    Standard errors of a few replicates scatter by chance; weights that follow the scatter would favour the
    sizes whose replicates happen to agree, and the interval would be too short (of five replicates it
    covered 84%).
    """
    if len(u) < 3:
        return error
    logs = np.log(error)
    trend = np.polyval(np.polyfit(np.log(u), logs, 1), np.log(u))
    own = (count - 1) / (count - 1 + _PRIOR_REPLICATES)
    return np.asarray(np.exp(trend + own * (logs - trend)))


class Logs:
    """Log excess over log u, for the curve and its resamples.

    Args:
        data: The curve and its resamples.
        limits: (1 + B,) what each row falls to.
    """

    def __init__(self, data: Excess, limits: Floats) -> None:
        excess = data.means - limits[:, None]
        heard = excess > NOISE * data.error
        self.weight: Floats = np.where(heard, (excess / data.error) ** 2, 0.0)
        self.log_excess: Floats = np.log(np.where(heard, excess, 1.0))
        self.log_u: Floats = np.log(data.u)
        self.count: NDArray[np.int64] = heard.sum(axis=1)

    def slopes(self) -> Floats:
        """Return (1 + B,) slopes of the straight lines; NaN with fewer than two points."""
        return self._fit(1)[:, 1]

    def curvatures(self) -> Floats:
        """Return (1 + B,) coefficients of (log u)^2; NaN with fewer than three points."""
        return self._fit(2)[:, 2]

    def amplitude(self, exponent: float) -> float:
        """Return the amplitude of the curve's own law of a given exponent."""
        return math.exp(float(np.average(self.log_excess[0] - exponent * self.log_u, weights=self.weight[0])))

    def goodness(self, degree: int) -> Goodness:
        """Return how well a polynomial in log u fits the curve's own log excess."""
        weight, y = self.weight[0], self.log_excess[0]
        left = y - (self._basis(degree)[0] @ self._fit(degree)[0])
        chi2 = float(weight @ left**2)
        total = float(weight @ (y - np.average(y, weights=weight)) ** 2)
        spare, k = int(self.count[0]) - degree - 2, degree + 1
        return Goodness(
            parameters=k,
            r2=1 - chi2 / total,
            chi2=chi2,
            aicc=chi2 + 2 * k + 2 * k * (k + 1) / spare if spare > 0 else None,
        )

    def _basis(self, degree: int) -> Floats:
        """Return (1 + B, P, degree + 1) powers of log u about each row's weighted mean."""
        total = np.maximum(self.weight.sum(axis=1), 1e-300)
        centred = self.log_u - (self.weight @ self.log_u / total)[:, None]
        return np.asarray(centred[:, :, None] ** np.arange(degree + 1))

    def _fit(self, degree: int) -> Floats:
        """Return (1 + B, degree + 1) coefficients; NaN where too few points carry weight."""
        basis = self._basis(degree)
        enough = self.count > degree
        weighted = (basis * self.weight[:, :, None])[enough].swapaxes(1, 2)
        found = np.full((len(basis), degree + 1), math.nan)
        found[enough] = np.linalg.solve(
            weighted @ basis[enough], weighted @ self.log_excess[enough][:, :, None]
        )[:, :, 0]
        return found


def fit_asymptote(data: Excess) -> tuple[Floats, Floats]:
    """Return (1 + B,) exponents and limits of error = limit + A u^exponent by weighted least squares.

    Every exponent of a grid leaves a linear problem with limit >= 0 and A > 0; finer grids follow.

    Raises:
        MeasurementError: If no exponent inside the grid is the curve's best.
    """
    squares = np.array([_linear(data, data.u**exponent)[1] for exponent in _EXPONENTS])
    exponents = _EXPONENTS[squares.argmin(axis=0)]
    if exponents[0] in (_EXPONENTS[0], _EXPONENTS[-1]):
        raise MeasurementError(
            f"power law of {data.name}: exponent and asymptote cannot both be fitted, the best exponent "
            f"is at the end of {_EXPONENTS[0]:g}..{_EXPONENTS[-1]:g}; give the asymptote"
        )
    step = _EXPONENTS[1] - _EXPONENTS[0]
    for _ in range(3):  # no parabola: the squares have a kink where the limit reaches 0
        # Resamples may end at an end of the grid: at an exponent of 0 there would be no law.
        near = np.clip(exponents + np.linspace(-step, step, 21)[:, None], _EXPONENTS[0], _EXPONENTS[-1])
        squares = np.array([_linear(data, data.u ** row[:, None])[1] for row in near])
        exponents = near[squares.argmin(axis=0), np.arange(len(exponents))]
        step /= 10
    return exponents, _linear(data, data.u ** exponents[:, None])[0]


def _linear(data: Excess, powers: Floats) -> tuple[Floats, Floats]:
    """Return (1 + B,) limits >= 0 and weighted squared residuals of error = limit + A powers, A > 0."""
    weight = 1 / data.error**2
    weight = weight / weight.sum()
    x = np.broadcast_to(powers, data.means.shape)
    mean_x, mean_y = x @ weight, data.means @ weight
    xy, xx = (x * data.means) @ weight, (x**2) @ weight
    slope = (xy - mean_x * mean_y) / (xx - mean_x**2)
    limits = mean_y - slope * mean_x
    slope, limits = np.where(limits < 0, xy / xx, slope), np.maximum(limits, 0.0)
    left = ((data.means - limits[:, None] - slope[:, None] * x) ** 2) @ weight
    return limits, np.where(slope > 0, left, math.inf)
