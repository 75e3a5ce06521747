"""A network under test: what every property test sees, whoever trained the network.

Words: N samples, W units of the last hidden representation, C outputs; the *readout* is the linear layer that
turns the W features into the C outputs; a *split* is ``"train"`` or ``"test"``.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from netprops import keeping
from netprops.content import nearest
from netprops.data.dataset import NOT_ASKED
from netprops.declaration import Spec
from netprops.entry import Entry
from netprops.errors import MeasurementError, UsageError
from netprops.training.progress import Epoch
from netprops.training.recipe import Recipe

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netprops.data import Dataset

log = logging.getLogger("netprops")

SplitName = Literal["train", "test"]
LOSSES_FILE = "losses.safetensors"
"""The file of the step losses in an entry, where they are kept."""

_BLOCK = 8192
_CAPTURE_BATCH = 512


class Readout(NamedTuple):
    """The last layer.

    Args:
        weight: (C, W) float32.
        bias: (C,) float32; zeros where the layer has none.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


def logits_of(features: NDArray[np.float32], readout: Readout) -> NDArray[np.float32]:
    """Return the outputs (N, C) float32 that a readout makes of features (N, W), block by block."""
    blocks = range(0, len(features), _BLOCK)
    return np.concatenate([features[i : i + _BLOCK] @ readout.weight.T + readout.bias for i in blocks])


def weights_file(epoch: int, epochs: int) -> str:
    """Return the name of the file that holds the weights after an epoch in an entry."""
    return "weights.safetensors" if epoch == epochs else f"snapshots/epoch-{epoch:05d}.safetensors"


def error_share(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Return the share of samples that are answered wrongly; a single output of exactly 0 is wrong.

    Args:
        logits: (N, C).
        labels: (N,) classes, and -100 for samples that are left out; or -1 and 1 or targets where C is 1.

    Raises:
        MeasurementError: If every sample is left out.
    """
    if logits.shape[1] == 1:
        return float(np.mean(labels * logits[:, 0] <= 0))
    asked = labels != NOT_ASKED
    if not asked.any():
        raise MeasurementError("no sample has a label that is asked for, expected at least one")
    return float(np.mean((logits.argmax(axis=1) != labels)[asked]))


def generator(id: str, purpose: str) -> np.random.Generator:
    """Return the generator that a subject of an id uses for one purpose."""
    digest = hashlib.sha256(f"{id}:{purpose}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


class Subject:
    """One trained network, its data and everything that tests ask of both.

    Args:
        spec: Which network.
        entry: Its entry in the cache.
        dataset: Returns its data; called when they are needed first.
        device: Where features are computed.
        epoch: Whose weights are meant; None for the last epoch's.
    """

    def __init__(
        self,
        spec: Spec,
        entry: Entry,
        dataset: Callable[[], Dataset],
        *,
        device: torch.device,
        epoch: int | None = None,
    ) -> None:
        self.spec, self.entry, self.device = spec, entry, device
        self.epoch = spec.recipe.epochs if epoch is None else epoch
        self._dataset = dataset
        self._features: dict[tuple[str, str], NDArray[np.float32]] = {}

    def __repr__(self) -> str:
        at = "" if self._finished else f" at epoch {self.epoch}"
        return f"<Subject {self.id}{at}>"

    @property
    def id(self) -> str:
        """ASCII and greppable, such as ``wrn28-digits-w4-s0``; snapshots share it."""
        return self.spec.id

    @property
    def family(self) -> str:
        """Id of the family, such as ``wrn28-digits``."""
        return self.spec.family.id

    @property
    def width(self) -> int:
        """W, units of the last hidden representation."""
        return int(self.entry.manifest["feature_width"])

    @property
    def factor(self) -> float:
        """The width factor, as the architecture counts it."""
        return self.spec.width

    @property
    def seed(self) -> int:
        """The seed of initialisation, order and augmentation."""
        return self.spec.seed

    @property
    def variant(self) -> str | None:
        """Name of the recipe's variant, or None for the plain one."""
        return self.spec.variant

    @property
    def recipe(self) -> Recipe:
        """How it was trained."""
        return self.spec.recipe

    @property
    def dataset(self) -> Dataset:
        """The data that it was trained and is tested on."""
        return self._dataset()

    @property
    def features_layer(self) -> str:
        """Path of the layer whose output is the last hidden representation."""
        return str(self.entry.manifest["features_layer"])

    @cached_property
    def network(self) -> nn.Module:
        """The network with the weights of :attr:`epoch`, on the device, in eval mode.

        Raises:
            DamagedEntryError: If the file of the weights is damaged.
        """
        from netprops import models
        from netprops.models.skeleton import skeletons

        with skeletons():
            network = models.build(
                self.spec.family.architecture,
                width=self.factor,
                inputs=self.dataset.input_shape,
                outputs=self.dataset.outputs,
                **self.spec.kwargs,
            )
        network.load_state_dict(self._weights(), assign=True)
        return network.to(self.device).eval()

    @cached_property
    def readout(self) -> Readout:
        """The last layer's weight and bias, read without building the network.

        A factor that the network multiplies its features by before they are read (µP) is part of the weight.
        """
        name, weights = self.entry.manifest["readout_layer"], self._weights()
        scale = np.float32(self.entry.manifest.get("readout_scale", 1.0))
        weight = weights[f"{name}.weight"].float().numpy() * scale
        bias = weights.get(f"{name}.bias")
        return Readout(weight, np.zeros(len(weight), np.float32) if bias is None else bias.float().numpy())

    def weights(self, name: str) -> NDArray[np.float32]:
        """Return one tensor of the network's weights, float32, by its name in the state dict.

        Raises:
            UsageError: If the network has no such weights.
        """
        known = self._weights()
        if name not in known:
            raise UsageError(f"{self.id} has no weights {name!r}{nearest(name, known)}")
        return known[name].float().numpy()

    def features(self, split: SplitName, layer: str | None = None) -> NDArray[np.float32]:
        """Return what a layer gives for every sample of a split.

        Args:
            split: ``"train"`` (not augmented) or ``"test"``.
            layer: Path of the layer; None for the last hidden representation.

        Returns:
            (N, W) float32, read-only: memory-mapped from the entry, where it is computed once and checked at
            each load.

        Raises:
            UsageError: If the network has no such layer.
            MeasurementError: If an activation is not a finite number, or the split is empty.
        """
        layer = layer or self.features_layer
        if (split, layer) not in self._features:
            self._features[split, layer] = self._find_features(split, layer)
        return self._features[split, layer]

    def logits(self, split: SplitName) -> NDArray[np.float32]:
        """Return the network's outputs (N, C) float32 for a split: its features through its readout."""
        return logits_of(self.features(split), self.readout)

    def labels(self, split: SplitName) -> NDArray[Any]:
        """Return the labels (N,) of a split: int64 classes, float32 -1 and 1, or float32 targets.

        Of sequences they are those of the last position, which is also what features and logits are of; -100
        where it is not asked for.
        """
        labels = self._split(split).labels.numpy()
        return labels if labels.ndim == 1 else labels[:, -1]  # type: ignore[no-any-return]

    def error(self, split: SplitName) -> float:
        """Return the share of a split that is answered wrongly; a single output of exactly 0 is wrong.

        Of sequences it is that of the last position, unlike the errors of the history, which are of all.
        """
        return error_share(self.logits(split), self.labels(split))

    @cached_property
    def history(self) -> list[Epoch]:
        """One line for each epoch of the training."""
        return [Epoch(**line) for line in self.entry.manifest["history"]]

    @cached_property
    def step_losses(self) -> NDArray[np.float32]:
        """(steps,) float32, the loss of every step of the whole training.

        Raises:
            UsageError: If it was not kept, for networks that do not see the same data.
            DamagedEntryError: If the file is damaged.
        """
        import safetensors.numpy

        if LOSSES_FILE not in self.entry.manifest["files"]:
            raise UsageError(
                f"{self.id} keeps no losses of its steps; a recipe that is online or has the order 'shared' "
                "keeps them"
            )
        return safetensors.numpy.load(self.entry.read(LOSSES_FILE))["losses"]

    @property
    def snapshots(self) -> tuple[int, ...]:
        """Epochs whose weights are kept, ascending; 0 is the initialisation, the last the trained network."""
        return tuple(self.entry.manifest["snapshots"])

    def at(self, epoch: int) -> Subject:
        """Return the same network with the weights after another epoch.

        Raises:
            UsageError: If those weights were not kept.
        """
        if epoch not in self.snapshots:
            raise UsageError(f"{self.id} keeps no weights of epoch {epoch}; it keeps {list(self.snapshots)}")
        return Subject(self.spec, self.entry, self._dataset, device=self.device, epoch=epoch)

    def kept(self, name: str, measure: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
        """Return arrays that are measured once and kept beside the network, checked at each load.

        Args:
            name: What is measured and by which version of it: lower-case words joined by hyphens.
            measure: Measures it; called where it is not kept yet.
        """
        part = "" if self._finished else f"-at-{self.epoch}"
        file = f"measured/{name}{part}.npz"
        path = self.entry.derived(file)
        if path is None:
            found = measure()
            try:
                path = self.entry.derive(file, lambda target: keeping.save(target, found))
            except OSError as error:
                log.warning("%s of %s cannot be cached: %s", name, self.id, error)
                return found
        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def measured(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return the result of a measure, kept beside the network until the code that makes it changes.

        Args:
            name: What is measured and with which arguments: lower-case words and numbers joined by hyphens.
            measure: A function that measures it; returns what :mod:`netprops.keeping` can keep.
        """
        return keeping.unpack(self.kept(f"{name}-{keeping.code(measure)}", lambda: keeping.pack(measure())))

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator for one purpose: the same for the same id, whoever asks and when."""
        return generator(self.id, purpose)

    def summary(self) -> dict[str, Any]:
        """Return what a record says of the network, in JSON types."""
        manifest, family = self.entry.manifest, self.spec.family
        return {
            "id": self.id,
            "family": self.family,
            "architecture": family.architecture,
            "data": self.spec.data,
            "scale": family.scale,
            "variant": self.variant,
            "width": self.width,
            "factor": self.factor,
            "seed": self.seed,
            "key": self.entry.key,
            "parameters": manifest["parameters"],
            "recipe": self.recipe.model_dump(mode="json"),
            "origin": manifest["origin"],
            "train_error": manifest["train_error"],
            "test_error": manifest["test_error"],
            "history": [dict(vars(epoch)) for epoch in self.history],
        }

    @property
    def _finished(self) -> bool:
        """Whether the weights are those of the last epoch."""
        return self.epoch == self.recipe.epochs

    def _weights(self) -> dict[str, torch.Tensor]:
        import safetensors.torch

        return safetensors.torch.load(self.entry.read(weights_file(self.epoch, self.recipe.epochs)))

    def _split(self, split: SplitName) -> Any:
        if split not in ("train", "test"):
            raise UsageError(f"there is no split {split!r}; expected 'train' or 'test'")
        return getattr(self.dataset, split)

    def _find_features(self, split: SplitName, layer: str) -> NDArray[np.float32]:
        part = "" if self._finished else f"@{self.epoch}"
        name = f"features/{split}-{quote(layer, safe='')}{part}.npy"
        path = self.entry.derived(name)
        if path is None:
            if not len(self._split(split)):
                raise MeasurementError(f"{self.id}: the {split} split of {self.dataset.name} is empty")
            try:
                path = self.entry.derive(name, lambda target: self._write_features(split, layer, target))
            except OSError as error:
                log.warning("features of %s stay in memory, for they cannot be cached: %s", self.id, error)
                return self._capture(split, layer)
        return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]

    def _write_features(self, split: SplitName, layer: str, target: Path) -> None:
        """Stream the last layer, whose width is known, straight to disk; any other goes through memory."""
        if layer == self.features_layer:
            shape = (len(self._split(split)), self.width)
            out = np.lib.format.open_memmap(target, mode="w+", dtype=np.float32, shape=shape)
            self._capture(split, layer, out)
            out.flush()
        else:
            with target.open("wb") as file:
                np.save(file, self._capture(split, layer))

    def _capture(
        self, split: SplitName, layer: str, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        from netprops.activations import capture
        from netprops.training.device import threads

        try:
            with threads(1):  # the same last bits, however many processes share the machine
                return capture(
                    self.network,
                    self._split(split).inputs,
                    layer,
                    batch=_CAPTURE_BATCH,
                    device=self.device,
                    prepare=self.dataset.prepare,
                    out=out,
                )
        except MeasurementError as error:
            raise MeasurementError(f"{self.id}, {split}: {error}") from error
