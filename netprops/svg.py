"""Matplotlib's SVG made small, and given a second, dark look.

Words: the *dark look* maps every colour of the drawing to another one, by rules that apply only while the
root element is the target of the file's address (``name.svg#dark``). All paint is in presentation attributes:
a file that is opened under a policy against inline style shows its light look. *Tenths* are whole numbers of
tenths of a user unit, to which the points of paths are rounded.
"""

from __future__ import annotations

import re
import string
import xml.etree.ElementTree as ET  # parses only what matplotlib wrote
from collections.abc import Iterator

INK = "#1f2328"
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

CELLS = "cells"
"""Name of a drawn part whose edges are to lie on whole pixels, so that no seams show between its cells."""

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PATH = re.compile(r"[MLQCz]|-?\d+(?:\.\d+)?(?:e-?\d+)?")
_USUAL = {"text-anchor": "start", "stroke-linecap": "butt", "stroke-linejoin": "round"}


def shortened(text: str, longest: int) -> str:
    """Return text on one line without what XML forbids, cut with an ellipsis where it is too long."""
    line = " ".join(_NOT_XML.sub("\ufffd", text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def compact(
    text: str, *, size: tuple[float, float], type_size: float, title: str, description: str, mark: str
) -> str:
    """Return matplotlib's SVG without wrappers, inline styles and needless digits, and with its dark look.

    Args:
        text: What matplotlib wrote.
        size: Width and height in user units.
        type_size: The size that text has where nothing else is said, in user units.
        title: The file's ``title``.
        description: The file's ``desc``: what somebody reads who does not see it.
        mark: Hexadecimal digest that tells what the file shows.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(text)
    names = dict(zip(dict.fromkeys(re.findall(r'(?:url\(|href=")#([^")]+)', text)), _names(), strict=False))
    new = ET.Element(
        f"{{{_SVG}}}svg",
        {
            "id": "dark",
            "viewBox": f"0 0 {size[0]:g} {size[1]:g}",
            "width": f"{size[0]:g}",
            "height": f"{size[1]:g}",
            "data-digest": mark,
            "font-family": "system-ui, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif",
            "font-size": f"{type_size:g}",
            "stroke-linejoin": "round",
        },
    )
    ET.SubElement(new, f"{{{_SVG}}}title").text = shortened(title, 400)
    ET.SubElement(new, f"{{{_SVG}}}desc").text = shortened(description, 4000)
    style = ET.SubElement(new, f"{{{_SVG}}}style")
    for child in root:
        _move(child, new, names, f"{type_size:g}px", in_defs=False)
    style.text = "".join(
        f'#dark:target [{part}="{light}"]{{{part}:{dark}}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
        if any(element.get(part) == light for element in new.iter())
    )
    return ET.tostring(new, encoding="unicode").replace(" />", "/>") + "\n"


def _names() -> Iterator[str]:
    """Yield short names for what is referred to: a, b, … z, then with numbers."""
    yield from string.ascii_lowercase
    number = 1
    while True:
        yield from (f"{letter}{number}" for letter in string.ascii_lowercase)
        number += 1


def _move(
    element: ET.Element, parent: ET.Element, names: dict[str, str], usual: str, *, in_defs: bool
) -> None:
    """Append a leaner copy of one element, without groups that only name their content."""
    tag = element.tag.removeprefix(f"{{{_SVG}}}")
    if tag in ("metadata", "style"):
        return
    fields = {name: value for name, value in element.attrib.items() if name not in ("id", "style", _LINK)}
    declared = dict(d.split(":", 1) for d in element.get("style", "").split(";") if ":" in d)
    fields |= {name.strip(): value.strip() for name, value in declared.items()}
    fields.pop("font-family", None)
    if (
        in_defs and tag == "path"
    ):  # a marker takes its paint from each of its uses, where the dark look finds it
        fields = {"d": fields["d"]}
    if tag == "text":
        if fields.get("font-size") == usual:
            del fields["font-size"]
        if "rotate(-0 " in fields.get("transform", ""):
            del fields["transform"]
        fields.setdefault("fill", INK)
    fields = {
        name: re.sub(r"-?\d+\.\d+", lambda m: f"{float(m.group()):.2f}".rstrip("0").rstrip("."), value)
        if name != "d"
        else value
        for name, value in fields.items()
        if _USUAL.get(name) != value
    }
    if "clip-path" in fields:
        fields["clip-path"] = f"url(#{names[fields['clip-path'][5:-1]]})"
    if "d" in fields:
        fields["d"] = relative(fields["d"])
        if fields.get("fill") == "none" and fields.get("stroke", "none") == "none":
            return
    if element.get("id") in names:
        fields["id"] = names[element.get("id", "")]
    if element.get(_LINK):
        fields["href"] = f"#{names[element.get(_LINK, '#')[1:]]}"
    if element.get("id") == CELLS:
        fields["shape-rendering"] = "crispEdges"
    flat = tag == "g" and not fields
    new = parent if flat else ET.SubElement(parent, element.tag, fields)
    new.text = new.text if flat else (element.text or "").strip() or None
    for child in element:
        _move(child, new, names, usual, in_defs=in_defs or tag == "defs")
    if tag in ("g", "defs") and not flat and not len(new):
        parent.remove(new)
    elif tag == "g" and not flat:
        _paint_once(new)


def _paint_once(group: ET.Element) -> None:
    """Give a group the paint that all markers in it share."""
    paints = {(one.tag, one.get("fill")) for one in group}
    if len(group) > 1 and len(paints) == 1 and group[0].tag.endswith("use") and group[0].get("fill"):
        group.set("fill", group[0].get("fill", ""))
        for one in group:
            del one.attrib["fill"]


def relative(path: str) -> str:
    """Return a path in steps from point to point, rounded to tenths without a drift.

    Args:
        path: Commands M, L, Q, C and z with absolute points, as matplotlib writes them.

    >>> relative("M 10 20.04 L 12.5 20.04 L 12.5 25 M 0 0 z")
    'M10 20h2.5v5M0 0z'
    """
    tokens = _PATH.findall(path)
    out: list[str] = []
    here = start = (0, 0)
    command, place = "", 0
    while place < len(tokens):
        if tokens[place].isalpha():
            command, place = tokens[place], place + 1
        if command == "z":
            out.append("z")
            here = start
            continue
        many = {"M": 1, "L": 1, "Q": 2, "C": 3}[command]
        numbers = [round(10 * float(token)) for token in tokens[place : place + 2 * many]]
        place += 2 * many
        points = list(zip(numbers[::2], numbers[1::2], strict=True))
        if command == "M":
            step = "M" + _joined(points[0])
            near = "m" + _joined((points[0][0] - here[0], points[0][1] - here[1]))
            out.append(near if out and len(near) < len(step) and out[-1] != "z" else step)
            here = start = points[0]
            continue
        steps = [c - here[i % 2] for i, c in enumerate(c for point in points for c in point)]
        here = points[-1]
        if command != "L":
            out.append(command.lower() + _joined(steps))
        elif steps[1] == 0:
            out.append("h" + _joined(steps[:1]))
        elif steps[0] == 0:
            out.append("v" + _joined(steps[1:]))
        else:
            out.append("l" + _joined(steps))
    return "".join(out)


def _joined(tenths: tuple[int, ...] | list[int]) -> str:
    """Return whole numbers of tenths as the numbers of a path."""
    text = ""
    for one in tenths:
        whole, part = divmod(abs(one), 10)
        said = f"{whole or ('' if part else 0)}{f'.{part}' if part else ''}"
        text += f"{'-' if one < 0 else ' ' if text else ''}{said}"
    return text


def inline(text: str, prefix: str, label: str) -> str:
    """Return an SVG file as an element of an HTML page, which gives it type and dark look.

    Args:
        text: What :func:`compact` returned.
        prefix: Letters and digits before every id, so that no two elements of a page share one.
        label: The text alternative, escaped for an attribute.
    """
    ET.register_namespace("", _SVG)
    root = ET.fromstring(text)
    for tag in ("title", "desc", "style"):
        for child in root.findall(f"{{{_SVG}}}{tag}"):
            root.remove(child)
    for part in ("id", "data-digest", "font-family"):
        root.attrib.pop(part, None)
    for element in root.iter():
        for part, value in element.attrib.items():
            if part == "id":
                element.set(part, prefix + value)
            elif part == "href" or value.startswith("url(#"):
                element.set(part, value.replace("#", f"#{prefix}", 1))
    drawn = ET.tostring(root, encoding="unicode").replace(" />", "/>")
    opening = f'<svg xmlns="{_SVG}" '
    return drawn.replace(opening, f'<svg class="drawing" role="img" aria-label="{label}" ', 1)
