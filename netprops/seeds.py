"""Networks that differ by their seed alone, shown as one: what they share, and a figure of all of them.

Words: *kin* are networks whose ids are equal but for the seed at the end; *joint* is what is shown once for
all of them: a text in which what differs is an ellipsis, a figure with one line a seed for every curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from netprops.figures import kind
from netprops.looks import MEMBER

_ALIKE = ("name", "title", "x_scale", "y_scale")


def kin(subject: Mapping[str, Any]) -> str:
    """Return what the ids of networks that differ by the seed alone have in common.

    >>> kin({"id": "wrn28-digits-w2-s1", "seed": 1}), kin({"id": "mine", "seed": None})
    ('wrn28-digits-w2', 'mine')
    """
    id, end = str(subject["id"]), f"-s{subject.get('seed')}"
    return id.removesuffix(end) or id


def joint_text(texts: Sequence[str]) -> str:
    """Return what several texts have in common, an ellipsis for every word in which they differ.

    >>> joint_text(["chunks of 64 neurons", "chunks of 76 neurons"]), joint_text(["a", "a"])
    ('chunks of … neurons', 'a')
    """
    if len(set(texts)) == 1:
        return texts[0]
    split = [text.split() for text in texts]
    if len({len(one) for one in split}) > 1:
        return "; ".join(dict.fromkeys(filter(None, texts)))
    return " ".join(same[0] if len(set(same)) == 1 else "…" for same in zip(*split, strict=True))


def joint(members: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return the figures of one name of several networks as one figure, or each by itself.

    Args:
        members: Words for each network, such as ``"seed 0"``, and its figure in the form of a record's.

    Returns:
        One figure where they are curves on the same scales: a curve keeps its name and says in its details
        whose it is; a vertical line that differs becomes a band from the smallest to the largest. Otherwise
        each figure, with the words for its network after name and title.
    """
    figures = [figure for _, figure in members]
    alike = len({tuple(str(one.get(part)) for part in _ALIKE) for one in figures}) == 1
    if len(members) == 1:
        return [dict(figures[0])]
    if not alike or {kind(one) for one in figures} != {"curves"}:
        return [
            {**one, "name": f"{one['name']}-{'-'.join(who.split())}", "title": f"{one['title']}, {who}"}
            for who, one in members
        ]
    marks = _marks(members)
    return [
        {
            **figures[0],
            "caption": joint_text([one["caption"] for one in figures]),
            **marks,
            "curves": [
                {**curve, "details": {**(curve.get("details") or {}), MEMBER: who}}
                for who, one in members
                for curve in one["curves"]
            ],
        }
    ]


def _marks(members: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, Any]]:
    """Return the vertical lines, levels and bands of a joint figure."""
    found: dict[str, dict[str, list[tuple[str, Any]]]] = {"lines": {}, "levels": {}, "bands": {}}
    for who, figure in members:
        for part, by_label in found.items():
            for label, at in (figure.get(part) or {}).items():
                by_label.setdefault(label, []).append((who, tuple(at) if part == "bands" else at))
    marks: dict[str, dict[str, Any]] = {part: {} for part in found}
    for part, by_label in found.items():
        for label, places in by_label.items():
            values = [at for _, at in places]
            if len(set(values)) == 1:
                marks[part][label] = values[0]
            elif part == "lines":
                low, high = min(values), max(values)
                marks["bands"][f"{label}: {low:.4g} to {high:.4g}"] = (low, high)
            else:
                marks[part] |= {f"{label}, {who}": at for who, at in places}
    return marks
