"""Matrices side by side as images of one colour scale: kernels, attention maps, correlations.

Words: a *cell* is one entry of a panel, or one of its means over blocks; a *run* is a row's stretch of cells
of one colour; a *level* is one of the colours of the scale.

The scale is cividis (Nuñez, Anderton and Renslow 2018, PLoS ONE 13, e0199239): its order is seen by its
lightness, with or without colour vision, on white, on black and in print. It is the same in the dark look.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netprops.looks import LETTER, MUTED, SIZE, shortened
from netprops.ticks import number, ticks

if TYPE_CHECKING:
    from netprops.sheet import Box, Sheet

LEVELS = 32

_LARGEST = 190.0  # no panel is wider or higher
_GAP, _LINE, _EDGE = 12.0, 16.0, 2.0
_BAR = (160.0, 10.0)
_SEAM = 0.2  # by so much cells overlap, so that rounding leaves no gap


@dataclass(frozen=True)
class Place:
    """Where a panel lies: left and top in user units from the page's corner, and the size of its cells."""

    left: float
    top: float
    cell: float


def layout(figure: Mapping[str, Any]) -> tuple[float, list[Place]]:
    """Return the height of the page in user units and the places of the panels."""
    panels = [np.asarray(panel["rows"], dtype=np.float64) for panel in figure["panels"]]
    columns = len(panels) if len(panels) <= 4 else -(-len(panels) // 2)
    box = min(_LARGEST, (SIZE[0] - 2 * _EDGE - _GAP * (columns - 1)) / columns)
    top, places = _EDGE + _LINE, list[Place]()
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        cells = [max(0.2, 0.2 * (box / max(one.shape) // 0.2)) for one in row]
        places += [Place(_EDGE + i * (box + _GAP), top, round(cell, 1)) for i, cell in enumerate(cells)]
        top += max(cell * len(one) for cell, one in zip(cells, row, strict=True)) + 8 + _LINE
    named = figure.get("row_name") or figure.get("column_name")
    return round(top - 6 + (_LINE if named else 0) + _BAR[1] + 2 * _LINE), places


def draw(sheet: Sheet, figure: Mapping[str, Any]) -> None:
    """Draw all panels and the bar that explains their colours.

    Args:
        sheet: An empty page of the figure's own height.
        figure: A record's figure of kind ``"images"``.
    """
    height, places = layout(figure)
    low, high = float(figure["low"]), float(figure["high"])
    runs: dict[tuple[int, float], list[Box]] = defaultdict(list)
    frames: list[Box] = []
    for panel, place in zip(figure["panels"], places, strict=True):
        values = np.asarray(panel["rows"], dtype=np.float64)
        _runs(runs, _levels(values, low, high), place)
        sizes = (values.shape[1] * place.cell, values.shape[0] * place.cell)
        room = max(6, int((sizes[0] + (_GAP if len(places) > 1 else 0)) / LETTER))
        frames.append((place.left, place.top, *sizes))
        sheet.text(place.left, place.top - 5, shortened(panel["label"], room))
    named = [
        f"{part}: {figure[key]}"
        for part, key in (("rows", "row_name"), ("columns", "column_name"))
        if figure.get(key)
    ]
    bar, left = height - _BAR[1] - _LINE - 3, _EDGE + LETTER * 2
    if named:
        sheet.text(_EDGE, bar - _LINE - 6, shortened("; ".join(named), 62), colour=MUTED)
    sheet.text(_EDGE, bar - 6, shortened(figure["value_name"], 62))
    for level in range(LEVELS):
        start = left + _BAR[0] * level / LEVELS
        middle = bar + _BAR[1] / 2
        runs[level, _BAR[1]].append((start, middle, start + _BAR[0] / LEVELS + _SEAM, middle))
    for tick in _ends(low, high):
        across = left + _BAR[0] * ((tick - low) / (high - low) if high > low else 0.5)
        label = number(float(f"{tick:.10g}"))
        sheet.text(across, bar + _BAR[1] + 13, label, anchor="middle", colour=MUTED)
    colours = _colours()
    for (level, thick), lines in sorted(runs.items()):
        sheet.strokes(lines, colour=colours[level], width=round(thick + _SEAM, 2), sharp=True)
    for frame in [*frames, (left, bar, *_BAR)]:
        sheet.frame(frame)  # what is within may be as dark, or as light, as the page


def _levels(values: NDArray[np.float64], low: float, high: float) -> NDArray[np.int64]:
    """Return the level of every cell; what lies beyond an end of the scale has the end's."""
    shares = (values - low) / (high - low) if high > low else np.full(values.shape, 0.5)
    return np.clip(np.floor(shares * LEVELS), 0, LEVELS - 1).astype(np.int64)


def _runs(runs: dict[tuple[int, float], list[Box]], levels: NDArray[np.int64], place: Place) -> None:
    """Add the runs of a panel, each as a line at the middle of its height, by level and height."""
    for i, row in enumerate(levels):
        starts = np.flatnonzero(np.diff(row, prepend=-1))
        for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
            middle = place.top + (i + 0.5) * place.cell
            ends = (place.left + edge * place.cell for edge in (int(start), int(end)))
            runs[int(row[start]), place.cell].append((next(ends), middle, next(ends), middle))


@cache
def _colours() -> list[str]:
    """Return the colours of the scale, from dark to light."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [to_hex(colour) for colour in colormaps["cividis"](np.linspace(0, 1, LEVELS))]


def _ends(low: float, high: float) -> list[float]:
    """Return three to four round values of the scale; its one value where all cells are equal."""
    if not high > low:
        return [low]
    round_ones = ticks(low, high, "linear")
    return round_ones[:: max(1, -(-len(round_ones) // 4))]
