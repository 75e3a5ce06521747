"""Online trainings: every sample once, the same for all; and trainings of all seeds in one order."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn

from netprops import data as shelf
from netprops.data import Dataset, Split
from netprops.data.gegenbauer import Gegenbauer
from netprops.errors import DamagedDataError, TrainingError
from netprops.models.fc5 import FC5
from netprops.training import checkpoint, loop, stacked
from netprops.training.recipe import Recipe

CPU = torch.device("cpu")
SHARED = Recipe(epochs=3, batch=16, optimizer="sgd", lr=0.05, momentum=0.9, order="shared")


class Watching(Dataset):
    """Notes what networks are given, training and test samples alike."""

    def prepare(self, inputs):
        self.__dict__.setdefault("seen", []).append(inputs.clone())
        return inputs


def watched(small, recipe, *, width=16, seed=5, kind=Watching, chunks=None) -> tuple[loop.Trained, list]:
    data = small.streaming(kind, chunks)
    trained = loop.train(small.network(width), data, recipe, seed=seed, device=CPU)
    tested = data.test.inputs
    return trained, [x for x in data.seen if not (len(x) == len(tested) and torch.equal(x, tested))]


def test_every_epoch_is_the_next_chunk_in_its_own_order(small):
    _, seen = watched(small, small.ONLINE)
    expected = [small.Clouds().chunk(index).inputs for index in range(4)]
    assert torch.equal(torch.cat(seen), torch.cat(expected))
    assert [len(batch) for batch in seen[:9]] == [12] * 8 + [4]


def test_what_fills_no_batch_is_never_seen_where_it_is_dropped(small):
    _, seen = watched(small, small.ONLINE.changed(drop_last=True))
    assert torch.equal(torch.cat(seen), torch.cat([small.Clouds().chunk(i).inputs[:96] for i in range(4)]))


def test_networks_of_all_widths_and_seeds_see_the_same(small):
    orders = [
        torch.cat(watched(small, small.ONLINE, width=w, seed=s)[1]) for w, s in ((4, 5), (32, 5), (4, 6))
    ]
    assert torch.equal(orders[0], orders[1])
    assert torch.equal(orders[0], orders[2])


def test_without_online_the_first_chunk_is_shuffled_and_repeated(small):
    _, seen = watched(small, small.RECIPE)
    epochs = torch.cat(seen).reshape(4, 100, 6)
    first = small.Clouds().chunk(0).inputs
    for epoch in epochs:
        assert torch.equal(epoch[epoch[:, 0].argsort()], first[first[:, 0].argsort()])
    assert not torch.equal(epochs[0], epochs[1])


def test_it_agrees_with_updates_written_out_on_a_regression():
    """Known answer: a linear model of a linear target, gradients by hand, a chunk after another."""
    stream = Gegenbauer(1, 3)
    data = shelf.load("gegenbauer:1:3", None)
    recipe = Recipe(
        epochs=3, batch=300, optimizer="sgd", lr=0.2, loss="squared", online=True, precision="float64"
    )
    network = nn.Linear(3, 1)
    nn.init.zeros_(network.weight)
    nn.init.zeros_(network.bias)
    trained = loop.train(network, data, recipe, seed=1, device=CPU)
    w, losses, errors = torch.zeros(4, dtype=torch.float64), [], []
    for index in range(3):
        chunk = stream.chunk(index)
        x = torch.cat([chunk.inputs.double(), torch.ones(1000, 1, dtype=torch.float64)], dim=1)
        for rows in torch.arange(1000).split(300):
            f, y = x[rows] @ w, chunk.labels[rows].double()
            losses.append(float((y - f).square().mean() / 2))
            errors.append(int((f * y <= 0).sum()))
            w = w + 0.2 * x[rows].T @ (y - f) / len(rows)
    torch.testing.assert_close(torch.cat([network.weight[0], network.bias]), w, rtol=1e-9, atol=1e-9)
    assert trained.step_losses.dtype == torch.float32
    torch.testing.assert_close(trained.step_losses, torch.tensor(losses), rtol=1e-6, atol=0)
    assert losses[-1] < 0.05 * losses[0]
    assert [line.train_error for line in trained.history] == [
        sum(errors[i : i + 4]) / 1000 for i in (0, 4, 8)
    ]
    weighted = [
        sum(x * n for x, n in zip(losses[i : i + 4], (300, 300, 300, 100), strict=True)) for i in (0, 4, 8)
    ]
    assert [line.loss for line in trained.history] == pytest.approx([total / 1000 for total in weighted])
    wrong = (data.test.inputs.double() @ w[:3] + w[3]) * data.test.labels <= 0
    assert trained.history[-1].test_error == wrong.double().mean()


class CrashError(Exception):
    pass


class Crashing(Watching):
    """The network is never given its 25th batch."""

    def prepare(self, inputs):
        if len(self.__dict__.get("seen", [])) == 24:
            raise CrashError
        return super().prepare(inputs)


@pytest.mark.parametrize("changes", [{"online": True}, {"order": "shared"}])
def test_a_training_that_ended_in_the_middle_of_a_chunk_resumes_to_the_same(small, tmp_path, changes):
    recipe = small.RECIPE.changed(**changes, epochs=5)
    whole = small.network()
    expected = small.train(None, made=whole, data=small.streaming(), recipe=recipe)
    with pytest.raises(CrashError):
        small.train(tmp_path, data=small.streaming(Crashing), recipe=recipe)
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert found.facts["epoch"] == 2
    assert 0 < found.facts["step"] < 9
    resumed = small.network()
    trained = small.train(tmp_path, made=resumed, data=small.streaming(), recipe=recipe)
    assert torch.equal(small.flat(resumed), small.flat(whole))
    assert torch.equal(trained.step_losses, expected.step_losses)
    assert len(trained.step_losses) == 45
    again = small.train(tmp_path, data=small.streaming(), recipe=recipe)
    assert torch.equal(again.step_losses, expected.step_losses), "of a training that had ended, too"


def test_a_state_without_its_step_losses_is_refused(small, tmp_path):
    small.train(tmp_path, data=small.streaming(), recipe=small.ONLINE)
    for path in tmp_path.glob("state-*.safetensors"):
        state = checkpoint.from_bytes(path.read_bytes(), "the state")
        path.write_bytes(
            checkpoint.to_bytes(
                {n: t for n, t in state.tensors.items() if n != "earlier/losses"}, state.facts
            )
        )
    with pytest.raises(TrainingError, match="is not whole"):
        small.train(tmp_path, data=small.streaming(), recipe=small.ONLINE)


def test_a_data_set_without_a_stream_is_refused(small):
    with pytest.raises(
        TrainingError, match="net: the recipe is online, but clouds has no stream of new samples"
    ):
        loop.train(small.network(), small.clouds(), small.ONLINE, seed=0, device=CPU, label="net")


def test_a_stream_that_runs_dry_is_refused_before_anything_trains(small):
    with pytest.raises(
        TrainingError,
        match=r"net: the stream of new clouds runs dry: it has 300 samples and 4 epochs of 100 need 400; "
        "train for 3 epochs at most",
    ):
        loop.train(
            small.network(),
            small.streaming(chunks=3),
            small.ONLINE,
            seed=0,
            device=CPU,
            label="net",
            progress=lambda progress: pytest.fail("it trains"),
        )
    trained, _ = watched(small, small.ONLINE, chunks=4)
    assert len(trained.history) == 4


def test_a_chunk_smaller_than_a_batch_that_would_be_dropped_is_refused(small):
    recipe = small.ONLINE.changed(batch=101, drop_last=True)
    with pytest.raises(
        TrainingError, match="new clouds has 100 training samples, expected at least one full"
    ):
        loop.train(small.network(), small.streaming(), recipe, seed=0, device=CPU)


def test_a_chunk_that_does_not_fit_is_refused_when_it_comes(small):
    class Drifting(small.Clouds):
        def chunk(self, index):
            chunk = super().chunk(index)
            return Split(chunk.inputs, chunk.labels + 2 * (index == 2))

    data = dataclasses.replace(small.streaming(), stream=Drifting())
    with pytest.raises(DamagedDataError, match=r"new clouds: chunk 2 of the stream has labels \[2, 3, 4\]"):
        loop.train(small.network(), data, small.ONLINE, seed=0, device=CPU)


def test_an_online_recipe_holds_nothing_out_and_accumulates(small):
    for changes in ({"validation": 0.1}, {"validation": 0.1, "patience": 2}):
        with pytest.raises(ValueError, match="an online recipe holds no samples out"):
            small.ONLINE.changed(**changes)
    assert small.ONLINE.changed(accumulate=2).alone == "accumulation"
    assert small.ONLINE.alone == "a stream"
    assert SHARED.alone is None


def test_new_fields_leave_the_keys_of_older_recipes(small):
    assert set(small.RECIPE.model_dump(exclude_defaults=True)) & {"online", "order"} == set()


def given(small, recipe, seed: int) -> torch.Tensor:
    """Return all that a network is given while it trains, after augmentation."""
    seen = []

    class Noting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.readout = nn.Linear(12, 3)

        def forward(self, x):
            if self.training:
                seen.append(x.clone())
            return self.readout(x.flatten(1))

    images = torch.arange(40 * 12).reshape(40, 1, 3, 4)
    part = small.Split(images, torch.arange(40) % 3)
    data = small.Dataset(part, part, input_shape=(1, 3, 4))
    loop.train(Noting(), data, recipe.changed(lr=1e-9), seed=seed, device=CPU)
    return torch.cat(seen)


def test_in_a_shared_order_seeds_see_the_same_in_every_epoch(small):
    recipe = SHARED.changed(augmentation={"crop": 1, "flip": True})
    assert torch.equal(given(small, recipe, 1), given(small, recipe, 2))
    own = recipe.changed(order="seed")
    assert not torch.equal(given(small, own, 1), given(small, own, 2))
    epochs = given(small, SHARED, 1).reshape(3, 40, 12)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(epochs[0].sort(0).values, epochs[1].sort(0).values)
    plain = SHARED.changed(order="seed")
    assert not torch.equal(given(small, plain, 1), given(small, plain, 2))


def test_in_a_shared_order_dropout_stays_the_seeds_own(small):
    weights = []
    for seed in (1, 2):
        network = small.network()
        loop.train(network, small.clouds(), SHARED, seed=seed, device=CPU)
        weights.append(small.flat(network))
    assert not torch.equal(*weights)


def test_step_losses_are_kept_where_they_can_be_compared_and_nowhere_else(small):
    kept = loop.train(small.network(), small.clouds(), SHARED, seed=1, device=CPU)
    assert kept.step_losses.shape == (3 * 7,)
    sizes = torch.tensor([16.0] * 6 + [4.0])
    means = (kept.step_losses.reshape(3, 7) * sizes).sum(1) / 100
    assert [line.loss for line in kept.history] == pytest.approx(means.tolist())
    plain = loop.train(small.network(), small.clouds(), SHARED.changed(order="seed"), seed=1, device=CPU)
    assert plain.step_losses is None


def test_a_training_that_stops_early_has_the_step_losses_of_its_history(small):
    recipe = SHARED.changed(epochs=30, lr=0.1, validation=0.3, patience=3)
    early = loop.train(small.network(), small.clouds(), recipe, seed=5, device=CPU)
    assert len(early.history) < 27
    assert len(early.step_losses) == 5 * len(early.history)


def test_networks_that_train_together_have_the_step_losses_that_they_have_alone():
    generator = torch.Generator().manual_seed(7)
    parts = [Split(x, x[:, :3].argmax(dim=1)) for x in torch.randn(2, 90, 6, generator=generator)]
    data = Dataset(name="x", train=parts[0], test=parts[1], task="classification", classes=("a", "b", "c"))

    def made() -> list[FC5]:
        torch.manual_seed(0)
        return [FC5(width=8, inputs=(6,), outputs=3) for _ in range(3)]

    together = stacked.train_together(made(), [data] * 3, SHARED, seeds=(3, 0, 7), device=CPU)
    for seed, network, ours in zip((3, 0, 7), made(), together, strict=True):
        alone = loop.train(network, data, SHARED, seed=seed, device=CPU)
        assert ours.step_losses.shape == (18,)
        torch.testing.assert_close(ours.step_losses, alone.step_losses, rtol=0, atol=1e-5)
    plain = SHARED.changed(order="seed")
    found = stacked.train_together(made(), [data] * 3, plain, seeds=(3, 0, 7), device=CPU)
    assert [one.step_losses for one in found] == [None] * 3


@pytest.mark.parametrize(("online", "epochs"), [(False, 7), (True, 7), (True, 2)])
def test_a_plan_counts_the_samples_of_all_chunks(online, epochs):
    from netprops import plan
    from netprops.declaration import Family

    recipe = Recipe(epochs=epochs, batch=100, optimizer="sgd", lr=0.1, loss="squared", online=online)
    family = Family(
        name="fc5",
        architecture="fc5",
        data="gegenbauer:1:3",
        scale="mini",
        widths=(8,),
        seeds=1,
        source="none",
        recipe=recipe,
    )
    known = plan.outline(family.specs()[0], shelf.load("gegenbauer:1:3", None))
    products = 3 * 8 + 3 * 8 * 8 + 8
    assert known.cost == pytest.approx(2 * products * 1000 * epochs * 3, rel=0.35)
    assert known.cost % (1000 * epochs) == 0


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_groups_learn_at_their_share_of_the_rate(small, scale, monkeypatch):
    def build(parameters, recipe):
        return torch.optim.SGD([{"params": list(parameters), "scale": scale}], lr=123.0)

    expected = loop.train(
        small.network(), small.clouds(), SHARED.changed(lr=0.05 * scale, momentum=0.0), seed=1, device=CPU
    )
    monkeypatch.setattr(loop, "build_optimizer", build)
    found = loop.train(small.network(), small.clouds(), SHARED.changed(momentum=0.0), seed=1, device=CPU)
    torch.testing.assert_close(found.step_losses, expected.step_losses)
