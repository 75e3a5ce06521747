"""Which networks a marked test runs on, and which tests are expected to fail.

Words: the *target* of a property test is one network (a spec) or one family; a *marker* is
``@pytest.mark.netprops(...)``; an *expected failure* is an entry of a file ``xfails.toml``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netprops import settings
from netprops.content import did_you_mean, nearest
from netprops.errors import UsageError
from netprops.plugin.options import SCALES

if TYPE_CHECKING:
    from netprops.declaration import Family, Spec
    from netprops.plugin.item import PropertyItem

_CHOICES = {"on": ("widest", "family"), "needs": ("widths", "widest")}
_USES = ("train", "seeds", "snapshots")


@dataclass(frozen=True)
class Wanted:
    """What a marker asks for; see ``MARKER`` in ``options.py``."""

    on: str
    families: tuple[str, ...] | None = None
    variant: str | None = None
    needs: str = "widths"
    uses: tuple[str, ...] = ()

    @property
    def fixture(self) -> str:
        """The fixture through which the test gets its target."""
        return "subject" if self.on == "widest" else "family"

    def targets(self, families: Iterable[Family]) -> tuple[Spec | Family, ...]:
        """Return the targets among the families of the run's scale, in their order."""
        chosen = [
            one
            for one in families
            if (self.families is None or {one.name, *one.roles} & set(self.families))
            and (self.variant is None or self.variant in one.variants)
        ]
        if self.on == "family":
            return tuple(chosen)
        return tuple(spec for family in chosen for spec in widest(family, self.variant))

    def specs(self, target: Spec | Family) -> tuple[Spec, ...]:
        """Return the networks that a test on this target trains."""
        from netprops.declaration import Family

        if not isinstance(target, Family):
            return (target,)
        only_widest = self.needs == "widest"
        if self.variant is None:
            return widest(target, None) if only_widest else target.specs()
        changed = widest(target, self.variant) if only_widest else target.specs(self.variant)
        if target.variant(self.variant).parts:  # networks on parts of the data have no plain counterparts
            return (*changed, *widest(target, None))
        return tuple(one for spec in changed for one in (target.spec(spec.width, spec.seed), spec))


def widest(family: Family, variant: str | None) -> tuple[Spec, ...]:
    """Return all seeds of the widest network of the plain family or of a variant."""
    specs = family.specs(variant)
    width = max(spec.width for spec in specs)
    return tuple(spec for spec in specs if spec.width == width)


def wanted_by(test: pytest.Item, known_families: Iterable[str]) -> Wanted:
    """Return what the markers of a test ask for; the closest to the function wins.

    Args:
        test: The test, or the definition from which pytest makes several.
        known_families: Names and roles of all families at any scale.

    Raises:
        UsageError: For an argument or a value that the marker does not know.
    """
    names = [field.name for field in fields(Wanted)]
    arguments: dict[str, Any] = {}
    for mark in reversed(list(test.iter_markers("netprops"))):
        if mark.args:
            raise UsageError(f"the marker netprops takes named arguments only, got {mark.args!r}")
        arguments |= mark.kwargs
    for name in arguments:
        if name not in names:
            raise UsageError(f"the marker netprops has no argument {name!r}{nearest(name, names)}")
    if "on" not in arguments:
        raise UsageError("the marker netprops needs on='widest' or on='family'")
    for name, choices in _CHOICES.items():
        if arguments.get(name, choices[0]) not in choices:
            raise UsageError(f"{name}={arguments[name]!r} is unknown{nearest(str(arguments[name]), choices)}")
    used = arguments.get("uses", ())
    arguments["uses"] = (used,) if isinstance(used, str) else tuple(used)
    for name in arguments["uses"]:
        if name not in _USES:
            raise UsageError(f"uses={name!r} is unknown{nearest(str(name), _USES)}")
    if arguments.get("families") is not None:
        chosen = arguments["families"]
        arguments["families"] = (chosen,) if isinstance(chosen, str) else tuple(chosen)
        known = sorted(set(known_families))
        for name in arguments["families"]:
            if name not in known:
                raise UsageError(f"no family or role is called {name!r}{nearest(name, known)}")
    return Wanted(**arguments)


@dataclass(frozen=True)
class ExpectedFailure:
    """One entry of ``xfails.toml``: a test and the networks for which its claim is known not to hold.

    Args:
        test: ``suite/file.py::test``, relative to the folder of the TOML file.
        subject: A pattern of the ids of networks or families, such as ``"fc5-pdigits*"``.
        scale: The scale at which it was measured.
        measured: The value that was measured.
        reason: Why the claim does not hold there.
        place: The TOML file.
    """

    test: str
    subject: str
    scale: str
    measured: str
    reason: str
    place: Path

    @property
    def file(self) -> Path:
        """The file of the test."""
        return (self.place.parent / self.test.partition("::")[0]).resolve()

    def covers(self, file: Path, function: str, target: str) -> bool:
        """Return whether the entry is about a test function and a target."""
        return (
            file == self.file
            and function == self.test.partition("::")[2]
            and fnmatchcase(target, self.subject)
        )


def expected_failures(folder: Path, scale: str) -> tuple[ExpectedFailure, ...]:
    """Return the entries for one scale that apply to the tests in a folder.

    Args:
        folder: The folder of a test file; ``xfails.toml`` is looked for there and one folder higher.
        scale: The run's scale.

    Raises:
        UsageError: If a file is not TOML, or an entry is not complete.
    """
    found = []
    for place in (folder / "xfails.toml", folder.parent / "xfails.toml"):
        if place.is_file():
            found += [entry for entry in _entries(place) if entry.scale == scale]
    return tuple(found)


def _entries(place: Path) -> list[ExpectedFailure]:
    """Return all entries of one file."""
    names = {field.name for field in fields(ExpectedFailure)} - {"place"}
    document = settings.document(place)
    if set(document) - {"xfail"}:
        raise UsageError(f"{place} holds {sorted(document)}, expected tables [[xfail]] only")
    entries = []
    for number, entry in enumerate(document.get("xfail", ()), 1):
        where = f"{place}, entry {number}"
        for name in entry:
            if name not in names:
                raise UsageError(f"{where}: unknown name {name!r}{nearest(name, names)}")
        empty = sorted(name for name in names if not str(entry.get(name, "")).strip())
        if empty:
            raise UsageError(f"{where}: {', '.join(empty)} must be given")
        if entry["scale"] not in SCALES:
            raise UsageError(f"{where}: unknown scale {entry['scale']!r}{nearest(entry['scale'], SCALES)}")
        if "::" not in entry["test"]:
            raise UsageError(f"{where}: test must be 'suite/file.py::test_name', got {entry['test']!r}")
        entries.append(ExpectedFailure(**{name: str(value) for name, value in entry.items()}, place=place))
    return entries


def nothing_matches(expression: str, items: Sequence[PropertyItem]) -> str:
    """Return the answer to an expression that selects nothing: the ids that it could have named."""
    ids = sorted({one.target.id for one in items})
    words = [
        word
        for word in expression.replace("(", " ").replace(")", " ").split()
        if word not in ("and", "or", "not")
    ]
    parts = {part for one in ids for part in (one, *one.split("-"))}
    unknown = [word for word in words if not any(word.lower() in one.item.name.lower() for one in items)]
    answer = f"no test matches {expression!r}"
    if unknown:
        answer += f": {unknown[0]!r} is in no name{did_you_mean(unknown[0], parts)}"
    return f"{answer}{'' if answer.endswith('?') else '.'} Known: {', '.join(ids)}"
