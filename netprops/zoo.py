"""From a spec to a trained network, through the cache: first decide, then act.

Words: a *spec* names a network; its *key* is a digest of everything that decides its weights; it is *ready*
when a sound entry lies in the cache; a *relative* is a network of the same architecture, data and kind of
device.
"""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops import durable
from netprops.cache import Cache
from netprops.declaration import Spec
from netprops.entry import Entry
from netprops.subject import Subject, weights_file
from netprops.training.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netprops.data import Dataset

log = logging.getLogger("netprops")

_STEP_FORWARDS = 3.0  # a step costs three forward passes: the backward pass has two products for each one
_EFFICIENCY = 0.4  # of the rate of a large matrix product, where no relative tells what is reached


@dataclass(frozen=True)
class PlanRow:
    """What building one network would take.

    Args:
        id: Its id.
        key: Its key.
        cached: Whether it is there already.
        parameters: Trained numbers.
        epochs: Epochs of its recipe.
        bytes: Disk for weights, snapshots and the features of its last layer.
        seconds: Estimated time of its training; 0 where it is cached.
    """

    id: str
    key: str
    cached: bool
    parameters: int
    epochs: int
    bytes: int
    seconds: float


class Zoo:
    """Trained networks by spec, built where they are missing.

    Args:
        cache: Where they are kept.
        data_root: Where data sets are looked for; None for those that need no files.
        device: Name of the device, or the device itself.
        progress: Called while a network trains.
        download: Whether missing data may be downloaded.

    Raises:
        UsageError: If the device is not there.
    """

    def __init__(
        self, cache: Cache, *, data_root: Path | None = None, device: str | torch.device = "auto",
        progress: Callable[[Progress], None] | None = None, download: bool = False,
    ) -> None:
        from netprops.training.device import resolve

        self.cache, self.data_root, self.download = cache, data_root, download
        self.device = resolve(device) if isinstance(device, str) else device
        self.progress = progress
        self._datasets: dict[str, Dataset] = {}
        self._subjects: dict[str, Subject] = {}

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
        """Return the key of a network: SHA-256 of recipe, seed, data, code, torch's version, device."""
        return durable.digest_of(durable.canonical(self._decisive(spec)))

    def ready(self, spec: Spec) -> bool:
        """Return whether a sound entry of the network lies in the cache."""
        return self.cache.find(self.key(spec)) is not None

    def ensure(self, specs: Iterable[Spec], others: Iterable[Spec] = ()) -> None:
        """Build what is missing.

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
        later: dict[str, Spec] | None = None
        while missing:
            if self._build_first(missing):
                continue
            if later is None:
                later = {key: spec for key, spec in self._missing(others).items() if key not in missing}
            if self._build_first(later, limit=1):
                continue
            key, spec = next(iter(missing.items()))
            log.info("waiting for %s, which another process trains", spec.id)
            with self.cache.claim(key):
                self._build(key, spec)
            del missing[key]

    def subject(self, spec: Spec) -> Subject:
        """Return a trained network, building it if it is missing; the same object for the same spec."""
        key = self.key(spec)
        entry = self.cache.find(key)
        if entry is None or key not in self._subjects or self._subjects[key].spec != spec:
            self.ensure([spec])
            entry = self.cache.find(key)
            assert entry is not None
            self._subjects[key] = Subject(
                spec, entry, lambda: self.dataset(spec.family.data), device=self.device
            )
        return self._subjects[key]

    def plan(self, specs: Iterable[Spec]) -> list[PlanRow]:
        """Return what building the networks would take, without building any: one row a key, in order."""
        rows: dict[str, PlanRow] = {}
        relatives = self._relatives()
        rate: float | None = None
        for spec in specs:
            key = self.key(spec)
            if key in rows:
                continue
            network, cost = self._outline(spec)
            dataset, recipe = self.dataset(spec.family.data), spec.recipe
            parameters = sum(parameter.numel() for parameter in network.parameters())
            kept = len({*recipe.snapshots, recipe.epochs})
            samples = len(dataset.train) + len(dataset.test)
            size = _weight_bytes(network) * kept + 4 * samples * int(getattr(network, "feature_width", 0))
            cached = self.cache.peek(key) is not None
            seconds = 0.0
            if not cached:
                known = relatives.get(self._kin(spec))
                if known:
                    flops, took = min(known, key=lambda pair: abs(pair[0] - cost))
                    seconds = took * cost / flops
                else:
                    rate = rate or _measured_rate(self.device)
                    seconds = cost / (rate * _EFFICIENCY)
            rows[key] = PlanRow(spec.id, key, cached, parameters, recipe.epochs, size, seconds)
        return list(rows.values())

    def _missing(self, specs: Iterable[Spec]) -> dict[str, Spec]:
        return {key: spec for spec in specs if self.cache.find(key := self.key(spec)) is None}

    def _build_first(self, wanted: dict[str, Spec], limit: int | None = None) -> bool:
        """Build what nobody holds, up to a limit; drop it from ``wanted``; return whether there was any."""
        done = 0
        for key, spec in list(wanted.items()):
            with self.cache.claim(key, blocking=False) as mine:
                if not mine:
                    continue
                self._build(key, spec)
            del wanted[key]
            done += 1
            if done == limit:
                break
        return done > 0

    def _build(self, key: str, spec: Spec) -> Entry:
        """Return the entry of a key that is claimed: found, fetched, or trained now."""
        found = self.cache.find(key)
        if found is None:
            self.cache.check()
            found = self.cache.fetch(key) or self._train(key, spec)
        return found

    def _train(self, key: str, spec: Spec) -> Entry:
        import safetensors.torch
        import torch

        from netprops.training.loop import TRAINING_VERSION, error_share, train

        dataset, recipe = self.dataset(spec.family.data), spec.recipe
        network = self._initialised(spec)
        kept = len({*recipe.snapshots, recipe.epochs})
        # Entry and workspace hold the snapshots; two states and one that is being written hold the weights
        # and up to two moments of the optimizer each.
        self.cache.check(_weight_bytes(network) * (2 * kept + 3 * 3))
        _, cost = self._outline(spec)
        workspace = self.cache.workspace(key)
        trained = train(
            network, dataset, recipe, seed=spec.seed, device=self.device, state=workspace,
            progress=self.progress, label=spec.id,
        )
        errors = {
            part: error_share(network, dataset, getattr(dataset, part), device=self.device, recipe=recipe)
            for part in ("train", "test")
        }
        manifest = {
            "id": spec.id, "family": spec.family.id, "decisive": self._decisive(spec), "kin": self._kin(spec),
            "parameters": sum(parameter.numel() for parameter in network.parameters()),
            "features_layer": network.features_layer, "readout_layer": network.readout_layer,
            "feature_width": int(network.feature_width),  # type: ignore[arg-type]
            "snapshots": sorted(trained.snapshots), "history": [asdict(epoch) for epoch in trained.history],
            "train_error": errors["train"], "test_error": errors["test"],
            "flops": cost, "seconds": sum(epoch.seconds for epoch in trained.history),
            "origin": {
                "how": "trained by netprops", "training_version": TRAINING_VERSION,
                "torch": torch.__version__, "device": self.device.type, "data_digest": dataset.digest,
            },
            "machine": {
                "device": _device_name(self.device), "threads": torch.get_num_threads(),
                "system": platform.platform(), "python": platform.python_version(),
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
        """Return the network as its seed initialises it: on the CPU, so that all devices start from the same."""
        import torch

        from netprops.training.run import stream_seed

        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(stream_seed(spec.seed, "init"))
            return self._made(spec)

    def _made(self, spec: Spec) -> nn.Module:
        from netprops import models

        dataset = self.dataset(spec.family.data)
        return models.build(
            spec.family.architecture, width=spec.width, inputs=dataset.input_shape, outputs=dataset.outputs,
            **spec.family.kwargs,
        )

    def _outline(self, spec: Spec) -> tuple[nn.Module, float]:
        """Return the network without memory behind its weights, and the operations of its whole training."""
        import torch
        from torch.utils.flop_counter import FlopCounterMode

        dataset = self.dataset(spec.family.data)
        with torch.device("meta"), torch.no_grad():
            network = self._made(spec).eval()
            counter = FlopCounterMode(display=False)
            with counter:
                network(torch.empty(1, *dataset.input_shape))
        samples = len(dataset.train) * spec.recipe.epochs
        return network, float(counter.get_total_flops()) * samples * _STEP_FORWARDS

    def _decisive(self, spec: Spec) -> dict[str, Any]:
        import torch

        from netprops.training.loop import TRAINING_VERSION

        return {
            "network": dict(spec.fingerprint()), "data": self.dataset(spec.family.data).digest,
            "training_version": TRAINING_VERSION, "torch": torch.__version__.partition("+")[0],
            "device": self.device.type,
        }

    def _kin(self, spec: Spec) -> str:
        digest = self.dataset(spec.family.data).digest
        return f"{spec.family.architecture} {digest[:12]} {self.device.type}"

    def _relatives(self) -> dict[str, list[tuple[float, float]]]:
        """Return operations and seconds of what the cache holds, by kin."""
        known: dict[str, list[tuple[float, float]]] = {}
        for entry in self.cache.entries():
            facts = entry.manifest
            if facts.get("flops") and facts.get("seconds"):
                known.setdefault(facts["kin"], []).append((facts["flops"], facts["seconds"]))
        return known


def build(
    zoo: Zoo, specs: Sequence[Spec], *, announce: Callable[[PlanRow], None] = lambda row: None
) -> list[PlanRow]:
    """Build networks one after the other.

    Args:
        zoo: Where they go.
        specs: Which.
        announce: Called with the row of each network after it is there.

    Returns:
        The plan as it was before.
    """
    rows = zoo.plan(specs)
    for row, spec in zip(rows, {zoo.key(spec): spec for spec in specs}.values(), strict=True):
        zoo.ensure([spec])
        announce(row)
    return rows


def _weight_bytes(network: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


def _measured_rate(device: torch.device) -> float:
    """Return floating-point operations a second of a matrix product of 512 x 512, the best of some."""
    import torch

    a = torch.ones(512, 512, device=device)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - began)
    return 2 * 512**3 / best
