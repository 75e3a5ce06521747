"""One property over several checkpoints of a run, or over the runs of a history.

Words: a *series* is one expectation measured several times, a *point* one of these; a *trend* is the series
of checkpoints that differ in one number, its *axis* (epoch, step, or whatever number their ids differ in).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from netprops import matching
from netprops.records import ExpectationRecord, Record, TestRecord

Summary = Mapping[str, Any]

_NUMBERS = re.compile(r"([A-Za-z]*)[-_]?(\d+(?:\.\d+)?)")
_DIGEST = re.compile(
    r"-(?=[0-9]*[a-f])[0-9a-f]{7,}(?=$|[-.])"
)  # as file names of published checkpoints carry it
_AXES = ("epoch", "step")
_TIMES = (*_AXES, "epochs", "steps", "ep", "e", "iter", "iteration")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measurement of a series: where on the axis, what that is called, in which test of which record."""

    x: float
    label: str
    test: TestRecord
    expectation: ExpectationRecord


@dataclass(frozen=True, kw_only=True)
class Series:
    """One expectation of one property, measured at several points, in their order on the axis.

    Args:
        name: Name of the measurement at the last point.
        points: At least two.
        about: The network or family, where the series is about one.
    """

    name: str
    points: list[Point]
    about: str = ""

    @property
    def last(self) -> Point:
        """The last point: the latest checkpoint or run."""
        return self.points[-1]

    @property
    def movement(self) -> float:
        """Last minus first value, relative to the largest distance from the bound or to the value."""
        first, last = (self.points[i].expectation for i in (0, -1))
        ends = [end for end in (last.bound.at_least, last.bound.at_most) if end is not None]
        values = [point.expectation.measurement.value for point in self.points]
        scale = max([abs(value - end) for value in values for end in ends] or [*map(abs, values)])
        return abs(last.measurement.value - first.measurement.value) / scale if scale else 0.0


@dataclass(frozen=True, kw_only=True)
class Trend:
    """Several checkpoints of one network, along the number in which they differ.

    Args:
        name: What they have in common.
        axis: Name of the number.
        members: Their summaries by position on the axis, in order.
        series: What was measured on at least two of them.
    """

    name: str
    axis: str
    members: list[tuple[float, Summary]]
    series: list[Series]


def over_checkpoints(record: Record) -> list[Trend]:
    """Return the trends in one record: its networks that differ in their epoch, their step or one number.

    Networks that netprops trained have families, widths and seeds, and pages of them; only an epoch or step
    that their summaries name makes a trend of those.
    """
    summaries = [one.model_dump(mode="json") for one in record.subjects]
    trends = []
    for name, axis, members in _groups(summaries):
        place = {summary["id"]: x for x, summary in members}
        found: dict[tuple[str, str, int], list[Point]] = defaultdict(list)
        for test in record.tests:
            about = test.subjects[0] if len(test.subjects) == 1 else matching.about(test.id)
            if about in place:
                for key, point in _points(test, place[about], about):
                    found[key].append(point)
        trends.append(Trend(name=name, axis=axis, members=members, series=_ordered(found)))
    return trends


def over_runs(past: Iterable[Record], record: Record) -> list[Series]:
    """Return every expectation of a record with its values in earlier runs.

    Args:
        past: Earlier runs; one that started when the record did is the record itself and is left out.
        record: The run that the series end with.

    Returns:
        One series for every expectation that was measured before; x counts runs back from 0.
    """
    runs = sorted((one for one in past if one.started != record.started), key=lambda one: one.started)
    found: dict[tuple[str, str, int], list[Point]] = defaultdict(list)
    current: dict[tuple[str, str, int], str] = {}
    for x, run in enumerate([*runs, record], -len(runs)):
        for test in run.tests:
            for (_, name, place), point in _points(test, float(x), run.started):
                key = (test.id, name, place)
                found[key].append(point)
                if run is record:
                    current[key] = matching.about(test.id)
    series = [
        Series(name=found[key][-1].expectation.measurement.name, about=about, points=found[key])
        for key, about in current.items()
        if len(found[key]) > 1
    ]
    return sorted(series, key=lambda one: (-one.movement, one.last.test.id, one.name))


def _points(test: TestRecord, x: float, label: str) -> list[tuple[tuple[str, str, int], Point]]:
    """Return the measurements of one test, each with what tells its series."""
    points: list[tuple[tuple[str, str, int], Point]] = []
    for one in test.expectations:
        name = matching.shape(matching.impersonal(one.measurement.name, label))
        place = sum(key[1] == name for key, _ in points)
        key = (test.id.partition("[")[0], name, place)
        points.append((key, Point(x=x, label=label, test=test, expectation=one)))
    return points


def _ordered(found: Mapping[tuple[str, str, int], list[Point]]) -> list[Series]:
    series = []
    for points in found.values():
        points.sort(key=lambda point: point.x)
        if len(points) > 1:
            name = points[-1].expectation.measurement.name
            series.append(Series(name=name, points=points))
    return sorted(series, key=lambda one: (one.last.test.suite, one.last.test.id, one.name))


def _groups(summaries: Sequence[Summary]) -> list[tuple[str, str, list[tuple[float, Summary]]]]:
    """Return name, axis and members of every set of networks that differ in one number."""
    groups: dict[tuple[str, ...], list[tuple[float, Summary]]] = defaultdict(list)
    for one in summaries:
        axis = next((name for name in _AXES if isinstance(one.get(name), int | float)), None)
        if axis is not None:
            same = (str(one.get(name)) for name in ("family", "width", "seed", "variant"))
            groups[axis, *same].append((float(one[axis]), one))
    found = [(str(key[1]) or "checkpoints", key[0], members) for key, members in groups.items()]
    known = {one["id"] for _, _, members in found if len(members) > 1 for _, one in members}
    found += _by_ids([one for one in summaries if one["id"] not in known and not _own(one)])
    complete = [(name, axis, sorted(members, key=lambda member: member[0])) for name, axis, members in found]
    return sorted(
        (one for one in complete if len({x for x, _ in one[2]}) == len(one[2]) > 1),
        key=lambda one: (one[0], one[1]),
    )


def _own(summary: Summary) -> bool:
    """Return whether netprops trained or built a network, so that its id has a family, a width and a seed."""
    origin = summary.get("origin")
    how = origin.get("how") if isinstance(origin, Mapping) else origin
    return str(how).startswith(("trained", "built"))


def _by_ids(summaries: Sequence[Summary]) -> list[tuple[str, str, list[tuple[float, Summary]]]]:
    """Return networks whose ids are alike but for one number, which is neither a width nor a seed.

    Where several numbers differ, the axis is the first that is an epoch or a step. The others tell runs
    apart, as in ``run1-epoch5``, unless every checkpoint has its own, as in ``epoch5-step100-loss0.3``.
    """
    shapes: dict[str, list[tuple[list[tuple[str, str]], Summary]]] = defaultdict(list)
    for one in summaries:
        name = _DIGEST.sub("", one["id"])
        shapes[matching.shape(name)].append((_NUMBERS.findall(name), one))
    found = []
    for name, alike in shapes.items():
        rows = [numbers for numbers, _ in alike]
        differing = [i for i in range(len(rows[0])) if len({row[i] for row in rows}) > 1]
        times = [i for i in differing if rows[0][i][0] in _TIMES]
        if not times and len(differing) != 1:
            continue
        axis = (times or differing)[0]
        if (word := rows[0][axis][0]) in ("w", "s"):
            continue
        others = [i for i in differing if i != axis]
        runs: dict[tuple[str, ...], list[tuple[float, Summary]]] = defaultdict(list)
        for numbers, one in alike:
            runs[tuple(numbers[i][1] for i in others)].append((float(numbers[axis][1]), one))
        if all(len(members) == 1 for members in runs.values()):
            runs = {(): [member for members in runs.values() for member in members]}
        for own, members in runs.items():
            known = dict(zip(others, own, strict=False))
            parts = [known.get(i, "N" if i in differing else n) for i, (_, n) in enumerate(rows[0])]
            called = "".join(map("".join, zip_longest(name.split("#"), parts, fillvalue="")))
            found.append((called, word or "number", members))
    return found
