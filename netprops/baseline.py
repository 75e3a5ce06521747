"""Two records compared: what got worse, what got better, and what cannot be compared.

Words: the *baseline* is the earlier record, the *run* the later one; a *row* is one expectation in both, or a
test without any; the *margin* of a value is its distance from the nearest end of its bound, negative outside,
and a *loss* is how much margin a row lost.

A row is a *regression* if its verdict got worse or its measurement moved out. Verdicts, from good to bad:
PASS, INCONCLUSIVE, FAIL, ERROR; getting worse is to become FAIL or ERROR from anything better. PASS that
becomes INCONCLUSIVE is a change, since nothing was refuted; so is a failure that ``xfails.toml`` declares.
An INCONCLUSIVE one that becomes FAIL although both measurements agree was decided by the draws, not by the
network: a change too. A measurement *moved* if its two intervals do not meet, the difference is larger than
the tolerance, and it survives Holm's correction over all rows at the run's false-alarm budget; it moved *out*
if the margin became smaller by more than the tolerance, and *in* if it grew: an improvement.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from netprops import matching
from netprops.errors import UsageError
from netprops.records import BoundRecord, ExpectationRecord, MeasurementRecord, Record, TestRecord
from netprops.tolerances import Tolerance, Tolerances
from netprops.verdict import Outcome

Kind = Literal["regression", "change", "improvement", "incomparable", "gone", "new", "same"]
KINDS: tuple[Kind, ...] = ("regression", "change", "improvement", "incomparable", "gone", "new", "same")
FailOn = Literal["regression", "change", "never"]
FAIL_ON: tuple[FailOn, ...] = ("regression", "change", "never")

_RANK = {"PASS": 0, "XPASS": 0, "INCONCLUSIVE": 1, "XFAIL": 2, "FAIL": 2, "ERROR": 3}
_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A measurement now minus then, in its unit.

    Args:
        value: Now minus then.
        low: Lower end of its 95% interval (Welch); ``value`` where both are exact.
        high: Upper end.
        p_value: Two-sided, of no difference; 0 or 1 where both are exact.
        apart: Whether the two measurements' intervals do not meet.
        tolerance: What it had to exceed.
        margin: The baseline's margin to the run's bound.
        loss: How much of it was lost; negative for a gain.
    """

    value: float
    low: float
    high: float
    p_value: float
    apart: bool
    tolerance: float
    margin: float
    loss: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One expectation in two records, or one test where expectations cannot be held side by side.

    Args:
        test: Id of the test in the run, or in the baseline where the run has none.
        claim: What the test claims.
        expectation: Name of the measurement; empty for a row about a whole test.
        kind: What became of it.
        before: Outcome in the baseline; empty where it was not there.
        after: Outcome in the run; empty where it is not there.
        was: The baseline's measurement.
        now: The run's measurement.
        bound: What the run expected of it.
        difference: Now minus then, where both were measured at the same place.
        why: Why it is of this kind, in words.
        marks: What else differs between the two: suite, place of the measurement, network.
    """

    test: str
    claim: str = ""
    expectation: str = ""
    kind: Kind
    before: str = ""
    after: str = ""
    was: MeasurementRecord | None = None
    now: MeasurementRecord | None = None
    bound: BoundRecord | None = None
    difference: Difference | None = None
    why: str = ""
    marks: tuple[str, ...] = ()

    @property
    def importance(self) -> tuple[int, int, float, str, str]:
        """The key by which rows are listed: kind, errors first, then lost margin relative to what it was."""
        one = self.difference
        share = 0.0 if one is None else abs(one.loss) / max(abs(one.margin), one.tolerance, 1e-12)
        return KINDS.index(self.kind), -_RANK.get(self.after, 0), -share, self.test, self.expectation


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All rows of two records, the most important first, and what is said about the two as a whole."""

    baseline: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)

    def of(self, *kinds: Kind) -> list[Row]:
        """Return the rows of some kinds."""
        return [row for row in self.rows if row.kind in kinds]

    def fails(self, on: FailOn) -> bool:
        """Return whether a run fails: on regressions, on any difference of what was compared, or never."""
        kinds: dict[FailOn, tuple[Kind, ...]] = {
            "never": (),
            "regression": ("regression",),
            "change": ("regression", "change", "improvement", "gone", "new"),
        }
        return bool(self.of(*kinds[on]))

    def headline(self) -> str:
        """Return the counts in one line."""
        counts = [(len(self.of(kind)), kind) for kind in KINDS]
        said = ", ".join(f"{n} {kind}" for n, kind in counts if n) or "nothing to compare"
        return f"against the baseline {self.baseline}: {said}"


def margin(value: float, bound: BoundRecord) -> float:
    """Return the distance of a value from the nearest end of its bound, in its unit; negative outside."""
    ends = []
    if bound.at_least is not None:
        ends.append(value - bound.at_least)
    if bound.at_most is not None:
        ends.append(bound.at_most - value)
    return min(ends, default=0.0)


def check(
    baseline: Record,
    name: str,
    *,
    tests: Iterable[str],
    scale: str,
    suites: Mapping[str, str],
    version: str,
) -> list[str]:
    """Say, before anything runs, whether a run can be held against a baseline.

    Args:
        baseline: The earlier record.
        name: What it is called in messages.
        tests: Ids of the tests that are going to run.
        scale: Scale of the run.
        suites: Digest of every suite of the run.
        version: Version of netprops.

    Returns:
        What differs but does not forbid the comparison, one sentence each.

    Raises:
        UsageError: If the scale is another one, or no test of the run is in the baseline.
    """
    if baseline.options.scale != scale:
        raise UsageError(
            f"the baseline {name} was measured at scale {baseline.options.scale}, this run is at scale "
            f"{scale}: their networks are not the same; save a baseline at this scale"
        )
    ids = list(tests)
    pairs, _, _ = matching.pairs_of((test.id for test in baseline.tests), ids)
    if not pairs:
        before = sorted({matching.about(test.id) for test in baseline.tests})
        raise UsageError(
            f"no test of this run is in the baseline {name}: it is about {_few(before)}, the run is about "
            f"{_few(sorted({matching.about(one) for one in ids}))}; save a baseline of these networks with "
            "--netprops-save"
        )
    notes = []
    if baseline.environment.netprops != version:
        notes.append(f"the baseline is of netprops {baseline.environment.netprops}, this is {version}")
    notes += [
        f"the suite {one} has changed since the baseline was saved" for one in _changed(baseline, suites)
    ]
    others = {(matching.about(new), matching.about(old)) for old, new in pairs if old != new}
    missing = len(ids) - len(pairs)
    if missing:
        notes.append(f"{missing} of {len(ids)} tests of this run are not in the baseline")
    return notes + [f"{new} is compared with {old}" for new, old in sorted(others)]


def compare(
    baseline: Record, run: Record, *, name: str = "baseline", tolerances: Tolerances | None = None
) -> Comparison:
    """Hold a run against a baseline.

    Args:
        baseline: The earlier record.
        run: The later one.
        name: What the baseline is called.
        tolerances: How far a measurement may move; None for a tenth of its margin.

    Returns:
        One row for every expectation of either, sorted by importance.

    Raises:
        UsageError: As :func:`check`.
    """
    notes = check(
        baseline,
        name,
        tests=[test.id for test in run.tests],
        scale=run.options.scale,
        suites=run.suites,
        version=run.environment.netprops,
    )
    before = {test.id: test for test in baseline.tests}
    after = {test.id: test for test in run.tests}
    pairs, gone, new = matching.pairs_of(before, after)
    networks = tuple({s.id: s.model_dump() for s in one.subjects} for one in (baseline, run))
    changed = _changed(baseline, run.suites)
    rows: list[Row] = []
    for old, now in pairs:
        mine = _rows(before[old], after[now], tolerances or Tolerances(), networks)
        other = after[now].suite in changed
        rows += [_marked(row, "the suite has changed") for row in mine] if other else mine
    rows = _decided(rows, run.options.alpha)
    rows += [Row(test=one, claim=before[one].claim, kind="gone", before=before[one].outcome) for one in gone]
    rows += [Row(test=one, claim=after[one].claim, kind="new", after=after[one].outcome) for one in new]
    return Comparison(baseline=name, rows=sorted(rows, key=lambda row: row.importance), notes=notes)


def _changed(baseline: Record, suites: Mapping[str, str]) -> list[str]:
    """Return the suites whose files are not those that the baseline was measured with."""
    return sorted(name for name, digest in suites.items() if baseline.suites.get(name, digest) != digest)


def _rows(
    old: TestRecord, new: TestRecord, tolerances: Tolerances, networks: Sequence[Mapping[str, Any]]
) -> list[Row]:
    """Return the rows of one test; those that the whole run decides are still of the kind ``same``."""
    plain = Row(test=new.id, claim=new.claim, kind="same", before=old.outcome, after=new.outcome)
    renamed = old.id != new.id
    if renamed:
        plain = _marked(plain, f"compared with {matching.about(old.id)}")
    sides = [
        [known.get(one) for one in test.subjects] for test, known in zip((old, new), networks, strict=True)
    ]
    obstacle = matching.obstacle(*sides, renamed=renamed)
    if "SKIPPED" in (old.outcome, new.outcome):
        if old.outcome == new.outcome:
            return [replace(plain, why="skipped in both")]
        kind: Kind = "gone" if new.outcome == "SKIPPED" else "new"
        return [replace(plain, kind=kind, why=f"skipped: {(new if kind == 'gone' else old).reason}")]
    if obstacle:
        return [replace(plain, kind="incomparable", why=obstacle)]
    if "ERROR" in (old.outcome, new.outcome) or not (old.expectations and new.expectations):
        kind, why = _by_verdict(old.outcome, new.outcome)
        return [replace(plain, kind=kind, why="; ".join(filter(None, (why, new.reason))))]
    rows = []
    names = matching.about(old.id), matching.about(new.id)
    for was, now in matching.expectations(old.expectations, new.expectations, names):
        if was is None or now is None:
            rows.append(_single(plain, was, now))
        else:
            alike = matching.alike(was, now, names)
            rows.append(_pair(plain, was, now, tolerances, alike=alike, declared=bool(new.xfail)))
    return rows


def _single(plain: Row, was: ExpectationRecord | None, now: ExpectationRecord | None) -> Row:
    """Return the row of an expectation that only one of the two records has."""
    return replace(
        plain,
        expectation=(now or was).measurement.name,  # type: ignore[union-attr]  # one of them is there
        kind="gone" if now is None else "new",
        before=was.outcome if was else "",
        after=now.outcome if now else "",
        was=was.measurement if was else None,
        now=now.measurement if now else None,
        bound=now.bound if now else None,
    )


def _pair(
    plain: Row,
    was: ExpectationRecord,
    now: ExpectationRecord,
    tolerances: Tolerances,
    *,
    alike: bool,
    declared: bool,
) -> Row:
    """Return the row of one expectation in both records, judged by its verdict alone."""
    then, today = was.measurement, now.measurement
    row = replace(
        plain,
        expectation=today.name,
        before=was.outcome,
        after=now.outcome,
        was=then,
        now=today,
        bound=now.bound,
    )
    if (was.bound.at_least, was.bound.at_most) != (now.bound.at_least, now.bound.at_most):
        row = _marked(row, "the bound has changed")
    if alike and then.unit == today.unit:
        tolerance = tolerances.of(plain.test, today.name)
        row = replace(row, difference=_difference(then, today, now.bound, tolerance))
    else:
        row = _marked(row, f"measured elsewhere: {then.name!r} before; only the verdicts are compared")
    kind, why = _by_verdict(was.outcome, now.outcome)
    meet = then.low <= today.high and today.low <= then.high
    if kind == "regression" and declared:
        kind, why = "change", "declared in xfails.toml as known not to hold"
    elif kind == "regression" and was.outcome is Outcome.INCONCLUSIVE and meet and then.value != today.value:
        kind, why = "change", "undecided before, decided now; the measurements agree within their intervals"
    return replace(row, kind=kind, why=why)


def _by_verdict(before: str, after: str) -> tuple[Kind, str]:
    """Return what became of a verdict, and that in words."""
    if before == after:
        return "same", ""
    why = f"{before} became {after}"
    if after in ("FAIL", "ERROR") and _RANK[after] > _RANK[before]:
        return "regression", why
    if before in ("FAIL", "ERROR", "XFAIL") and _RANK[after] == 0:
        return "improvement", why
    return "change", why


def _difference(
    was: MeasurementRecord, now: MeasurementRecord, bound: BoundRecord, tolerance: Tolerance
) -> Difference:
    """Return now minus then with Welch's interval and p-value."""
    from netprops.statistics import t_quantile, t_tail

    change = now.value - was.value
    squares = [(one.standard_error**2, math.inf if one.df is None else one.df) for one in (was, now)]
    total = sum(square for square, _ in squares)
    if total:
        df = total**2 / max(sum(square**2 / df for square, df in squares), 1e-300)
        half = t_quantile(0.975, df) * math.sqrt(total)
        p_value = 2 * t_tail(abs(change) / math.sqrt(total), df)
    else:
        half, p_value = 0.0, 0.0 if change else 1.0
    room = margin(was.value, bound)
    return Difference(
        value=change,
        low=change - half,
        high=change + half,
        p_value=p_value,
        apart=was.high < now.low or now.high < was.low,
        # What rounding alone can do is no change.
        tolerance=max(tolerance.of(room), _ROUNDING * max(1.0, abs(was.value))),
        margin=room,
        loss=room - margin(now.value, bound),
    )


def _decided(rows: Sequence[Row], alpha: float) -> list[Row]:
    """Return the rows with what the measurements say, by Holm over all that were measured twice."""
    from netprops.statistics import holm

    measured = [row.difference for row in rows if row.difference is not None]
    rejected = iter(holm([one.p_value for one in measured], alpha))
    return [row if row.difference is None else _moved(row, row.difference, next(rejected)) for row in rows]


def _moved(row: Row, one: Difference, significant: bool) -> Row:
    """Return a row with what its measurement says, where its verdict is not worse already."""
    slack = 1e-9 * max(1.0, abs(one.value))  # 0.95 - 0.93 is within a tolerance of 0.02
    if not (one.apart and significant and abs(one.value) > one.tolerance + slack):
        return row
    lost = one.loss > one.tolerance + slack
    gained = -one.loss > one.tolerance + slack
    what = (
        f"lost {one.loss:.3g} of a margin of {one.margin:.3g}"
        if one.loss > 0
        else f"gained {-one.loss:.3g} to a margin of {one.margin:.3g}"
        if one.loss < 0
        else "moved within its bound"
    )
    why = "; ".join(filter(None, (row.why, f"{what}, tolerance {one.tolerance:.3g}, p = {one.p_value:.2g}")))
    kind: Kind = row.kind
    if row.kind in ("same", "change"):
        kind = "regression" if lost else "improvement" if gained else "change"
    return replace(row, kind=kind, why=why)


def _marked(row: Row, mark: str) -> Row:
    return replace(row, marks=(*row.marks, mark))


def _few(names: Sequence[str]) -> str:
    """Return the first names of a list, and how many there are."""
    shown = ", ".join(names[:3]) or "nothing"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
