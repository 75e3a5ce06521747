"""What all figures have in common: size, type, colours, and the order in which curves take them.

Words: a *width* is a number of units, and the same width has the same colour in every figure of every
report; a *look* is a place in the palette, with its marker and its dashes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netprops.measurement import Curve

SIZE = (400.0, 260.0)
"""Width and usual height in SVG user units; at 375 px of screen the 11-unit type is still 9 px high."""

TYPE = 11.0
LETTER = 0.56 * TYPE  # mean advance of a letter of DejaVu Sans, for space that is set aside

INK, MUTED, GRID = "#1f2328", "#57606a", "#dfe3e8"
# Okabe and Ito's palette (Wong 2011, Nature Methods 8, 441) without yellow: too pale for a line on white.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", INK)
DASHES: tuple[tuple[float, ...], ...] = (
    (),
    (6, 2),
    (2, 1.5),
    (6, 2, 1.5, 2),
    (9, 2),
    (1, 1),
    (4, 3),
)
"""Lengths on and off of each place's dashes, in widths of the line."""

LINE, MARKER = 1.6, 4.5

MEMBER = "of"
"""The entry of a curve's details that says whose it is, in a figure of several networks."""

_WIDTH = re.compile(r"\b(?:W|width) ?= ?(\d+)\b")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def shortened(text: str, longest: int) -> str:
    """Return text on one line without what XML forbids, cut with an ellipsis where it is too long."""
    line = " ".join(_NOT_XML.sub("\ufffd", text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


_NOTHING: Mapping[str, object] = {}


def width_in(name: str, details: Mapping[str, object] = _NOTHING) -> int | None:
    """Return the width that something belongs to, by its details or by ``W = 512`` in its name."""
    stated = details.get("width")
    if isinstance(stated, int | float) and stated >= 1:
        return int(stated)
    found = _WIDTH.search(name)
    return int(found.group(1)) if found and int(found.group(1)) else None


def looks(curves: Sequence[Curve]) -> list[int]:
    """Return each curve's place in the palette."""
    return places([width_in(curve.name, curve.details) for curve in curves])


def places(widths: Sequence[int | None]) -> list[int]:
    """Return a place in the palette for each of several things, some of which belong to a width.

    Width decides where there is one, by octave, so that a width keeps its colour from figure to figure; the
    others take what is left in order.
    """
    chosen: dict[int, int] = {}
    for i, width in enumerate(widths):
        if width is not None:
            place = round(math.log2(width)) % len(PALETTE)
            free = [p for p in range(len(PALETTE)) if p not in chosen.values()]
            same = [chosen[j] for j in chosen if widths[j] == width]
            chosen[i] = same[0] if same else place if place in free or not free else free[0]
    free = [p for p in range(len(PALETTE)) if p not in chosen.values()] or list(range(len(PALETTE)))
    rest = [i for i in range(len(widths)) if i not in chosen]
    chosen |= {i: free[k % len(free)] for k, i in enumerate(rest)}
    return [chosen[i] for i in range(len(widths))]
