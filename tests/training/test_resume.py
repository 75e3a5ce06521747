"""A training that was killed goes on as if nothing had happened, and all that it needs for that is needed."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from netprops.data import Dataset, Split
from netprops.errors import TrainingError
from netprops.training import checkpoint, loop
from netprops.training.recipe import Recipe


@pytest.fixture(scope="module")
def killed(small, tmp_path_factory) -> dict[str, dict]:
    """What a process that imports torch once, and forks trainings to be killed, came to: by plan."""
    if not hasattr(os, "fork"):
        pytest.skip("the helper forks")
    command = [sys.executable, small.__file__, str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(
        [*command, "random", "stream", "writes"], capture_output=True, text=True, check=True, timeout=600
    )
    return json.loads(done.stdout)


def test_fifty_kills_at_random_moments_leave_no_trace_in_the_weights(killed):
    outcome = killed["random"]
    assert outcome["killed"] >= 50
    assert outcome["wrong"] == 0
    assert outcome["finished"] >= 1
    assert len(outcome["resumed at"]) >= 5, "the kills came too early to test anything"


def test_kills_leave_no_trace_in_what_was_learnt_from_a_stream(killed):
    outcome = killed["stream"]
    assert outcome["killed"] >= 9
    assert outcome["wrong"] == 0
    assert {line.split()[0] for line in outcome["resumed at"]} - {"0"}, "all kills came in the first chunk"


def test_a_kill_at_any_point_of_an_atomic_write_leaves_no_trace_in_the_weights(small, killed):
    outcome = killed["writes"]
    assert set(outcome) == set(small.POINTS)
    for point, facts in outcome.items():
        assert facts == {"deaths": 4, "status": 0, "equal": True, "damaged": 0}, point


class CrashError(Exception):
    pass


def crashing(small, at: int):
    """The data set of the small training; preparing its n-th batch fails."""
    calls = 0

    class Crashing(small.Dataset):
        def prepare(self, inputs):
            nonlocal calls
            calls += 1
            if calls == at:
                raise CrashError
            return inputs

    data = small.clouds()
    return Crashing(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)})


@pytest.fixture
def crashed(small, tmp_path) -> Path:
    """A training that ended in the middle of its second epoch, with its state of the step before."""
    with pytest.raises(CrashError):
        small.trained(tmp_path / "state", data=crashing(small, at=15))
    found = checkpoint.latest(tmp_path / "state")
    assert found is not None
    assert (found.facts["epoch"], found.facts["step"]) == (1, 4)
    return tmp_path / "state"


@pytest.fixture(scope="module")
def undisturbed(small) -> torch.Tensor:
    return small.flat(small.trained(None))


def doctored(folder: Path, change) -> None:
    """Change the newest state and seal it again, as if it had been saved so."""
    path = max(folder.glob("state-*.safetensors"))
    state = checkpoint.from_bytes(path.read_bytes(), "the state")
    tensors, facts = dict(state.tensors), dict(state.facts)
    change(tensors, facts)
    path.write_bytes(checkpoint.to_bytes(tensors, facts))


def test_an_untouched_state_resumes_to_the_same_weights(small, crashed, undisturbed):
    doctored(crashed, lambda tensors, facts: None)
    assert torch.equal(small.flat(small.trained(crashed)), undisturbed)


@pytest.mark.parametrize("policy", ["none", "imagenet"])
def test_micro_batches_crops_and_policies_resume_to_the_same_weights(small, tmp_path, policy):
    """It ends within a step of the second epoch, after the first of its two micro-batches."""
    calls = 0

    class Crashing(Dataset):
        def prepare(self, inputs):
            nonlocal calls
            calls += 1
            if calls == 16:
                raise CrashError
            return super().prepare(inputs)

    recipe = Recipe(
        epochs=3,
        batch=8,
        accumulate=2,
        optimizer="sgd",
        lr=0.1,
        momentum=0.9,
        augmentation={"resized_crop": 4, "flip": True, "policy": policy},
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 1, 6, 6), dtype=np.uint8)
    part = Split.of_arrays(pixels, np.arange(40) % 3)
    weights = []
    for kind, folder in ((Dataset, None), (Crashing, tmp_path), (Dataset, tmp_path)):
        torch.manual_seed(0)
        made = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 3))
        data = kind.of_images("x", part, part, classes=("a", "b", "c"), view=4)
        with suppress(CrashError):
            loop.train(made, data, recipe, seed=1, device=torch.device("cpu"), state=folder, every_seconds=0)
        weights.append(small.flat(made))
        if kind is Crashing:
            found = checkpoint.latest(tmp_path)
            assert found is not None
            assert (found.facts["epoch"], found.facts["step"]) == (1, 2)
    assert torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[1])


def fresh_generator() -> torch.Tensor:
    return torch.Generator().manual_seed(0).get_state()


def without_optimizer(tensors, facts):
    for name in [name for name in tensors if name.startswith("optimizer/")]:
        del tensors[name]


RESET = {
    "optimizer state dropped": without_optimizer,
    "order generator reset": lambda tensors, facts: tensors.update({"generator/order": fresh_generator()}),
    "noise generator reset": lambda tensors, facts: tensors.update(
        {"generator/augmentation": fresh_generator()}
    ),
    "dropout generator reset": lambda tensors, facts: tensors.update(
        {"generator/dropout": fresh_generator()}
    ),
    "order of the epoch lost": lambda tensors, facts: tensors.update({"epoch/order": torch.arange(100)}),
    "step lost": lambda tensors, facts: facts.update(step=0),
    "epoch lost": lambda tensors, facts: facts.update(epoch=0),
    "batch norm reset": lambda tensors, facts: tensors["network/hidden.1.running_mean"].zero_(),
}


@pytest.mark.parametrize("change", RESET.values(), ids=RESET.keys())
def test_every_part_of_the_state_matters(small, crashed, undisturbed, change):
    doctored(crashed, change)
    assert not torch.equal(small.flat(small.trained(crashed)), undisturbed)


DROPPED = {
    "order generator": lambda tensors, facts: tensors.pop("generator/order"),
    "noise generator": lambda tensors, facts: tensors.pop("generator/augmentation"),
    "dropout generator": lambda tensors, facts: tensors.pop("generator/dropout"),
    "order of the epoch": lambda tensors, facts: tensors.pop("epoch/order"),
    "epoch": lambda tensors, facts: facts.pop("epoch"),
    "step": lambda tensors, facts: facts.pop("step"),
    "history": lambda tensors, facts: facts.pop("history"),
    "snapshots": lambda tensors, facts: facts.pop("snapshots"),
    "a weight": lambda tensors, facts: tensors.pop("network/readout.weight"),
}


@pytest.mark.parametrize("change", DROPPED.values(), ids=DROPPED.keys())
def test_a_state_that_lacks_a_part_is_refused(small, crashed, change):
    doctored(crashed, change)
    with pytest.raises(TrainingError, match=r"is not whole .* remove the folder to start anew"):
        small.trained(crashed)


def test_a_state_of_another_training_is_refused(small, crashed):
    with pytest.raises(TrainingError, match=r"is of another training \(another recipe\)"):
        small.trained(crashed, recipe=small.RECIPE.changed(lr=0.06))


def test_history_and_snapshots_survive_a_resume(small, crashed):
    whole = small.train(None)
    resumed = small.train(crashed)
    assert [dataclasses.replace(line, seconds=0) for line in resumed.history] == [
        dataclasses.replace(line, seconds=0) for line in whole.history
    ]
    assert sorted(resumed.snapshots) == sorted(whole.snapshots) == [0, 2, 4]
    for epoch, weights in whole.snapshots.items():
        assert all(torch.equal(weights[name], resumed.snapshots[epoch][name]) for name in weights)


def test_a_damaged_state_falls_back_to_the_one_before(small, crashed, undisturbed, caplog):
    newest = max(crashed.glob("state-*.safetensors"))
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 4
    newest.write_bytes(data)
    assert torch.equal(small.flat(small.trained(crashed)), undisturbed)
    assert "damaged or cut off: the digest differs; training goes on from an older state" in caplog.text
    assert newest.with_name(newest.name + ".damaged").exists()


def test_a_damaged_snapshot_means_training_from_the_start(small, crashed, undisturbed, caplog):
    snapshot = crashed / "snapshot-00000.safetensors"
    data = bytearray(snapshot.read_bytes())
    data[-1] ^= 1
    snapshot.write_bytes(data)
    assert torch.equal(small.flat(small.trained(crashed)), undisturbed)
    assert "has not the digest that its state promises; network is trained from the start" in caplog.text


def test_an_interrupt_waits_for_the_end_of_a_step_and_loses_nothing(small, tmp_path, undisturbed):
    """The signal comes in the middle of a step, between backward pass and update."""
    handler, data = signal.getsignal(signal.SIGINT), crashing(small, at=0)
    calls = 0

    class Interrupting(type(data)):
        def prepare(self, inputs):
            nonlocal calls
            calls += 1
            if calls == 15:
                os.kill(os.getpid(), signal.SIGINT)
            return inputs

    data = Interrupting(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)})
    with pytest.raises(KeyboardInterrupt):
        small.trained(tmp_path, data=data)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert (found.facts["epoch"], found.facts["step"]) == (1, 5), (
        "the step that was running is part of the state"
    )
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.equal(small.flat(small.trained(tmp_path)), undisturbed)


def test_an_error_in_the_progress_callback_loses_nothing(small, tmp_path, undisturbed):
    def progress(progress):
        if progress.epoch == 3:
            raise CrashError

    with pytest.raises(CrashError):
        small.train(tmp_path, progress=progress, every_seconds=1e9)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts["epoch"] == 2
    assert torch.equal(small.flat(small.trained(tmp_path)), undisturbed)


def test_a_full_disk_costs_the_state_and_not_the_training(small, tmp_path, undisturbed, monkeypatch, caplog):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    assert torch.equal(small.flat(small.trained(tmp_path)), undisturbed)
    assert "a training goes on, but its state cannot be saved" in caplog.text
    assert "No space left on device" in caplog.text
