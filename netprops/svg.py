"""A sheet that becomes an SVG file, with a second, dark look.

Words: the *dark look* maps every colour of the drawing to another one, by rules that apply only while the
root element is the target of the file's address (``name.svg#dark``). All paint is in presentation attributes:
a file that is opened under a policy against inline style shows its light look. *Tenths* are whole numbers of
tenths of a user unit, to which all points are rounded. Neighbours with the same attributes share a group, and
a path leaves out what its reader can tell: a report has hundreds of these files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np

from netprops.looks import INK, MARKER, MUTED, PALETTE

if TYPE_CHECKING:
    from netprops.sheet import Anchor, Box, Points

DARK = {
    INK: "#e6e8eb",
    "#57606a": "#a6aeb7",
    "#dfe3e8": "#343a42",
    "#0072b2": "#4f9fdc",
    "#d55e00": "#f07f3c",
    "#009e73": "#2fc297",
    "#cc79a7": "#dd98be",
    "#56b4e9": "#93d4fb",
    "#e69f00": "#f2b632",
}

_NAMESPACE = "http://www.w3.org/2000/svg"
_FONT = "system-ui,sans-serif"
_PAINT = re.compile(r' (fill|stroke)="(#[0-9a-f]{6})"')
# The marker of each place of the palette: where it begins, in tenths from its middle, its path, and where the
# pen is left, seen from the beginning. Circle and square are the caps of a line without length; then come
# triangle, diamond, triangle downwards, plus, cross.
_MARKERS = (
    ((0, 0), "h0", (0, 0)),
    ((0, 0), "h0", (0, 0)),
    ((0, -25), "l2.4 4.4h-4.8z", (0, 0)),
    ((0, -30), "l3 3l-3 3l-3-3z", (0, 0)),
    ((0, 25), "l2.4-4.4h-4.8z", (0, 0)),
    ((-27, 0), "h5.4m-2.7-2.7v5.4", (27, 27)),
    ((-21, -21), "l4.2 4.2m0-4.2l-4.2 4.2", (0, 42)),
)
_CAPS = {
    0: f' stroke-width="{MARKER:g}" stroke-linecap="round"',
    1: ' stroke-width="4.2" stroke-linecap="square"',
}
_FILLED = (2, 3, 4)


class SvgSheet:
    """A page whose elements are collected as text.

    Args:
        width: In user units.
        height: In user units.
    """

    def __init__(self, width: float, height: float) -> None:
        self._size = (width, height)
        self._parts: list[tuple[str, str, str]] = []  # attributes that neighbours can share, tag, the rest

    def window(self, box: Box) -> None:
        """Cut off at a box what is drawn within."""
        x, y, width, height = map(_number, box)
        outline = f'<rect x="{x}" y="{y}" width="{width}" height="{height}"/>'
        self._parts.append(("", "clipPath", f' id="a">{outline}</clipPath>'))

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
        dashed = f' stroke-dasharray="{" ".join(_number(width * d) for d in dashes)}"' if dashes else ""
        self._path(
            _through(points), f'fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}', within=within
        )

    def strokes(self, lines: Sequence[Box], *, colour: str, width: float, sharp: bool = False) -> None:
        """Draw separate lines as one path."""
        edges = ' shape-rendering="crispEdges"' if sharp else ""
        steps, here = [], (0, 0)
        for x0, y0, x1, y1 in lines:
            start, end = (round(10 * x0), round(10 * y0)), (round(10 * x1), round(10 * y1))
            steps += [_step("m", start, here), _step("l", end, start)]
            here = end
        self._path("".join(steps), f'stroke="{colour}" stroke-width="{width:g}"{edges}')

    def area(self, points: Points, *, colour: str, opacity: float = 1.0, within: bool = False) -> None:
        """Fill a polygon."""
        thin = f' fill-opacity="{opacity:g}"' if opacity < 1 else ""
        self._path(f"{_through(points)}z", f'fill="{colour}"{thin}', within=within)

    def frame(self, box: Box, *, colour: str = MUTED) -> None:
        """Draw the outline of a box."""
        left, top, width, height = box
        corners = [(left, top), (left + width, top), (left + width, top + height), (left, top + height)]
        self._path(f"{_through(corners)}z", f'fill="none" stroke="{colour}" stroke-width="0.8"')

    def markers(self, points: Points, *, place: int, within: bool = False) -> None:
        """Draw the marker of a place of the palette at every point."""
        colour, (start, shape, left_at) = PALETTE[place], _MARKERS[place]
        paint = f'fill="{colour}"' if place in _FILLED else f'stroke="{colour}"'
        paint += "" if place in _FILLED else _CAPS.get(place, ' stroke-width="1.6"')
        steps, here = [], (0, 0)
        for x, y in np.rint(10 * np.asarray(points, dtype=np.float64)).astype(int).tolist():
            begin = (x + start[0], y + start[1])
            steps.append(f"{_step('m', begin, here)}{shape}")
            here = (begin[0] + left_at[0], begin[1] + left_at[1])
        self._path("".join(steps), paint, within=within)

    def text(self, x: float, y: float, text: str, *, anchor: Anchor = "start", colour: str = INK) -> None:
        """Write one line of text on a base line."""
        at = "" if anchor == "start" else f' text-anchor="{anchor}"'
        paint = "" if colour == INK else f' fill="{colour}"'
        place = f' x="{_number(x)}" y="{_number(y)}"'
        self._parts.append((f"{at}{paint}", "text", f"{place}>{escape(text, quote=False)}</text>"))

    def _path(self, steps: str, paint: str, *, within: bool = False) -> None:
        cut = ' clip-path="url(#a)"' if within else ""
        self._parts.append((cut, "path", f' d="{steps}" {paint}/>'))

    def _drawn(self) -> str:
        """Return the elements; what several neighbours share is on a group around them."""
        found = []
        for shared, members in groupby(self._parts, key=lambda part: part[0]):
            alike = list(members)
            if len(alike) > 1 and shared:
                found += [f"<g{shared}>", *(f"<{tag}{rest}" for _, tag, rest in alike), "</g>"]
            else:
                found += [f"<{tag}{shared}{rest}" for _, tag, rest in alike]
        return "".join(found)

    def _element(self, attributes: str, before: str) -> str:
        width, height = (f"{part:g}" for part in self._size)
        return (
            f'<svg xmlns="{_NAMESPACE}" {attributes} viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" font-size="11" fill="{INK}" stroke-linejoin="round">'
            f"{before}{self._drawn()}</svg>"
        )

    def file(self, *, title: str, mark: str) -> str:
        """Return the sheet as an SVG file.

        Args:
            title: The file's ``title``.
            mark: Hexadecimal digest that tells what the file shows.
        """
        used = dict.fromkeys(_PAINT.findall(self._drawn()))
        style = f":target{{fill:{DARK[INK]}}}" + "".join(
            f':target [{part}="{light}"]{{{part}:{DARK[light]}}}' for part, light in used if light in DARK
        )
        before = f"<title>{escape(title, quote=False)}</title><style>{style}</style>"
        return self._element(f'id="dark" data-digest="{mark}" font-family="{_FONT}"', before) + "\n"

    def element(self, *, prefix: str, label: str) -> str:
        """Return the sheet as an element of an HTML page, which gives it type and dark look.

        Args:
            prefix: Letters and digits before every id, so that no two elements of a page share one.
            label: The text alternative.
        """
        drawn = self._element(f'class="drawing" role="img" aria-label="{escape(label)}"', "")
        return drawn.replace('id="a"', f'id="{prefix}a"').replace("url(#a)", f"url(#{prefix}a)")


def _number(value: float) -> str:
    """Return a number rounded to tenths, without needless digits."""
    return _spaced(round(10 * value)).strip()


def _spaced(tenths: int) -> str:
    """Return tenths as a number that can follow another one: a minus needs no space before it."""
    whole, part = divmod(abs(tenths), 10)
    said = f"{whole or ('' if part else 0)}{f'.{part}' if part else ''}"
    return f"-{said}" if tenths < 0 else f" {said}"


def _pair(x: int, y: int) -> str:
    """Return two numbers; a point needs no space before it where the number before has one already."""
    first, second = _spaced(x).strip(), _spaced(y)
    return f"{first}{second.strip() if second.startswith(' .') and '.' in first else second}"


def _step(command: str, point: tuple[int, int], here: tuple[int, int]) -> str:
    """Return one relative command of a path to a point in tenths."""
    x, y = point[0] - here[0], point[1] - here[1]
    if command == "l" and y == 0:
        return f"h{_spaced(x).strip()}"
    if command == "l" and x == 0:
        return f"v{_spaced(y).strip()}"
    return f"{command}{_pair(x, y)}"


def _through(points: Points) -> str:
    """Return a path through points, in steps from one to the next that are rounded without a drift."""
    tenths = [(x, y) for x, y in np.rint(10 * np.asarray(points, dtype=np.float64)).astype(int).tolist()]
    steps = [_step("l", point, here) for here, point in pairwise(tenths) if point != here]
    return f"M{_pair(*tenths[0])}{''.join(steps)}"
