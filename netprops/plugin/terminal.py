"""What pytest's output says about property tests: a header before they run, a table after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from netprops.plugin.progress import duration
from netprops.verdict import Bound

if TYPE_CHECKING:
    from netprops.plugin.options import Options
    from netprops.plugin.recorder import Recorder
    from netprops.records import ExpectationRecord, Record, SubjectRecord, TestRecord

_COLOURS = {
    "measured": "cyan",
    "PASS": "green",
    "XFAIL": "yellow",
    "INCONCLUSIVE": "yellow",
    "SKIPPED": "yellow",
}


def header(
    options: Options,
    *,
    device: str,
    cache: str,
    tests: int,
    rows: Sequence[Any],
    trainers: int,
    imported: int = 0,
) -> str:
    """Return the lines that say, before anything trains, what is going to happen.

    Args:
        options: The run's options.
        device: The device in words.
        cache: Folder of the cache.
        tests: Number of selected property tests.
        rows: What the zoo plans: one row a network.
        trainers: Number of processes that train at the same time.
        imported: Number of the user's own networks, where the run is about them.
    """
    missing = [row for row in rows if not row.cached]
    work = f"networks: {len(rows)} needed, {len(rows) - len(missing)} cached"
    if imported:
        work = f"networks: {imported} of your own"
    if missing:
        seconds = max(sum(row.seconds for row in missing) / trainers, *(row.seconds for row in missing))
        work += f", {len(missing)} to train in about {duration(seconds)}"
    return (
        f"netprops: scale {options.scale}, device {device}, property tests: {tests}; {work}\n"
        f"netprops: cache {cache}, data {options.data_root or 'only what the dependencies ship'}"
    )


def summarize(reporter: Any, recorder: Recorder) -> None:
    """Write the table of every suite, what was promoted, what data are missing, and where the report lies."""
    record = recorder.record
    if record is None:
        return
    suites = sorted({test.suite for test in record.tests})
    for suite in suites:
        reporter.write_sep("=", f"netprops: {suite}")
        # What is skipped for its data is said once, below, and not in a row a test.
        _table(
            reporter,
            [
                test
                for test in record.tests
                if test.suite == suite
                and not any(sentence in test.reason for sentence in record.summary.missing)
            ],
            record.subjects,
        )
    reporter.write_sep("=", "netprops")
    counts = ", ".join(f"{count} {name}" for name, count in record.summary.outcomes.items() if count)
    ran = f"property tests: {len(record.tests)} of {record.summary.selected} ran"
    reporter.write_line(f"{ran}: {counts}" if counts else ran)
    for test, expectation in _promoted(record):
        reporter.write_line(f"FAIL by the whole run's budget: {test.id}: {expectation.sentence}", red=True)
    for sentence in record.summary.missing:
        reporter.write_line(f"missing data: {sentence}", yellow=True)
    skipped = all(test.outcome == "SKIPPED" for test in record.tests)
    if record.tests and record.summary.missing and skipped:
        reporter.write_sep(
            "!",
            "NOTHING WAS TESTED: the data of every selected property test are missing",
            red=True,
            bold=True,
        )
    after = recorder.aftermath
    if after.comparison is not None:
        from netprops import differences

        reporter.write_sep("=", "netprops: baseline")
        for line in differences.text(after.comparison).splitlines():
            reporter.write_line(line, red=line.startswith("regression"))
    for line in after.lines:
        reporter.write_line(line, red=after.failed)
    if recorder.problem:
        reporter.write_line(recorder.problem, red=True)
    if recorder.index:
        reporter.write_line(f"report: {recorder.index}")


def _promoted(record: Record) -> Iterable[tuple[TestRecord, ExpectationRecord]]:
    """Return what only the run's whole budget rejects, but for tests that are known to fail."""
    failed = (test for test in record.tests if test.outcome == "FAIL")
    return ((test, one) for test in failed for one in test.expectations if one.promoted)


def _table(reporter: Any, tests: Sequence[TestRecord], subjects: Iterable[SubjectRecord]) -> None:
    """Write one row an expectation, or one a test that has none; first the accuracy of a user's networks."""
    used = {id for test in tests for id in test.subjects}
    rows = [row for one in subjects if one.id in used for row in _accuracy(one)]
    rows += [row for test in tests for row in _rows(test)]
    titles = ("subject", "property", "value", "bound", "verdict")
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(4)]
    for row in [titles, *rows]:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True))
        colour = {} if row is titles else {_COLOURS.get(row[4].split()[0].rstrip(":"), "red"): True}
        reporter.write(cells + "  ")
        reporter.write_line(row[4], **colour)


def _accuracy(subject: SubjectRecord) -> list[tuple[str, str, str, str, str]]:
    """Return a row with the accuracy of an imported network, none for others."""
    facts = subject.model_extra or {}
    if (facts.get("origin") or {}).get("how") != "imported":
        return []
    value = f"{1 - facts['test_error']:.4g}"
    return [(subject.id, "accuracy on the given test data", value, "", "measured")]


def _rows(test: TestRecord) -> list[tuple[str, str, str, str, str]]:
    subject = test.id.rpartition("[")[2].rstrip("]")
    rows = []
    if not test.expectations or test.outcome == "ERROR":
        reason = f": {test.reason}" if test.reason else ""
        rows.append((subject, test.name.removeprefix("test_"), "", "", f"{test.outcome}{reason}"))
    for one in test.expectations:
        measured, bound = one.measurement, one.bound
        value = f"{measured.value:.4g}"
        if measured.low != measured.high:
            value += f" [{measured.low:.4g}, {measured.high:.4g}]"
        verdict = str(one.outcome)
        if test.outcome in ("XFAIL", "XPASS"):
            verdict = f"{test.outcome} ({verdict})"
        limits = Bound(at_least=bound.at_least, at_most=bound.at_most, source=bound.source)
        rows.append((subject, measured.name, f"{value} {measured.unit}".strip(), str(limits), verdict))
    return rows
