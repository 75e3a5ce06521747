"""A sheet that becomes a PDF file of one page, by matplotlib.

Words: as in ``sheet.py``; a user unit is a point, a 72nd of an inch.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from netprops.looks import INK, MARKER, MUTED, PALETTE, TYPE

if TYPE_CHECKING:
    from matplotlib.artist import Artist

    from netprops.sheet import Anchor, Box, Points

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_SIDES = {"start": "left", "middle": "center", "end": "right"}


class PdfSheet:
    """A page of matplotlib's with one pair of axes over all of it.

    Args:
        width: In user units.
        height: In user units.
    """

    def __init__(self, width: float, height: float) -> None:
        from matplotlib.backends.backend_pdf import FigureCanvasPdf
        from matplotlib.figure import Figure

        self._page = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasPdf(self._page)
        self._axes = self._page.add_axes((0, 0, 1, 1))
        self._axes.set_xlim(0, width)
        self._axes.set_ylim(height, 0)
        self._axes.set_axis_off()
        self._window: Artist | None = None
        self._layer = 0

    def window(self, box: Box) -> None:
        """Cut off at a box what is drawn within."""
        from matplotlib.patches import Rectangle

        self._window = Rectangle(box[:2], box[2], box[3], transform=self._axes.transData)

    def line(
        self,
        points: Points,
        *,
        colour: str,
        width: float = 1.6,
        dashes: Sequence[float] = (),
        within: bool = False,
    ) -> None:
        """Draw a line through points."""
        from matplotlib.lines import Line2D

        xs, ys = zip(*points, strict=True)
        style: Any = (0, tuple(dashes)) if dashes else "solid"
        drawn = Line2D(xs, ys, color=colour, linewidth=width, linestyle=style, solid_capstyle="butt")
        self._add(drawn, within=within)

    def strokes(self, lines: Sequence[Box], *, colour: str, width: float, sharp: bool = False) -> None:
        """Draw separate lines."""
        from matplotlib.collections import LineCollection

        ends = [((x0, y0), (x1, y1)) for x0, y0, x1, y1 in lines]
        self._add(
            LineCollection(ends, colors=colour, linewidths=width, capstyle="butt", antialiased=not sharp)
        )

    def area(self, points: Points, *, colour: str, opacity: float = 1.0, within: bool = False) -> None:
        """Fill a polygon."""
        from matplotlib.patches import Polygon

        self._add(Polygon(list(points), facecolor=colour, alpha=opacity, linewidth=0), within=within)

    def frame(self, box: Box, *, colour: str = MUTED) -> None:
        """Draw the outline of a box."""
        from matplotlib.patches import Rectangle

        self._add(Rectangle(box[:2], box[2], box[3], fill=False, edgecolor=colour, linewidth=0.8))

    def markers(self, points: Points, *, place: int, within: bool = False) -> None:
        """Draw the marker of a place of the palette at every point."""
        from matplotlib.lines import Line2D

        xs, ys = zip(*points, strict=True)
        drawn = Line2D(
            xs,
            ys,
            linestyle="none",
            color=PALETTE[place],
            marker=_MARKERS[place],
            markersize=MARKER,
            markeredgewidth=0,
        )
        self._add(drawn, within=within)

    def text(self, x: float, y: float, text: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write one line of text on a base line."""
        from matplotlib.text import Text

        drawn = Text(
            x,
            y,
            text,
            color=colour,
            ha=_SIDES[anchor],
            va="baseline",
            fontfamily="DejaVu Sans",
            fontsize=TYPE,
            parse_math=False,
        )
        self._add(drawn)

    def _add(self, artist: Artist, *, within: bool = False) -> None:
        self._layer += 1
        artist.set_zorder(self._layer)
        self._axes.add_artist(artist)
        artist.set_clip_path(self._window if within else None)  # type: ignore[arg-type]
        artist.set_clip_on(within)

    def file(self, *, title: str) -> bytes:
        """Return the sheet as a PDF file, with its fonts and without a date."""
        import matplotlib as mpl

        said: dict[str, Any] = dict.fromkeys(("CreationDate", "Creator", "Producer")) | {"Title": title}
        out = io.BytesIO()
        with mpl.rc_context({"pdf.fonttype": 42}), warnings.catch_warnings():
            # Letters that DejaVu Sans lacks are drawn as boxes.
            warnings.filterwarnings("ignore", message="Glyph")
            self._page.savefig(out, format="pdf", transparent=True, metadata=said)
        return out.getvalue()
