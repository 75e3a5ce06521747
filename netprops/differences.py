"""A comparison in words: as a table for a terminal, as Markdown, as JSON.

Words: as in ``baseline.py``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from netprops.baseline import Comparison, Row
from netprops.records import MeasurementRecord

TITLES = ("what", "test", "property", "was", "now", "change", "why")


def measured(one: MeasurementRecord | None) -> str:
    """Return value and interval, or a dash."""
    if one is None:
        return "–"
    interval = "" if one.low == one.high else f" [{one.low:.4g}, {one.high:.4g}]"
    return f"{one.value:.4g}{interval}{f' {one.unit}' if one.unit else ''}"


def changed(row: Row) -> str:
    """Return the difference with its interval, or a dash where nothing was measured twice."""
    one = row.difference
    if one is None:
        return "–"
    return f"{one.value:+.3g}" + ("" if one.low == one.high else f" [{one.low:+.3g}, {one.high:+.3g}]")


def because(row: Row) -> str:
    """Return why a row is what it is, and what else differs."""
    return "; ".join(filter(None, (row.why, *row.marks)))


def cells(row: Row) -> tuple[str, ...]:
    """Return a row under ``TITLES``."""
    return (
        row.kind,
        row.test.removeprefix("suites/"),
        row.expectation,
        f"{row.before} {measured(row.was)}".removesuffix(" –"),
        f"{row.after} {measured(row.now)}".removesuffix(" –"),
        changed(row),
        because(row),
    )


def text(comparison: Comparison) -> str:
    """Return a table for a terminal; what stayed the same or has no partner is only counted."""
    lines = [comparison.headline(), *(f"note: {note}" for note in comparison.notes)]
    rows = [cells(row) for row in comparison.of("regression", "change", "improvement", "incomparable")]
    if rows:
        lines += ["", *aligned([TITLES, *rows])]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return lines with columns of equal width; the last column is left as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([*(cell.ljust(n) for cell, n in zip(row[:-1], widths, strict=False)), row[-1]]).rstrip()
        for row in rows
    ]


def to_json(comparison: Comparison) -> str:
    """Return the whole comparison as JSON."""
    document: dict[str, Any] = {
        "baseline": comparison.baseline,
        "notes": comparison.notes,
        "counts": {row.kind: len(comparison.of(row.kind)) for row in comparison.rows},
        "rows": [
            {
                **asdict(row),
                **{
                    name: None if part is None else part.model_dump(mode="json")
                    for name, part in (("was", row.was), ("now", row.now), ("bound", row.bound))
                },
            }
            for row in comparison.rows
        ],
    }
    return json.dumps(document, indent=1, allow_nan=False)
