"""A regression from some features to others: the strength that held-out rows choose, and errors by target.

Words: *sources* (N, n) and *targets* (N, m) are features of the same N samples. The rows are split: the
regression is fitted on the *fit* rows, two *halves* are *held out*, and *test* rows may count on from the
training rows. The *error* of a target is 1 - R2 on the rows that are scored, in units of its variance on
these rows. *Dead* targets are constant; an *outlier* is a target with an error above 5.

One *strength* serves all targets: that of the smallest mean squared residual, in units of the targets'
variances, on rows that are not scored. For held-out rows these are the other half of them, both ways; for
test rows they are all held-out rows.

The mean error over targets is a mean of ratios of sums over rows, r2 over s2. Its *influence* of row i is the
mean over targets of (r2_ij - e_j s2_ij) / v_j, with e_j the error and v_j the variance of target j: to first
order the error on other rows differs by the mean of their influences.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.measures.blocks import Floats, Rows, Table, in_blocks
from netprops.measures.moments import varies
from netprops.measures.ridge import Ridge
from netprops.statistics import t_quantile

# Strengths over the mean eigenvalue: from the rounding of float32 features to a fit of little but means.
RELATIVE_STRENGTHS = np.geomspace(1e-8, 1e1, 20)
# The rule of Duzgun et al. 2024, appendix D.3.
OUTLIER = 5.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Score:
    """Errors of all targets on some rows.

    Args:
        error: FSE, the mean over live targets; its interval is over rows, for this fit.
        without_outliers: The same without the targets whose error exceeds 5.
        per_target: (m,) 1 - R2 of every target, NaN for a dead one.
        outliers: Indices of the targets whose error exceeds 5.
        rows: (r,) rows that were scored, ascending; test rows count on from the training rows.
        influence: (r,) float64, of each of them; their mean is 0.
    """

    error: Measurement
    without_outliers: Measurement
    per_target: Floats
    outliers: tuple[int, ...]
    rows: Rows
    influence: Floats


@dataclass(frozen=True, slots=True)
class Split:
    """Rows of the regression, each ascending: to fit on, two halves to hold out, to test on."""

    fit: Rows
    halves: tuple[Rows, Rows]
    test: Rows

    @classmethod
    def of(cls, lengths: Sequence[int], validation: float, shuffled: bool, rng: np.random.Generator) -> Split:
        """Return a random split of the training rows and, if any, the test rows.

        Args:
            lengths: Numbers of training and of test rows; the rows of the latter count on.
            validation: Share of the regression's rows that is held out.
            shuffled: Whether the regression's rows are half of either, and the test rows the other halves.
            rng: Source of the split.
        """
        order, test = rng.permutation(lengths[0]), np.arange(lengths[0], sum(lengths))
        if shuffled:
            below = lengths[0] + rng.permutation(lengths[1])
            half, other = lengths[0] // 2, lengths[1] // 2
            test = np.sort(np.concatenate([order[half:], below[other:]]))
            order = rng.permutation(np.concatenate([order[:half], below[:other]]))
        held = order[: round(validation * len(order))]
        return cls(np.sort(order[len(held) :]), (np.sort(held[::2]), np.sort(held[1::2])), test)


@dataclass(frozen=True, slots=True, eq=False)
class Regression:
    """A regression on the fit rows, which targets are live, and the strengths that were chosen."""

    x: Table
    y: Table
    rows: Split
    ridge: Ridge
    live: NDArray[np.bool_]
    strengths: tuple[float, float, float]
    details: dict[str, float | int | bool]

    @classmethod
    def of(
        cls,
        x: Table,
        y: Table,
        strengths: ArrayLike | None,
        validation: float,
        shuffled: bool,
        rng: np.random.Generator,
        name: str,
    ) -> Regression:
        """Return the regression, fitted, with strengths chosen.

        Args:
            x: Sources.
            y: Targets.
            strengths: As for :func:`~netprops.measures.span.feature_span`, as are the following.
            validation: Share of the regression's rows that is held out.
            shuffled: Whether training and test rows are mixed.
            rng: Source of the split.
            name: Name of the measurement, for errors.

        Raises:
            MeasurementError: If samples do not fit, there are not more rows to fit on than sources, or all
                sources or all targets are constant.
            UsageError: If a strength is not positive, ``validation`` lies outside (0, 1), or ``shuffled`` is
                asked for without test rows.
        """
        if x.lengths != y.lengths:
            raise MeasurementError(
                f"{name}: sources of {_counts(x)} and targets of {_counts(y)}; expected features of the same "
                f"samples"
            )
        if not 0 < validation < 1:
            raise UsageError(f"{name}: validation is a share of the rows within (0, 1), got {validation:g}")
        if shuffled and len(x.lengths) == 1:
            raise UsageError(f"{name}: a shuffled regression needs test features, got none")
        rows = Split.of(x.lengths, validation, shuffled, rng)
        if x.shape[1] >= len(rows.fit) or len(rows.halves[1]) < 2:
            raise MeasurementError(
                f"{name}: {x.shape[1]} sources for {len(rows.fit)} rows to fit on and "
                f"{sum(map(len, rows.halves))} held out; expected more rows to fit on than sources and at "
                f"least 4 held out: give more samples or fewer features"
            )
        ridge = Ridge.fit(x, y, rows.fit)
        if strengths is None:
            grid = RELATIVE_STRENGTHS * ridge.n
        else:
            grid = np.unique(np.asarray(strengths, dtype=np.float64))
        if not grid.size or not (np.isfinite(grid) & (grid > 0)).all():
            raise UsageError(f"{name}: strengths are positive numbers, got {grid}")
        held = np.sort(np.concatenate(rows.halves))
        mean, squares = _spread(y, held)
        live = varies(ridge.n, ridge.mean_y, ridge.squares) & varies(len(held), mean, squares)
        if not live.any():
            raise MeasurementError(
                f"{name}: all {len(live)} targets are dead: constant on the rows to fit on or on those held "
                f"out"
            )
        # The variance over both kinds of rows: a target that hardly varies on either decides nothing.
        variance = (ridge.squares + squares) / (ridge.n + len(held))
        weights = np.divide(1 / live.sum(), variance, out=np.zeros(len(live)), where=live)
        first, second = (ridge.losses(x, y, half, grid, weights) for half in rows.halves)
        whole = len(rows.halves[0]) * first + len(rows.halves[1]) * second
        chosen = tuple(float(grid[loss.argmin()]) for loss in (second, first, whole))
        details: dict[str, float | int | bool] = {
            "fit_rows": ridge.n,
            "sources": x.shape[1],
            "dead_sources": int((~ridge.live).sum()),
            "targets": y.shape[1],
            "smallest_strength": float(grid[0]),
            "largest_strength": float(grid[-1]),
            "shuffled": shuffled,
        }
        return cls(x, y, rows, ridge, live, (chosen[0], chosen[1], chosen[2]), details)

    def residuals(self, rows: Rows, strength: float) -> Iterator[tuple[Rows, Floats]]:
        """Yield rows and their residuals, block by block."""
        return self.ridge.residuals(self.x, self.y, rows, self.ridge.coefficients(strength))

    def score(
        self, parts: Sequence[tuple[Rows, float]], name: str, kind: str, without: Sequence[int] = ()
    ) -> Score:
        """Return errors on some rows.

        Args:
            parts: Rows, ascending within a part, and the strength of the regression that is scored on them.
            name: Name of the error.
            kind: What the rows are, such as ``"test"``.
            without: Targets that do not count.

        Raises:
            MeasurementError: If no target is live on these rows, or all live ones are outliers.
        """
        rows = np.sort(np.concatenate([some for some, _ in parts]))
        mean, squares = _spread(self.y, rows)
        live = self.live & varies(len(rows), mean, squares)
        live[list(without)] = False
        if not live.any():
            raise MeasurementError(
                f"{name}: every target is dead or an outlier, with an error above {OUTLIER:g}, on the {kind} "
                f"rows; are they of the kind that was fitted?"
            )
        variance = squares / len(rows)
        weights = np.divide(1 / live.sum(), variance, out=np.zeros(len(live)), where=live)
        influence, missed = np.empty(len(rows)), np.zeros(len(live))
        for wanted, strength in parts:
            for some, left in self.residuals(wanted, strength):
                left *= left
                missed += left.sum(axis=0)
                influence[np.searchsorted(rows, some)] = left @ weights
        per_target = np.divide(missed, squares, out=np.full(len(live), math.nan), where=live)
        errors = np.where(live, per_target, 0.0)
        for some in in_blocks(rows, len(live)):
            apart = self.y.take(some)
            apart -= mean
            apart *= apart
            influence[np.searchsorted(rows, some)] -= apart @ (weights * errors)
        value = float(per_target[live].mean())
        outliers = tuple(int(j) for j in np.flatnonzero(errors > OUTLIER))
        spread = float(influence.std(ddof=1)) / math.sqrt(len(rows))
        half = t_quantile(0.975, len(rows) - 1) * spread
        error = Measurement(
            name=name,
            value=value,
            low=value - half,
            high=value + half,
            standard_error=spread,
            df=len(rows) - 1.0,
            n=len(rows),
            n_of=f"{kind} rows",
            how="mean over live targets of 1 - R2 by ridge regression, its strength chosen on other rows; "
            f"t interval over {kind} rows, for this fit",
            details={
                **self.details,
                "scored_targets": int(live.sum()),
                "outliers": len(outliers),
                **{f"strength_{i}": strength for i, (_, strength) in enumerate(parts, 1)},
            },
        )
        other = f"{name} without outliers"
        return Score(
            error=error,
            without_outliers=self.score(parts, other, kind, outliers).error
            if outliers
            else error.named(other),
            per_target=per_target,
            outliers=outliers,
            rows=rows,
            influence=influence,
        )


def _counts(table: Table) -> str:
    return " + ".join(map(str, table.lengths)) + " samples"


def _spread(table: Table, rows: Rows) -> tuple[Floats, Floats]:
    """Return means and sums of squared deviations over some rows; those of a constant are exact."""
    about = table.take(rows[:1])[0]
    total, squares = np.zeros_like(about), np.zeros_like(about)
    for some in in_blocks(rows, len(about)):
        apart = table.take(some)
        apart -= about
        total += apart.sum(axis=0)
        squares += np.einsum("ij,ij->j", apart, apart)
    offset = total / len(rows)
    return about + offset, np.maximum(squares - len(rows) * offset**2, 0.0)
