"""A record's JSON without what its reader can tell: texts that repeat, empty fields, intervals without width.

Words: a *packed* document is the JSON of ``run.json``; what several of its parts say is *shared*: it stands
once under ``"shared"``, and its name, such as ``"#12"``, wherever it is said. A text that looks like a name
is shared, too, so that no name can mean it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from netprops.histories import columns

SHARED = ("recipe", "origin", "explanation", "source", "calibration", "how")
"""Fields whose values may be shared."""

_SHORT = 24  # letters of JSON below which a value stays where it is


def packed(document: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON of a record as ``run.json`` has it; :func:`unpacked` and the record's fields undo it.

    Args:
        document: The JSON of a record; its tests may lack the fields that have their default values.

    >>> packed({"tests": [{"how": 25 * "a"}, {"how": 25 * "a"}], "seconds": 1.0})["tests"]
    [{'how': '#1'}, {'how': '#1'}]
    """
    counts = Counter(_values(document))
    worth = (text for text, n in counts.items() if (n > 1 and len(text) > _SHORT) or text.startswith('"#'))
    names = {text: f"#{number}" for number, text in enumerate(sorted(worth), 1)}
    found: dict[str, Any] = _packed(document, names)
    shared = {name: json.loads(text) for text, name in names.items()}
    return {**found, "shared": shared} if shared else found


def unpacked(document: Any) -> Any:
    """Return the JSON of a record with every shared value where it is said."""
    if not isinstance(document, dict) or not isinstance(shared := document.get("shared"), dict):
        return document
    rest = {name: value for name, value in document.items() if name != "shared"}
    return _filled(rest, shared)


def written(document: dict[str, Any]) -> str:
    """Return a packed document as text: one line a network, one line a test."""
    lines = []
    for name, value in document.items():
        parts = [_text(part) for part in value] if isinstance(value, list) else []
        text = "[\n" + ",\n".join(parts) + "\n]" if parts else _text(value)
        lines.append(f"{_text(name)}:{text}")
    return "{" + ",\n".join(lines) + "}\n"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _canonical(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def _values(part: Any) -> Iterator[str]:
    """Yield what may be shared, as text."""
    for name, value in part.items() if isinstance(part, dict) else ():
        if name in SHARED and isinstance(value, str | dict):
            yield _canonical(value)
        else:
            yield from _values(value)
    for value in part if isinstance(part, list) else ():
        yield from _values(value)


def _packed(part: Any, names: dict[str, str]) -> Any:
    if isinstance(part, float) and part.is_integer() and abs(part) < 1e15:
        return int(part)
    if isinstance(part, list):
        return [_packed(value, names) for value in part]
    if not isinstance(part, dict):
        return part
    plain = "y" in part and part.get("low") == part["y"] == part.get("high")
    found = {}
    for name, value in part.items():
        if name in SHARED and isinstance(value, str | dict) and (text := _canonical(value)) in names:
            found[name] = names[text]
        elif name == "history" and isinstance(value, list):
            found[name] = _packed(columns(value), names)
        elif not (plain and name in ("low", "high")):
            found[name] = _packed(value, names)
    return found


def _filled(part: Any, shared: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_filled(value, shared) for value in part]
    if not isinstance(part, dict):
        return part
    return {
        name: shared[value]
        if name in SHARED and isinstance(value, str) and value in shared
        else _filled(value, shared)
        for name, value in part.items()
    }
