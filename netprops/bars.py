"""Categories as horizontal bars from zero, with intervals and values.

Words: a *bar* is one labelled measurement; a *level* is a vertical line at a value that all are held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netprops.looks import DASHES, GRID, LETTER, MUTED, PALETTE, SIZE, places, width_in
from netprops.svg import INK, shortened
from netprops.ticks import number, ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ROW, _TOP, _BOTTOM = 24.0, 8.0, 38.0
_LABEL = 26  # letters of a label


def height(figure: Mapping[str, Any]) -> float:
    """Return the height of the page in user units."""
    return _TOP + 15 * len(figure.get("levels") or {}) + _ROW * len(figure["bars"]) + _BOTTOM


def draw(axes: Axes, figure: Mapping[str, Any]) -> None:
    """Draw every bar with its interval and its value, the first at the top.

    Args:
        axes: Empty axes on a page of the figure's own height.
        figure: A record's figure of kind ``"bars"``.
    """
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    page = height(figure)
    bars = [(shortened(one["label"], _LABEL), one["measurement"]) for one in figure["bars"]]
    levels = {label: float(x) for label, x in (figure.get("levels") or {}).items()}
    said = [f"{m['value']:.4g}".replace("-", "−") for _, m in bars]
    known = [0.0, *levels.values(), *(float(m[part]) for _, m in bars for part in ("value", "low", "high"))]
    low, high = min(known), max(known)
    span = (high - low) or 1.0
    left = LETTER * max(len(label) for label, _ in bars) + 12
    right = LETTER * max(map(len, said)) + 14
    axes.set_xscale("linear")
    axes.set_yscale("linear")
    axes.set_xlim(low - (0.02 * span if low < 0 else 0), high + 0.02 * span)
    axes.set_ylim(len(bars) - 0.5, -0.5)
    top = _TOP + 15 * len(levels)
    axes.set_position(
        (
            left / SIZE[0],
            _BOTTOM / page,
            (SIZE[0] - left - right) / SIZE[0],
            (page - _BOTTOM - top) / page,
        )
    )
    positions = ticks(*axes.get_xlim(), "linear")
    axes.xaxis.set_major_locator(FixedLocator(positions))
    axes.xaxis.set_major_formatter(FixedFormatter([number(float(f"{x:.10g}")) for x in positions]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_locator(FixedLocator(list(range(len(bars)))))
    axes.yaxis.set_major_formatter(FixedFormatter([label for label, _ in bars]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_xlabel(shortened(figure["value_name"], 60), labelpad=4)
    colours = places([width_in(label, m.get("details", {})) for label, m in bars])
    for row, ((_, m), text, place) in enumerate(zip(bars, said, colours, strict=True)):
        value, start, end = float(m["value"]), float(m["low"]), float(m["high"])
        axes.barh(row, value, height=0.62, color=PALETTE[place], linewidth=0)
        if end > start:
            axes.plot([start, end], [row, row], color=INK, linewidth=1.4, marker="|", markersize=7)
        axes.annotate(
            text,
            (1.0, row),
            xycoords=axes.get_yaxis_transform(),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            ha="left",
            annotation_clip=False,
        )
    axes.axvline(0, color=MUTED, linewidth=0.8)
    for line, (label, x) in enumerate(levels.items()):
        axes.axvline(x, color=MUTED, linewidth=1.1, linestyle=DASHES[2])
        on_right = x - axes.get_xlim()[0] > 0.5 * (axes.get_xlim()[1] - axes.get_xlim()[0])
        axes.annotate(
            shortened(f"{label} = {number(float(f'{x:.4g}'))}", 44),
            (x, 1.0),
            xycoords=axes.get_xaxis_transform(),
            color=MUTED,
            xytext=(-3 if on_right else 3, 4 + 15 * line),
            textcoords="offset points",
            ha="right" if on_right else "left",
            va="bottom",
            annotation_clip=False,
        )
