"""From a spec to a trained network, through the cache: first decide, then act.

Words: a *spec* names a network; its *key* is a digest of everything that decides its weights; it is *ready*
when a sound entry lies in the cache; a *companion* is a second process that trains networks of the same plan.
"""

from __future__ import annotations

import atexit
import logging
import platform
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops import durable, plan
from netprops.cache import Cache
from netprops.declaration import Spec
from netprops.entry import Entry
from netprops.errors import MissingDataError, TrainingError
from netprops.plan import Outline, PlanRow
from netprops.subject import Subject, weights_file
from netprops.training.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netprops.companion import Companion
    from netprops.data import Dataset

log = logging.getLogger("netprops")

_LOOK_SECONDS = 0.2  # between two looks at what another process holds


class Zoo:
    """Trained networks by spec, built where they are missing.

    On a CPU each network is trained by one thread, because another number of threads gives other last bits:
    results do not depend on how many processes share the work.

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
        self._outlines: dict[tuple[str, float, int], Outline] = {}

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

    def key(self, spec: Spec) -> str:
        """Return the key: SHA-256 of recipe, seed, data, code, torch's version and kind of device."""
        return durable.digest_of(durable.canonical(self._decisive(spec)))

    def ready(self, spec: Spec) -> bool:
        """Return whether a sound entry of the network lies in the cache."""
        return self.cache.find(self.key(spec)) is not None

    def ensure(self, specs: Iterable[Spec], others: Iterable[Spec] = ()) -> None:
        """Build what is missing, wide networks first.

        What another process is building is not built twice: meanwhile missing networks of ``others`` are
        built, and only when nothing is left to do it is waited for. A training that a kill left behind is
        taken over.

        Args:
            specs: Networks that must be there afterwards.
            others: Networks that the session will want later.

        Raises:
            UsageError: If the cache cannot be written or its disk is full, before anything trains.
            MissingDataError: If the data are not there.
            TrainingError: If a training fails.
        """
        missing = self._missing(specs)
        if not missing:
            return
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
            self._subjects[key] = Subject(
                spec, entry, lambda: self.dataset(spec.family.data), device=self.device
            )
        return self._subjects[key]

    def plan(self, specs: Iterable[Spec]) -> list[PlanRow]:
        """Return what building the networks would take, without building any: one row a key, in order."""
        rows: dict[str, PlanRow] = {}
        clock = plan.Clock(self.cache.entries(), self.device)
        for spec in specs:
            key = self.key(spec)
            if key in rows:
                continue
            entry = self.cache.peek(key)
            if entry is not None:
                parameters, size, seconds = int(entry.manifest["parameters"]), entry.bytes(), 0.0
            else:
                dataset = self.dataset(spec.family.data)
                known = self._outline(spec)
                features = 4 * known.feature_width * (len(dataset.train) + len(dataset.test))
                parameters, size = known.parameters, known.weight_bytes * plan.kept(spec) + features
                seconds = clock.seconds(plan.kin(spec, dataset, self.device), known.cost)
            rows[key] = PlanRow(
                id=spec.id,
                key=key,
                cached=entry is not None,
                parameters=parameters,
                epochs=spec.recipe.epochs,
                bytes=size,
                seconds=seconds,
            )
        return list(rows.values())

    def close(self) -> None:
        """Let companions save their states and end; what they have not finished stays to be taken over."""
        while self._companions:
            self._companions.pop().dismiss()
        atexit.unregister(self.close)

    def _outline(self, spec: Spec) -> Outline:
        """Return a network's outline, found once for networks that differ in seed or variant only."""
        alike = (spec.family.id, spec.width, spec.recipe.epochs)
        if alike not in self._outlines:
            self._outlines[alike] = plan.outline(spec, self.dataset(spec.family.data))
        return self._outlines[alike]

    def _missing(self, specs: Iterable[Spec], *, forgiving: bool = False) -> dict[str, Spec]:
        """Return what the cache lacks, wide first; forgiving leaves out what lacks its data."""
        found: dict[str, Spec] = {}
        for spec in specs:
            try:
                key = self.key(spec)
            except MissingDataError:
                if not forgiving:
                    raise
                continue
            if self.cache.find(key) is None:
                found[key] = spec
        return dict(sorted(found.items(), key=lambda pair: -pair[1].width))

    def _build_one(self, wanted: dict[str, Spec]) -> bool:
        """Build the first that nobody holds, drop it from ``wanted``, and return whether there was one."""
        for key in list(wanted):
            with self.cache.claim(key, blocking=False) as mine:
                if mine:
                    self._build(key, wanted.pop(key))
                    return True
        return False

    def _build(self, key: str, spec: Spec) -> Entry:
        """Return the entry of a key that is claimed: found, fetched, or trained now."""
        return self.cache.find(key) or self.cache.fetch(key) or self._train(key, spec)

    def _train(self, key: str, spec: Spec) -> Entry:
        import safetensors.torch
        import torch

        from netprops.training.device import threads
        from netprops.training.loop import TRAINING_VERSION, error_share, train

        dataset, recipe = self.dataset(spec.family.data), spec.recipe
        known = plan.outline(spec, dataset)
        # Entry and workspace hold the snapshots; two states and one that is being written hold the weights
        # and up to two moments of the optimizer each.
        self.cache.check(known.weight_bytes * (2 * plan.kept(spec) + 3 * 3))
        network = self._initialised(spec)
        with threads(1):
            trained = train(
                network,
                dataset,
                recipe,
                seed=spec.seed,
                device=self.device,
                label=spec.id,
                state=self.cache.workspace(key),
                progress=self.progress,
            )
            train_error, test_error = (
                error_share(network, dataset, split, device=self.device, recipe=recipe)
                for split in (dataset.train, dataset.test)
            )
        manifest = {
            "id": spec.id,
            "family": spec.family.id,
            "decisive": self._decisive(spec),
            "parameters": known.parameters,
            "features_layer": network.features_layer,
            "readout_layer": network.readout_layer,
            "feature_width": known.feature_width,
            "snapshots": sorted(trained.snapshots),
            "history": [asdict(epoch) for epoch in trained.history],
            "train_error": train_error,
            "test_error": test_error,
            "kin": plan.kin(spec, dataset, self.device),
            "cost": known.cost,
            "seconds": sum(epoch.seconds for epoch in trained.history),
            "origin": {
                "how": "trained by netprops",
                "training_version": TRAINING_VERSION,
                "torch": torch.__version__,
                "device": self.device.type,
                "data_digest": dataset.digest,
            },
            "machine": {
                "device": _device_name(self.device),
                "threads": 1,
                "system": platform.platform(),
                "python": platform.python_version(),
            },
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
        }

        def write(folder: Path) -> None:
            for epoch, weights in trained.snapshots.items():
                path = folder / weights_file(epoch, recipe.epochs)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(safetensors.torch.save(weights))

        return self.cache.publish(key, write, manifest)

    def _initialised(self, spec: Spec) -> nn.Module:
        """Return the network as its seed draws it: on the CPU, so that all devices start from the same."""
        import torch

        from netprops.training.run import stream_seed

        dataset = self.dataset(spec.family.data)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(spec.seed, "init"))
            return plan.make(spec, dataset)

    def _decisive(self, spec: Spec) -> dict[str, Any]:
        import torch

        from netprops.training.loop import TRAINING_VERSION

        return {
            "network": dict(spec.fingerprint()),
            "data": self.dataset(spec.family.data).digest,
            "training_version": TRAINING_VERSION,
            "torch": torch.__version__.partition("+")[0],
            "device": self.device.type,
        }

    def _call_companions(self, specs: list[Spec]) -> None:
        """Start companions when there is more than one network to build; they stay until all is built."""
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


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
