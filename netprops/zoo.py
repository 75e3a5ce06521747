"""From a spec to a trained network, through the cache: first decide, then act.

Words: a *spec* names a network; its *key* is a digest of everything that decides its weights; it is *ready*
when a sound entry lies in the cache; a *block* is the networks that are trained at once, one in most, and its
*unit* the key of its first, by which it is claimed; a *companion* is a second process that trains networks of
the same plan.
"""

from __future__ import annotations

import atexit
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops import building, durable, plan
from netprops.cache import Cache
from netprops.declaration import Spec
from netprops.errors import MissingDataError, TrainingError, UsageError
from netprops.plan import Outline, PlanRow
from netprops.subject import Subject
from netprops.training.progress import Progress

if TYPE_CHECKING:
    import torch

    from netprops.companion import Companion
    from netprops.data import Dataset

log = logging.getLogger("netprops")

_LOOK_SECONDS = 0.2  # between two looks at what another process holds


class Zoo:
    """Trained networks by spec, built where they are missing.

    On a CPU each network is trained by one thread, because another number of threads gives other last bits:
    results do not depend on how many processes share the work. Nor does it matter for them which networks of
    a block are missing: all of a block are trained together, or none.

    Args:
        cache: Where they are kept.
        data_root: Where data sets are looked for; None for those that need no files.
        device: Name of the device, or the device itself.
        progress: Called while a network trains, here or, while this process waits, in a companion.
        download: Whether missing data may be downloaded.
        companions: Processes beside this one that train what is missing, on a CPU with locks only; 0 where
            others share the work anyway.

    Raises:
        UsageError: If the device is not there.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        data_root: Path | None = None,
        device: str | torch.device = "auto",
        progress: Callable[[Progress], None] | None = None,
        download: bool = False,
        companions: int = 0,
    ) -> None:
        from netprops.training.device import resolve

        self.cache, self.data_root, self.download = cache, data_root, download
        self.device = resolve(device) if isinstance(device, str) else device
        self.progress = progress
        self._wanted_companions = companions if self.device.type == "cpu" else 0
        self._companions: list[Companion] = []
        self._datasets: dict[str, Dataset] = {}
        self._subjects: dict[str, Subject] = {}
        self._parts: dict[tuple[str, int, int, int], Dataset] = {}
        self._outlines: dict[tuple[object, ...], Outline] = {}

    def dataset(self, name: str) -> Dataset:
        """Return a data set, loaded once.

        Raises:
            MissingDataError: If it is not where it is looked for.
        """
        from netprops import data

        if name not in self._datasets:
            self._datasets[name] = data.load(
                name, self.data_root, cache_root=self.cache.root / "data", download=self.download
            )
        return self._datasets[name]

    def dataset_of(self, spec: Spec) -> Dataset:
        """Return the data set that a network trains on: its family's, or its part of it."""
        whole = self.dataset(spec.data)
        if spec.part is None:
            return whole
        place = (whole.digest, *spec.part)
        if place not in self._parts:
            self._parts[place] = whole.part(*spec.part)
        return self._parts[place]

    def key(self, spec: Spec) -> str:
        """Return the key: SHA-256 of recipe, seed, data, code, torch's version and kind of device."""
        return durable.digest_of(durable.canonical(self._decisive(spec)))

    def ready(self, spec: Spec) -> bool:
        """Return whether a sound entry of the network lies in the cache."""
        return self.cache.find(self.key(spec)) is not None

    def refuse_dry(self, specs: Iterable[Spec]) -> None:
        """Refuse online recipes whose stream ends before they do: before anything of a plan trains.

        Raises:
            UsageError: Naming the network, the samples that there are and those that it needs.
            MissingDataError: If the data are not there.
        """
        from netprops.training.feed import check_stream

        for spec in specs:
            if spec.recipe.online:
                try:
                    check_stream(self.dataset_of(spec), spec.recipe, spec.id)
                except TrainingError as error:
                    raise UsageError(str(error)) from error

    def ensure(self, specs: Iterable[Spec], others: Iterable[Spec] = ()) -> None:
        """Build what is missing, wide networks first.

        What another process is building is not built twice: meanwhile missing networks of ``others`` are
        built, and only when nothing is left to do it is waited for. A training that a kill left behind is
        taken over.

        Args:
            specs: Networks that must be there afterwards.
            others: Networks that the session will want later.

        Raises:
            UsageError: If the cache cannot be written or its disk is full, or a stream runs dry, before
                anything trains.
            MissingDataError: If the data are not there.
            TrainingError: If a training fails.
        """
        missing = self._missing(specs)
        if not missing:
            return
        self.refuse_dry(missing.values())
        self.cache.check()
        later = self._missing(others, forgiving=True)
        later = {key: spec for key, spec in later.items() if key not in missing}
        self._call_companions([*missing.values(), *later.values()])
        said = False
        while missing:
            if self._build_one(missing):
                continue
            with suppress(TrainingError):  # whoever needs that network meets the error
                if self._build_one(later):
                    continue
            if not said:
                said = True
                log.info("waiting for networks that others train: %s", [spec.id for spec in missing.values()])
            self._wait()

    def offer(self, spec: Spec) -> None:
        """Build one network if it is missing and nobody else is building it."""
        self._build_one(self._missing([spec]))

    def subject(self, spec: Spec) -> Subject:
        """Return a trained network, building it if it is missing; the same object for the same spec."""
        key = self.key(spec)
        if self.cache.find(key) is None:
            self.ensure([spec])
            self._subjects.pop(key, None)
        if key not in self._subjects or self._subjects[key].spec != spec:
            entry = self.cache.find(key)
            assert entry is not None
            self._subjects[key] = Subject(spec, entry, lambda: self.dataset_of(spec), device=self.device)
        return self._subjects[key]

    def plan(self, specs: Iterable[Spec]) -> list[PlanRow]:
        """Return what building the networks would take, without building any: one row a key, in order.

        A block is trained as a whole, whichever of its networks are wanted: they share its time.
        """
        wanted: dict[str, Spec] = {}
        for spec in specs:
            wanted.setdefault(self.key(spec), spec)
        found = {key: self.cache.peek(key) for key in wanted}
        sharing = Counter(self._unit(spec) for key, spec in wanted.items() if found[key] is None)
        clock = plan.Clock(self.cache.entries(), self.device)
        rows = []
        for key, spec in wanted.items():
            entry = found[key]
            if entry is not None:
                parameters, size, seconds = int(entry.manifest["parameters"]), entry.bytes(), 0.0
            else:
                dataset, known = self.dataset_of(spec), self._outline(spec)
                features = 4 * known.feature_width * (len(dataset.train) + len(dataset.test))
                parameters, size = known.parameters, known.weight_bytes * plan.kept(spec) + features
                share = len(spec.together) / sharing[self._unit(spec)]
                seconds = clock.seconds(self._kin(spec), known.cost) * share
            rows.append(
                PlanRow(
                    id=spec.id,
                    key=key,
                    cached=entry is not None,
                    parameters=parameters,
                    epochs=spec.recipe.epochs,
                    bytes=size,
                    seconds=seconds,
                )
            )
        return rows

    def close(self) -> None:
        """Let companions save their states and end; what they have not finished stays to be taken over."""
        while self._companions:
            self._companions.pop().dismiss()
        atexit.unregister(self.close)

    def _outline(self, spec: Spec) -> Outline:
        """Return a network's outline, found once for networks that differ in seed only."""
        alike = (spec.family.id, spec.family.scale, spec.variant, spec.width)
        if alike not in self._outlines:
            self._outlines[alike] = plan.outline(spec, self.dataset_of(spec))
        return self._outlines[alike]

    def _kin(self, spec: Spec) -> str:
        """Return what the relatives of a network have in common: of a part, those on the whole are too."""
        kin = plan.kin(spec, self.dataset(spec.data), self.device)
        return f"{kin} stacked" if len(spec.together) > 1 else kin

    def _unit(self, spec: Spec) -> str:
        return self.key(spec.block[0])

    def _missing(self, specs: Iterable[Spec], *, forgiving: bool = False) -> dict[str, Spec]:
        """Return one network by unit of what the cache lacks, wide first.

        Forgiving leaves out what lacks its data.
        """
        found: dict[str, Spec] = {}
        for spec in specs:
            try:
                key = self.key(spec)
            except MissingDataError:
                if not forgiving:
                    raise
                continue
            if self.cache.find(key) is None:
                found.setdefault(self._unit(spec), spec)
        return dict(sorted(found.items(), key=lambda pair: -pair[1].width))

    def _build_one(self, wanted: dict[str, Spec]) -> bool:
        """Build the first block that nobody holds, drop it from ``wanted``; return whether there was one."""
        for unit in list(wanted):
            with self.cache.claim(unit, blocking=False) as mine:
                if mine:
                    self._build(wanted.pop(unit))
                    return True
        return False

    def _build(self, spec: Spec) -> None:
        """Put a block in place that is claimed: what is not there and cannot be fetched is trained now."""
        keys = [self.key(one) for one in spec.block]
        if all(self.cache.find(key) or self.cache.fetch(key) for key in keys):
            return
        orders = [
            building.Order(one, key, self.dataset_of(one), self._decisive(one), self._kin(one))
            for one, key in zip(spec.block, keys, strict=True)
        ]
        building.build(orders, self.cache, device=self.device, progress=self.progress)

    def _decisive(self, spec: Spec) -> dict[str, Any]:
        import torch

        from netprops.training.loop import TRAINING_VERSION
        from netprops.training.stacked import STACKED_VERSION

        together = spec.together
        stacked = {"together": together, "stacked_version": STACKED_VERSION} if len(together) > 1 else {}
        return {
            "network": dict(spec.fingerprint()),
            "data": self.dataset_of(spec).digest,
            "training_version": TRAINING_VERSION,
            "torch": torch.__version__.partition("+")[0],
            "device": self.device.type,
            **stacked,
        }

    def _call_companions(self, specs: list[Spec]) -> None:
        """Start companions when there is more than one block to build; they stay until all is built."""
        from netprops.companion import Companion

        if not any(companion.works() for companion in self._companions):
            self.close()
        count = min(self._wanted_companions, len(specs) - 1)
        if count > 0 and not self._companions and self.cache.locks:
            self._companions = [Companion(self, specs) for _ in range(count)]
            atexit.register(self.close)

    def _wait(self) -> None:
        """Wait a moment for other processes, and show what companions do meanwhile."""
        if not self._companions:
            time.sleep(_LOOK_SECONDS)
        for companion in self._companions:
            progress = companion.heard(_LOOK_SECONDS / len(self._companions))
            if progress is not None and self.progress is not None:
                self.progress(progress)
