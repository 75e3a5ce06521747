"""How a report orders its networks, and puts together what belongs to one claim or one width.

Words: as in ``views.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from netprops.views import Answer, Card, Listed
from netprops.wording import percent, said, slug


def narrow_first(subject: dict[str, Any]) -> tuple[str, str, float, float, str]:
    """Return the key by which networks are listed: family, plain before variants, narrow first, then seed."""
    numbers = [
        value if isinstance(value := subject.get(name), int | float) else math.inf
        for name in ("width", "seed")
    ]
    return (
        str(subject.get("family")),
        str(subject.get("variant") or ""),
        numbers[0],
        numbers[1],
        subject["id"],
    )


def kinship(subject: dict[str, Any]) -> tuple[str, str, str]:
    """Return what networks that share a line have in common: family, variant and width."""
    return str(subject.get("family")), str(subject.get("variant") or ""), said(subject.get("width"))


def spread(errors: Sequence[object]) -> str:
    """Return the smallest and the largest of several errors."""
    known = [e for e in errors if isinstance(e, int | float)]
    ends = list(dict.fromkeys([percent(min(known)), percent(max(known))])) if known else ["–"]
    return " to ".join(ends)


def line_of_seed(s: dict[str, Any]) -> str:
    """Return the anchor of a network's line on the page that it shares with its kin."""
    return "network" if s.get("seed") is None else f"s{slug(str(s['seed']))}"


def by_property(cards: Sequence[Card]) -> list[tuple[str, list[Card]]]:
    """Return cards by what they claim, in order."""
    found: dict[str, list[Card]] = {}
    for card in cards:
        found.setdefault(card.claim or card.property, []).append(card)
    return list(found.items())


def listed(answers: Iterable[tuple[str, Answer, list[str]]]) -> list[Listed]:
    """Return answers by their claim and what is said about them, in order."""
    found: dict[tuple[str, tuple[str, ...]], list[Answer]] = {}
    for claim, answer, sentences in answers:
        found.setdefault((claim, tuple(filter(None, sentences))), []).append(answer)
    return [Listed(claim, list(sentences), together) for (claim, sentences), together in found.items()]
