"""Figures of a record as SVG and PDF files: one visual language, drawn from data alone.

Words: a *figure* is the dict that a record holds; its *kind* is ``"curves"``, ``"images"`` or ``"bars"``; a
*sheet* is what it is drawn on, whatever the format.

A figure is one SVG file with two looks. Opened plainly it is light; opened as ``name.svg#dark`` it is dark,
because its style sheet applies to the root element only while that is the target of the address. An ``img``
within a ``picture`` element chooses between them, so the page needs neither script nor inline style.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from netprops import bars, charts, images
from netprops.looks import SIZE, shortened
from netprops.measurement import Curve
from netprops.pdf import PdfSheet
from netprops.svg import SvgSheet

if TYPE_CHECKING:
    from netprops.sheet import Sheet

STYLE = 3
"""Counted up whenever the drawing changes, so that figures of an earlier style are drawn again."""


def digest(figure: Mapping[str, Any]) -> str:
    """Return the first hex digits of a digest of everything that decides a figure's SVG file."""
    text = json.dumps([STYLE, figure], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def kind(figure: Mapping[str, Any]) -> str:
    """Return the kind of a figure; records of the first versions have curves alone and do not say so."""
    return str(figure.get("kind", "curves"))


def size(figure: Mapping[str, Any]) -> tuple[float, float]:
    """Return width and height of a figure in user units."""
    if kind(figure) == "images":
        return SIZE[0], images.layout(figure)[0]
    return (SIZE[0], bars.height(figure)) if kind(figure) == "bars" else SIZE


def draw(figure: Mapping[str, Any]) -> str:
    """Return a figure of a record as the text of an SVG file.

    Args:
        figure: ``title`` and what its kind needs: ``x_scale``, ``y_scale``, ``curves`` (each as
            ``Curve.to_json`` gives it) and, where there are any, ``lines`` {label: x}, ``levels`` {label: y},
            ``bands`` {label: (x0, x1)}; or ``panels``, ``low``, ``high`` and ``value_name``; or ``bars``,
            ``value_name`` and ``levels``.

    Returns:
        The same text for the same arguments: no date, no random identifiers.

    Raises:
        MeasurementError: If a curve is malformed.
    """
    sheet = SvgSheet(*size(figure))
    _draw(sheet, figure)
    return sheet.file(title=_title(figure), mark=digest(figure))


def element(figure: Mapping[str, Any], *, prefix: str, label: str) -> str:
    """Return a figure of a record as an element of an HTML page.

    Args:
        figure: As :func:`draw` takes it.
        prefix: Letters and digits before the figure's ids, its own within the page.
        label: The text alternative.

    Raises:
        MeasurementError: If a curve is malformed.
    """
    sheet = SvgSheet(*size(figure))
    _draw(sheet, figure)
    return sheet.element(prefix=prefix, label=shortened(label, 4000))


def pdf(figure: Mapping[str, Any]) -> bytes:
    """Return a figure of a record as a PDF file of one page, vector throughout, with its fonts.

    Args:
        figure: As :func:`draw` takes it.

    Returns:
        The same bytes for the same figure and matplotlib.

    Raises:
        MeasurementError: If a curve is malformed.
    """
    sheet = PdfSheet(*size(figure))
    _draw(sheet, figure)
    return sheet.file(title=_title(figure))


def _draw(sheet: Sheet, figure: Mapping[str, Any]) -> None:
    if kind(figure) == "images":
        images.draw(sheet, figure)
    elif kind(figure) == "bars":
        bars.draw(sheet, figure)
    elif figure["curves"]:
        charts.draw(sheet, figure, [Curve.from_json(fields) for fields in figure["curves"]])


def _title(figure: Mapping[str, Any]) -> str:
    return shortened(str(figure.get("title", "")), 400)
