"""How far a measurement may move before a comparison says that it changed.

Words: a *margin* is the distance of a value from the nearest end of its bound, negative outside; a
*tolerance* is an amount in the measurement's unit, or a share of the margin, written ``20%``; its *key*
names what it is for: a file of a suite, a property test, that test of one network, or one of its
expectations.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from netprops.content import did_you_mean
from netprops.errors import UsageError
from netprops.settings import sections

_AMOUNT = re.compile(r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)\s*(%?)")
_FORM = (
    "'mitosis/test_x.py::test_y=0.02', in the measurement's unit, or '...=20%', of the margin to the bound"
)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """One tolerance.

    Args:
        amount: In the measurement's unit, or a fraction of the margin.
        share: Whether it is a fraction of the margin.
    """

    amount: float
    share: bool

    def of(self, margin: float) -> float:
        """Return the tolerance in the measurement's unit, for a value with this margin to its bound."""
        return self.amount * abs(margin) if self.share else self.amount


DEFAULT = Tolerance(0.1, share=True)
"""A tenth of the margin: the same for a share, an exponent and a count. A choice of netprops, of no paper."""


class Tolerances:
    """The tolerances of a comparison.

    Args:
        given: Key to tolerance; of several keys for one expectation the most precise counts.
    """

    def __init__(self, given: Mapping[str, Tolerance] | None = None) -> None:
        self.given = {key.removeprefix("suites/"): one for key, one in (given or {}).items()}

    def of(self, test: str, expectation: str) -> Tolerance:
        """Return the tolerance of one expectation of a test.

        Args:
            test: Id of the test, such as ``suites/mitosis/test_x.py::test_y[fc5-digits]``.
            expectation: Name of the measurement.
        """
        for key in reversed(_keys(test, (expectation,))):
            if key in self.given:
                return self.given[key]
        return DEFAULT

    def refuse_unknown(self, tests: Mapping[str, Iterable[str]]) -> None:
        """Refuse a key that names nothing.

        Args:
            tests: Ids of tests, each with the names of its expectations as far as they are known.

        Raises:
            UsageError: For the first key that fits no test and no expectation, with the nearest one.
        """
        named = {test: tuple(names) for test, names in tests.items()}
        known = {key for test, names in named.items() for key in _keys(test, names)}
        # A test that has not run yet has expectations of unknown names.
        open_ended = tuple(
            f"{key}::" for test, names in named.items() if not names for key in _keys(test, ())[1:]
        )
        for key in self.given:
            if key not in known and not key.startswith(open_ended):
                raise UsageError(f"a tolerance is for {key!r}, but no such test is here{_hint(key, known)}")


def parse(texts: Iterable[str]) -> dict[str, Tolerance]:
    """Return tolerances from texts ``KEY=AMOUNT``.

    Raises:
        UsageError: If a text has another form.

    Example:
        >>> parse(["mitosis/test_clones.py=20%"])
        {'mitosis/test_clones.py': Tolerance(amount=0.2, share=True)}
    """
    found = {}
    for text in texts:
        key, equals, amount = text.rpartition("=")
        if not equals or not key.strip():
            raise UsageError(f"a tolerance has the form {_FORM}, got {text!r}")
        found[key.strip()] = _tolerance(amount.strip(), text)
    return found


def from_toml(root: Path) -> dict[str, Tolerance]:
    """Return the table ``tool.netprops.tolerances`` of pyproject.toml, or ``tolerances`` of netprops.toml.

    Args:
        root: The folder of both files; netprops.toml wins key by key.

    Raises:
        UsageError: If a file is no TOML, tolerances are no table, or a value is neither a number nor a text
            such as ``"20%"``.
    """
    found: dict[str, Tolerance] = {}
    for path, section in sections(root, "tolerances"):
        for key, value in section.items():
            amount = value if isinstance(value, str) else repr(value)
            found.setdefault(key, _tolerance(amount, f"{key} = {value!r} in {path}"))
    return found


def _tolerance(amount: str, where: str) -> Tolerance:
    match = _AMOUNT.fullmatch(amount)
    if match is None or not math.isfinite(float(match[1])):
        raise UsageError(f"a tolerance is a number from 0 on, as in {_FORM}; got {where!r}")
    share = match[2] == "%"
    return Tolerance(float(match[1]) / 100 if share else float(match[1]), share)


def _keys(test: str, expectations: Iterable[str]) -> list[str]:
    """Return the keys that are for one test, from the least to the most precise."""
    precise = test.removeprefix("suites/")
    function = precise.partition("[")[0]
    file = function.partition("::")[0]
    return [
        file,
        function,
        *(f"{function}::{name}" for name in expectations),
        precise,
        *(f"{precise}::{name}" for name in expectations),
    ]


def _hint(key: str, known: Iterable[str]) -> str:
    near = did_you_mean(key, known)
    return near or f"; known: {', '.join(sorted(one for one in known if '::' not in one)) or 'none'}"
