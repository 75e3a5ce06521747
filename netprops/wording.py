"""Values of a record in words for reading: names, times, numbers, sentences.

Words: a *slug* is a name for files and anchors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sized
from datetime import datetime


def slug(text: str) -> str:
    """Return a name for files and anchors: lower-case ASCII; text that had to change also gets a digest.

    >>> slug("wrn28-digits-w0.5-s1")
    'wrn28-digits-w0.5-s1'
    """
    plain = re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip(".-_")[:80]
    if plain and plain == text:
        return plain
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}".lstrip("-")


def percent(share: object) -> str:
    """Return an error in percent, or a dash where there is none."""
    return f"{100 * share:.3g} %" if isinstance(share, int | float) else "–"


def duration(seconds: float) -> str:
    """Return a time in the units in which one would say it.

    >>> duration(0.42), duration(75), duration(7380)
    ('0.4 s', '1 min 15 s', '2 h 3 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(started: str) -> str:
    """Return an ISO time to the minute, for reading; other text as it is.

    >>> moment("2024-05-01T12:00:07.5+00:00")
    '2024-05-01 12:00 UTC'
    """
    try:
        return f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M %Z}".strip()
    except ValueError:
        return started


def said(value: object) -> str:
    """Return a value of a record for reading: numbers short, absent ones as a dash, lists with commas."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {said(part)}" for name, part in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(said, value)) or "–"
    return str(value)


def words(name: str) -> str:
    """Return a name of the code as words."""
    return name.removeprefix("test_").replace("_", " ")


def sentence(text: str) -> str:
    """Return text with a capital letter and a full stop."""
    return f"{text[:1].upper()}{text[1:]}{'' if not text or text[-1] in '.!?' else '.'}"


def count(value: object) -> str:
    """Return a whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u202f") if isinstance(value, int) else said(value)


def number_of(things: Sized, one: str, many: str) -> str:
    """Return how many things there are, in words that fit the number.

    >>> number_of([1], "family", "families"), number_of("ab", "test", "tests")
    ('1 family', '2 tests')
    """
    return f"{len(things)} {one if len(things) == 1 else many}"
