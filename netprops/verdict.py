"""Verdicts: a measurement held against a bound, within the false-alarm budget of a run.

Words: a *bound* is what a claim expects of a value; an *expectation* is a measurement with its bound; the
*budget* is the probability alpha with which a run in which every claim holds may report any failure; a
test's *share* of it is alpha / m, for m selected property tests.

The interval decides: wholly inside the bound is PASS; wholly outside, with a p-value within the share, is
FAIL; everything else is INCONCLUSIVE.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from netprops.errors import UsageError

if TYPE_CHECKING:
    from netprops.measurement import Measurement


class Outcome(StrEnum):
    """What one expectation, or a test of several, came to."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What a claim expects of a measured value.

    Args:
        at_least: Lower end, in the measurement's unit; None for no lower end. The end itself is inside.
        at_most: Upper end; None for no upper end.
        source: Where the bound comes from: paper and figure, or theory.
        calibration: How the number was chosen at the run's scale, where the source does not give it.

    Raises:
        UsageError: If there is no end, an end is not finite, the ends are the wrong way round, or the
            source is empty.
    """

    at_least: float | None = None
    at_most: float | None = None
    source: str
    calibration: str | None = None

    def __post_init__(self) -> None:
        ends = {"at_least": self.at_least, "at_most": self.at_most}
        given = {name: end for name, end in ends.items() if end is not None}
        if not given:
            raise UsageError("a bound needs at_least, at_most or both; neither was given")
        for name, end in given.items():
            if not math.isfinite(end):
                raise UsageError(f"a bound needs finite ends; {name} is {end}")
        if len(given) == 2 and given["at_least"] > given["at_most"]:
            raise UsageError(f"at_least={self.at_least:g} lies above at_most={self.at_most:g}")
        if not self.source.strip():
            raise UsageError("a bound needs its source: a paper's figure or section, or the theory behind it")

    def __str__(self) -> str:
        if self.at_least is None:
            return f"≤ {self.at_most:.4g}"
        if self.at_most is None:
            return f"≥ {self.at_least:.4g}"
        return f"in [{self.at_least:.4g}, {self.at_most:.4g}]"

    def encloses(self, low: float, high: float) -> bool:
        """Return whether an interval lies wholly inside."""
        above = self.at_least is None or low >= self.at_least
        below = self.at_most is None or high <= self.at_most
        return above and below

    def excludes(self, low: float, high: float) -> bool:
        """Return whether an interval lies wholly outside, on one side."""
        below = self.at_least is not None and high < self.at_least
        above = self.at_most is not None and low > self.at_most
        return below or above


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an expectation came to, and why.

    Args:
        outcome: PASS, FAIL or INCONCLUSIVE.
        sentence: One sentence: value, interval, bound, reason and, if undecided, what would decide.
        p_value: Probability of a value at least this far out if the truth lay inside the bound.
        detectable_effect: Distance from the bound, in the measurement's unit, that would have been decided
            with a power of 80%; None for an exact value.
        outside: Whether the interval lies wholly outside the bound.
    """

    outcome: Outcome
    sentence: str
    p_value: float
    detectable_effect: float | None
    outside: bool


def judge(measurement: Measurement, bound: Bound, alpha: float) -> Verdict:
    """Hold one measurement against its bound.

    Args:
        measurement: The value with its interval.
        bound: What is expected of it.
        alpha: This expectation's share of the false-alarm budget, in (0, 1).

    Returns:
        PASS if the interval lies wholly inside the bound; FAIL if it lies wholly outside and the p-value is
        at most ``alpha``; INCONCLUSIVE otherwise.
    """
    return judge_all([(measurement, bound)], alpha)[0]


def judge_all(expectations: Sequence[tuple[Measurement, Bound]], alpha: float) -> list[Verdict]:
    """Judge all expectations of one test, which share ``alpha`` by Holm's procedure.

    Args:
        expectations: Measurements with their bounds.
        alpha: The test's share of the false-alarm budget, in (0, 1).

    Returns:
        One verdict each, in the same order.
    """
    from netprops.statistics import detectable_effect, holm, p_outside

    if not 0 < alpha < 1:
        raise UsageError(f"alpha must lie between 0 and 1, got {alpha}")
    p_values = [p_outside(measured, bound.at_least, bound.at_most) for measured, bound in expectations]
    verdicts = []
    decided = zip(expectations, p_values, holm(p_values, alpha), strict=True)
    for (measured, bound), p_value, rejected in decided:
        outside = bound.excludes(measured.low, measured.high)
        exact = measured.standard_error == 0 and measured.low == measured.high
        effect = None if exact else detectable_effect(measured, alpha=alpha)
        if bound.encloses(measured.low, measured.high):
            outcome, reason = Outcome.PASS, "holds"
        elif outside and rejected:
            outcome, reason = Outcome.FAIL, f"does not hold (p = {p_value:.2g}, share of alpha {alpha:.2g})"
        else:
            outcome, reason = Outcome.INCONCLUSIVE, _undecided(measured, p_value, alpha, effect, outside)
        sentence = f"{measured.name} = {measured}, expected {bound}: {reason}"
        verdicts.append(
            Verdict(
                outcome=outcome,
                sentence=sentence,
                p_value=float(p_value),
                detectable_effect=effect,
                outside=outside,
            )
        )
    return verdicts


def overall(outcomes: Sequence[Outcome]) -> Outcome:
    """Return what a test with these expectations comes to: the worst of them."""
    for outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
        if outcome in outcomes:
            return outcome
    return Outcome.PASS


def rejections(p_values: Sequence[Sequence[float]], alpha: float, tests: int) -> list[list[bool]]:
    """Decide, after the run, which expectations the whole budget rejects.

    Each of the run's tests starts with the share ``alpha / tests`` and spends it by Holm over its own
    expectations; a test whose expectations are all rejected passes its share on, in equal parts, to the tests
    that still have some. This is a sequentially rejective graphical procedure (Bretz, Maurer, Brannath
    and Posch 2009, "A graphical approach to sequentially rejective multiple test procedures"): it keeps
    the probability of any false alarm in the run at most ``alpha``, and rejects whatever the tests
    rejected by their own shares.

    Args:
        p_values: For every test that made expectations, their p-values.
        alpha: The run's budget, in (0, 1).
        tests: Number of selected property tests, at least ``len(p_values)``: tests that were skipped or
            stopped keep their share.

    Returns:
        For every test, which of its expectations are rejected.
    """
    from netprops.statistics import holm

    if tests < len(p_values):
        raise UsageError(f"{len(p_values)} tests made expectations, but only {tests} share the budget")
    finished: set[int] = set()
    while True:
        share = alpha / max(1, tests - len(finished))
        decided = [[bool(x) for x in holm(list(ps), share)] for ps in p_values]
        # A finished test stays finished: its expectations were all rejected at a smaller share.
        now = {i for i, rejected in enumerate(decided) if rejected and all(rejected)}
        if now == finished:
            return decided
        finished = now


def _undecided(
    measured: Measurement, p_value: float, alpha: float, effect: float | None, outside: bool
) -> str:
    """Return why a measurement was not decided and what would decide it."""
    if outside:
        why = f"undecided: outside, but p = {p_value:.2g} exceeds its share of alpha, {alpha:.2g}"
    else:
        why = "undecided: the interval lies astride the bound"
    if effect is None or not math.isfinite(effect):
        return f"{why}; more than {measured.n} {measured.n_of} would decide"
    unit = f" {measured.unit}" if measured.unit else ""
    return f"{why}; with {measured.n} {measured.n_of} a distance of {effect:.2g}{unit} would be decided"
