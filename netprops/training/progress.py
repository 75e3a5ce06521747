"""What a training tells of itself: a line an epoch that is kept, and a progress that is shown.

Words: as in ``loop.py``. This file imports no torch, so that whoever only shows or reads it needs none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one epoch gave.

    Args:
        epoch: Number of the epoch, from 1.
        loss: Mean training loss over its samples; of sequences over all positions that are asked for.
        train_error: Share of its samples answered wrongly while training: augmented, by the moving weights.
            Of sequences all errors are shares of the positions that are asked for; of a regression, shares of
            the samples whose sign is wrong.
        test_error: Share of the test set answered wrongly after it; None where it was not evaluated.
        lr: Learning rate of its last step.
        seconds: Time of its steps, without evaluation.
        validation_error: Share of the held-out samples answered wrongly after it; None where there are none.
    """

    epoch: int
    loss: float
    train_error: float
    test_error: float | None
    lr: float
    seconds: float
    validation_error: float | None = None


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Args:
        label: Name of the network.
        epoch: Epoch that is running, from 1.
        epochs: Epochs of the whole training.
        step: Steps done in this epoch.
        steps: Steps an epoch.
        loss: Loss of the last step; None before the first.
        train_error: Share of wrong answers in the last finished epoch, as in the history.
        test_error: The last one known.
        seconds_left: Estimate from the pace so far; None before there is one.
    """

    label: str
    epoch: int
    epochs: int
    step: int
    steps: int
    loss: float | None
    train_error: float | None
    test_error: float | None
    seconds_left: float | None
