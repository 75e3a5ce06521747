"""The property tests of one pytest process: what they need, what they share, and what becomes of them.

Words: a *worker* is a process of pytest-xdist, its *controller* the process that the user started; a run
without xdist is its own controller. The *share* of a test is its part of the run's false-alarm budget.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from netprops.errors import NetpropsError, UsageError
from netprops.plugin import options as settings
from netprops.plugin.aftermath import about, preflight, suites_of

if TYPE_CHECKING:
    from netprops.declaration import Family, Spec
    from netprops.plugin.imports import Imports
    from netprops.plugin.item import PropertyItem
    from netprops.plugin.mailbox import Mailbox
    from netprops.plugin.progress import Screen, Sink
    from netprops.subject import Subject
    from netprops.zoo import Zoo

SESSION: pytest.StashKey[PropertySession] = pytest.StashKey()
ITEM: pytest.StashKey[PropertyItem] = pytest.StashKey()
OUTCOME = "netprops_outcome"  # attribute of a report


def session_of(config: pytest.Config) -> PropertySession:
    """Return the session of this process; the first call makes it."""
    if SESSION not in config.stash:
        config.stash[SESSION] = PropertySession(config)
    return config.stash[SESSION]


class PropertySession:
    """Everything that property tests share in one process.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.items: list[PropertyItem] = []
        self.share = 0.0
        self.plan: tuple[Spec, ...] = ()
        self.notes: list[str] = []
        self._missing: dict[str, str | None] = {}
        self._summarized: set[str] = set()
        self._aloud: logging.Handler | None = None
        self._lift: Callable[[], None] = lambda: None

    # What the run was told

    @cached_property
    def options(self) -> settings.Options:
        """The run's options, environment included."""
        return settings.resolve(self.config)

    @property
    def worker(self) -> str:
        """The name of this xdist worker; empty in a controller."""
        return str(getattr(self.config, "workerinput", {}).get("workerid", ""))

    @cached_property
    def known_families(self) -> tuple[Family, ...]:
        """All families, at any scale."""
        from netprops.content import families

        return families(None, self.options.fixtures)

    @property
    def known_names(self) -> set[str]:
        """What a marker's ``families`` may name: families and their roles."""
        return {name for one in self.known_families for name in (one.name, *one.roles)}

    @cached_property
    def imports(self) -> Imports | None:
        """The user's own networks, where the run is about them."""
        from netprops.plugin.imports import Imports

        return Imports.of(self.config, self.options, lambda: self.device)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of the run's scale, or those of the user's own networks."""
        if self.imports is not None:
            return self.imports.families
        return tuple(one for one in self.known_families if one.scale == self.options.scale)

    def parametrize(self, metafunc: pytest.Metafunc) -> None:
        """Run a marked test once for every target; a marker that makes no sense is a collection error."""
        from netprops.plugin.selection import wanted_by

        try:
            families = self.families
        except UsageError:
            return  # `collected` refuses the whole run for it, once
        try:
            wanted = wanted_by(metafunc.definition, self.known_names)
            if wanted.fixture not in metafunc.fixturenames:
                raise UsageError(f"a test on={wanted.on!r} must ask for the fixture {wanted.fixture!r}")
            targets = self.imports.targets(wanted) if self.imports else wanted.targets(families)
        except UsageError as error:
            pytest.fail(f"{metafunc.definition.nodeid}: {error}", pytrace=False)
        metafunc.parametrize(wanted.fixture, targets, ids=[target.id for target in targets], indirect=True)

    # What the run needs

    @cached_property
    def screen(self) -> Screen:
        """The real output of pytest."""
        from netprops.plugin.progress import Screen

        return Screen(self.config)

    @cached_property
    def mailbox(self) -> Mailbox | None:
        """A worker's way to tell the controller something; None in a run without xdist."""
        from netprops.plugin.controller import MAILBOX
        from netprops.plugin.mailbox import Mailbox

        if not self.worker:
            return None
        return Mailbox(Path(self.config.workerinput[MAILBOX]), self.worker)  # type: ignore[attr-defined]

    @cached_property
    def sink(self) -> Sink:
        """Where trainings report: the mailbox, a bar or lines."""
        from netprops.plugin.progress import Bar, Lines

        if self.mailbox is not None:
            return self.mailbox
        return Bar(self.screen) if self.screen.interactive else Lines(self.screen.line)

    @cached_property
    def device(self) -> str:
        """The device of this process; workers are spread over the visible GPUs."""
        from netprops.training.device import worker_device

        index = int("".join(filter(str.isdecimal, self.worker)) or 0)
        return str(worker_device(self.options.device, index))

    @cached_property
    def zoo(self) -> Zoo:
        """The trained networks."""
        from netprops.cache import Cache, default_root
        from netprops.zoo import Zoo

        options = self.options
        cache = Cache(options.cache or default_root(), remote=options.remote)
        return Zoo(
            cache,
            data_root=options.data_root,
            device=self.device,
            progress=self.sink,
            download=options.download,
            companions=0 if self.worker else self.trainers - 1,
        )

    @cached_property
    def trainers(self) -> int:
        """How many processes train at the same time: the workers, or this one and its companions on a CPU."""
        from netprops.companion import spare_cores

        if self.worker:
            return int(self.config.workerinput["workercount"])  # type: ignore[attr-defined]
        return 1 + spare_cores() if self.device == "cpu" else 1

    def missing(self, family: Family) -> str | None:
        """Return the sentence about a family's data if they are not there, else None."""
        from netprops.data import check

        if self.options.download or family.planted or family.imported:
            return None
        if family.data not in self._missing:
            self._missing[family.data] = check(family.data, self.options.data_root)
        return self._missing[family.data]

    def subjects(self, specs: Sequence[Spec]) -> list[Subject]:
        """Return networks, trained if they are not yet there; other needed ones are trained while waiting."""
        from netprops.planting import build

        if self.imports is not None:
            return [self.imports.subject(spec) for spec in specs]
        trained = [spec for spec in specs if not spec.family.planted]
        try:
            self.zoo.ensure(trained, others=self.plan)
        finally:
            self.sink.close()
        # A planted layer answers what a subject answers about its last layer.
        return [
            cast("Subject", build(spec)) if spec.family.planted else self.zoo.subject(spec) for spec in specs
        ]

    def summary_once(self, subject: Subject) -> dict[str, Any]:
        """Return what the record says of a network: once a process, then nothing."""
        if subject.id in self._summarized:
            return {}
        self._summarized.add(subject.id)
        return subject.summary()

    # How the run goes

    @contextmanager
    def refused(self, items: list[pytest.Item]) -> Iterator[None]:
        """Turn what is refused into a usage error; a worker runs nothing and lets its controller say why."""
        try:
            yield
        except NetpropsError as error:
            if not self.worker:
                raise pytest.UsageError(str(error)) from error
            from netprops.plugin.controller import PROBLEM

            items.clear()
            self.items = []
            self.config.workeroutput[PROBLEM] = str(error)  # type: ignore[attr-defined]

    def collected(self, items: Sequence[pytest.Item]) -> None:
        """Take in all collected tests, before any is deselected, and mark expected failures.

        Raises:
            UsageError: If the environment, a fixture or an entry of ``xfails.toml`` is wrong, or such an
                entry matches no test.
        """
        from netprops.plugin.item import PropertyItem
        from netprops.plugin.selection import ExpectedFailure, expected_failures, wanted_by

        found: list[PropertyItem] = []
        if self.imports is not None:
            _ = self.imports.families  # what is wrong with them is refused here, once
        for item in items:
            if not isinstance(item, pytest.Function) or item.get_closest_marker("netprops") is None:
                continue
            wanted = wanted_by(item, self.known_names)
            target: Any = item.callspec.params.get(wanted.fixture) if hasattr(item, "callspec") else None
            if self.imports is not None and not self.imports.take_in(item, wanted, target):
                continue
            if hasattr(target, "id"):  # pytest gives a test without targets a placeholder, and skips it
                item.stash[ITEM] = PropertyItem(item, wanted, target, self)
                found.append(item.stash[ITEM])
        self.items = found
        matched: dict[ExpectedFailure, bool] = {}
        for folder in sorted({one.item.path.parent for one in found}):
            matched |= dict.fromkeys(expected_failures(folder, self.options.scale), False)
        for one in found:
            file = one.item.path.resolve()
            for entry in matched:
                if entry.covers(file, one.function, one.target.id):
                    matched[entry] = True
                    one.expect_failure(entry)
        if self.imports is not None:
            return  # what is known not to hold for netprops' own networks says nothing about others
        self._refuse_stale([entry for entry, hit in matched.items() if not hit], found)

    def _refuse_stale(self, stale: Sequence[Any], found: Sequence[PropertyItem]) -> None:
        """Refuse entries that match nothing, where their file was collected as a whole."""
        in_part = {
            (self.config.invocation_params.dir / arg.partition("::")[0]).resolve()
            for arg in self.config.args
            if "::" in arg
        }
        collected = {one.item.path.resolve() for one in found} - in_part
        for entry in stale:
            if entry.file in collected or not entry.file.exists():
                raise UsageError(
                    f"{entry.place}: no test {entry.test} on {entry.subject} at scale {entry.scale}; "
                    "correct the entry or remove it"
                )

    def selected(self, items: list[pytest.Item]) -> None:
        """Take in the tests that will run; refuse, before anything trains, what cannot go well.

        Raises:
            UsageError: If ``-k`` left nothing, the device or the report's folder is wrong, or a stream has
                too few samples for a recipe.
            DamagedDataError: If data that are streamed cannot be read.
        """
        from netprops.plugin.selection import nothing_matches

        everything = self.items
        self._leave_out(items)
        self.items = [item.stash[ITEM] for item in items if ITEM in item.stash]
        expression = self.config.getoption("keyword") or self.config.getoption("markexpr")
        if everything and not items and expression:
            raise UsageError(nothing_matches(expression, everything))
        self.share = self.options.alpha / max(1, len(self.items))
        if not self.items or self.config.getoption("collectonly"):
            return
        if self.options.device not in ("auto", "cpu"):
            settings.check_device(self.options.device)
        if not self.worker and not self.options.no_report:
            settings.check_report(self.options.report)
        asked = self.config.getoption("netprops_tolerance") or ()
        self.notes = preflight(self.options, asked, self.items, everything)
        present = [spec for one in self.items if not self.missing(one.declaration) for spec in one.specs]
        loaded = [spec for spec in present if spec.family.planted or spec.family.imported]
        self.plan = tuple(dict.fromkeys(spec for spec in present if spec not in loaded))
        self.zoo.refuse_dry(self.plan)
        self._speak_up()
        if self.worker == "gw0" and self.mailbox is not None:
            self.mailbox.put_plan(self.announcement())
            self._first_lines()

    def begin(self) -> None:
        """Start the record of a run without xdist, once collection went well; a worker keeps to its cores."""
        from netprops.plugin.controller import controller_of
        from netprops.plugin.cores import keep_to_share

        if self.worker:
            self._lift = keep_to_share(self.trainers)
        if self.items and not self.worker and not self.config.getoption("collectonly"):
            controller_of(self.config).open(self.announcement(), self.options)
            self._first_lines()

    def _leave_out(self, items: list[pytest.Item]) -> None:
        """Leave out what a user's networks lack the means for, and say so."""
        if self.imports is not None:
            for line in self.imports.leave_out(items, load=not self.config.getoption("collectonly")):
                self._say(f"netprops: {line}")

    def _first_lines(self) -> None:
        """Say of every imported network how well it does on the given data."""
        if self.imports is not None:
            for line in self.imports.sanity(one.item for one in self.items):
                self._say(f"netprops: {line}")

    def _say(self, line: str) -> None:
        if self.mailbox is None:
            self.screen.line(line)
        elif self.worker == "gw0":
            self.mailbox.say(line)

    def announcement(self) -> dict[str, Any]:
        """Return what the run is going to do: the record's head, lines for the screen, the tests."""
        from netprops.plugin.environment import environment
        from netprops.plugin.terminal import header

        options = self.options
        device = self.device.partition(":")[0]
        head = {
            "environment": environment(device),
            "options": {"scale": options.scale, "strict": options.strict, "alpha": options.alpha},
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "selected": len(self.items),
            "missing": sorted({sentence for sentence in self._missing.values() if sentence}),
            "suites": suites_of(self.items),
            "about": about(self.items),
        }
        text = header(
            options,
            device=device,
            cache=str(self.zoo.cache.root),
            tests=len(self.items),
            rows=self.zoo.plan(self.plan),
            trainers=self.trainers,
            imported=len(self.imports.networks_of(one.item for one in self.items)) if self.imports else 0,
        )
        text += "".join(f"\nnetprops: {note}" for note in self.notes)
        skeletons = {one.item.nodeid: one.skeleton() for one in self.items}
        return {"head": head, "header": text, "skeletons": skeletons}

    def _speak_up(self) -> None:
        """Show what the engine says while it works."""
        from netprops.plugin.progress import Aloud

        self._aloud = Aloud(self.mailbox.say if self.mailbox is not None else self.screen.line)

    def finish(self) -> None:
        """Leave nothing behind: no handler, no process that still trains."""
        if "zoo" in vars(self):
            self.zoo.close()
        if self._aloud is not None:
            self._aloud.close()
        self._lift()
