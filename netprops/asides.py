"""Pages beside those of networks and families: a comparison with a baseline, trends, the history of runs.

Words: as in ``baseline.py`` and ``trends.py``; an *aside* is one such page; a *scale* is the small picture of
several measurements of one property against their bound, the last one below the others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from netprops import differences
from netprops.baseline import KINDS, Comparison, Row
from netprops.histories import curve, figure
from netprops.records import BoundRecord, Record, TestRecord
from netprops.trends import Point, Series, Trend, over_checkpoints, over_runs
from netprops.views import MARKS, Link, Mark, Picture, Scale, bounded, measured, picture, scale
from netprops.wording import moment, percent, slug, words

FIGURES = 8
"""Series of a page that get a figure of their own, those that moved most."""

KIND_MARKS = {
    "regression": Mark("✗", "regression", "fail"),
    "change": Mark("≠", "change", "inconclusive"),
    "improvement": Mark("✓", "improvement", "pass"),
    "incomparable": Mark("?", "not comparable", "inconclusive"),
    "gone": Mark("–", "not measured now", "skipped"),
    "new": Mark("+", "new", "skipped"),
    "same": Mark("=", "same", "skipped"),
}


@dataclass(frozen=True)
class Change:
    """One row of a comparison in words."""

    mark: Mark
    link: Link
    expectation: str
    was: str
    now: str
    change: str
    expected: str
    why: str
    strip: Scale | None


@dataclass(frozen=True)
class Course:
    """One series in words: its first and last measurement, every verdict in order, and their picture."""

    link: Link
    expectation: str
    expected: str
    cells: list[tuple[str, str, Mark]]
    strip: Scale


@dataclass(frozen=True)
class Aside:
    """One page beside the others."""

    kind: str
    title: str
    href: str
    lede: str
    notes: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    same: list[Change] = field(default_factory=list)
    courses: list[Course] = field(default_factory=list)
    still: list[Course] = field(default_factory=list)
    networks: list[tuple[str, Link, str, str]] = field(default_factory=list)
    axis: str = ""
    pictures: list[Picture] = field(default_factory=list)


def asides(
    record: Record,
    comparison: Comparison | None,
    past: Sequence[Record],
    link: Callable[[str], str],
    network: Callable[[str], Link],
) -> list[Aside]:
    """Return the pages beside a record's own.

    Args:
        record: The run.
        comparison: With a baseline, if there is one.
        past: Earlier runs, the oldest first.
        link: From a test's id to the address of its card; empty where it has none.
        network: From a network's id to the link to its page.
    """
    pages = [_trend(trend, link, network) for trend in over_checkpoints(record)]
    if comparison is not None:
        pages.insert(0, _comparison(comparison, link))
    series = over_runs(past, record)
    if series:
        pages.append(_history(series, link))
    return pages


def _limits(bound: BoundRecord | None) -> tuple[float | None, float | None]:
    return (None, None) if bound is None else (bound.at_least, bound.at_most)


def _comparison(comparison: Comparison, link: Callable[[str], str]) -> Aside:
    changes = [_change(row, link) for row in comparison.rows if row.kind != "same"]
    counts = ", ".join(f"{n} {KIND_MARKS[kind].word}" for kind in KINDS if (n := len(comparison.of(kind))))
    return Aside(
        kind="comparison",
        title=f"Against the baseline {comparison.baseline}",
        href="comparison.html",
        lede=counts or "Nothing to compare",
        notes=comparison.notes,
        changes=changes,
        same=[_change(row, link) for row in comparison.of("same")],
    )


def _change(row: Row, link: Callable[[str], str]) -> Change:
    pair = [(m.low, m.value, m.high) for m in (row.was, row.now) if m is not None]
    unit = row.now.unit if row.now else ""
    return Change(
        mark=KIND_MARKS[row.kind],
        link=Link(row.test.removeprefix("suites/"), link(row.test)),
        expectation=row.expectation,
        was=" ".join(filter(None, (_verdict(row.before), measured(row.was) if row.was else ""))) or "–",
        now=" ".join(filter(None, (_verdict(row.after), measured(row.now) if row.now else ""))) or "–",
        change=differences.changed(row),
        expected=bounded(row.bound, unit) if row.bound else "–",
        why=differences.because(row),
        strip=scale(pair, _limits(row.bound)) if len(pair) == 2 else None,
    )


def _verdict(outcome: str) -> str:
    return f"{MARKS[outcome].symbol} {MARKS[outcome].word}" if outcome in MARKS else outcome


def _trend(trend: Trend, link: Callable[[str], str], network: Callable[[str], Link]) -> Aside:
    name = f"trend-{slug(trend.name)}"
    errors = [
        (x, error, error, error)
        for x, one in trend.members
        if isinstance(error := one.get("test_error"), int | float)
    ]
    figures = []
    if len(errors) > 1:
        error = curve(
            "test error",
            errors,
            x_name=trend.axis,
            y_name="error (fraction)",
            n=1,
            n_of="network",
            how="of the given data",
        )
        figures.append(figure("test-error", "Test error", "", [error]))
    figures += [_figure(one, trend.axis, number) for number, one in _moving(trend.series)]
    xs = [x for x, _ in trend.members]
    return Aside(
        kind="trend",
        title=f"{trend.name} over {trend.axis}",
        href=f"{name}.html",
        lede=f"{len(xs)} checkpoints, {trend.axis} {xs[0]:g} to {xs[-1]:g}",
        courses=[_course(one, link, _at(trend.axis)) for one in trend.series],
        networks=[
            (f"{x:g}", network(one["id"]), percent(one.get("test_error")), percent(one.get("train_error")))
            for x, one in trend.members
        ],
        axis=trend.axis,
        pictures=[picture(f"{name}.{one['name']}", one) for one in figures],
    )


def _history(series: Sequence[Series], link: Callable[[str], str]) -> Aside:
    runs = max(len(one.points) for one in series)
    figures = [_figure(one, "run (0 is this one)", number) for number, one in _moving(series)]
    return Aside(
        kind="history",
        title="Over runs",
        href="history.html",
        lede=f"This run and the {runs - 1} before it; what moved most comes first",
        courses=[_course(one, link, _when) for one in series if one.movement > 0],
        still=[_course(one, link, _when) for one in series if one.movement == 0],
        pictures=[picture(f"history.{one['name']}", one) for one in figures],
    )


def _when(point: Point) -> str:
    return moment(point.label)


def _at(axis: str) -> Callable[[Point], str]:
    return lambda point: f"{axis} {point.x:g}"


def _moving(series: Sequence[Series]) -> list[tuple[int, Series]]:
    """Return the series that get a figure, numbered: those that moved most, in the order of the page."""
    most = sorted(range(len(series)), key=lambda i: -series[i].movement)[:FIGURES]
    return [(number, series[i]) for number, i in enumerate(sorted(most), 1) if series[i].movement > 0]


def _course(one: Series, link: Callable[[str], str], at: Callable[[Point], str]) -> Course:
    last = one.last
    places = [
        (p.expectation.measurement.low, p.expectation.measurement.value, p.expectation.measurement.high)
        for p in one.points
    ]
    return Course(
        link=Link(f"{words(last.test.name)}{f' · {one.about}' if one.about else ''}", link(last.test.id)),
        expectation=one.name,
        expected=bounded(last.expectation.bound, last.expectation.measurement.unit),
        cells=[
            (at(p), measured(p.expectation.measurement), MARKS[_outcome(p.test, p.expectation.outcome)])
            for p in one.points
        ],
        strip=scale(places, _limits(last.expectation.bound)),
    )


def _outcome(test: TestRecord, outcome: str) -> str:
    """Return an expectation's outcome, or that it was expected to fail."""
    return "XFAIL" if test.outcome == "XFAIL" and outcome == "FAIL" else outcome


def _figure(one: Series, axis: str, number: int) -> dict[str, Any]:
    last = one.last.expectation
    m = last.measurement
    points = [
        (p.x, p.expectation.measurement.value, p.expectation.measurement.low, p.expectation.measurement.high)
        for p in one.points
    ]
    levels: Mapping[str, float] = {
        name: end
        for name, end in (("at least", last.bound.at_least), ("at most", last.bound.at_most))
        if end is not None
    }
    measured_at = curve(
        m.name,
        points,
        x_name=axis,
        y_name=f"{m.name}{f' ({m.unit})' if m.unit else ''}",
        n=m.n,
        n_of=m.n_of,
        how=m.how,
    )
    title = f"{words(one.last.test.name)}{f' of {one.about}' if one.about else ''}: {m.name}"
    return figure(f"series-{number}", title, one.last.test.claim, [measured_at], levels=levels)
