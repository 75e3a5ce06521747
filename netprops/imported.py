"""A user's own network as a Subject: loaded, checked and measured as trained ones are, but never trained.

Words: as in ``subject.py`` and ``modeltables.py``; the *probe* is what the network gives for a few samples.
An entry of the cache holds features alone; its key is the digest of weights, probe and data, so that features
are made anew when the weights, the code of the network or the data change.
"""

from __future__ import annotations

import copy
import hashlib
import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from netprops import checkpoints, durable, fitting, importing, tracing, userdata
from netprops.cache import Cache
from netprops.errors import MissingDataError, NetpropsError, UsageError
from netprops.modeltables import ImportedFamily, ImportedSpec
from netprops.subject import Readout, Subject
from netprops.userdata import UserData

if TYPE_CHECKING:
    from pathlib import Path

    from netprops.entry import Entry
    from netprops.training.recipe import Recipe

log = logging.getLogger("netprops")

IMPORT_VERSION = 1
"""Raised when the code that makes features of imported networks changes what it gives."""

_NEAR_CHANCE = 0.1  # of the way from always answering the most frequent class to answering all rightly


class ImportedSubject(Subject):
    """A network that somebody else trained, with the data that it was given.

    Args:
        spec: Which network of which table.
        entry: Its entry in the cache, for features.
        network: The network with its weights, on the device, in eval mode.
        ending: Where its features and its readout are.
        data: Its data.
        device: Where features are computed.
        notes: What was done while it was loaded, one sentence each.
    """

    def __init__(
        self,
        spec: ImportedSpec,
        entry: Entry,
        network: nn.Module,
        ending: tracing.Ending,
        data: UserData,
        *,
        device: torch.device,
        notes: tuple[str, ...] = (),
    ) -> None:
        # What tests ask of a data set, UserData answers too.
        super().__init__(spec, entry, lambda: data, device=device, epoch=0)  # type: ignore[arg-type, return-value]
        self._network, self._ending, self._data = network, ending, data
        self.notes = notes

    @property
    def family(self) -> str:
        """Name of the table or of the builder."""
        return self.spec.family.id

    @property
    def recipe(self) -> Recipe:
        """How it was trained is not known.

        Raises:
            MissingDataError: Always.
        """
        raise MissingDataError(f"{self.id} was imported: how it was trained is not known")

    @cached_property
    def network(self) -> nn.Module:
        """The network, on the device, in eval mode."""
        return self._network

    @cached_property
    def readout(self) -> Readout:
        """The last layer's weight and bias."""
        module = self._network.get_submodule(self._ending.readout_layer)
        assert isinstance(module, nn.Linear)
        weight = module.weight.detach().float().cpu().numpy()
        bias = module.bias
        return Readout(
            weight, np.zeros(len(weight), np.float32) if bias is None else bias.detach().float().cpu().numpy()
        )

    @property
    def has_training_split(self) -> bool:
        """Whether the data it was trained on were given."""
        return "train" in self._data.splits

    def accuracy(self, split: str) -> float:
        """Return the share of a split that is answered rightly."""
        return 1.0 - self.error(split)  # type: ignore[arg-type]

    def sanity(self) -> str:
        """Return one line that says how well the network does on the given data, and what was assumed."""
        parts = [f"accuracy {self.accuracy('test'):.1%} on {len(self.labels('test')):,} test samples"]
        if self.has_training_split:
            parts.append(f"{self.accuracy('train'):.1%} on {len(self.labels('train')):,} training samples")
        ending = self._ending
        parts.append(f"{ending.width} features into {ending.readout_layer!r}, {ending.outputs} outputs")
        warned = self._near_chance()
        notes = [*([warned] if warned else []), *self.notes]
        return f"{self.id}: {', '.join(parts)}{'; ' if notes else ''}{'; '.join(notes)}"

    def _near_chance(self) -> str:
        """Return a warning where the network answers little better than the most frequent class would."""
        _, counts = np.unique(self.labels("test"), return_counts=True)
        chance = float(counts.max() / counts.sum())
        if len(counts) < 2 or self.accuracy("test") - chance > _NEAR_CHANCE * (1 - chance):
            return ""
        raw = self._data.prepare(self._data.test.inputs[:256])
        bounded = raw.is_floating_point() and float(raw.min()) >= 0
        cause = (
            f"inputs lie in {float(raw.min()):.3g} to {float(raw.max()):.3g}: were they not "
            if bounded
            else ""
        )
        likely = (
            f"{cause}normalised as in training?"
            if bounded
            else ("are inputs normalised as in training, and classes numbered alike?")
        )
        return f"WARNING: that is near chance ({chance:.1%}): {likely}"

    def summary(self) -> dict[str, Any]:
        """Return what a record says of the network, in JSON types."""
        family, member = self.spec.family, self.spec.member  # type: ignore[attr-defined]
        manifest = self.entry.manifest
        checkpoint = member.checkpoint
        return {
            "id": self.id,
            "family": self.family,
            "architecture": family.architecture,
            "data": self._data.name,
            "scale": family.scale,
            "variant": None,
            "width": self.width,
            "factor": member.width,
            "seed": self.seed,
            "key": self.entry.key,
            "parameters": manifest["parameters"],
            "recipe": {},
            "origin": {
                "how": "imported",
                "checkpoint": checkpoint.name if checkpoint is not None else "none",
                "arguments": durable.canonical(member.kwargs)
                if _is_json(member.kwargs)
                else repr(member.kwargs),
                "weights_digest": manifest["weights_digest"],
                "data_digest": manifest["data_digest"],
                "layer": self.features_layer,
                "readout": self._ending.readout_layer,
            },
            "notes": list(self.notes),
            "train_error": self.error("train") if self.has_training_split else None,
            "test_error": self.error("test"),
            "history": [],
        }

    @property
    def _finished(self) -> bool:
        return True

    def _weights(self) -> dict[str, torch.Tensor]:
        return {name: one.detach().cpu() for name, one in self._network.state_dict().items()}


class Importer:
    """Makes subjects of imported networks, each once.

    Args:
        root: Folder of the cache for features.
        device: Where networks are run.
        data_root: Folder of the data sets, or None.
        download: Whether data sets or a factory's weights may be downloaded.
    """

    def __init__(
        self,
        root: Path,
        *,
        device: str | torch.device = "cpu",
        data_root: Path | None = None,
        download: bool = False,
    ) -> None:
        self._cache, self.device = Cache(root), torch.device(device)
        self._data_root, self._download = data_root, download
        self._subjects: dict[ImportedSpec, ImportedSubject] = {}
        self._datasets: dict[tuple[str, str], UserData] = {}

    def data(self, family: ImportedFamily) -> UserData:
        """Return the data of a family, loaded once.

        Raises:
            UsageError: If none were named, or they are not what a network can be tested on.
            MissingDataError: If a registered data set is not there.
        """
        spec = family.table.data
        if family.given is not None:
            spec, place = "handed over", ("", str(id(family.given[1])))
        elif spec is None:
            raise UsageError(
                "no data were named; give --netprops-data pkg.mod:function, cifar10, "
                "imagefolder:PATH or torchvision:CIFAR10"
            )
        else:
            place = (f"{spec} {family.table.samples}", str(family.base))
        if place not in self._datasets:
            if family.given is not None:
                self._datasets[place] = userdata.of(family.given[1], "the data")
            else:
                self._datasets[place] = userdata.load(
                    spec,
                    family.base,
                    root=self._data_root,
                    cache_root=self._cache.root / "data",
                    download=self._download,
                ).limited(family.table.samples)
        return self._datasets[place]

    def subject(self, spec: ImportedSpec) -> ImportedSubject:
        """Return an imported network; the same object for the same spec.

        Raises:
            NetpropsError: If the network, its weights or its data are not what they should be; one line.
        """
        if spec not in self._subjects:
            try:
                self._subjects[spec] = self._made(spec)
            except NetpropsError as error:
                if spec.id in str(error):
                    raise
                raise type(error)(f"{spec.id}: {error}") from error
        return self._subjects[spec]

    def _made(self, spec: ImportedSpec) -> ImportedSubject:
        family, member = spec.family, spec.member
        assert isinstance(family, ImportedFamily)
        assert member is not None
        table = family.table
        built = self._built(family, member.kwargs)
        notes = list(built.notes)
        if member.checkpoint is not None:
            weights = checkpoints.read(member.checkpoint, table.checkpoint_key)
            notes += [*weights.notes, *fitting.fit(built.network, weights)]
        elif family.given is None:
            notes.append("no checkpoint was given: the weights are the builder's")
        data = self.data(family)
        prepare = built.prepare
        if prepare is None and table.build.partition(":")[0] in importing.FACTORIES:
            from netprops.datafolders import by_imagenet

            prepare = by_imagenet if data.test.inputs.dtype == torch.uint8 else None
        data = data.prepared_by(prepare)
        data.check_inputs()
        network = built.network.to(self.device).eval()
        for parameter in network.parameters():
            parameter.requires_grad_(False)
        ran = tracing.steps(network, data.test.inputs, prepare=data.prepare, device=self.device)
        ending = tracing.ending(network, ran, table.layer, table.readout)
        data = data.for_outputs(ending.outputs)
        entry = self._entry(spec, network, ending, data, _digest([step.output for step in ran]))
        return ImportedSubject(
            spec, entry, network, ending, data, device=self.device, notes=(*notes, *ending.notes, *data.notes)
        )

    def _built(self, family: ImportedFamily, kwargs: dict[str, Any]) -> importing.Built:
        if family.given is not None:
            return importing.unwrapped(copy.deepcopy(family.given[0]), None)  # the user's stays as it is
        return importing.build(family.table.build, kwargs, family.base, download=self._download)

    def _entry(
        self, spec: ImportedSpec, network: nn.Module, ending: tracing.Ending, data: UserData, probe: str
    ) -> Entry:
        state = network.state_dict()
        facts = {
            "weights_digest": _digest([state[name] for name in sorted(state)]),
            "data_digest": data.digest,
            "features_layer": ending.features_layer,
            "readout_layer": ending.readout_layer,
            "feature_width": ending.width,
        }
        decisive = {
            **facts,
            "import_version": IMPORT_VERSION,
            "probe": probe,
            "torch": torch.__version__.partition("+")[0],
            "device": self.device.type,
        }
        key = durable.digest_of(durable.canonical(decisive))
        manifest = {
            **facts,
            "id": spec.id,
            "family": spec.family.id,
            "parameters": sum(one.numel() for one in network.parameters()),
            "snapshots": [],
            "history": [],
            "kin": "imported",
            "cost": 0.0,
            "seconds": 0.0,
            "origin": {"how": "imported"},
        }
        return self._cache.find(key) or self._cache.publish(key, lambda folder: None, manifest)


def _digest(tensors: list[Any]) -> str:
    """Return the SHA-256 over types, shapes and bytes of tensors; what is none is left out."""
    whole = hashlib.sha256()
    for one in tensors:
        if isinstance(one, torch.Tensor):
            plain = one.detach().cpu().contiguous()
            whole.update(f"{plain.dtype}{tuple(plain.shape)}".encode())
            whole.update(plain.flatten().view(torch.uint8).numpy().data if plain.numel() else b"")
    return whole.hexdigest()


def _is_json(value: object) -> bool:
    try:
        durable.canonical(value)
    except (TypeError, ValueError):
        return False
    return True
