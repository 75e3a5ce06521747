"""A data set in memory: two parts, how its inputs are prepared, and a digest of every bit of it.

Words: N samples; *images* are (N, C, H, W) uint8, *vectors* (N, d) float32, *token states* (N, T, d) float32
or float16, *sequences* (N, T) integer tokens; *labels* are classes 0 … C-1 (int64), the parity -1 and +1
(float32), the real *targets* of a regression (float32), or for sequences the classes (N, T) of the positions
that are *asked* for, and -100 elsewhere; to *prepare* images is to bring each channel to mean 0 and variance
1 over the training part; the *view* is the centre of an image that a network is given where it is not the
whole.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from netprops.durable import canonical, digest_of
from netprops.errors import DamagedDataError, UsageError

if TYPE_CHECKING:
    import torch

    from netprops.data.stream import Stream

NOT_ASKED = -100
"""The label of a position that no network is asked for; torch's cross-entropy leaves it out, too."""

_BLOCK = 2**21  # pixels at a time: their histogram needs 8 bytes each


@dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    Args:
        inputs: (N, C, H, W) uint8 images, (N, d) float32 vectors, (N, T, d) token states, or (N, T) integer
            tokens.
        labels: (N,) int64 classes, (N,) float32 of -1 and +1 or targets, or (N, T) int64 classes and -100.
    """

    inputs: torch.Tensor
    labels: torch.Tensor

    @classmethod
    def of_arrays(cls, inputs: NDArray[Any], labels: NDArray[Any]) -> Split:
        """Return a part that shares memory with two arrays."""
        import torch

        return cls(torch.from_numpy(inputs), torch.from_numpy(labels))

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over type, shape and bytes of inputs and labels."""
        return digest_of(canonical([_array_digest(t.numpy()) for t in (self.inputs, self.labels)]))


@dataclass(frozen=True, eq=False, kw_only=True)
class Dataset:
    """A data set.

    Args:
        name: Name in the registry, and which part of it, where it is one.
        train: What networks are trained on; with a stream its first chunk.
        test: What they are judged on.
        task: ``"classification"``; ``"parity"`` with labels -1 and +1 and one output; ``"regression"`` with
            real targets and one output; or ``"tokens"``, a class at every position of a sequence that is
            asked for.
        classes: Names of the classes, in the order of the labels; for parity those of -1 and +1, for a
            regression none.
        mean: Mean of each channel over the training part, in units of 0 … 1 for the full range of uint8; None
            for vectors and token states.
        std: Standard deviation of each channel, likewise; 1 for a channel that is constant.
        view: Side in pixels of the view; None for whole images. A training may cut other squares of this side
            out of the whole images (``Augmentation.resized_crop``).
        stream: Where an online recipe has its samples from, a chunk an epoch; None where samples repeat.

    Raises:
        DamagedDataError: If the parts do not fit each other or the labels do not fit the classes.
    """

    name: str
    train: Split
    test: Split
    task: Literal["classification", "parity", "regression", "tokens"]
    classes: tuple[str, ...]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    view: int | None = None
    stream: Stream | None = None

    def __post_init__(self) -> None:
        self.check(self.train, "the train part")
        self.check(self.test, "the test part")
        if self.stream is not None and self.stream.size != len(self.train):
            raise DamagedDataError(
                f"{self.name}: the train part has {len(self.train)} samples, expected the first chunk of the "
                f"stream, which has {self.stream.size}"
            )

    def check(self, split: Split, where: str) -> None:
        """Refuse samples that cannot be a part of this data set.

        Args:
            split: The samples.
            where: What an error calls them.

        Raises:
            DamagedDataError: If they do not fit the train part, or their labels do not fit the task.
        """
        stored = self.train.inputs.shape[1:]
        if len(split.inputs) != len(split.labels):
            raise DamagedDataError(
                f"{self.name}: {where} has {len(split.inputs)} inputs and {len(split.labels)} labels"
            )
        if split.inputs.shape[1:] != stored:
            raise DamagedDataError(
                f"{self.name}: samples of {where} have shape {tuple(split.inputs.shape[1:])}, those of the "
                f"train part {tuple(stored)}"
            )
        labels = split.labels.numpy()
        if self.task == "regression":
            if labels.dtype.kind != "f" or labels.ndim != 1 or not np.isfinite(labels).all():
                raise DamagedDataError(
                    f"{self.name}: targets of {where} are {labels.dtype} of shape {labels.shape}, expected "
                    "one finite real number a sample"
                )
            return
        known = np.array([-1, 1]) if self.task == "parity" else np.arange(len(self.classes))
        if self.task == "tokens":
            self._check_sequences(split, where)
            labels = labels[labels != NOT_ASKED]
        found = np.unique(labels)
        if not np.isin(found, known).all():
            raise DamagedDataError(
                f"{self.name}: {where} has labels {found.tolist()}, expected only {known.tolist()}"
            )

    def _check_sequences(self, split: Split, where: str) -> None:
        """Refuse sequences of which no loss can be taken: the mean over no position is no number."""
        inputs, labels = split.inputs, split.labels
        if inputs.is_floating_point() or inputs.dim() != 2 or labels.shape != inputs.shape:
            raise DamagedDataError(
                f"{self.name}: {where} has {inputs.dtype} inputs of shape {tuple(inputs.shape)} and labels "
                f"of shape {tuple(labels.shape)}, expected whole numbers and one label for each"
            )
        silent = (labels == NOT_ASKED).all(dim=1)
        if bool(silent.any()):
            raise DamagedDataError(
                f"{self.name}: sequence {int(silent.nonzero()[0])} of {where} has no position that is asked "
                "for, expected at least one"
            )

    @classmethod
    def of_images(
        cls,
        name: str,
        train: Split,
        test: Split,
        *,
        classes: tuple[str, ...],
        view: int | None = None,
        stream: Stream | None = None,
    ) -> Dataset:
        """Return a classification of images; mean and standard deviation come from its training part."""
        mean, std = channel_statistics(train.inputs.numpy())
        return cls(
            name=name,
            train=train,
            test=test,
            task="classification",
            classes=classes,
            mean=mean,
            std=std,
            view=view,
            stream=stream,
        )

    @property
    def outputs(self) -> int:
        """Number of outputs that a network for it needs: one a class, or one for parity and regression.

        For sequences it is their number at each position.
        """
        return 1 if self.task in ("parity", "regression") else len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a sample as networks get it: (C, H, W) of the view or whole, (d,), (T, d) or (T,)."""
        shape = tuple(self.train.inputs.shape[1:])
        return shape if self.view is None else (shape[0], self.view, self.view)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over both parts, classes, task, normalisation, view and stream, but not the name.

        Of a part it holds types, shapes and bytes.
        """
        return digest_of(
            canonical(
                {
                    "train": self.train.digest,
                    "test": self.test.digest,
                    "task": self.task,
                    "classes": self.classes,
                    "mean": self.mean,
                    "std": self.std,
                    **({} if self.view is None else {"view": self.view}),
                    **({} if self.stream is None else {"stream": self.stream.digest}),
                }
            )
        )

    def part(self, index: int, of: int, partition: int = 0) -> Dataset:
        """Return the data set whose training part is one of several disjoint random parts of this one's.

        Args:
            index: Which part, from 0.
            of: Number of parts; as many samples each, so that fewer than ``of`` are left out.
            partition: Number of the partition; another one divides the samples anew.

        Returns:
            A data set with the same test part, prepared as this one, and without a stream.

        Raises:
            UsageError: If there is no such part, or it has fewer samples than there are classes.
        """
        import torch

        size = len(self.train) // of if of > 0 else 0
        if not 0 <= index < of or partition < 0:
            raise UsageError(f"{self.name} has no part {index} of {of} in partition {partition}")
        if size < max(1, len(self.classes)):
            raise UsageError(
                f"{self.name}: each of {of} parts has {size} of the {len(self.train)} training samples, "
                f"expected at least one a class ({len(self.classes)})"
            )
        order = np.random.default_rng(partition).permutation(len(self.train))
        rows = torch.from_numpy(np.sort(order[index * size : (index + 1) * size]))
        train = Split(self.train.inputs[rows], self.train.labels[rows])
        name = f"{self.name} part {index + 1} of {of}, partition {partition}"
        return replace(self, name=name, train=train, stream=None)

    def prepare(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return what a network is given for raw inputs.

        Args:
            inputs: (B, ...) images, vectors, token states or tokens of this data set, on any device.

        Returns:
            float32 on the device of ``inputs``: images normalised channel by channel, and their view alone
            where they are larger than it; everything else as it is. Tokens are whole numbers in float32,
            exact below 2^24.
        """
        values = self._viewed(inputs).float()
        if self.mean is None or self.std is None:
            return values
        shape = (-1, 1, 1)
        mean = values.new_tensor([255 * m for m in self.mean]).reshape(shape)
        std = values.new_tensor([255 * s for s in self.std]).reshape(shape)
        return (values - mean) / std

    def _viewed(self, images: torch.Tensor) -> torch.Tensor:
        if self.view is None:
            return images
        top, left = (max(0, round((side - self.view) / 2)) for side in images.shape[2:])
        return images[:, :, top : top + self.view, left : left + self.view]


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel, exactly, from its histogram.

    Args:
        images: (N, C, H, W) uint8.

    Returns:
        Two tuples of C floats in units of 0 … 1 for the full range; a constant channel gets deviation 1.

    Raises:
        DamagedDataError: If there is no pixel.
    """
    if not images.size:
        raise DamagedDataError(f"images of shape {images.shape} have no mean, expected at least one pixel")
    channels = images.shape[1]
    counts = np.zeros((channels, 256), dtype=np.int64)
    at_once = max(1, _BLOCK // math.prod(images.shape[2:]))
    for start in range(0, len(images), at_once):
        block = images[start : start + at_once]
        for c in range(channels):
            counts[c] += np.bincount(block[:, c].ravel(), minlength=256)
    mean, std = [], []
    for channel in counts.tolist():  # Python's integers: the squares of these sums need more than 64 bits
        total = sum(channel)
        first = sum(count * level for level, count in enumerate(channel))
        second = sum(count * level**2 for level, count in enumerate(channel))
        mean.append(first / total / 255)
        std.append(math.sqrt(second * total - first**2) / total / 255 or 1.0)
    return tuple(mean), tuple(std)


def _array_digest(array: NDArray[Any]) -> list[object]:
    whole = np.ascontiguousarray(array)
    return [whole.dtype.str, list(whole.shape), hashlib.sha256(whole.data).hexdigest()]
