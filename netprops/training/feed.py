"""What a training sees: in every epoch the training part, or in an online one the next chunk of its stream.

Words: as in ``loop.py``; the *weight* of a sample is the number of labels that it asks for: 1, but for
sequences the number of their positions with a class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from netprops.data.dataset import NOT_ASKED
from netprops.errors import TrainingError
from netprops.training.device import resident

if TYPE_CHECKING:
    from netprops.data import Dataset, Split
    from netprops.training.recipe import Recipe


class Feed:
    """The samples of the epoch that runs.

    Args:
        dataset: Where they come from.
        recipe: Whether they are new ones in every epoch.
        device: Where labels are put, and inputs where there is room.
        dtype: Of labels that are real numbers.

    Attributes:
        inputs: (N, ...) as they are stored.
        labels: (N,) or (N, T) on the device.
        weights: (N,) int64 on the device; None where every sample asks for one label.
    """

    inputs: Tensor
    labels: Tensor
    weights: Tensor | None

    def __init__(self, dataset: Dataset, recipe: Recipe, device: torch.device, dtype: torch.dtype) -> None:
        self._dataset, self._device, self._dtype = dataset, device, dtype
        self._stream = dataset.stream if recipe.online else None
        if self._stream is None:
            self._take(dataset.train)

    def begin(self, epoch: int) -> Tensor | None:
        """Put the samples of an epoch, counted from 0, in place, and return their weights.

        Raises:
            DamagedDataError: If the stream gives a chunk that does not fit its data set.
        """
        if self._stream is not None:
            chunk = self._stream.chunk(epoch)
            self._dataset.check(chunk, f"chunk {epoch} of the stream")
            self._take(chunk)
        return self.weights

    def share(self, part: Tensor, rows: Tensor) -> float:
        """Return the share that some of a step's rows have in the mean over all of them."""
        if self.weights is None:
            return len(part) / len(rows)
        return int(self.weights[part].sum()) / int(self.weights[rows].sum())

    def _take(self, split: Split) -> None:
        self.inputs = resident(split.inputs, self._device)
        labels = split.labels.to(self._device)
        self.labels = labels.to(self._dtype) if labels.is_floating_point() else labels
        self.weights = weights(self.labels)


def weights(labels: Tensor) -> Tensor | None:
    """Return how many labels each sample asks for, (N,) int64; None where it is one each.

    Args:
        labels: (N,), or (N, T) of sequences.
    """
    return None if labels.dim() == 1 else (labels != NOT_ASKED).sum(dim=1)


def asked(labels: Tensor) -> int:
    """Return how many labels (N,) or (N, T) are asked for in all."""
    each = weights(labels)
    return len(labels) if each is None else int(each.sum())


def check_stream(dataset: Dataset, recipe: Recipe, label: str) -> None:
    """Refuse an online recipe whose data set has no stream, or one that runs dry.

    Args:
        dataset: What it trains on.
        recipe: Any; others need no stream.
        label: What the error calls the network.

    Raises:
        TrainingError: Saying how many samples there are, and how many the recipe needs.
    """
    if not recipe.online:
        return
    stream = dataset.stream
    if stream is None:
        raise TrainingError(
            f"{label}: the recipe is online, but {dataset.name} has no stream of new samples; choose a data "
            "set with a stream or unset online"
        )
    if stream.chunks is not None and stream.chunks < recipe.epochs:
        raise TrainingError(
            f"{label}: the stream of {dataset.name} runs dry: it has {stream.chunks * stream.size:,} samples "
            f"and {recipe.epochs} epochs of {stream.size:,} need {recipe.epochs * stream.size:,}; train for "
            f"{stream.chunks} epochs at most"
        )
