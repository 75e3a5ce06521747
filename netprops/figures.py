"""Figures of a record as SVG and PDF files: one visual language, drawn from data alone.

Words: a *figure* is the dict that a record holds; its *kind* is ``"curves"``, ``"images"`` or ``"bars"``; a
*page* is what matplotlib draws it on.

A figure is one SVG file with two looks. Opened plainly it is light; opened as ``name.svg#dark`` it is dark,
because its style sheet applies to the root element only while that is the target of the address. An ``img``
within a ``picture`` element chooses between them, so the page needs neither script nor inline style.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from netprops import bars, charts, images
from netprops.looks import RC, SIZE, TYPE
from netprops.measurement import Curve
from netprops.svg import compact, shortened

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE = 2
"""Counted up whenever the drawing changes, so that figures of an earlier style are drawn again."""


def digest(figure: Mapping[str, Any], alternative: str) -> str:
    """Return the hex digest of everything that decides a figure's SVG file."""
    text = json.dumps([STYLE, alternative, figure], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def kind(figure: Mapping[str, Any]) -> str:
    """Return the kind of a figure; records of the first versions have curves alone and do not say so."""
    return str(figure.get("kind", "curves"))


def size(figure: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height of a figure in user units."""
    if kind(figure) == "images":
        return SIZE[0], images.layout(figure)[0]
    return (SIZE[0], bars.height(figure)) if kind(figure) == "bars" else SIZE


def draw(figure: Mapping[str, Any], alternative: str = "") -> str:
    """Return a figure of a record as the text of an SVG file.

    Args:
        figure: ``title`` and what its kind needs: ``x_scale``, ``y_scale``, ``curves`` (each as
            ``Curve.to_json`` gives it) and, where there are any, ``lines`` {label: x}, ``levels`` {label: y},
            ``bands`` {label: (x0, x1)}; or ``panels``, ``low``, ``high`` and ``value_name``; or ``bars``,
            ``value_name`` and ``levels``.
        alternative: Text for those who do not see it; becomes the file's ``desc`` element.

    Returns:
        The same text for the same arguments: no date, no random identifiers.

    Raises:
        MeasurementError: If a curve is malformed.
    """
    out = io.StringIO()
    with _drawn(figure) as page:
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        page.savefig(out, format="svg", transparent=True, metadata=nothing)
    return compact(
        out.getvalue(),
        size=size(figure),
        type_size=TYPE,
        title=str(figure.get("title", "")),
        description=alternative,
        mark=digest(figure, alternative),
    )


def pdf(figure: Mapping[str, Any]) -> bytes:
    """Return a figure of a record as a PDF file of one page, vector throughout, with its fonts.

    Args:
        figure: As :func:`draw` takes it.

    Returns:
        The same bytes for the same figure and matplotlib.

    Raises:
        MeasurementError: If a curve is malformed.
    """
    out = io.BytesIO()
    with _drawn(figure) as page:
        said: dict[str, Any] = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        said["Title"] = shortened(str(figure.get("title", "")), 400)
        page.savefig(out, format="pdf", transparent=True, metadata=said)
    return out.getvalue()


@contextmanager
def _drawn(figure: Mapping[str, Any]) -> Iterator[Figure]:
    """Draw a figure on the page; afterwards the page is empty again."""
    import matplotlib as mpl

    curves = [Curve.from_json(fields) for fields in figure.get("curves", ())]
    with mpl.rc_context(RC), warnings.catch_warnings():
        # Letters that DejaVu Sans lacks are set by the reader's own fonts; only their extent is guessed here.
        warnings.filterwarnings("ignore", message="Glyph")
        page, axes, sheet = _canvas()
        width, height = size(figure)
        page.set_size_inches(width / 72, height / 72)
        axes.set_visible(kind(figure) == "bars" or bool(curves))
        sheet.set_visible(kind(figure) == "images")
        sheet.set_ylim(height, 0)
        try:
            if kind(figure) == "images":
                images.draw(sheet, figure)
            elif kind(figure) == "bars":
                bars.draw(axes, figure)
            elif curves:
                charts.draw(axes, figure, curves)
            yield page
        finally:
            _clear(axes)
            _clear(sheet)


@cache
def _canvas() -> tuple[Figure, Axes, Axes]:
    """Return the one page that all figures are drawn on; building axes anew costs more than drawing.

    Returns:
        The page, axes with scales, and a sheet over the whole page in user units.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    page = Figure(figsize=(SIZE[0] / 72, SIZE[1] / 72), dpi=72)
    FigureCanvasSVG(page)
    axes = page.add_axes((0.1, 0.1, 0.8, 0.8))
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, pad=5)
    axes.set_axisbelow(True)
    sheet = page.add_axes((0, 0, 1, 1))
    sheet.set_xlim(0, SIZE[0])
    sheet.set_axis_off()
    return page, axes, sheet


def _clear(axes: Axes) -> None:
    """Take everything off axes but themselves, so that no figure shows in the next."""
    for artist in (*axes.lines, *axes.collections, *axes.patches, *axes.texts):
        artist.remove()
    legend = axes.get_legend()
    if legend is not None:
        legend.remove()
    axes.set_xlabel("")
    axes.grid(visible=False)
