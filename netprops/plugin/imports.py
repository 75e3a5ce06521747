"""Property tests on a user's own networks: which tests they take part in, and which are left out and why.

Words: as in ``session.py`` and ``netprops/modeltables.py``; what a test *lacks* is what it needs and the
given networks or data have not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest

from netprops.content import nearest
from netprops.errors import NetpropsError, UsageError

if TYPE_CHECKING:
    from netprops.declaration import Family, Scale, Spec
    from netprops.imported import ImportedSubject, Importer
    from netprops.modeltables import ImportedFamily
    from netprops.plugin.model_options import ModelOptions
    from netprops.plugin.options import Options
    from netprops.plugin.selection import Wanted

HANDOVER = "netprops-handover"
"""Name of the plugin that hands a module and its data over from Python."""


class Imports:
    """The imported networks of one process.

    Args:
        options: The run's options.
        chosen: What they say of a user's networks; None where they are handed over.
        handed: A module and its data.
        device: Returns the device of this process.

    Attributes:
        left_out: One line for each thing that is lacking, with the tests that need it.
    """

    def __init__(
        self,
        options: Options,
        chosen: ModelOptions | None,
        handed: tuple[Any, Any] | None,
        device: Callable[[], str],
    ) -> None:
        self._options, self._chosen, self._handed, self._device = options, chosen, handed, device
        self._lacking: dict[pytest.Item, str] = {}
        self.left_out: list[str] = []

    @classmethod
    def of(cls, config: pytest.Config, options: Options, device: Callable[[], str]) -> Imports | None:
        """Return what a run imports, or None where its networks are netprops' own."""
        plugin: Any = config.pluginmanager.get_plugin(HANDOVER)
        handed = plugin.handed if plugin is not None else None
        if options.models is None and handed is None:
            return None
        return cls(options, options.models, handed, device)

    @cached_property
    def families(self) -> tuple[ImportedFamily, ...]:
        """The families of imported networks.

        Raises:
            UsageError: If a table or a checkpoint is not there or says what cannot be.
        """
        from netprops import modeltables

        scale: Scale = "paper" if self._options.scale == "paper" else "mini"
        if self._handed is not None:
            return (modeltables.handed_over(*self._handed, scale=scale),)
        chosen = self._chosen
        assert chosen is not None
        if chosen.build is not None:
            table = modeltables.from_options(
                chosen.build,
                kwargs=chosen.kwargs,
                checkpoints=chosen.checkpoints,
                checkpoint_key=chosen.checkpoint_key,
                data=chosen.data,
                samples=chosen.samples,
                layer=chosen.layer,
                readout=chosen.readout,
            )
            return (modeltables.family_of(table, chosen.folder, name=None, scale=scale),)
        tables = modeltables.read_tables(chosen.places)
        families = []
        for name in chosen.tables:
            if name not in tables:
                where = " or ".join(dict.fromkeys(str(one) for one in chosen.places))
                raise UsageError(
                    f"no table [tool.netprops.models.{name}] was found in {where}{nearest(name, tables)}"
                )
            table, folder = tables[name]
            given = {"data": chosen.data, "samples": chosen.samples}
            table = table.model_copy(update={one: value for one, value in given.items() if value is not None})
            families.append(modeltables.family_of(table, folder, name=name, scale=scale))
        return tuple(families)

    @cached_property
    def importer(self) -> Importer:
        """What loads networks and data."""
        from netprops.cache import default_root
        from netprops.imported import Importer

        options = self._options
        return Importer(
            options.cache or default_root(),
            device=self._device(),
            data_root=options.data_root,
            download=options.download,
        )

    def targets(self, wanted: Wanted) -> tuple[Spec | Family, ...]:
        """Return the targets of a test: every network, or every family."""
        if wanted.on == "family":
            return self.families
        return tuple(spec for family in self.families for spec in family.specs())

    def take_in(self, item: pytest.Item, wanted: Wanted, target: Spec | Family) -> bool:
        """Return whether a test can be about a target as far as can be known before anything is loaded."""
        family = self._family(target)
        lacks = _lacks(wanted, family)
        if not lacks and "train" in wanted.uses:
            self._lacking[item] = ""  # until the data are there
        elif lacks:
            self._lacking[item] = lacks
        return not lacks

    @staticmethod
    def networks_of(items: Iterable[pytest.Item]) -> list[Spec]:
        """Return the networks of the property tests among some, each once."""
        from netprops.plugin.session import ITEM

        tests = [one.stash[ITEM] for one in items if ITEM in one.stash]
        return list(dict.fromkeys(spec for one in tests for spec in one.specs))

    def leave_out(self, items: list[pytest.Item], *, load: bool) -> list[str]:
        """Take tests that lack something out of a selection; load the networks of the others.

        Args:
            items: The selection, which is changed.
            load: Whether to load networks and data; else only what is known without them is left out.

        Returns:
            One line for each thing that is lacking, with the tests that need it.

        Raises:
            UsageError: If a network, its weights or its data are not what they should be, or no test is left.
        """
        if load:
            for spec in self.networks_of(items):
                self.subject(spec)
        lacking: dict[str, list[str]] = {}
        dropped = []
        for item in items:
            why = self._lacking.get(item)
            if why == "" and load:
                why = self._without_training(item)
            if why:
                dropped.append(item)
                names = lacking.setdefault(why, [])
                name = getattr(item, "originalname", item.name)
                names += [name] if name not in names else []
        items[:] = [item for item in items if item not in dropped]
        if dropped:
            dropped[0].config.hook.pytest_deselected(items=dropped)
        lines = [f"left out, for {why}: {', '.join(names)}" for why, names in lacking.items()]
        if dropped and not items:
            raise UsageError(f"no test is left: {'; '.join(lines)}")
        self.left_out = lines
        return lines

    def _without_training(self, item: pytest.Item) -> str:
        callspec: Any = getattr(item, "callspec", None)
        target = next(one for one in callspec.params.values() if hasattr(one, "id"))
        family = self._family(target)
        return "" if "train" in self.importer.data(family).splits else "the data have no training split"

    def subject(self, spec: Spec) -> ImportedSubject:
        """Return an imported network.

        Raises:
            UsageError: If it cannot be loaded.
        """
        from netprops.modeltables import ImportedSpec

        assert isinstance(spec, ImportedSpec)
        try:
            return self.importer.subject(spec)
        except UsageError:
            raise
        except NetpropsError as error:  # before anything has run, missing data are the user's to name
            raise UsageError(str(error)) from error

    def sanity(self, items: Iterable[pytest.Item]) -> Iterator[str]:
        """Yield the first line of every network of some tests: how well it does on the given data."""
        for spec in self.networks_of(items):
            try:
                yield self.subject(spec).sanity()
            except NetpropsError as error:
                yield f"{spec.id}: its accuracy cannot be measured: {error}"

    @staticmethod
    def _family(target: Spec | Family) -> ImportedFamily:
        from netprops.modeltables import ImportedFamily

        family = target if isinstance(target, ImportedFamily) else target.family  # type: ignore[union-attr]
        assert isinstance(family, ImportedFamily)
        return family


def _lacks(wanted: Wanted, family: ImportedFamily) -> str:
    """Return what a test needs and a family of imported networks has not, for a line about it."""
    if wanted.variant is not None:
        return "no network trained without decay or otherwise was given"
    if "snapshots" in wanted.uses or wanted.families == ("snapshots",):
        return "no snapshots of a training were given"
    if wanted.families is not None and not {family.name, *family.roles} & set(wanted.families):
        return "they are about other networks"
    if wanted.on == "family" and not family.over_widths:
        return "no networks of several widths were given"
    if "seeds" in wanted.uses and family.seeds < 2:
        return "no second seed was given"
    return ""
