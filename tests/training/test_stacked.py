"""Networks that train together are those that train one by one, and go on after a kill as if nothing was."""

from __future__ import annotations

import dataclasses
import signal

import pytest
import torch
from torch import nn

from netprops.data import Dataset, Split
from netprops.errors import TrainingError, UsageError
from netprops.models.fc5 import FC5
from netprops.training import checkpoint, dense, loop, stacked
from netprops.training.recipe import Recipe

CPU = torch.device("cpu")
SEEDS = (3, 0, 7)
HINGE = Recipe(
    epochs=4,
    batch=16,
    optimizer="adam",
    lr=3e-3,
    weight_decay=1e-3,
    schedule="cosine",
    loss="squared-hinge",
    snapshots=(0, 2),
)
RECIPES = {
    "adam, hinge, cosine": HINGE,
    "adamw, entropy, steps": HINGE.changed(
        optimizer="adamw",
        loss="cross-entropy",
        label_smoothing=0.1,
        schedule="step",
        milestones=(1, 3),
        warmup=1,
    ),
    "sgd, hinge, last batch dropped": HINGE.changed(
        optimizer="sgd", lr=0.1, momentum=0.9, schedule="constant", drop_last=True
    ),
    "rmsprop, hinge, exponential": HINGE.changed(
        optimizer="rmsprop", momentum=0.9, alpha=0.9, eps=0.1, schedule="exponential", gamma=0.7
    ),
    "nesterov, entropy": HINGE.changed(
        optimizer="sgd", lr=0.1, momentum=0.9, nesterov=True, loss="cross-entropy", snapshots=()
    ),
}


def clouds(outputs: int = 1, n: int = 100, test: int = 130, seed: int = 7) -> Dataset:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n + test, 6, generator=generator)
    if outputs == 1:
        labels, task, classes = torch.sign(inputs[:, 0] + inputs[:, 1]), "parity", ("even", "odd")
    else:
        labels, task, classes = inputs[:, :3].argmax(dim=1), "classification", ("a", "b", "c")
    parts = [Split(inputs[rows], labels[rows]) for rows in (slice(n), slice(n, None))]
    return Dataset(name="clouds", train=parts[0], test=parts[1], task=task, classes=classes)


def networks(outputs: int = 1, width: int = 12, count: int = len(SEEDS)) -> list[FC5]:
    torch.manual_seed(0)
    return [FC5(width=width, inputs=(6,), outputs=outputs) for _ in range(count)]


def together(made, data, recipe, *, seeds=SEEDS, **keywords) -> list[loop.Trained]:
    datasets = data if isinstance(data, list) else [data] * len(made)
    return stacked.train_together(made, datasets, recipe, seeds=seeds, device=CPU, **keywords)


def timeless(trained: loop.Trained) -> list[loop.Epoch]:
    return [dataclasses.replace(line, seconds=0) for line in trained.history]


def weights_of(trained: list[loop.Trained]) -> torch.Tensor:
    last = [max(one.snapshots) for one in trained]
    return torch.stack(
        [
            torch.cat([t.flatten() for t in one.snapshots[e].values()])
            for one, e in zip(trained, last, strict=True)
        ]
    )


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES.keys())
def test_every_member_is_the_network_that_trains_by_itself(recipe, precision):
    recipe = recipe.changed(precision=precision)
    data = clouds(1 if recipe.loss == "squared-hinge" else 3)
    tolerance = 1e-5 if precision == "float32" else 1e-12
    made = networks(data.outputs)
    trained = together(made, data, recipe)
    for seed, network, ours, alone in zip(SEEDS, made, trained, networks(data.outputs), strict=True):
        theirs = loop.train(alone, data, recipe, seed=seed, device=CPU)
        assert sorted(ours.snapshots) == sorted(theirs.snapshots)
        for epoch, weights in theirs.snapshots.items():
            assert ours.snapshots[epoch].keys() == weights.keys()
            for name, tensor in weights.items():
                torch.testing.assert_close(ours.snapshots[epoch][name], tensor, rtol=0, atol=tolerance)
        for line, expected in zip(ours.history, theirs.history, strict=True):
            assert line.loss == pytest.approx(expected.loss, abs=tolerance)
            assert dataclasses.replace(line, loss=0, seconds=0) == dataclasses.replace(
                expected, loss=0, seconds=0
            )
        assert not network.training
        assert all(torch.equal(ours.snapshots[4][n], t) for n, t in network.state_dict().items())
    assert any(line.test_error is None for line in trained[0].history), "evaluated where it is by itself"


def test_every_member_sees_its_own_data():
    whole = clouds(n=101)
    data = [whole.part(i, 3) for i in (2, 0, 2)]
    trained = together(networks(), data, HINGE)
    for seed, own, ours, alone in zip(SEEDS, data, trained, networks(), strict=True):
        loop.train(alone, own, HINGE, seed=seed, device=CPU)
        for name, tensor in alone.state_dict().items():
            torch.testing.assert_close(ours.snapshots[4][name], tensor, rtol=0, atol=1e-5)


def test_images_are_prepared_and_flattened():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (60, 1, 3, 2), generator=generator, dtype=torch.uint8)
    part = Split(images, torch.arange(60) % 3)
    data = Dataset.of_images("tiny", part, part, classes=("a", "b", "c"))
    recipe = HINGE.changed(loss="cross-entropy")
    trained = together(networks(3), data, recipe)
    alone = networks(3)[1]
    loop.train(alone, data, recipe, seed=SEEDS[1], device=CPU)
    torch.testing.assert_close(
        trained[1].snapshots[4]["readout.weight"], alone.readout.weight.detach(), rtol=0, atol=1e-5
    )


def test_equal_stacks_give_equal_weights_and_other_seeds_others():
    found = [weights_of(together(networks(), clouds(), HINGE, seeds=s)) for s in (SEEDS, SEEDS, (3, 1, 7))]
    assert torch.equal(found[0], found[1])
    assert [torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True)] == [True, False, True]


def test_torch_s_global_state_is_left_alone():
    before = torch.get_rng_state()
    together(networks(), clouds(), HINGE)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_progress_tells_the_means_under_the_label_of_the_stack():
    told = []
    trained = together(networks(), clouds(), HINGE, progress=told.append, label="s0..2")
    last = told[-1]
    assert (last.label, last.epoch, last.epochs, last.steps) == ("s0..2", 4, 4, 7)
    lines = [one.history[-1] for one in trained]
    assert last.test_error == pytest.approx(sum(line.test_error for line in lines) / 3)
    assert last.train_error == pytest.approx(sum(line.train_error for line in lines) / 3)
    assert last.loss == pytest.approx(sum(line.loss for line in lines) / 3)


def test_the_time_is_shared_out():
    trained = together(networks(), clouds(), HINGE)
    for lines in zip(*(one.history for one in trained), strict=True):
        assert len({line.seconds for line in lines}) == 1
        assert lines[0].seconds > 0


class CrashError(Exception):
    pass


def crash_at(monkeypatch, step: int) -> None:
    """Let the n-th step of the next training fail."""
    learn, calls = dense.DenseStack.learn, 0

    def failing(self, *arguments):
        nonlocal calls
        calls += 1
        if calls == step:
            raise CrashError
        return learn(self, *arguments)

    monkeypatch.setattr(dense.DenseStack, "learn", failing)


@pytest.fixture
def crashed(tmp_path):
    """The folder of a training that ended in the middle of its second epoch."""
    with pytest.MonkeyPatch.context() as patch:
        crash_at(patch, 12)
        with pytest.raises(CrashError):
            together(networks(), clouds(), HINGE, state=tmp_path, every_seconds=0.0)
    found = checkpoint.latest(tmp_path)
    assert (found.facts["epoch"], found.facts["step"]) == (1, 4)
    return tmp_path


def test_a_training_that_was_killed_resumes_to_the_same_weights_history_and_snapshots(crashed):
    whole, resumed = (
        together(networks(), clouds(), HINGE, state=folder, every_seconds=0.0) for folder in (None, crashed)
    )
    assert torch.equal(weights_of(whole), weights_of(resumed))
    for a, b in zip(whole, resumed, strict=True):
        assert timeless(a) == timeless(b)
        assert sorted(a.snapshots) == sorted(b.snapshots)
        assert all(torch.equal(a.snapshots[2][name], b.snapshots[2][name]) for name in a.snapshots[2])


@pytest.mark.parametrize("member", [0, 2])
def test_the_order_of_every_member_is_part_of_the_state(crashed, member):
    path = max(crashed.glob("state-*.safetensors"))
    state = checkpoint.from_bytes(path.read_bytes(), "the state")
    name = f"generator/order {member}" if member else "generator/order"
    fresh = torch.Generator().manual_seed(0).get_state()
    path.write_bytes(checkpoint.to_bytes({**state.tensors, name: fresh}, state.facts))
    whole = weights_of(together(networks(), clouds(), HINGE))
    resumed = weights_of(together(networks(), clouds(), HINGE, state=crashed))
    assert [torch.equal(a, b) for a, b in zip(whole, resumed, strict=True)] == [
        i != member for i in range(len(SEEDS))
    ]


def test_a_state_of_other_members_is_refused(crashed):
    with pytest.raises(TrainingError, match=r"is of another training \(another seeds\)"):
        together(networks(), clouds(), HINGE, seeds=(3, 0, 8), state=crashed)


def test_an_interrupt_waits_until_the_state_is_saved(tmp_path):
    def interrupt(progress) -> None:
        if progress.epoch == 3:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        together(networks(), clouds(), HINGE, state=tmp_path, progress=interrupt)
    assert checkpoint.latest(tmp_path).facts["epoch"] >= 2
    resumed = weights_of(together(networks(), clouds(), HINGE, state=tmp_path))
    assert torch.equal(resumed, weights_of(together(networks(), clouds(), HINGE)))


def test_a_loss_that_is_not_finite_names_the_seed():
    data = clouds()
    broken = data.train.inputs.clone()
    broken[5] = float("nan")
    other = dataclasses.replace(data, train=Split(broken, data.train.labels))
    with pytest.raises(TrainingError, match=r"nets, seed 0: the loss is nan at epoch 1, step \d, expected"):
        together(networks(), [data, other, data], HINGE, label="nets")


def test_weights_that_the_last_step_breaks_name_the_seed():
    data, made = clouds(n=16), networks()
    recipe = HINGE.changed(epochs=1, optimizer="sgd", lr=1e39, schedule="constant", snapshots=())
    with pytest.raises(TrainingError, match=r"nets, seed 3: .* is not finite after the last step of epoch 1"):
        together(made, data, recipe, label="nets")


class Doubling(FC5):
    def forward(self, inputs):
        return 2 * super().forward(inputs)


def test_networks_that_do_more_than_their_layers_are_refused():
    made = [Doubling(width=4, inputs=(6,), outputs=1) for _ in SEEDS]
    with pytest.raises(UsageError, match="Doubling does more than to call its linear layers"):
        together(made, clouds(), HINGE)


REFUSED = {
    "augmentation": ({"augmentation": {"flip": True}}, "cannot train together with augmentation"),
    "accumulation": ({"accumulate": 2}, "cannot train together with accumulation"),
    "validation": ({"validation": 0.2}, "cannot train together with samples that are held out"),
    "bf16": ({"precision": "bf16"}, "cannot train together with bf16"),
}


@pytest.mark.parametrize(("changes", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_recipes_that_need_a_training_each_are_refused(changes, words):
    with pytest.raises(UsageError, match=words):
        together(networks(), clouds(), HINGE.changed(**changes))


def test_data_that_do_not_fit_are_refused():
    data = clouds()
    with pytest.raises(UsageError, match="as many training samples each, got 100 in clouds and 99"):
        together(networks(), [data, data, clouds(n=99)], HINGE)
    with pytest.raises(UsageError, match="one test part, prepared alike"):
        together(networks(), [data, data, clouds(seed=8)], HINGE)
    with pytest.raises(UsageError, match="at least two networks train together, got 1"):
        together(networks(count=1), data, HINGE, seeds=[0])
    with pytest.raises(TrainingError, match=r"has 100 training samples, expected at least one full batch"):
        together(networks(), data, HINGE.changed(batch=101, drop_last=True))
    with pytest.raises(TrainingError, match="loss 'squared-hinge' does not fit clouds, whose task is class"):
        together(networks(3), clouds(3), HINGE)


def test_a_batch_norm_is_refused():
    norm = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 1))
    with pytest.raises(UsageError, match="found BatchNorm1d; train it one by one"):
        together([norm] * 3, clouds(), HINGE)
