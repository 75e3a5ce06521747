"""What figures are drawn on: a page with lines, areas, markers and text, in user units from its upper left.

Words: a *sheet* is one page; its *window* is the box that curves are cut off at; *places* are those of the
palette in ``looks.py``, each with a marker of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from netprops.looks import INK, LINE, MUTED

Points = NDArray[np.float64] | Sequence[tuple[float, float]]
Anchor = Literal["start", "middle", "end"]
Box = tuple[float, float, float, float]


class Sheet(Protocol):
    """A page of one format."""

    def window(self, box: Box) -> None:
        """Cut off at a box (left, top, width, height) whatever is drawn within from now on."""

    def line(
        self,
        points: Points,
        *,
        colour: str,
        width: float = LINE,
        dashes: Sequence[float] = (),
        within: bool = False,
    ) -> None:
        """Draw a line through (P, 2) points; ``dashes`` are lengths on and off, in widths of the line."""

    def strokes(self, lines: Sequence[Box], *, colour: str, width: float, sharp: bool = False) -> None:
        """Draw separate lines, each from (x, y) to (x, y), as one thing; ``sharp``: edges on whole pixels."""

    def area(self, points: Points, *, colour: str, opacity: float = 1.0, within: bool = False) -> None:
        """Fill a polygon."""

    def frame(self, box: Box, *, colour: str = MUTED) -> None:
        """Draw the outline of a box."""

    def markers(self, points: Points, *, place: int, within: bool = False) -> None:
        """Draw the marker of a place of the palette at every point, in its colour."""

    def text(self, x: float, y: float, text: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write one line of text on a base line."""
