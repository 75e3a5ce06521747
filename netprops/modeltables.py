"""What a user says of their networks: options of one run, or a table ``[tool.netprops.models.NAME]``.

Words: a *table* names a builder, checkpoints and data; a *member* is one network of it. A table with widths
is a family; one without is a family of networks that are tested one by one.
"""

from __future__ import annotations

import glob
import json
import os
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from netprops.content import did_you_mean, nearest
from netprops.declaration import Family, Scale, Spec
from netprops.errors import UsageError
from netprops.importing import name_of, slug, takes_width
from netprops.settings import sections
from netprops.training.recipe import Recipe

ROLES = ("clones", "robustness", "features")
"""The claims that imported networks take part in."""


class Table(BaseModel):
    """One table of a user's networks.

    Args:
        build: ``pkg.mod:name``, ``file.py:name``, ``torchvision:NAME`` or ``timm:NAME``.
        checkpoint: Files, or patterns of files; none for a network as its builder returns it.
        checkpoint_key: Name of the state dict in the files, such as ``"model_ema"``.
        width: One number a checkpoint: they become a family over widths.
        seed: One number a checkpoint, where several have one width.
        kwargs: Arguments of the builder, for all checkpoints or one table each. A builder with a parameter
            ``width`` is given that.
        data: As ``--netprops-data`` takes it.
        samples: At most so many random samples of each split; None for all.
        layer: Path of the module whose output is the last hidden representation.
        readout: Path of the last Linear.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    build: str
    checkpoint: tuple[str, ...] = ()
    checkpoint_key: str | None = None
    width: tuple[float, ...] = ()
    seed: tuple[int, ...] = ()
    kwargs: dict[str, Any] | tuple[dict[str, Any], ...] = Field(default_factory=dict)
    data: str | None = None
    samples: int | None = Field(default=None, ge=2)
    layer: str | None = None
    readout: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _one_is_a_list(cls, given: Any) -> Any:
        """Take one checkpoint, width or seed for a list of one."""
        if not isinstance(given, dict):
            return given
        listed = {name: given[name] for name in ("checkpoint", "width", "seed") if name in given}
        return {
            **given,
            **{name: one if isinstance(one, list | tuple) else (one,) for name, one in listed.items()},
        }


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a table.

    Args:
        id: ASCII, from the checkpoint's path.
        checkpoint: The file, or None for a network as it was built.
        width: The declared width, or None.
        seed: The declared seed.
        kwargs: Arguments of the builder.
    """

    id: str
    checkpoint: Path | None
    width: float | None
    seed: int
    kwargs: dict[str, Any]


class ImportedFamily(Family):
    """Networks that somebody else trained.

    Args:
        table: What the user says of them.
        members: The networks.
        base: Folder that import paths start from.
        given: A module and data that were handed over from Python, in place of ``table.build`` and
            ``table.data``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    imported: ClassVar[bool] = True
    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    recipe: Recipe = Recipe(epochs=1, batch=1, optimizer="sgd", lr=1.0)
    source: str = "the user's own networks"
    roles: tuple[str, ...] = ROLES
    table: Table
    members: tuple[Member, ...]
    base: Path
    given: tuple[Any, Any] | None = None

    @property
    def id(self) -> str:
        """The name of the table, or of the builder."""
        return self.name

    @property
    def over_widths(self) -> bool:
        """Whether its networks differ in width, so that claims about families are about it."""
        return len({one.width for one in self.members}) > 1

    def spec(self, width: float, seed: int, variant: str | None = None) -> Spec:
        """Return the spec of one network."""
        for one in self.specs(variant):
            if (one.width, one.seed) == (width, seed):
                return one
        raise UsageError(f"{self.id} has no network of width {width:g} and seed {seed}")

    def specs(self, variant: str | None = None) -> tuple[Spec, ...]:
        """Return every network, narrow first; there are no variants."""
        if variant is not None:
            self.variant(variant)
        made = [ImportedSpec(self, _factor(one), one.seed, member=one) for one in self.members]
        return tuple(sorted(made, key=lambda one: (one.width, one.seed)))


@dataclass(frozen=True, eq=False)
class ImportedSpec(Spec):
    """Exactly one imported network."""

    member: Member | None = None

    @cached_property
    def id(self) -> str:
        """The member's id."""
        assert self.member is not None
        return self.member.id


def _factor(member: Member) -> float:
    return 1.0 if member.width is None else member.width


def from_options(
    build: str,
    *,
    kwargs: str | None = None,
    checkpoints: tuple[Path, ...] = (),
    checkpoint_key: str | None = None,
    data: str | None = None,
    samples: int | None = None,
    layer: str | None = None,
    readout: str | None = None,
) -> Table:
    """Return the table that the options of a run make.

    Raises:
        UsageError: If the arguments of the builder are no JSON object.
    """
    try:
        given = json.loads(kwargs) if kwargs else {}
    except json.JSONDecodeError as error:
        raise UsageError(
            f"--netprops-model-kwargs is no JSON: {error}; such as '{{\"depth\": 20}}', in single quotes"
        ) from error
    if not isinstance(given, dict):
        raise UsageError(f"--netprops-model-kwargs is a {type(given).__name__}, expected a JSON object")
    return Table(
        build=build,
        kwargs=given,
        checkpoint=tuple(map(str, checkpoints)),
        checkpoint_key=checkpoint_key,
        data=data,
        samples=samples,
        layer=layer,
        readout=readout,
    )


def read_tables(folders: tuple[Path, ...]) -> dict[str, tuple[Table, Path]]:
    """Return all tables of ``netprops.toml`` and ``pyproject.toml`` in some folders, with their folder.

    Args:
        folders: Where to look; of two tables of one name the first counts.

    Raises:
        UsageError: If a file is not TOML, or a table has an unknown name, lacks one or has a wrong value.
    """
    found: dict[str, tuple[Table, Path]] = {}
    for folder in dict.fromkeys(folders):
        for path, section in sections(folder, "models"):
            for name, given in section.items():
                found.setdefault(name, (_table(name, given, path), folder))
    return found


def _table(name: str, given: Any, path: Path) -> Table:
    where = f"{path}, table {name!r}"
    if not isinstance(given, dict):
        raise UsageError(f"{where}: expected a table, got a {type(given).__name__}")
    known = list(Table.model_fields)
    for one in given:
        if one not in known:
            raise UsageError(f"{where}: unknown name {one!r}{nearest(one, known)}")
    try:
        return Table.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(one) for one in first["loc"] if not isinstance(one, int))
        raise UsageError(f"{where}: {place}: {first['msg'][:1].lower()}{first['msg'][1:]}") from error


def family_of(table: Table, base: Path, *, name: str | None, scale: Scale) -> ImportedFamily:
    """Return the family that a table declares, its patterns of checkpoints resolved.

    Args:
        table: The table.
        base: Folder that paths start from.
        name: Name of the table; None for that of the builder.
        scale: The run's scale.

    Raises:
        UsageError: If a pattern matches nothing, or widths, seeds or arguments are not as many as
            checkpoints.
    """
    called = slug(name) if name else name_of(table.build)
    paths: list[Path | None] = [*_matched(table.checkpoint, base)] or [None]
    each: dict[str, Any] = {"width": table.width, "seed": table.seed}
    if not isinstance(table.kwargs, dict):
        each["kwargs"] = table.kwargs
    for what, values in each.items():
        if values and len(values) != len(paths):
            raise UsageError(
                f"{called}: {len(paths)} checkpoints and {len(values)} values of {what!r}; give one each, "
                "in order"
            )
    places = Counter(zip(table.width, table.seed or (0,) * len(table.width), strict=True))
    twice = [pair for pair, count in places.items() if count > 1]
    if twice:
        raise UsageError(
            f"{called}: two networks of width {twice[0][0]:g}; tell them apart by `seed = [0, 1, ...]`"
        )
    by_width = bool(table.width) and takes_width(table.build, base)
    ids = _ids(paths, called)
    members = []
    for i, path in enumerate(paths):
        width = table.width[i] if table.width else None
        kwargs = dict(table.kwargs if isinstance(table.kwargs, dict) else table.kwargs[i])
        if by_width and width is not None:
            kwargs.setdefault("width", int(width) if width == int(width) else width)
        members.append(Member(ids[i], path, width, table.seed[i] if table.seed else 0, kwargs))
    counts = Counter(_factor(one) for one in members)
    widths = tuple(sorted(counts))
    return ImportedFamily(
        name=called,
        architecture=table.build,
        data=table.data or "handed over",
        scale=scale,
        widths=widths,
        seeds=min(counts.values()) if table.width else 1,
        widest_seeds=counts[widths[-1]] if table.width else None,
        table=table,
        members=tuple(members),
        base=base,
    )


def _matched(patterns: tuple[str, ...], base: Path) -> list[Path]:
    """Return the files of all patterns, each pattern's in the order of their names, numbers by value."""
    found: list[Path] = []
    for pattern in patterns:
        full = os.path.join(base, os.path.expanduser(pattern))  # noqa: PTH111, PTH118  (a pattern, not a path)
        paths = [Path(one) for one in glob.glob(full, recursive=True)] or [Path(full)]  # noqa: PTH207
        if not paths[0].exists():
            folder = Path(full).parent
            names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
            near = did_you_mean(Path(full).name, names)
            there = near or (
                f"; {folder} holds {', '.join(sorted(names)[:5]) or 'nothing'}" if folder.is_dir() else ""
            )
            raise UsageError(f"no checkpoint matches {full}{there}")
        found += [one for one in sorted(paths, key=_natural) if one not in found]
    return found


def _natural(path: Path) -> list[tuple[int, int | str]]:
    """Return a key by which epoch9 comes before epoch10."""
    parts: list[str] = []
    for char in str(path):
        if parts and parts[-1][-1].isdigit() == char.isdigit():
            parts[-1] += char
        else:
            parts.append(char)
    return [(0, int(one)) if one.isdecimal() else (1, one) for one in parts]


def _ids(paths: list[Path | None], called: str) -> list[str]:
    """Return an id a network: of its path, what tells it from the others and the file's name."""
    if paths == [None]:
        return [f"{called}-as-built"]
    parts = [one.absolute().with_suffix("").parts for one in paths if one is not None]
    if len(parts) == 1:
        tails = [parts[0][-1:]]
    else:
        shared = 0
        while all(len(one) > shared + 1 and one[shared] == parts[0][shared] for one in parts):
            shared += 1
        tails = [one[shared:] for one in parts]
    ids: list[str] = []
    for tail in tails:
        named = slug("-".join(tail)) or "checkpoint"
        full = named if named.startswith(called) and named != called else f"{called}-{named}"
        number = 2
        while (one := full if number == 2 and full not in ids else f"{full}-{number}") in ids:
            number += 1
        ids.append(one)
    return ids


def handed_over(module: Any, data: Any, *, scale: Scale) -> ImportedFamily:
    """Return the family of one module that was handed over from Python with its data."""
    name = name_of(f":{type(module).__name__}")
    return ImportedFamily(
        name=name,
        architecture=type(module).__name__,
        data="handed over",
        scale=scale,
        widths=(1.0,),
        seeds=1,
        table=Table(build=type(module).__name__),
        members=(Member(f"{name}-given", None, None, 0, {}),),
        base=Path.cwd(),
        given=(module, data),
    )
