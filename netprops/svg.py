"""Matplotlib's SVG made small, and given a second, dark look.

Words: the *dark look* maps every colour of the drawing to another one, by rules that apply only while the
root element is the target of the file's address (``name.svg#dark``). All paint is in presentation attributes:
a file that is opened under a policy against inline style shows its light look.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET  # parses only what matplotlib wrote

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

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
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
    ET.SubElement(new, f"{{{_SVG}}}style").text = "".join(
        f'#dark:target [{part}="{light}"]{{{part}:{dark}}}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    )
    for child in root:
        _move(child, new, used, f"{type_size:g}px", in_defs=False)
    return ET.tostring(new, encoding="unicode") + "\n"


def _move(element: ET.Element, parent: ET.Element, used: set[str], usual: str, *, in_defs: bool) -> None:
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
        for name, value in fields.items()
    }
    if "d" in fields:
        fields["d"] = re.sub(r"\s+", " ", fields["d"]).strip()
        if fields.get("fill") == "none" and fields.get("stroke", "none") == "none":
            return
    if element.get("id") in used:
        fields["id"] = element.get("id", "")
    if element.get(_LINK):
        fields["href"] = element.get(_LINK, "")
    flat = tag == "g" and not fields
    new = parent if flat else ET.SubElement(parent, element.tag, fields)
    new.text = new.text if flat else (element.text or "").strip() or None
    for child in element:
        _move(child, new, used, usual, in_defs=in_defs or tag == "defs")
    if tag in ("g", "defs") and not flat and not len(new):
        parent.remove(new)
