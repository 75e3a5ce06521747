"""Samples that are held out, and trainings that end where their error on these stops falling."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from netprops.errors import TrainingError
from netprops.training import checkpoint, loop
from netprops.training.recipe import Recipe
from netprops.training.validation import held_out

CPU = torch.device("cpu")
EARLY = Recipe(
    epochs=30, batch=12, optimizer="sgd", lr=0.1, momentum=0.9, validation=0.3, patience=3, snapshots=(0, 1)
)


def trained(small, recipe=EARLY, *, data=None, seed=5, **keywords):
    made = small.network()
    result = loop.train(made, data or small.clouds(), recipe, seed=seed, device=CPU, **keywords)
    return small.flat(made), result


def timeless(result: loop.Trained) -> list[loop.Epoch]:
    return [dataclasses.replace(line, seconds=0) for line in result.history]


def test_every_sample_is_learnt_from_or_held_out(small):
    data = small.clouds()
    kept, held = held_out(data, 0.3)
    assert (len(kept.train), len(held)) == (70, 30)
    assert kept.test is data.test
    both = torch.cat([kept.train.inputs, held.inputs])
    assert sorted(both[:, 0].tolist()) == sorted(data.train.inputs[:, 0].tolist())
    again = held_out(data, 0.3)[1]
    assert torch.equal(held.inputs, again.inputs)
    places = [data.train.inputs[:, 0].tolist().index(x) for x in held.inputs[:, 0].tolist()]
    assert places == sorted(places)
    assert places != list(range(30)), "they are drawn at random"
    assert torch.equal(held.labels, data.train.labels[places])


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_that_leaves_nothing_is_refused(small, share):
    with pytest.raises(TrainingError, match=r"clouds: a validation share of .* of 100 samples, expected 1"):
        held_out(small.clouds(), share)


def test_nothing_is_learnt_from_what_is_held_out(small):
    recipe = EARLY.changed(patience=0, epochs=4)
    data = small.clouds()
    held = held_out(data, 0.3)[1].inputs[:, 0]
    swapped = torch.where(torch.isin(data.train.inputs[:, 0], held), 2 - data.train.labels, data.train.labels)
    other = dataclasses.replace(data, train=small.Split(data.train.inputs, swapped))
    (weights, result), (others, changed) = trained(small, recipe), trained(small, recipe, data=other)
    assert torch.equal(weights, others)
    errors = [[line.validation_error for line in one.history] for one in (result, changed)]
    assert errors[0] != errors[1]
    assert None not in errors[0]
    assert len(result.history) == 4, "without patience all epochs are trained"


def test_the_validation_error_is_that_of_the_weights_after_the_epoch(small):
    recipe = EARLY.changed(patience=0, epochs=3)
    made = small.network()
    result = loop.train(made, small.clouds(), recipe, seed=5, device=CPU)
    held = held_out(small.clouds(), 0.3)[1]
    expected = loop.error_share(made, small.clouds(), held, device=CPU, recipe=recipe)
    assert result.history[-1].validation_error == expected


def test_a_recipe_that_holds_nothing_out_knows_no_validation_error(small):
    _, result = trained(small, EARLY.changed(validation=0, patience=0, epochs=2))
    assert [line.validation_error for line in result.history] == [None, None]


def test_it_ends_with_the_first_best_epoch_and_its_weights(small):
    reached = []
    weights, early = trained(small, progress=lambda progress: reached.append(progress.epoch))
    whole = trained(small, EARLY.changed(patience=0))[1]
    errors = [line.validation_error for line in whole.history]
    best = errors.index(min(errors[: len(early.history) + EARLY.patience])) + 1
    assert 1 < best < EARLY.epochs - EARLY.patience, "a test that stops nowhere tests nothing"
    assert len(early.history) == best
    assert max(reached) <= best + EARLY.patience + 1
    assert min(errors[best : best + EARLY.patience]) >= errors[best - 1]
    assert early.history[-1].test_error is not None
    short, _ = trained(small, EARLY.changed(patience=0, epochs=best))
    assert torch.equal(weights, short)
    assert sorted(early.snapshots) == [0, 1, EARLY.epochs]
    assert torch.equal(torch.cat([t.double().flatten() for t in early.snapshots[30].values()]), weights)
    assert early.seconds > sum(line.seconds for line in early.history)


def test_without_a_stop_the_best_epoch_is_taken_at_the_end(small):
    _, early = trained(small, EARLY.changed(patience=30))
    errors = [line.validation_error for line in trained(small, EARLY.changed(patience=0))[1].history]
    assert len(early.history) == errors.index(min(errors)) + 1


def test_snapshots_after_the_best_epoch_are_not_those_of_the_network(small):
    best = len(trained(small)[1].history)
    _, early = trained(small, EARLY.changed(snapshots=(best, best + 1)))
    assert sorted(early.snapshots) == [best, EARLY.epochs]
    for name, tensor in early.snapshots[best].items():
        assert torch.equal(tensor, early.snapshots[EARLY.epochs][name])


class CrashError(Exception):
    pass


def crashed(small, folder, after: int) -> int:
    """End a training so many epochs after its best one, with its state saved; return the best epoch."""
    best = len(trained(small)[1].history)

    def stop(progress):
        if progress.epoch > best + after:
            raise CrashError

    with pytest.raises(CrashError):
        trained(small, state=folder, every_seconds=1e9, progress=stop)
    found = checkpoint.latest(folder)
    assert found is not None
    assert found.facts["epoch"] == best + after
    return best


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_training_that_ended_after_its_best_epoch_resumes_to_the_same(small, tmp_path, after):
    weights, whole = trained(small)
    crashed(small, tmp_path, after)
    resumed_weights, resumed = trained(small, state=tmp_path, every_seconds=0)
    assert torch.equal(resumed_weights, weights)
    assert timeless(resumed) == timeless(whole)
    assert sorted(resumed.snapshots) == sorted(whole.snapshots)
    for epoch, kept in whole.snapshots.items():
        assert all(torch.equal(kept[name], resumed.snapshots[epoch][name]) for name in kept)


def test_a_training_that_had_ended_gives_the_same_again(small, tmp_path):
    weights, whole = trained(small, state=tmp_path, every_seconds=0)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts["epoch"] == len(whole.history) + EARLY.patience
    again, repeated = trained(small, state=tmp_path, every_seconds=0)
    assert torch.equal(again, weights)
    assert timeless(repeated) == timeless(whole)
    assert repeated.seconds == whole.seconds


def test_the_best_weights_are_part_of_the_state(small, tmp_path):
    weights, _ = trained(small)
    crashed(small, tmp_path, 1)
    path = max(tmp_path.glob("state-*.safetensors"))
    state = checkpoint.from_bytes(path.read_bytes(), "the state")
    state.tensors["best/readout.weight"].zero_()
    path.write_bytes(checkpoint.to_bytes(state.tensors, state.facts))
    assert not torch.equal(trained(small, state=tmp_path)[0], weights)


def test_patience_needs_samples_that_are_held_out():
    with pytest.raises(ValueError, match="patience needs samples that are held out"):
        Recipe(epochs=1, batch=1, optimizer="sgd", lr=1, patience=3)
