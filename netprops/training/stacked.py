"""Several trainings as one: perceptrons that differ in seed, and perhaps in data, take every step together.

Words: as in ``loop.py`` and ``dense.py``; each *member* has the streams of its own seed, so that it sees the
samples that it would see if it trained by itself, in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from netprops.errors import UsageError
from netprops.training import loop
from netprops.training.dense import DenseStack
from netprops.training.device import reproducible, resident
from netprops.training.optimizers import build_optimizer, wrong
from netprops.training.progress import Progress
from netprops.training.randomness import dropout_stream
from netprops.training.recipe import Recipe
from netprops.training.run import Run

if TYPE_CHECKING:
    from netprops.data import Dataset, Split

STACKED_VERSION = 1
"""Raised whenever a change of the code changes the weights of stacked trainings alone; part of their keys."""

_AGREEMENT = 1e-3  # between a network's outputs and its member's, relative to the largest
_PROBED = 32  # samples on which they are compared
_EVALUATION_BATCH = 512


def train_together(
    networks: Sequence[nn.Module],
    datasets: Sequence[Dataset],
    recipe: Recipe,
    *,
    seeds: Sequence[int],
    device: torch.device,
    state: Path | None = None,
    progress: Callable[[Progress], None] | None = None,
    every_seconds: float = 30.0,
    label: str = "networks",
) -> list[loop.Trained]:
    """Train networks in place, each as :func:`netprops.training.loop.train` would train it by itself.

    Args:
        networks: At least two initialised perceptrons of one shape, as
            :class:`netprops.training.dense.DenseStack` takes them; they end on ``device`` in eval mode.
        datasets: The data of each: as many training samples in all, and one test part, prepared alike. The
            same object where they are the same.
        recipe: As for :func:`netprops.training.loop.train`, without augmentation, accumulation and bf16.
        seeds: The seed of each.
        device: Where to train.
        state: Folder of the saved states, each of the whole stack.
        progress: Called as there; losses and errors are means.
        every_seconds: As there.
        label: What progress and errors call the stack; errors name the seed, too.

    Returns:
        History and snapshots of each. They equal those of :func:`netprops.training.loop.train` up to
        rounding; time is shared out evenly. Equal stacks give bitwise equal weights, as equal trainings do.

    Raises:
        UsageError: If the networks, their data or the recipe cannot be trained together.
        TrainingError: As there, naming the seed; and then no member is trained.
        KeyboardInterrupt: As there.
    """
    _check(datasets, recipe)
    loop.check(datasets[0], recipe, label)
    dtype = loop.DTYPES[recipe.precision]
    stack = DenseStack(networks, device=device, dtype=dtype)
    distinct = list({id(dataset): dataset for dataset in datasets}.values())
    inputs, labels = (
        torch.cat(parts)
        for parts in zip(*(_prepared(d, d.train, dtype, device) for d in distinct), strict=True)
    )
    test = _prepared(datasets[0], datasets[0].test, dtype, device)
    begin = torch.tensor([distinct.index(dataset) for dataset in datasets]) * len(datasets[0].train)
    begin = begin.to(device)
    _check_agreement(stack, networks, test[0][:_PROBED])
    optimizer = build_optimizer(stack.parameters(), recipe)
    run = Run(
        stack,
        optimizer,
        seeds=seeds,
        device=device,
        folder=state,
        what={
            "seeds": list(seeds),
            "data digests": [dataset.digest for dataset in datasets],
            "stacked version": STACKED_VERSION,
            **loop.decisive(recipe, device),
        },
        same_data=recipe.same_data,
    )

    def learn(rows: Tensor) -> None:
        places = (rows + begin).mT.flatten().to(inputs.device)
        batch = inputs.index_select(0, places).to(device, non_blocking=True)
        truth = labels.index_select(0, places.to(device))
        run.losses[run.step], errors = stack.learn(
            batch.view(len(networks), len(rows), -1), truth.view(len(networks), len(rows)), recipe
        )
        run.wrong += errors

    with reproducible(device), dropout_stream(seeds[0], device):
        loop.follow(
            run,
            optimizer,
            recipe,
            datasets[0],
            learn=learn,
            evaluate=lambda: _error_shares(stack, *test),
            progress=progress,
            every_seconds=every_seconds,
            label=label,
        )
    snapshots = {epoch: stack.split(kept["weights"]) for epoch, kept in run.snapshots.items()}
    trained = []
    for member, network in enumerate(networks):
        ours = {epoch: states[member] for epoch, states in snapshots.items()}
        loop.check_weights(ours[recipe.epochs], recipe, run.called(label, member))
        network.to(device=device, dtype=dtype).eval().load_state_dict(ours[recipe.epochs])
        lines = run.history[member :: len(networks)]
        losses = None if run.step_losses is None else run.step_losses[:, member].contiguous()
        trained.append(loop.Trained(lines, ours, sum(line.seconds for line in lines), losses))
    return trained


def _check(datasets: Sequence[Dataset], recipe: Recipe) -> None:
    """Refuse what cannot be trained together."""
    if len(datasets) < 2:
        raise UsageError(f"at least two networks train together, got {len(datasets)}")
    alone = recipe.alone
    if alone is not None:
        raise UsageError(f"networks cannot train together with {alone}; train them one by one")
    one = datasets[0]
    if one.task == "tokens":
        raise UsageError(
            f"networks cannot train together on the sequences of {one.name}; train them one by one"
        )
    for other in datasets[1:]:
        if len(other.train) != len(one.train):
            raise UsageError(
                f"networks that train together have as many training samples each, got {len(one.train)} in "
                f"{one.name} and {len(other.train)} in {other.name}"
            )
        alike = (other.mean, other.std, other.view) == (one.mean, one.std, one.view)
        if not alike or other.test.digest != one.test.digest:
            raise UsageError(
                f"networks that train together have one test part, prepared alike; those of {one.name} and "
                f"{other.name} differ"
            )


def _prepared(
    dataset: Dataset, split: Split, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return what the networks are given for a part, (N, d), and its labels (N,)."""
    inputs = dataset.prepare(split.inputs).to(dtype).flatten(1)
    labels = split.labels.to(dtype) if split.labels.is_floating_point() else split.labels
    return resident(inputs, device), labels.to(device)


@torch.no_grad()
def _check_agreement(stack: DenseStack, networks: Sequence[nn.Module], inputs: Tensor) -> None:
    """Refuse networks that do more with their layers than to call them one after another."""
    inputs = inputs.to(stack.weights.device)
    for network, member in zip(networks, stack(inputs[None]), strict=True):
        network.to(device=inputs.device, dtype=inputs.dtype)
        theirs = network(inputs)
        if float((theirs - member).abs().max()) > _AGREEMENT * float(theirs.abs().max()):
            raise UsageError(
                f"{type(network).__name__} does more than to call its linear layers one after another; train "
                "it one by one"
            )


def _error_shares(stack: DenseStack, inputs: Tensor, labels: Tensor) -> list[float]:
    """Return the share of the test part that each member answers wrongly."""
    device = stack.weights.device
    count = torch.zeros(stack.members, dtype=torch.int64, device=device)
    for first in range(0, len(labels), _EVALUATION_BATCH):
        rows = slice(first, first + _EVALUATION_BATCH)
        count += wrong(stack(inputs[rows][None].to(device)), labels[rows])
    return [n / len(labels) for n in count.tolist()]
