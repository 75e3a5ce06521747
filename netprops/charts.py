"""Curves drawn on axes, with intervals, vertical lines, levels and shaded ranges.

Words: *marks* are a figure's vertical lines, horizontal levels and shaded bands; a curve of *steps* holds
each value up to half the way to its neighbours, as the densities of a histogram do; *axes* are both scales
and where their ends lie on the sheet.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.looks import DASHES, GRID, LETTER, MEMBER, MUTED, PALETTE, SIZE, looks, shortened
from netprops.measurement import Curve
from netprops.ticks import number, ticks

if TYPE_CHECKING:
    from netprops.sheet import Sheet

_BOTTOM = 40.0  # for the ticks and the name of the horizontal axis
_DECADES = 1e15  # of a log axis at most: numbers below are rounding
_FIRST, _ROW = 26.9, 13.75  # base line of the legend's first row, and the distance to the next
_NAME = 44  # letters of a curve's name
_MANY = 20  # points beyond which a curve has no markers
_NEAR = 0.2  # units that a point of a line may lie beside the line that is drawn
_DENSE = 4  # points in half a unit beyond which only its ends and extremes are drawn


def drawable(values: NDArray[np.float64], scale: str) -> NDArray[np.bool_]:
    """Return which values an axis can show: all of them, or the positive ones on a log axis."""
    return values > 0 if scale == "log" else np.ones(values.shape, dtype=bool)


def scales(figure: Mapping[str, Any], curves: Sequence[Curve]) -> tuple[str, str]:
    """Return the scales of both axes; a log axis without one positive point becomes linear."""
    asked = (str(figure.get("x_scale", "linear")), str(figure.get("y_scale", "linear")))
    points = (np.concatenate([c.x for c in curves]), np.concatenate([c.y for c in curves]))
    kept = [
        "log" if scale == "log" and (p > 0).any() else "linear"
        for scale, p in zip(asked, points, strict=True)
    ]
    return kept[0], kept[1]


@dataclass(frozen=True)
class _Axis:
    """One axis: its scale, its ends, and where these lie on the sheet."""

    scale: str
    low: float
    high: float
    start: float
    end: float

    def at(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return where values lie on the sheet; below the lower end where a log axis cannot show them."""
        known = np.asarray(values, dtype=np.float64)
        low, high = self.low, self.high
        if self.scale == "log":
            known = np.log(np.maximum(known, self.low / 10))
            low, high = math.log(low), math.log(high)
        return self.start + (self.end - self.start) * (known - low) / (high - low)


@dataclass(frozen=True)
class _Axes:
    across: _Axis
    up: _Axis

    def points(self, curve: Curve) -> NDArray[np.float64]:
        """Return (P, 2) places of the points of a curve that both axes can show."""
        shown = self.shown(curve)
        return np.column_stack([self.across.at(curve.x[shown]), self.up.at(curve.y[shown])])

    def shown(self, curve: Curve) -> NDArray[np.bool_]:
        return drawable(curve.x, self.across.scale) & drawable(curve.y, self.up.scale)


def draw(sheet: Sheet, figure: Mapping[str, Any], curves: Sequence[Curve]) -> None:
    """Draw the curves of a figure and its marks.

    Args:
        sheet: An empty page of the usual size.
        figure: A record's figure of kind ``"curves"``.
        curves: Its curves, at least one.
    """
    axes = _axes(sheet, figure, curves)
    styles = _styles(curves)
    found = [(curve, style) for curve, style in zip(curves, styles, strict=True) if axes.shown(curve).any()]
    for curve, style in found:
        _interval(sheet, axes, curve, PALETTE[style.place])
    for curve, style in found:
        _line(sheet, axes, curve, style)
    for curve, style in found:
        if style.marked:
            sheet.markers(axes.points(curve), place=style.place)
    _marks(sheet, axes, figure)
    for label, y in (figure.get("levels") or {}).items():
        if axes.up.scale != "log" or float(y) > 0:
            _level(sheet, axes, curves, label, float(y))
    named = dict(zip(curves, styles, strict=True))
    _legend(sheet, _named(curves), [named[one] for one in _named(curves)])


@dataclass(frozen=True)
class _Style:
    """How a curve is drawn: its place in the palette, and whether its points have markers."""

    place: int
    marked: bool
    dashes: tuple[float, ...]
    width: float


def _styles(curves: Sequence[Curve]) -> list[_Style]:
    """Return how curves are drawn: a few measured points have markers, everything else has dashes of its own.

    Of two curves of one width, which have one colour, the second has dashes and no markers. Curves of one
    name that belong to several networks look alike, and are thin.
    """
    found: list[_Style] = []
    several = len(curves) > len(_named(curves))
    for curve, place in zip(_named(curves), looks(_named(curves)), strict=True):
        before = sum(style.place == place for style in found)
        kind = curve.details.get("line")
        marked = len(curve) <= _MANY and kind not in ("dashed", "steps") and not before and not several
        dashes = (
            DASHES[1] if kind == "dashed" else () if marked else DASHES[(place, *range(1, 7))[before % 7]]
        )
        found.append(_Style(place, marked, dashes, 1.2 if kind == "dashed" or several else 1.6))
    by_name = dict(zip([_name(one) for one in _named(curves)], found, strict=True))
    return [by_name[_name(one)] for one in curves]


def _name(curve: Curve) -> str:
    """Return what tells a curve from those that are drawn otherwise: not whose it is."""
    return curve.name if MEMBER in curve.details else f"{curve.name}\n{id(curve)}"


def _named(curves: Sequence[Curve]) -> list[Curve]:
    """Return the first curve of every name: those of several networks look alike, and the legend has one."""
    return list({_name(one): one for one in reversed(curves)}.values())[::-1]


def _limits(values: Iterable[float], scale: str) -> tuple[float, float]:
    """Return the ends of an axis with a margin; a linear axis near zero begins at zero."""
    kept = [v for v in values if math.isfinite(v) and (scale != "log" or v > 0)]
    low, high = min(kept), max(kept)
    if scale == "log":
        low = max(low, high / _DECADES)  # what rounding left of a zero would open an axis without end
        margin = max((high / low) ** 0.05, 1.1)
        return low / margin, high * margin
    span = (high - low) or abs(high) or 1.0
    bottom = 0.0 if 0 <= low < 0.35 * high else low - 0.05 * span
    return bottom, high + 0.06 * span


def _axes(sheet: Sheet, figure: Mapping[str, Any], curves: Sequence[Curve]) -> _Axes:
    """Draw grid, ticks and names, and return the axes."""
    across, up = scales(figure, curves)
    xs = [float(x) for c in curves for x in c.x[drawable(c.y, up)]] or [float(x) for c in curves for x in c.x]
    ys = [float(v) for c in curves for v in (*c.y, *c.high)]
    smallest = min((v for v in ys if v > 0), default=1.0)
    # An interval that reaches zero would open a log axis without end: it runs out of the picture instead.
    ys += [float(v) for c in curves for v in c.low if up != "log" or v > smallest / 10]
    at = [
        *(figure.get("lines") or {}).values(),
        *(x for ends in (figure.get("bands") or {}).values() for x in ends),
    ]
    x_low, x_high = _limits([*xs, *map(float, at)], across)
    if across == "linear" and x_low == 0.0 and min(xs) > 0:
        x_low = min(xs) - 0.03 * (max(xs) - min(xs) or 1.0)
    y_low, y_high = _limits([*ys, *map(float, (figure.get("levels") or {}).values())], up)
    x_ticks = ticks(x_low, x_high, across, sorted({x for x in xs if across != "log" or x > 0}))
    y_ticks = ticks(y_low, y_high, up)
    x_labels, y_labels = ([number(float(f"{t:.10g}")) for t in positions] for positions in (x_ticks, y_ticks))
    left = LETTER * max(map(len, y_labels), default=1) + 14
    top, bottom, right = (
        22 + 15.5 * max(map(len, _columns(_named(curves))), default=0),
        SIZE[1] - _BOTTOM,
        SIZE[0] - 10,
    )
    axes = _Axes(_Axis(across, x_low, x_high, left, right), _Axis(up, y_low, y_high, bottom, top))
    sheet.window((left, top, right - left, bottom - top))
    heights = [float(y) for y in axes.up.at(y_ticks)]
    sheet.strokes([(left, y, right, y) for y in heights], colour=GRID, width=0.8)
    for y, label in zip(heights, y_labels, strict=True):
        sheet.text(left - 5, y + 4, label, anchor="end", colour=MUTED)
    sheet.line([(left, bottom), (right, bottom)], colour=MUTED, width=0.8)
    for x, label in zip(axes.across.at(x_ticks), x_labels, strict=True):
        sheet.text(float(x), bottom + 13.4, label, anchor="middle", colour=MUTED)
    sheet.text((left + right) / 2, bottom + 29, shortened(curves[0].x_name, 60), anchor="middle")
    sheet.text(2, 13.4, shortened(curves[0].y_name, 64))
    return axes


def _interval(sheet: Sheet, axes: _Axes, curve: Curve, colour: str) -> None:
    shown = axes.shown(curve)
    low, high = curve.low[shown], curve.high[shown]
    if not (high > low).any():
        return
    across, bottom, top = axes.across.at(curve.x[shown]), axes.up.at(low), axes.up.at(high)
    if len(across) == 1:
        x = float(across[0])
        ends = [(x, float(bottom[0])), (x, float(top[0]))]
        sheet.line(ends, colour=colour, within=True)
        return
    edges = [_bent(_seen(np.column_stack([across, edge]))) for edge in (top, bottom)]
    outline = [edges[0], edges[1][::-1]]
    sheet.area(np.concatenate(outline), colour=colour, opacity=0.18, within=True)


def _line(sheet: Sheet, axes: _Axes, curve: Curve, style: _Style) -> None:
    """Draw one curve; ``details["line"]`` makes it dashed (a fit, a floor) or of steps (a histogram)."""
    points = axes.points(curve)
    if len(points) == 1:
        return
    steps = curve.details.get("line") == "steps"
    if steps:
        middles = (points[1:, 0] + points[:-1, 0]) / 2
        edges = [2 * points[0, 0] - middles[0], *np.repeat(middles, 2), 2 * points[-1, 0] - middles[-1]]
        points = np.column_stack([edges, np.repeat(points[:, 1], 2)])
    sheet.line(
        _seen(points) if steps else _bent(_seen(points)),
        colour=PALETTE[style.place],
        width=style.width,
        dashes=style.dashes,
        within=True,
    )


def _seen(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return points without those that the eye cannot tell from their neighbours.

    Of a long curve these are the first, last, lowest and highest in each half unit.
    """
    buckets = np.floor(2 * points[:, 0])
    if len(points) <= _DENSE * len(np.unique(buckets)):
        return points
    kept = set[int]()
    for places in np.split(np.arange(len(points)), np.flatnonzero(np.diff(buckets)) + 1):
        heights = points[places, 1]
        kept |= {int(places[i]) for i in (0, -1, int(heights.argmin()), int(heights.argmax()))}
    return points[sorted(kept)]


def _bent(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the points that a line needs to pass all of them at ``_NEAR`` or less.

    What is furthest from the line between two points divides it (Ramer 1972; Douglas and Peucker 1973).
    """
    needed, open_ = {0, len(points) - 1}, [(0, len(points) - 1)]
    while open_:
        start, end = open_.pop()
        if end - start < 2:
            continue
        (x0, y0), (x1, y1) = points[start], points[end]
        between = points[start + 1 : end]
        length = math.hypot(x1 - x0, y1 - y0) or 1.0
        away = np.abs((x1 - x0) * (between[:, 1] - y0) - (y1 - y0) * (between[:, 0] - x0)) / length
        far = start + 1 + int(away.argmax())
        if away.max() > _NEAR:
            needed.add(far)
            open_ += [(start, far), (far, end)]
    return points[sorted(needed)]


def _marks(sheet: Sheet, axes: _Axes, figure: Mapping[str, Any]) -> None:
    """Draw lines and bands with their names beside them."""
    marks = [
        (label if re.search(r"\d", label) else f"{label} = {number(float(x))}", float(x), float(x))
        for label, x in (figure.get("lines") or {}).items()
    ]
    marks += [(label, float(a), float(b)) for label, (a, b) in (figure.get("bands") or {}).items()]
    bottom, top = axes.up.start, axes.up.end
    for row, (label, start, end) in enumerate(marks):
        if axes.across.scale == "log" and min(start, end) <= 0:
            continue
        left, right = (float(x) for x in axes.across.at([start, end]))
        on_right = left - axes.across.start > 0.65 * (axes.across.end - axes.across.start)
        if start == end:
            sheet.line([(left, top), (left, bottom)], colour=MUTED, width=1.1, dashes=DASHES[2])
            base = top + 12 + 14 * row
        else:
            corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
            sheet.area(corners, colour=MUTED, opacity=0.12, within=True)
            base = bottom - 7
        at = left - 4 if on_right else right + 4
        sheet.text(at, base, shortened(label, 36), anchor="end" if on_right else "start", colour=MUTED)


def _level(sheet: Sheet, axes: _Axes, curves: Sequence[Curve], label: str, y: float) -> None:
    """Draw a horizontal line, its name at the end at which it meets fewer points of the curves."""
    left, right, height = axes.across.start, axes.across.end, float(axes.up.at(y))
    sheet.line([(left, height), (right, height)], colour=MUTED, width=1.1, dashes=DASHES[3])
    room, nearness = axes.up.start - axes.up.end, [0, 0]
    for curve in curves:
        for across, up in axes.points(curve):
            above = (height - up) / room
            nearness[int(across > (left + right) / 2)] += 1 if -0.02 < above < 0.12 else 0
    if nearness[0] < nearness[1]:
        sheet.text(left + 4, height - 4, shortened(label, 48), colour=MUTED)
    else:
        sheet.text(right - 2, height - 4, shortened(label, 48), anchor="end", colour=MUTED)


def _columns(curves: Sequence[Curve]) -> list[list[int]]:
    """Return which curves stand in each column of the legend; a single curve needs none."""
    if len(curves) < 2:
        return []
    longest = max(len(shortened(c.name, _NAME)) for c in curves)
    columns = max(1, min(len(curves), int((SIZE[0] - 20) / (LETTER * longest + 42))))
    rows = -(-len(curves) // columns)
    return [list(range(i, min(i + rows, len(curves)))) for i in range(0, len(curves), rows)]


def _legend(sheet: Sheet, curves: Sequence[Curve], styles: Sequence[_Style]) -> None:
    left = 2.0
    for column in _columns(curves):
        for row, i in enumerate(column):
            style, base = styles[i], _FIRST + _ROW * row
            ends = [(left, base - 4), (left + 24, base - 4)]
            sheet.line(ends, colour=PALETTE[style.place], width=style.width, dashes=style.dashes)
            if style.marked:
                sheet.markers([(left + 12, base - 4)], place=style.place)
            sheet.text(left + 30, base, shortened(curves[i].name, _NAME))
        left += LETTER * max(len(shortened(curves[i].name, _NAME)) for i in column) + 42
