"""Curves drawn on axes, with intervals, vertical lines, levels and shaded ranges.

Words: *marks* are a figure's vertical lines, horizontal levels and shaded bands; a curve of *steps* holds
each value up to half the way to its neighbours, as the densities of a histogram do.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netprops.looks import DASHES, GRID, LETTER, MARKERS, MUTED, PALETTE, SIZE, looks
from netprops.measurement import Curve
from netprops.svg import shortened
from netprops.ticks import number, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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


def draw(axes: Axes, figure: Mapping[str, Any], curves: Sequence[Curve]) -> None:
    """Draw the curves of a figure and its marks.

    Args:
        axes: Empty axes on a page of the usual size.
        figure: A record's figure of kind ``"curves"``.
        curves: Its curves, at least one.
    """
    _axes(axes, figure, curves)
    for curve, place in zip(curves, looks(curves), strict=True):
        _curve(axes, curve, place)
    _marks(axes, figure, curves)
    _legend(axes, curves)


def _limits(values: Iterable[float], scale: str) -> tuple[float, float]:
    """Return the ends of an axis with a margin; a linear axis near zero begins at zero."""
    kept = [v for v in values if math.isfinite(v) and (scale != "log" or v > 0)]
    low, high = min(kept), max(kept)
    if scale == "log":
        margin = max((high / low) ** 0.05, 1.1)
        return low / margin, high * margin
    span = (high - low) or abs(high) or 1.0
    bottom = 0.0 if 0 <= low < 0.35 * high else low - 0.05 * span
    return bottom, high + 0.06 * span


def _axes(axes: Axes, figure: Mapping[str, Any], curves: Sequence[Curve]) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    across, up = scales(figure, curves)
    axes.set_xscale(across)
    axes.set_yscale(up)
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
    axes.set_xlim(x_low, x_high)
    axes.set_ylim(y_low, y_high)
    labels = []
    for axis, low, high, scale, data in (
        (axes.xaxis, x_low, x_high, across, xs),
        (axes.yaxis, y_low, y_high, up, ()),
    ):
        positions = ticks(low, high, scale, sorted({x for x in data if scale != "log" or x > 0}))
        labels.append([number(float(f"{p:.10g}")) for p in positions])
        axis.set_major_locator(FixedLocator(positions))
        axis.set_major_formatter(FixedFormatter(labels[-1]))
        axis.set_minor_locator(NullLocator())
    heights = axes.get_yticks()
    axes.plot(
        [0.0, 1.0, math.nan] * len(heights),
        np.repeat(heights, 3),
        transform=axes.get_yaxis_transform(),
        color=GRID,
        linewidth=0.8,
        zorder=0.5,
    )
    axes.set_xlabel(shortened(curves[0].x_name, 60), labelpad=4)
    rows, _ = _legend_shape(curves)
    left = LETTER * max(map(len, labels[1]), default=1) + 14
    top = 22 + 15.5 * rows
    axes.set_position(
        (left / SIZE[0], 40 / SIZE[1], (SIZE[0] - left - 10) / SIZE[0], (SIZE[1] - 40 - top) / SIZE[1])
    )
    axes.annotate(
        shortened(curves[0].y_name, 64),
        (2, SIZE[1] - 5),
        xycoords="figure points",
        va="top",
        ha="left",
        annotation_clip=False,
    )


def _curve(axes: Axes, curve: Curve, place: int) -> None:
    """Draw one curve; ``details["line"]`` makes it dashed (a fit, a floor) or of steps (a histogram)."""
    colour, name = PALETTE[place], shortened(curve.name, 44)
    shown = drawable(curve.y, axes.get_yscale()) & drawable(curve.x, axes.get_xscale())
    x, y, low, high = curve.x[shown], curve.y[shown], curve.low[shown], curve.high[shown]
    line = curve.details.get("line")
    many, drawn = len(x) > 32 or line == "steps", line == "dashed"
    low = np.maximum(low, axes.get_ylim()[0] / 10) if axes.get_yscale() == "log" else low
    axes.plot(
        x,
        y,
        color=colour,
        marker="" if many or drawn else MARKERS[place],
        label=name if name[:1] != "_" else f"\u200b{name}",  # matplotlib hides names that begin so
        linestyle=DASHES[1] if drawn else DASHES[place] if many else "solid",
        linewidth=1.2 if drawn else 1.6,
        markeredgewidth=0,
        drawstyle="steps-mid" if line == "steps" else "default",
    )
    if (high > low).any():
        if len(x) > 1:
            axes.fill_between(x, low, high, color=colour, alpha=0.18, linewidth=0)
        else:
            axes.vlines(x, low, high, color=colour, linewidth=1.6)


def _marks(axes: Axes, figure: Mapping[str, Any], curves: Sequence[Curve]) -> None:
    """Draw lines, levels and bands with their names beside them."""
    across, up = axes.get_xaxis_transform(), axes.get_yaxis_transform()
    middle = axes.transAxes.inverted()
    marks = [
        (label if re.search(r"\d", label) else f"{label} = {number(float(x))}", float(x), float(x))
        for label, x in (figure.get("lines") or {}).items()
    ]
    marks += [(label, float(a), float(b)) for label, (a, b) in (figure.get("bands") or {}).items()]
    for row, (label, start, end) in enumerate(marks):
        if axes.get_xscale() == "log" and min(start, end) <= 0:
            continue
        on_right = middle.transform(axes.transData.transform((start, axes.get_ylim()[1])))[0] > 0.65
        if start == end:
            axes.axvline(start, color=MUTED, linewidth=1.1, linestyle=DASHES[2])
        else:
            axes.axvspan(start, end, color=MUTED, alpha=0.12, linewidth=0)
        edge, away = ("top", -3 - 14 * row) if start == end else ("bottom", 4)
        axes.annotate(
            shortened(label, 36),
            (end if on_right else start, 1.0 if edge == "top" else 0.0),
            xycoords=across,
            color=MUTED,
            xytext=(-4 if on_right else 4, away),
            textcoords="offset points",
            ha="right" if on_right else "left",
            va=edge,
        )
    for label, y in (figure.get("levels") or {}).items():
        if axes.get_yscale() != "log" or float(y) > 0:
            axes.axhline(float(y), color=MUTED, linewidth=1.1, linestyle=DASHES[3])
            side = _emptier_side(axes, curves, float(y))
            axes.annotate(
                shortened(label, 48),
                (side, float(y)),
                xycoords=up,
                color=MUTED,
                xytext=(-2 if side else 4, 3),
                textcoords="offset points",
                ha="right" if side else "left",
                va="bottom",
            )


def _emptier_side(axes: Axes, curves: Sequence[Curve], y: float) -> float:
    """Return 0 or 1: the end of the axes at which a level's name meets fewer points of the curves."""
    transform, nearness = axes.transData + axes.transAxes.inverted(), [0.0, 0.0]
    level = transform.transform((axes.get_xlim()[0], y))[1]
    for curve in curves:
        shown = drawable(curve.y, axes.get_yscale()) & drawable(curve.x, axes.get_xscale())
        for across, up in transform.transform(np.column_stack([curve.x[shown], curve.y[shown]])):
            above = up - level
            nearness[int(across > 0.5)] += 1 if -0.02 < above < 0.12 else 0
    return 0.0 if nearness[0] < nearness[1] else 1.0


def _legend_shape(curves: Sequence[Curve]) -> tuple[int, int]:
    """Return rows and columns of the legend; a single curve needs none."""
    if len(curves) < 2:
        return 0, 0
    longest = max(len(shortened(c.name, 44)) for c in curves)
    columns = max(1, min(len(curves), int((SIZE[0] - 20) / (LETTER * longest + 42))))
    return -(-len(curves) // columns), columns


def _legend(axes: Axes, curves: Sequence[Curve]) -> None:
    from matplotlib.transforms import IdentityTransform

    _, columns = _legend_shape(curves)
    if columns:
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(0, SIZE[1] - 17),
            bbox_transform=IdentityTransform(),
            ncols=columns,
            frameon=False,
            borderaxespad=0,
            borderpad=0.15,
            handlelength=2.2,
            handletextpad=0.5,
            columnspacing=1.4,
            labelspacing=0.25,
        )
