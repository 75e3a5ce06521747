"""Data that a user points at: a function of theirs, a registered data set, an image folder, torchvision's.

Words: a *split* is ``"train"`` or ``"test"``; only the test split must be there; to *prepare* inputs is to
make of a raw batch what the network is given; a *pair* is (inputs, labels). Inputs that come from a user's
function are used as they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from netprops.durable import canonical, digest_of
from netprops.errors import MissingDataError, NetpropsError, UsageError
from netprops.importing import Prepare, find, one_line

if TYPE_CHECKING:
    import torch

    from netprops.data.dataset import Split

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""What torchvision's and timm's networks were trained with, in units of 0 … 1."""

_NORMALISED = "images are normalised by"
_PIECES = 4096  # samples that are put together at a time


@dataclass(frozen=True, eq=False)
class UserData:
    """What an imported network is tested on.

    Args:
        name: How it was asked for.
        splits: ``"test"``, and ``"train"`` where there is one.
        own_prepare: How the data set prepares raw inputs; None for inputs that are used as they are.
        notes: What was assumed of it, one sentence each.
    """

    name: str
    splits: Mapping[str, Split]
    own_prepare: Prepare | None = None
    notes: tuple[str, ...] = ()

    @property
    def test(self) -> Split:
        """The split that the network is judged on."""
        return self.splits["test"]

    @property
    def train(self) -> Split:
        """The split that the network was trained on.

        Raises:
            MissingDataError: If none was given.
        """
        if "train" not in self.splits:
            raise MissingDataError(
                f"{self.name} has no training split; give both as {{'train': ..., 'test': ...}} for what "
                "needs it"
            )
        return self.splits["train"]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample as the network gets it."""
        return tuple(self.prepare(self.test.inputs[:1]).shape[1:])

    @cached_property
    def digest(self) -> str:
        """SHA-256 over types, shapes and bytes of all splits."""
        return digest_of(canonical({name: split.digest for name, split in sorted(self.splits.items())}))

    def prepare(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what the network is given for raw inputs (B, ...)."""
        return inputs if self.own_prepare is None else self.own_prepare(inputs)

    def prepared_by(self, prepare: Prepare | None) -> UserData:
        """Return the same data with another way to prepare inputs; None keeps the own one."""
        if prepare is None:
            return self
        notes = [one for one in self.notes if not one.startswith(_NORMALISED)]
        return replace(
            self, own_prepare=prepare, notes=(*notes, "inputs are prepared by the model's `prepare`")
        )

    def limited(self, samples: int | None) -> UserData:
        """Return the data with so many random samples of each split at most; the same ones every time."""
        import torch

        splits, notes = {}, list(self.notes)
        for name, split in self.splits.items():
            splits[name] = split
            if samples is not None and samples < len(split):
                rows = np.sort(np.random.default_rng(0).permutation(len(split))[:samples])
                chosen = torch.from_numpy(rows)
                splits[name] = type(split)(split.inputs[chosen], split.labels[chosen])
                notes.append(f"a random {samples:,} of the {len(split):,} {name} samples")
        return replace(self, splits=splits, notes=tuple(notes))

    def check_inputs(self) -> None:
        """Refuse inputs that no network can be given as they are.

        Raises:
            UsageError: If raw images have nobody to prepare them, or an input is not a finite number.
        """
        import torch

        for name, split in self.splits.items():
            if split.inputs.dtype == torch.uint8 and self.own_prepare is None:
                raise UsageError(
                    f"{self.name}: the {name} inputs are uint8; return floats as the network was trained "
                    "on, or define `prepare(inputs)` in the file of the model"
                )
            if split.inputs.is_floating_point():
                for first in range(0, len(split), _PIECES):
                    if not bool(split.inputs[first : first + _PIECES].isfinite().all()):
                        raise UsageError(f"{self.name}: the {name} inputs hold NaN or infinite numbers")

    def for_outputs(self, outputs: int) -> UserData:
        """Return the data with labels as a network of so many outputs has them.

        Args:
            outputs: C; 1 for two classes, whose labels become -1 and 1.

        Raises:
            UsageError: If labels are not among 0 … C-1, or with one output not two values.
        """
        splits, notes = {}, list(self.notes)
        for name, split in self.splits.items():
            labels, said = _labels_for(outputs, split.labels, f"{self.name}: the {name} labels")
            splits[name] = type(split)(split.inputs, labels)
            notes += [said] if said and said not in notes else []
        return replace(self, splits=splits, notes=tuple(notes))


def load(
    spec: str, base: Path, *, root: Path | None, cache_root: Path | None = None, download: bool = False
) -> UserData:
    """Return the data that a text names.

    Args:
        spec: ``pkg.mod:function`` or ``path/to/file.py:function``, which is called without arguments;
            a registered name such as ``cifar10`` or ``imagefolder:PATH``; or ``torchvision:NAME``.
        base: The folder that import paths and the paths of image folders start from.
        root: Folder of the data sets (``--netprops-data-root``), or None.
        cache_root: Folder for decoded copies of archives, or None.
        download: Whether missing data sets may be downloaded.

    Raises:
        UsageError: If nothing is called so, the function fails, or what it returns is no data.
        MissingDataError: If a registered data set is not where it is looked for.
        DamagedDataError: If it is there but is not what it should be.
    """
    from netprops import data, datafolders

    name, _, argument = spec.partition(":")
    if name == "torchvision":
        return datafolders.of_torchvision(argument, root, download=download)
    if name == "imagefolder" and datafolders.is_split(folder := datafolders.located(argument, base, root)):
        return datafolders.of_split(folder)
    if name in data.names():
        if argument and (base / argument).exists():
            spec = f"{name}:{(base / argument).absolute()}"
        dataset = data.load(spec, root, cache_root=cache_root, download=download)
        splits = {"train": dataset.train, "test": dataset.test}
        if dataset.mean is None:
            return UserData(spec, splits)
        note = f"{_NORMALISED} the mean and deviation of the data set's training part"
        return UserData(spec, splits, dataset.prepare, (note,))
    if ":" not in spec:
        from netprops.content import nearest

        raise UsageError(f"no data set is called {spec!r}{nearest(spec, data.names())}, or pkg.mod:function")
    made, _ = find(spec, base, what="the data")
    if callable(made) and not hasattr(made, "__getitem__"):
        try:
            made = made()
        except NetpropsError:
            raise
        except Exception as error:  # whatever a user's function raises
            raise UsageError(f"the data {spec!r} cannot be loaded: {one_line(error)}") from error
    return of(made, spec)


def of(given: Any, name: str) -> UserData:
    """Return data from what a user's function returned, or what they hand over from Python.

    Args:
        given: A test split or ``{"train": ..., "test": ...}``; a split is a pair (inputs, labels) of tensors
            or arrays, a torch Dataset, or a DataLoader, which is read once in the data set's own order.
        name: How the data are called in messages.

    Raises:
        UsageError: If it is none of these, or inputs and labels do not fit each other.
    """
    from netprops.data.dataset import Dataset

    if isinstance(given, UserData):
        return given
    if isinstance(given, Dataset):
        prepare = None if given.mean is None else given.prepare
        return UserData(name, {"train": given.train, "test": given.test}, prepare)
    if isinstance(given, Mapping):
        odd = sorted(str(one) for one in given if one not in ("train", "test"))
        if odd or "test" not in given:
            raise UsageError(
                f"{name}: splits are called 'train' and 'test', and 'test' must be there; got "
                f"{sorted(map(str, given))}"
            )
        return UserData(name, {split: _split(given[split], f"{name}, {split}") for split in sorted(given)})
    if (
        isinstance(given, tuple | list)
        and len(given) == 2
        and _is_array(given[0])
        and not _is_array(given[1])
    ):
        raise UsageError(
            f"{name}: labels are a {type(given[1]).__name__}, expected a tensor or array of class numbers"
        )
    if isinstance(given, tuple | list) and len(given) == 2 and not _is_array(given[1]):
        raise UsageError(
            f"{name}: got two {type(given[1]).__name__}s; a split is (inputs, labels) of tensors, and two "
            "splits are {'train': ..., 'test': ...}"
        )
    return UserData(name, {"test": _split(given, name)})


def _split(given: Any, name: str) -> Split:
    """Return one split from a pair, a data set or a loader."""
    import torch
    from torch.utils.data import DataLoader, Dataset, IterableDataset

    from netprops.data.dataset import Split

    if isinstance(given, Split):
        return given
    if isinstance(given, tuple | list) and len(given) == 2 and all(_is_array(one) for one in given):
        inputs, labels = given
    elif isinstance(given, DataLoader):
        inputs, labels = _read(_in_order(given), name, _length(given.dataset))
    elif isinstance(given, Dataset) or hasattr(given, "__getitem__"):
        if isinstance(given, IterableDataset):
            raise UsageError(f"{name}: an IterableDataset has no order of its own; give a DataLoader of it")
        inputs, labels = _read(DataLoader(given, batch_size=256), name, _length(given))
    else:
        raise UsageError(
            f"{name}: got a {type(given).__name__}, expected (inputs, labels), a torch Dataset or a "
            "DataLoader"
        )
    inputs, labels = (torch.as_tensor(one).detach().cpu().contiguous() for one in (inputs, labels))
    if not inputs.dim() or not labels.dim() or len(inputs) != len(labels):
        raise UsageError(
            f"{name}: inputs of shape {tuple(inputs.shape)} and labels of shape {tuple(labels.shape)} do "
            "not fit; expected (N, ...) and (N,)"
        )
    if inputs.dim() == 1 < labels.dim() and inputs.dtype == torch.int64:
        raise UsageError(
            f"{name}: inputs of shape {tuple(inputs.shape)} and labels of shape {tuple(labels.shape)} look "
            "exchanged; return (inputs, labels)"
        )
    if not len(inputs):
        raise UsageError(f"{name}: there are no samples")
    return Split(inputs, labels)


def _is_array(given: Any) -> bool:
    import torch

    return isinstance(given, torch.Tensor | np.ndarray)


def _length(dataset: Any) -> int | None:
    return len(dataset) if hasattr(dataset, "__len__") else None


def _in_order(loader: Any) -> Any:
    """Return a loader of the same batches in the data set's own order: features and labels must not move."""
    from torch.utils.data import DataLoader, IterableDataset

    if isinstance(loader.dataset, IterableDataset):
        return loader
    return DataLoader(loader.dataset, batch_size=loader.batch_size or 256, collate_fn=loader.collate_fn)


def _read(loader: Any, name: str, samples: int | None) -> tuple[Any, Any]:
    """Return all inputs and labels of a loader; the size is checked after the first batch."""
    import torch

    inputs: list[Any] = []
    labels: list[Any] = []
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)  # transforms that draw give the same in every process
        for batch in loader:
            if not isinstance(batch, tuple | list) or len(batch) != 2 or not _is_array(batch[0]):
                what = f"{type(batch).__name__} of {len(batch)}" if hasattr(batch, "__len__") else "no pair"
                raise UsageError(f"{name}: a batch is a {what}, expected (inputs, labels) of tensors")
            if not inputs and samples is not None:
                refuse_large(batch[0].nbytes // max(1, len(batch[0])) * samples, name)
            inputs.append(torch.as_tensor(batch[0]))
            labels.append(torch.as_tensor(batch[1]))
    if not inputs:
        raise UsageError(f"{name}: there are no samples")
    return torch.cat(inputs), torch.cat(labels)


def refuse_large(size: int, name: str) -> None:
    """Refuse data of which half of the memory could not hold one copy.

    Raises:
        UsageError: If so.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return
    if size > memory // 2:
        raise UsageError(
            f"{name} takes {size / 1e9:.1f} GB, and this machine has {memory / 1e9:.1f} GB of memory; "
            "return a part of it, such as torch.utils.data.Subset(dataset, range(10_000))"
        )


def _labels_for(outputs: int, labels: torch.Tensor, what: str) -> tuple[torch.Tensor, str]:
    """Return labels as they are compared with a network's outputs, and what was changed."""
    import torch

    if labels.dim() == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dim() != 1:
        hint = "; they look one-hot, return labels.argmax(1)" if labels.dim() == 2 else ""
        raise UsageError(f"{what} have shape {tuple(labels.shape)}, expected (N,) class numbers{hint}")
    values = torch.unique(labels.double())
    if outputs == 1:
        found = values.tolist()
        if set(found) <= {-1.0, 1.0}:
            return labels.float(), ""
        if set(found) <= {0.0, 1.0}:
            return 2 * labels.float() - 1, "labels 0 and 1 of the single output became -1 and 1"
        raise UsageError(f"{what} are {found[:6]}; a network with one output needs -1 and 1, or 0 and 1")
    low, high = float(values[0]), float(values[-1])
    if low < 0 or high >= outputs:
        counted = low == 1 and high == outputs
        advice = (
            "they seem to be counted from 1, subtract 1" if counted else "build it with as many, or map them"
        )
        raise UsageError(
            f"{what} range from {low:g} to {high:g}, but the network has {outputs} outputs, for classes 0 to "
            f"{outputs - 1}; {advice}"
        )
    if bool((values != values.round()).any()):
        raise UsageError(f"{what} are not whole numbers, expected classes 0 to {outputs - 1}")
    return labels.to(torch.int64), ""
