"""Training samples that are held out, so that a training can end where it stops to generalise.

Words: the *held-out* samples are a share of the training part that nothing is learnt from.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from netprops.errors import TrainingError

if TYPE_CHECKING:
    from netprops.data import Dataset, Split

_SEED = 0


def held_out(dataset: Dataset, share: float) -> tuple[Dataset, Split]:
    """Divide a training part at random, in the same way for every network.

    Args:
        dataset: What a recipe says to train on.
        share: Of its training samples that are held out, in (0, 1).

    Returns:
        The data set with the other training samples alone, prepared as the whole and without a stream; and
        the samples that are held out, the nearest whole number to the share. Both keep the order that the
        samples had.

    Raises:
        TrainingError: If one of both has no sample.
    """
    samples = len(dataset.train)
    count = round(share * samples)
    if not 0 < count < samples:
        raise TrainingError(
            f"{dataset.name}: a validation share of {share:g} holds out {count} of {samples} samples, "
            f"expected 1 to {samples - 1}"
        )
    order = np.random.default_rng(_SEED).permutation(samples)
    kept, held = (
        type(dataset.train)(dataset.train.inputs[rows], dataset.train.labels[rows])
        for rows in (torch.from_numpy(np.sort(part)) for part in (order[count:], order[:count]))
    )
    return replace(dataset, train=kept, stream=None), held
