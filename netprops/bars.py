"""Categories as horizontal bars from zero, with intervals and values.

Words: a *bar* is one labelled measurement; a *level* is a vertical line at a value that all are held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netprops.looks import (
    DASHES,
    GRID,
    INK,
    LETTER,
    MUTED,
    PALETTE,
    SIZE,
    places,
    shortened,
    width_in,
)
from netprops.ticks import number, ticks

if TYPE_CHECKING:
    from netprops.sheet import Sheet

_ROW, _TOP, _LINE, _BOTTOM = 24.0, 8.0, 15.0, 40.0
_THICK, _CAP = 15.0, 4.0
_LABEL = 26  # letters of a label


def height(figure: Mapping[str, Any]) -> float:
    """Return the height of the page in user units."""
    return _TOP + _LINE * len(figure.get("levels") or {}) + _ROW * len(figure["bars"]) + _BOTTOM


def draw(sheet: Sheet, figure: Mapping[str, Any]) -> None:
    """Draw every bar with its interval and its value, the first at the top.

    Args:
        sheet: An empty page of the figure's own height.
        figure: A record's figure of kind ``"bars"``.
    """
    bars = [(shortened(one["label"], _LABEL), one["measurement"]) for one in figure["bars"]]
    levels = {label: float(x) for label, x in (figure.get("levels") or {}).items()}
    said = [f"{m['value']:.4g}".replace("-", "−") for _, m in bars]
    known = [0.0, *levels.values(), *(float(m[part]) for _, m in bars for part in ("value", "low", "high"))]
    span = (max(known) - min(known)) or 1.0
    low, high = min(known) - (0.02 * span if min(known) < 0 else 0), max(known) + 0.02 * span
    left = LETTER * max(len(label) for label, _ in bars) + 12
    right = SIZE[0] - LETTER * max(map(len, said)) - 14
    top = _TOP + _LINE * len(levels)
    bottom = top + _ROW * len(bars)

    def across(x: float) -> float:
        return left + (right - left) * (x - low) / (high - low)

    positions = ticks(low, high, "linear")
    sheet.strokes([(across(x), top, across(x), bottom) for x in positions], colour=GRID, width=0.8)
    for x in positions:
        sheet.text(across(x), bottom + 14, number(float(f"{x:.10g}")), anchor="middle", colour=MUTED)
    sheet.text((left + right) / 2, bottom + 30, shortened(figure["value_name"], 60), anchor="middle")
    colours = places([width_in(label, m.get("details", {})) for label, m in bars])
    for row, ((label, m), text, place) in enumerate(zip(bars, said, colours, strict=True)):
        middle = top + _ROW * (row + 0.5)
        edges = (middle - _THICK / 2, middle + _THICK / 2)
        ends = (across(0.0), across(float(m["value"])))
        corners = [(ends[0], edges[0]), (ends[1], edges[0]), (ends[1], edges[1]), (ends[0], edges[1])]
        sheet.area(corners, colour=PALETTE[place])
        if m["high"] > m["low"]:
            start, end = across(float(m["low"])), across(float(m["high"]))
            caps = [(x, middle - _CAP, x, middle + _CAP) for x in (start, end)]
            sheet.strokes([(start, middle, end, middle), *caps], colour=INK, width=1.4)
        sheet.text(left - 6, middle + 4, label, anchor="end")
        sheet.text(right + 8, middle + 4, text)
    sheet.strokes([(across(0.0), top, across(0.0), bottom)], colour=MUTED, width=0.8)
    for line, (label, x) in enumerate(levels.items()):
        base = top - 4 - _LINE * line
        sheet.line([(across(x), base), (across(x), bottom)], colour=MUTED, width=1.1, dashes=DASHES[2])
        on_right = across(x) > (left + right) / 2
        name = shortened(f"{label} = {number(float(f'{x:.4g}'))}", 44)
        sheet.text(
            across(x) + (-4 if on_right else 4),
            base,
            name,
            anchor="end" if on_right else "start",
            colour=MUTED,
        )
