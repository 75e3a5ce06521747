"""One training, from top to bottom: data on the device, order, augmentation, step, evaluation, state.

Words: a *step* is one update, an *epoch* one pass over the training set, or in an *online* training over the
next chunk of its data set's stream; a *micro-batch* is the part of a batch that passes through the network at
once; the *streams of a seed* are independent generators derived from it (initialisation, order, augmentation,
dropout), so that networks that differ only in width see the same samples in the same order; in a training of
the *same data* order and augmentation do not depend on the seed; the *step losses* are the loss of every step
before its update; a *snapshot* is the weights after an epoch, 0 being the initialisation; a *state* is
everything that a training needs to go on where it was killed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from netprops.errors import TrainingError
from netprops.training.device import reproducible
from netprops.training.feed import Feed, asked, check_stream
from netprops.training.optimizers import build_optimizer, learning_rate, loss_of, wrong
from netprops.training.pacing import Pacer, interrupts
from netprops.training.progress import Epoch, Progress
from netprops.training.randomness import dropout_stream, stream_seed
from netprops.training.recipe import Recipe
from netprops.training.run import Run
from netprops.training.validation import held_out

if TYPE_CHECKING:
    from netprops.data import Dataset, Split

__all__ = ["TRAINING_VERSION", "Epoch", "Progress", "Trained", "error_share", "stream_seed", "train"]

TRAINING_VERSION = 3
"""Raised whenever a change of the code changes the weights that a recipe gives; part of every cache key."""

_EVALUATION_SHARE = 0.15  # of a training's work, at most, goes into test errors along the way
_FORWARD_SHARE = 1 / 3  # of a step's work: the backward pass has two products for each one of it
_EVALUATED_AT_ONCE = 2**26  # numbers that a network is given in one evaluation: 446 photographs of 224×224
_LOSSES = {
    "classification": ("cross-entropy",),
    "tokens": ("cross-entropy",),
    "parity": ("squared-hinge", "logistic"),
    "regression": ("squared",),
}
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bf16": torch.float32}


@dataclass(frozen=True)
class Trained:
    """A finished training.

    Args:
        history: One line an epoch; with early stopping up to the epoch whose weights are the final ones.
        snapshots: Weights on the CPU, by epoch: those of the recipe's snapshots and of the last epoch. With
            early stopping the final weights stand under the recipe's last epoch, wherever they come from, and
            the others end before them.
        seconds: Time of the steps of all epochs, those after the best one included.
        step_losses: (steps,) float32, the loss of every step of the epochs of the history, on the CPU; None
            where seeds do not see the same data, for it is not kept then.
    """

    history: list[Epoch]
    snapshots: dict[int, dict[str, Tensor]]
    seconds: float
    step_losses: Tensor | None = None


def train(
    network: nn.Module,
    dataset: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    state: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    every_seconds: float = 30.0,
    label: str = "network",
) -> Trained:
    """Train a network in place.

    Args:
        network: Initialised; it ends on ``device`` in eval mode.
        dataset: Inputs and labels of both parts.
        recipe: Everything that decides the weights apart from initialisation, seed and data.
        seed: Order, augmentation and dropout each have a stream derived from it; dropout alone where the
            recipe gives all seeds the same data.
        device: Where to train.
        state: Folder of the saved states; a training found there goes on. None saves nothing.
        progress: Called between steps about twice a second, and after every evaluation.
        every_seconds: Time between two saved states, longer where writing one takes long; 0 for every step.
        label: What progress and errors call the network.

    Returns:
        History and snapshots. On one kind of CPU with one number of threads, a training that was killed and
        resumed gives bitwise the weights of one that was not.

    Raises:
        TrainingError: If the loss is not finite, naming epoch and step; if loss and task do not fit, there
            are fewer samples than a full batch, or the recipe is online and there is no stream or too short
            a one; or if the saved state is of another training.
        DamagedDataError: If a stream gives a chunk that does not fit its data set.
        KeyboardInterrupt: At the end of the step in which it came; the state is saved before.
    """
    digest = dataset.digest
    validate = None
    if recipe.validation:
        dataset, held = held_out(dataset, recipe.validation)
        validate = partial(error_share, network, dataset, held, device=device, recipe=recipe)
    check(dataset, recipe, label)
    dtype = DTYPES[recipe.precision]
    fast = device.type in ("cuda", "cpu") and len(dataset.input_shape) == 3
    layout = torch.channels_last if fast else torch.contiguous_format
    network.to(device=device, dtype=dtype)
    if fast:
        network.to(memory_format=torch.channels_last)
    feed = Feed(dataset, recipe, device, dtype)
    cut, augment = _cut(recipe), _augmentation(recipe)
    optimizer = build_optimizer(network.parameters(), recipe)
    run = Run(
        network,
        optimizer,
        seeds=[seed],
        device=device,
        folder=state,
        what={"seed": seed, "data digest": digest, **decisive(recipe, device)},
        same_data=recipe.same_data,
    )

    def learn(rows: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        for part in torch.split(rows, recipe.batch // recipe.accumulate):
            batch = feed.inputs[part.to(feed.inputs.device)].to(device, non_blocking=True)
            batch = cut(batch, run.augmenting)
            batch = augment(dataset.prepare(batch).to(dtype), run.augmenting)
            truth = feed.labels[part]
            with torch.autocast(device.type, torch.bfloat16, enabled=_autocasts(recipe, device)):
                outputs = network(batch.contiguous(memory_format=layout))
            outputs = outputs.to(dtype)
            loss = loss_of(outputs, truth, recipe)
            if len(part) < len(rows):
                loss = loss * feed.share(part, rows)
            torch.autograd.backward(loss)
            run.losses[run.step] += loss.detach()
            run.wrong += wrong(outputs.detach(), truth).sum()

    network.train()
    with reproducible(device), dropout_stream(seed, device):
        follow(
            run,
            optimizer,
            recipe,
            dataset,
            learn=learn,
            begin=feed.begin,
            evaluate=lambda: [error_share(network, dataset, dataset.test, device=device, recipe=recipe)],
            validate=validate,
            progress=progress,
            every_seconds=every_seconds,
            label=label,
        )
    network.eval()
    check_weights(network.state_dict(), recipe, label)
    seconds = sum(line.seconds for line in run.history)
    if not recipe.patience:
        return Trained(run.history, run.snapshots, seconds, run.step_losses)
    best = run.best_epoch
    losses = None if run.step_losses is None else run.step_losses[: best * _steps(dataset, recipe)].clone()
    snapshots = {epoch: w for epoch, w in run.snapshots.items() if epoch <= best or epoch == recipe.epochs}
    return Trained(run.history[:best], snapshots, seconds, losses)


def follow(
    run: Run,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    dataset: Dataset,
    *,
    learn: Callable[[Tensor], None],
    evaluate: Callable[[], Sequence[float]],
    progress: Callable[[Progress], None] | None,
    every_seconds: float,
    label: str,
    begin: Callable[[int], Tensor | None] = lambda epoch: None,
    validate: Callable[[], float] | None = None,
) -> None:
    """Follow a recipe from a run's start, or from its saved state, to the end.

    Args:
        run: What changes; it ends at the last epoch, or with the weights of the best one.
        optimizer: It takes the steps.
        recipe: What is followed.
        dataset: How many samples there are.
        learn: Writes the gradients of a step, and its losses and wrong answers into the run, given the rows
            of the run's order that it sees.
        evaluate: Returns the test error of each member.
        progress: As for :func:`train`, like all that follows.
        every_seconds: Time between two saved states.
        label: What progress and errors call it.
        begin: Puts the samples of an epoch, counted from 0, in place, and returns how many labels each asks
            for; None for one each.
        validate: Returns the error on the samples that the recipe holds out; None where it holds none out.
    """
    samples, steps = len(dataset.train), _steps(dataset, recipe)
    evaluated = _evaluated(recipe, samples, len(dataset.test))
    with interrupts() as interrupted:
        if not run.resume(label) and 0 in recipe.snapshots:
            run.keep()
        pacer = Pacer(
            progress,
            label=label,
            epochs=recipe.epochs,
            steps=steps,
            every_seconds=every_seconds,
            interrupted=interrupted,
        )
        while run.epoch < recipe.epochs and not _stops(run, recipe):
            weights = begin(run.epoch)
            if run.step == 0:
                run.arrange(samples, steps, shuffled=not recipe.online)
            while run.step < steps:
                began = time.perf_counter()
                lr = learning_rate(recipe, run.epoch * steps + run.step, steps)
                for group in optimizer.param_groups:
                    group["lr"] = lr * group.get("scale", 1.0)
                learn(run.order[run.step * recipe.batch : (run.step + 1) * recipe.batch])
                optimizer.step()
                run.step += 1
                run.seconds += time.perf_counter() - began
                if pacer.due():
                    run.check_finite(label)
                    run.pause(pacer)
            run.check_finite(label)
            validation_error = validate() if validate is not None else None
            better = recipe.patience and validation_error is not None and run.improves(validation_error)
            test_errors = evaluate() if better or run.epoch + 1 in evaluated else None
            lr = learning_rate(recipe, (run.epoch + 1) * steps - 1, steps)
            run.finish_epoch(recipe.batch, lr, test_errors, validation_error, weights)
            if better:
                run.keep_best()
            if run.epoch in recipe.snapshots or run.epoch == recipe.epochs:
                run.keep()
            if test_errors is not None:
                run.pause(pacer, show=True)
        if recipe.patience:
            run.take_best(recipe.epochs)
        run.pause(pacer)


@torch.no_grad()
def error_share(
    network: nn.Module,
    dataset: Dataset,
    split: Split,
    *,
    device: torch.device,
    recipe: Recipe,
    batch: int = 2048,
) -> float:
    """Return the share of a split that a network answers wrongly; of sequences, of what they ask for.

    Args:
        network: On ``device``; it answers in eval mode, and its mode is restored.
        dataset: Knows how inputs are prepared.
        split: What is answered.
        device: Where.
        recipe: For its precision.
        batch: Samples at a time, or fewer where they are large; sequences, which are small and whose outputs
            are not, as many as in training at most.

    Returns:
        A share in [0, 1].
    """
    mode, dtype = network.training, DTYPES[recipe.precision]
    batch = max(1, min(batch, _EVALUATED_AT_ONCE // math.prod(dataset.input_shape)))
    if dataset.task == "tokens":
        batch = min(batch, recipe.batch // recipe.accumulate)
    network.eval()
    count = torch.zeros((), dtype=torch.int64, device=device)
    for first in range(0, len(split), batch):
        inputs = dataset.prepare(split.inputs[first : first + batch].to(device)).to(dtype)
        with torch.autocast(device.type, torch.bfloat16, enabled=_autocasts(recipe, device)):
            outputs = network(inputs)
        count += wrong(outputs, split.labels[first : first + batch].to(device)).sum()
    network.train(mode)
    return int(count.item()) / asked(split.labels)


def decisive(recipe: Recipe, device: torch.device) -> dict[str, Any]:
    """Return what a saved state must share with the training that takes it up, besides seed and data."""
    return {
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "training version": TRAINING_VERSION,
        "torch": torch.__version__,
        "device": device.type,
    }


def check(dataset: Dataset, recipe: Recipe, label: str) -> None:
    """Refuse data that a recipe does not fit.

    Raises:
        TrainingError: If there are fewer samples than a full batch, loss and task do not fit, or an online
            recipe has no stream or one that runs dry.
    """
    check_stream(dataset, recipe, label)
    if not _steps(dataset, recipe):
        raise TrainingError(
            f"{label}: {dataset.name} has {len(dataset.train)} training samples, expected at least one full "
            f"batch of {recipe.batch}; make the recipe's batch smaller or unset drop_last"
        )
    if recipe.loss not in _LOSSES[dataset.task]:
        raise TrainingError(
            f"{label}: loss {recipe.loss!r} does not fit {dataset.name}, whose task is {dataset.task}; "
            f"expected {' or '.join(_LOSSES[dataset.task])}"
        )


def check_weights(weights: Mapping[str, Tensor], recipe: Recipe, label: str) -> None:
    """Refuse weights that the very last step broke: the loss is taken before a step.

    Raises:
        TrainingError: If one is not finite.
    """
    for name, tensor in weights.items():
        if not bool(torch.isfinite(tensor).all()):
            raise TrainingError(f"{label}: {name} is not finite after the last step of epoch {recipe.epochs}")


def _augmentation(recipe: Recipe) -> Callable[[Tensor, torch.Generator], Tensor]:
    if not (recipe.augmentation.crop or recipe.augmentation.flip):
        return lambda batch, generator: batch
    from netprops.training.augment import augment

    return lambda batch, generator: augment(batch, recipe.augmentation, generator)


def _cut(recipe: Recipe) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Return what is done to images as they are stored, before they are prepared."""
    size, policy = recipe.augmentation.resized_crop, recipe.augmentation.policy != "none"
    if not size and not policy:
        return lambda batch, generator: batch
    from netprops.training.augment import policy_augmented, resized_crop

    def cut(batch: Tensor, generator: torch.Generator) -> Tensor:
        batch = resized_crop(batch, size, generator) if size else batch
        return policy_augmented(batch, generator) if policy else batch

    return cut


def _stops(run: Run, recipe: Recipe) -> bool:
    """Return whether the error on the held-out samples has not fallen for as long as the recipe waits."""
    return bool(recipe.patience) and run.epoch - run.best_epoch >= recipe.patience


def _steps(dataset: Dataset, recipe: Recipe) -> int:
    """Return how many steps an epoch has."""
    samples = len(dataset.train)
    return samples // recipe.batch if recipe.drop_last else math.ceil(samples / recipe.batch)


def _autocasts(recipe: Recipe, device: torch.device) -> bool:
    return recipe.precision == "bf16" and device.type == "cuda"


def _evaluated(recipe: Recipe, samples: int, test: int) -> set[int]:
    """Return the epochs with a test error: evenly spread, so that they cost 15% of the work at most.

    The rule counts forward passes and looks at no clock, so that two runs of a recipe have the same history.
    """
    every = max(1, math.ceil(test * _FORWARD_SHARE / (samples * _EVALUATION_SHARE)))
    return {*range(every, recipe.epochs + 1, every), *(set(recipe.snapshots) - {0}), recipe.epochs}
