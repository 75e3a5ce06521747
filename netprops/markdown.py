"""The record of a run as Markdown, such as the summary of a job on GitHub shows it.

Words: a *summary* is short enough for ``$GITHUB_STEP_SUMMARY``, which takes one mebibyte a step; whatever a
record says is text in it, never markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from netprops import differences
from netprops.baseline import KINDS, Comparison
from netprops.records import Record, TestRecord
from netprops.views import MARKS, bounded
from netprops.wording import duration, moment

LARGEST = 1_000_000
"""Bytes of the longest summary; GitHub drops one of more than 1024 kB as a whole."""

_SHOWN = ("FAIL", "ERROR", "XPASS", "INCONCLUSIVE", "XFAIL", "PASS", "SKIPPED")
_MARKUP = re.compile(
    r"[\\`*_{}\[\]()<>#|~$@&]"  # anywhere
    r"|^[-+=](?=\s|[-=]|$)|(?<=^\d)\.(?=\s)"  # where a line begins: lists, rules
    r"|(?<=www)\.|:(?=//|[\w+-]+:)"  # links and emoji
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "|": "&#124;", "@": "&#64;", ":": "&#58;", ".": "&#46;"}


def escaped(text: str) -> str:
    r"""Return text that Markdown shows as it is: no markup, no link, no mention, no new line.

    >>> escaped("a*b | <i>")
    'a\\*b &#124; &lt;i&gt;'
    """
    line = _CONTROL.sub(" ", text)
    return _MARKUP.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), line)


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; its cells are escaped here."""
    lines = [titles, ["---"] * len(titles)]
    found = [f"| {' | '.join(line)} |" for line in lines]
    return found + [f"| {' | '.join(escaped(cell) for cell in row)} |" for row in rows]


def summary(record: Record, comparison: Comparison | None = None, *, largest: int = LARGEST) -> str:
    """Return the summary of a run.

    Args:
        record: The run.
        comparison: With a baseline, where there is one.
        largest: Most bytes; what does not fit is left out from the end, and counted.

    Returns:
        Markdown: counts, the comparison, then one row an expectation, the failed ones first.
    """
    counts = ", ".join(f"{n} {MARKS[name].word}" for name, n in record.summary.outcomes.items() if n)
    lines = [
        f"## netprops: {counts or 'no property was tested'}",
        "",
        escaped(
            f"{len(record.tests)} of {record.summary.selected} property tests, "
            f"{len(record.subjects)} networks, {record.options.scale} scale, "
            f"{duration(record.seconds)}, {moment(record.started)}"
        ),
    ]
    lines += ["", *(f"> {escaped(sentence)}" for sentence in record.summary.missing)]
    if comparison is not None:
        lines += ["", *of_comparison(comparison).splitlines()]
    ordered = sorted(record.tests, key=lambda test: (_SHOWN.index(test.outcome), test.id))
    lines += ["", *table(("verdict", "test", "property", "measured", "expected"), [])]
    lines += [line for test in ordered for line in table((), _rows(test))[2:]]
    return _cut(lines, largest)


def of_comparison(comparison: Comparison) -> str:
    """Return a comparison as Markdown: its headline, its notes, and a table of what changed."""
    lines = [f"### netprops {escaped(comparison.headline())}", ""]
    lines += [f"> {escaped(note)}" for note in comparison.notes]
    rows = [differences.cells(row) for kind in KINDS[:4] for row in comparison.of(kind)]
    return "\n".join([*lines, "", *(table(differences.TITLES, rows) if rows else ["Nothing changed."])])


def _rows(test: TestRecord) -> list[tuple[str, ...]]:
    name = test.id.removeprefix("suites/")
    mark = MARKS[test.outcome]
    if not test.expectations:
        return [(f"{mark.symbol} {mark.word}", name, "", test.reason, "")]
    rows: list[tuple[str, ...]] = []
    for one in test.expectations:
        own = MARKS[one.outcome] if test.outcome in ("PASS", "FAIL", "INCONCLUSIVE") else mark
        rows.append(
            (
                f"{own.symbol} {own.word}",
                name,
                one.measurement.name,
                differences.measured(one.measurement),
                bounded(one.bound, one.measurement.unit),
            )
        )
    return rows


def _cut(lines: Sequence[str], largest: int) -> str:
    """Return lines as text of at most so many bytes, with a last line that counts those left out."""
    sizes = [len(line.encode()) + 1 for line in lines]
    if sum(sizes) <= largest:
        return "\n".join(lines) + "\n"
    room, kept = largest - 100, 0
    while kept < len(lines) and sizes[kept] <= room:
        room -= sizes[kept]
        kept += 1
    rest = f"\n{len(lines) - kept} more lines are left out; the report has all.\n"
    return "\n".join(lines[:kept]) + "\n" + rest
