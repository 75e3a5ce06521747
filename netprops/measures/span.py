"""What the features of one network do not span of another's: feature span error, gap and residuals.

Words: *sources* (N, n) are the features of M, side by side where M is a concatenation of networks; *targets*
(N, m) are the features of M'. A ridge regression with intercept from the standardised sources to every target
is fitted on the *fit* rows; the other training rows are *held out*, and what is scored on them is the
*validation* error. FSE(M -> M') is the mean error, 1 - R2, over *live* targets, and FSG the difference of two
FSE. *Dead* targets and sources are constant.

The *influence* of a row is how far it moves an FSE: the spread of the influences gives the standard error
over rows, and the difference of two influences of the same row that of a gap. A gap over several *seeds* has
both sources of chance, the networks and the rows.

Source: Duzgun et al. 2024, How does overparameterization affect features?, definitions 2.2 to 2.6, section
3.2, appendices A.1 (regression), D.3 (outliers) and D.4 (shuffled regression).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Detail, Measurement
from netprops.measures.bias_variance import crossed
from netprops.measures.blocks import Features, Floats, Table
from netprops.measures.moments import EXACT
from netprops.measures.regression import Regression, Score
from netprops.measures.threads import serial_if_small
from netprops.statistics import t_quantile


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Span:
    """How well some features span others.

    Args:
        held_out: Errors on held-out rows.
        tested: Errors on test rows; None where none were given.
        strengths: What was chosen for the two halves of the held-out rows and for the test rows, in the unit
            of the Gram matrix of standardised sources.
        dead_targets: Targets that are constant on the fit rows or the held-out rows; dropped.
        dead_regressors: Sources that are constant on the fit rows; dropped.
    """

    held_out: Score
    tested: Score | None
    strengths: tuple[float, float, float]
    dead_targets: int
    dead_regressors: int

    def part(self, part: Literal["validation", "test"]) -> Score:
        """Return the errors on one kind of rows.

        Raises:
            UsageError: If the part is not known, or there were no test features.
        """
        if part not in ("validation", "test"):
            raise UsageError(f"the part of a span is 'validation' or 'test', got {part!r}")
        if part == "validation":
            return self.held_out
        if self.tested is None:
            raise UsageError(
                "a span without test features has no test error; give test_sources and test_targets"
            )
        return self.tested

    @property
    def validation(self) -> Measurement:
        """FSE on held-out rows."""
        return self.held_out.error

    @property
    def without_outliers(self) -> Measurement:
        """FSE on held-out rows, without outliers."""
        return self.held_out.without_outliers

    @property
    def per_target(self) -> Floats:
        """(m,) errors on held-out rows, NaN for dead targets."""
        return self.held_out.per_target

    @property
    def outliers(self) -> tuple[int, ...]:
        """Targets with an error above 5 on held-out rows."""
        return self.held_out.outliers

    @property
    def influence(self) -> Floats:
        """Influences of the held-out rows."""
        return self.held_out.influence

    @property
    def test(self) -> Measurement | None:
        """FSE on test rows, or None."""
        return self.tested.error if self.tested else None

    @property
    def test_per_target(self) -> Floats | None:
        """(m,) errors on test rows, NaN for dead targets; or None."""
        return self.tested.per_target if self.tested else None

    @property
    def test_influence(self) -> Floats | None:
        """Influences of the test rows, or None."""
        return self.tested.influence if self.tested else None


def feature_span(
    sources: Features,
    targets: NDArray[Any],
    *,
    test_sources: Features | None = None,
    test_targets: NDArray[Any] | None = None,
    strengths: ArrayLike | None = None,
    validation: float = 0.2,
    shuffled: bool = False,
    rng: np.random.Generator,
    name: str = "FSE",
) -> Span:
    """Return the feature span error of some features for others.

    Args:
        sources: (N, n) features of M, float32 or float64, or several such arrays side by side; memmaps are
            read in blocks of rows.
        targets: (N, m) features of M' of the same samples.
        test_sources: (N', n) features of M of test samples, as many arrays or one.
        test_targets: (N', m) features of M' of them.
        strengths: (S,) strengths to choose from, in the unit of the Gram matrix of standardised sources; None
            for 20 between 1e-8 and 10 times its mean eigenvalue.
        validation: Share of the rows of the regression that is held out.
        shuffled: Whether a random half of the training rows and a random half of the test rows together are
            regressed on, and the other halves together are the test rows. Then the networks have seen as many
            of the one as of the other.
        rng: Source of the rows. They depend on the generator and on N and N' alone: spans that are measured
            with equal generators can be paired row by row.
        name: Name of the measurement.

    Returns:
        Errors on held-out rows and, with test features, on test rows. The intervals are over the rows that
        are scored, for the fit and the strength that were found.

    Raises:
        MeasurementError: If samples or features do not fit each other, there are not more fit rows than
            sources, all sources or all targets are constant, all targets are outliers, or a number is not
            finite.
        UsageError: If a strength is not positive, ``validation`` lies outside (0, 1), or ``shuffled`` comes
            without test features.
    """
    x, y = _tables(sources, targets, test_sources, test_targets, name)
    with serial_if_small(_largest_product(x, y)):
        work = Regression.of(x, y, strengths, validation, shuffled, rng, name)
        first, second = work.rows.halves
        held_out = work.score([(first, work.strengths[0]), (second, work.strengths[1])], name, "held-out")
        tested = None
        if len(work.rows.test):
            tested = work.score([(work.rows.test, work.strengths[2])], f"{name} on test rows", "test")
    return Span(
        held_out=held_out,
        tested=tested,
        strengths=work.strengths,
        dead_targets=int((~work.live).sum()),
        dead_regressors=int((~work.ridge.live).sum()),
    )


def residual_features(
    sources: Features,
    targets: NDArray[Any],
    *,
    test_sources: Features,
    test_targets: NDArray[Any],
    strengths: ArrayLike | None = None,
    validation: float = 0.2,
    rng: np.random.Generator,
    name: str = "residual features",
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return what a regression from the sources leaves of the targets.

    Args:
        sources: As for :func:`feature_span`.
        targets: As for :func:`feature_span`.
        test_sources: As for :func:`feature_span`.
        test_targets: As for :func:`feature_span`.
        strengths: As for :func:`feature_span`; chosen on all held-out rows.
        validation: Share of the training rows that is held out.
        rng: Source of the held-out rows.
        name: Name of the measurement, for errors.

    Returns:
        Target minus prediction on training and on test rows, (N, m) and (N', m) float32, in units of the
        targets. Where there are not many more fit rows than sources, residuals are smaller on the fit rows
        than elsewhere. A target that is constant on the fit rows is only shifted; one that is reconstructed
        up to rounding leaves 0, for a probe on standardised residuals would see the target in its rounding.

    Raises:
        MeasurementError: As for :func:`feature_span`.
        UsageError: As for :func:`feature_span`.

    Source:
        Duzgun et al. 2024, definition 2.6.
    """
    x, y = _tables(sources, targets, test_sources, test_targets, name)
    with serial_if_small(_largest_product(x, y)):
        work = Regression.of(x, y, strengths, validation, False, rng, name)
        left = np.empty(work.y.shape, dtype=np.float32)
        for some, residuals in work.residuals(np.arange(len(left)), work.strengths[2]):
            left[some] = residuals
    train = left[: work.y.lengths[0]]
    squares = np.einsum("ij,ij->j", train, train, dtype=np.float64) / len(train)
    left[:, squares <= EXACT * work.ridge.squares / work.ridge.n] = 0.0
    return train, left[len(train) :]


def span_gap(
    spans: Sequence[tuple[Span, Span]],
    *,
    name: str = "FSG",
    part: Literal["validation", "test"] = "validation",
) -> Measurement:
    """Return the mean of FSE(first) - FSE(second) over pairs of spans, one pair a seed.

    Args:
        spans: One pair a seed; all were measured on the same rows, that is with equal generators.
        name: Name of the measurement.
        part: Which errors to compare.

    Returns:
        The gap, with an interval over seeds and rows; with a single pair over rows alone.

    Raises:
        MeasurementError: If there is no pair, or spans were scored on different rows.
        UsageError: If the part is not known or was not measured.

    Source:
        Duzgun et al. 2024, equation 3.1; the interval is ours.
    """
    if not spans:
        raise MeasurementError(f"{name}: a gap needs at least one pair of spans, got none")
    scores = [(first.part(part), second.part(part)) for first, second in spans]
    rows = scores[0][0].rows
    if not all(np.array_equal(rows, one.rows) for pair in scores for one in pair):
        raise MeasurementError(
            f"{name}: the spans were scored on different rows; measure all of them on the same samples and "
            f"with equal generators"
        )
    errors = np.array([[one.error.value for one in pair] for pair in scores])
    return seeds_and_samples(
        errors[:, 0] - errors[:, 1],
        np.stack([first.influence - second.influence for first, second in scores]),
        name=name,
        how=f"mean difference of paired {part} FSE",
        details={"first_fse": float(errors[:, 0].mean()), "second_fse": float(errors[:, 1].mean())},
    )


def seeds_and_samples(
    values: ArrayLike,
    influences: ArrayLike,
    *,
    name: str,
    n_of: str = "seeds",
    how: str | None = None,
    confidence: float = 0.95,
    details: Mapping[str, Detail] | None = None,
) -> Measurement:
    """Return the mean of values over seeds, with an interval over seeds and the samples that they share.

    Seeds and samples are crossed: the variance is that between seeds over their number, plus that of the mean
    influence over the number of samples, minus what both of them hold. The variance between seeds that are
    measured on the same samples lacks the part that these samples add to all of them alike.

    Args:
        values: (S,) one number a seed, such as an accuracy or a gap.
        influences: (S, n) how far each sample moves each value, with mean 0 over samples, such as
            ``correct - accuracy``.
        name: Name of the measurement.
        n_of: What the values are.
        how: What was measured, in one phrase.
        confidence: Coverage of the interval.
        details: Further facts for the record.

    Returns:
        The mean with a t interval, whose degrees of freedom are Satterthwaite's; of a single value the
        interval is over samples alone, which ``n_of`` then says.

    Raises:
        MeasurementError: If shapes do not fit, there are fewer than two samples, or a number is not finite.

    Example:
        >>> two_seeds = [[0.25, -0.25, 0.25, -0.25], [0.0, 0.0, 0.0, 0.0]]
        >>> str(seeds_and_samples([0.5, 0.6], two_seeds, name="accuracy"))
        '0.55 [0.1983, 0.9017]'
    """
    row, table = np.asarray(values, dtype=np.float64), np.asarray(influences, dtype=np.float64)
    if row.ndim != 1 or table.ndim != 2 or len(row) != len(table) or not row.size or table.shape[1] < 2:
        raise MeasurementError(
            f"{name}: values {row.shape} and influences {table.shape} do not fit; expected (S,) and (S, n), "
            f"n at least 2"
        )
    if not (np.isfinite(row).all() and np.isfinite(table).all()):
        raise MeasurementError(f"{name}: a value or an influence is not finite")
    count, samples = table.shape
    single = count == 1
    if single:
        value, df = float(row[0]), samples - 1.0
        error = float(table.std(ddof=1)) / math.sqrt(samples)
    else:
        value, error, df = crossed(row[:, None] + table - table.mean(axis=1, keepdims=True))
    half = t_quantile((1 + confidence) / 2, df) * error
    over = f"t over {samples} samples" if single else f"t over {count} {n_of} crossed with {samples} samples"
    return Measurement(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        standard_error=error,
        df=df,
        confidence=confidence,
        n=samples if single else count,
        n_of="samples" if single else n_of,
        how=f"{how or 'mean'}; {over}",
        details={"samples": samples, **(details or {})},
    )


def _tables(
    sources: Features,
    targets: NDArray[Any],
    test_sources: Features | None,
    test_targets: NDArray[Any] | None,
    name: str,
) -> tuple[Table, Table]:
    if (test_sources is None) != (test_targets is None):
        raise UsageError(f"{name}: test_sources and test_targets come together, got one of them")
    return (
        Table(sources, test_sources, name=name, what="sources"),
        Table(targets, test_targets, name=name, what="targets"),
    )


def _largest_product(x: Table, y: Table) -> int:
    """Return how many multiplications the largest of a regression's products has."""
    return int(len(x) * x.shape[1] * max(x.shape[1], y.shape[1]))
