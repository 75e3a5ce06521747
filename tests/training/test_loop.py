from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from netprops.data import Dataset, Split
from netprops.errors import TrainingError
from netprops.training import loop
from netprops.training.recipe import Recipe

CPU = torch.device("cpu")
PLAIN = Recipe(
    epochs=3, batch=16, optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=0.01, schedule="cosine"
)


def recording(small, data):
    """The same data set, noting which training samples every batch holds."""
    seen = []

    class Recording(small.Dataset):
        def prepare(self, inputs):
            seen.append(inputs[:, 0].tolist())
            return inputs

    return Recording(**{field.name: getattr(data, field.name) for field in dataclasses.fields(data)}), seen


class Linear(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.readout = nn.Linear(6, outputs)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def forward(self, x):
        return self.readout(x)


@pytest.mark.parametrize("loss", ["cross-entropy", "squared-hinge", "logistic"])
def test_it_agrees_with_gradients_and_updates_written_out(small, loss):
    """Known answer: a linear model in float64, gradients by hand, momentum and decay by their definition."""
    outputs = 3 if loss == "cross-entropy" else 1
    data = small.clouds(outputs=outputs)
    recipe = PLAIN.changed(loss=loss, precision="float64", label_smoothing=0.1 if outputs == 3 else 0.0)
    network = Linear(outputs)
    trained = loop.train(network, data, recipe, seed=5, device=CPU)

    order = torch.Generator().manual_seed(loop.stream_seed(5, "order"))
    w = torch.zeros(outputs, 7, dtype=torch.float64)
    velocity = torch.zeros_like(w)
    x = torch.cat([data.train.inputs.double(), torch.ones(100, 1, dtype=torch.float64)], dim=1)
    step, losses = 0, []
    for _ in range(3):
        losses.append(0.0)
        for rows in torch.randperm(100, generator=order).split(16):
            f, y = x[rows] @ w.T, data.train.labels[rows]
            if loss == "logistic":
                slope = (-y * torch.sigmoid(-y * f[:, 0]))[:, None]
                losses[-1] += float(torch.log1p(torch.exp(-y * f[:, 0])).sum())
            elif outputs == 1:
                margin = (1 - y.double() * f[:, 0]).clamp(min=0)
                slope = (-margin * y)[:, None]
                losses[-1] += float(0.5 * margin.square().sum())
            else:
                target = 0.9 * nn.functional.one_hot(y, 3).double() + 0.1 / 3
                slope = f.softmax(dim=1) - target
                losses[-1] += float(-(target * f.log_softmax(dim=1)).sum())
            gradient = slope.T @ x[rows] / len(rows) + 0.01 * w
            velocity = 0.9 * velocity + gradient
            w = w - 0.05 * (1 + torch.cos(torch.tensor(torch.pi * step / 21))).double() * velocity
            step += 1
    torch.testing.assert_close(
        torch.cat([network.readout.weight, network.readout.bias[:, None]], 1), w, rtol=1e-6, atol=1e-8
    )
    assert [line.loss for line in trained.history] == pytest.approx(
        [total / 100 for total in losses], rel=1e-6
    )


def test_it_learns_and_its_history_says_so(small):
    network = small.network()
    recipe = PLAIN.changed(epochs=30)
    trained = loop.train(network, small.clouds(400, 200), recipe, seed=0, device=CPU)
    assert [line.epoch for line in trained.history] == list(range(1, 31))
    first, last = trained.history[0], trained.history[-1]
    assert last.loss < 0.5 * first.loss
    assert last.test_error == loop.error_share(
        network, small.clouds(400, 200), small.clouds(400, 200).test, device=CPU, recipe=recipe
    )
    assert last.test_error < 0.15
    assert 0 < last.lr < first.lr < 0.1
    assert not network.training


def test_equal_seeds_give_equal_weights_and_other_seeds_others(small):
    weights = []
    for seed in (1, 1, 2):
        network = small.network()
        loop.train(network, small.clouds(), PLAIN, seed=seed, device=CPU)
        weights.append(small.flat(network))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_torch_s_global_state_is_left_alone(small):
    before = torch.get_rng_state()
    loop.train(small.network(), small.clouds(), PLAIN, seed=1, device=CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.are_deterministic_algorithms_enabled()


def test_networks_that_differ_in_width_see_the_same_samples_in_the_same_order(small):
    orders = []
    for width in (4, 32):
        data, seen = recording(small, small.clouds())
        loop.train(small.network(width), data, PLAIN, seed=9, device=CPU)
        orders.append(seen)
    assert orders[0] == orders[1]


def test_every_epoch_sees_every_sample_once_in_an_order_of_its_own(small):
    data, seen = recording(small, small.clouds(100, 1))
    loop.train(small.network(), data, PLAIN, seed=9, device=CPU)
    epochs = [list(itertools.chain(*seen[i * 8 : i * 8 + 7])) for i in range(3)]
    everything = sorted(data.train.inputs[:, 0].tolist())
    assert all(sorted(epoch) == everything for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_streams_of_a_seed_are_independent():
    assert (
        len({loop.stream_seed(s, p) for s in range(50) for p in ("init", "order", "augmentation", "dropout")})
        == 200
    )


def test_evaluation_does_not_touch_the_weights(small):
    weights = []
    for test in (1, 60, 300):
        data = small.clouds(100, 300)
        data = dataclasses.replace(data, test=small.Split(data.test.inputs[:test], data.test.labels[:test]))
        network = small.network()
        trained = loop.train(network, data, PLAIN.changed(epochs=9), seed=1, device=CPU)
        weights.append(small.flat(network))
    assert torch.equal(weights[0], weights[1])
    assert torch.equal(weights[0], weights[2])
    # 300 test samples are a forward pass of 1/3 of an epoch's work each: every seventh epoch keeps below 15%.
    assert [line.epoch for line in trained.history if line.test_error is not None] == [7, 9]


def test_snapshots_are_the_weights_after_their_epochs(small):
    initial = small.flat(small.network())
    whole = loop.train(
        small.network(),
        small.clouds(),
        PLAIN.changed(snapshots=(0, 2), schedule="constant"),
        seed=1,
        device=CPU,
    )
    assert sorted(whole.snapshots) == [0, 2, 3]
    two = small.network()
    loop.train(two, small.clouds(), PLAIN.changed(epochs=2, schedule="constant"), seed=1, device=CPU)
    assert torch.equal(torch.cat([t.double().flatten() for t in whole.snapshots[0].values()]), initial)
    assert torch.equal(
        torch.cat([t.double().flatten() for t in whole.snapshots[2].values()]), small.flat(two)
    )


def test_a_loss_that_is_not_finite_is_an_error_that_names_epoch_and_step(small):
    data = small.clouds()
    order = torch.Generator().manual_seed(loop.stream_seed(3, "order"))
    position = torch.randperm(100, generator=order).tolist().index(17)
    inputs = data.train.inputs.clone()
    inputs[17] = float("nan")
    data = dataclasses.replace(data, train=small.Split(inputs, data.train.labels))
    with pytest.raises(
        TrainingError,
        match=f"my net: the loss is nan at epoch 1, step {position // 16 + 1}, expected a finite",
    ):
        loop.train(small.network(), data, PLAIN, seed=3, device=CPU, label="my net")


def test_weights_that_the_last_step_breaks_are_an_error(small):
    data = small.clouds(16, 4)
    with pytest.raises(TrainingError, match="is not finite after the last step of epoch 1"):
        loop.train(Linear(3), data, PLAIN.changed(epochs=1, lr=1e39, schedule="constant"), seed=3, device=CPU)


def test_a_recipe_that_does_not_fit_the_data_is_refused(small):
    with pytest.raises(
        TrainingError, match=r"has 100 training samples, expected at least one full batch of 101"
    ):
        loop.train(
            small.network(), small.clouds(), PLAIN.changed(batch=101, drop_last=True), seed=0, device=CPU
        )
    with pytest.raises(TrainingError, match="loss 'squared-hinge' does not fit clouds, whose task is class"):
        loop.train(small.network(), small.clouds(), PLAIN.changed(loss="squared-hinge"), seed=0, device=CPU)


def test_drop_last_drops_the_last_incomplete_batch(small):
    data, seen = recording(small, small.clouds(100, 1))
    loop.train(small.network(), data, PLAIN.changed(epochs=1, drop_last=True), seed=0, device=CPU)
    assert [len(batch) for batch in seen] == [16] * 6 + [1]


def test_progress_tells_label_position_errors_and_time_left(small):
    told = []
    loop.train(small.network(), small.clouds(), PLAIN, seed=0, device=CPU, progress=told.append, label="w16")
    last = told[-1]
    assert (last.label, last.epoch, last.epochs, last.steps) == ("w16", 3, 3, 7)
    assert told[0].seconds_left is None
    assert last.seconds_left == 0
    assert last.test_error is not None
    assert last.train_error is not None


def test_augmentation_of_the_recipe_is_applied(small):
    """An 1 x 2 image mirrored in half of the cases: the network sees both orders only with ``flip``."""
    images = torch.tensor([[1.0, 2.0]]).repeat(64, 1).reshape(64, 1, 1, 2)
    split = small.Split(images, torch.zeros(64, dtype=torch.int64))

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.readout, self.seen = nn.Linear(2, 3), set()

        def forward(self, x):
            if self.training:
                self.seen |= set(x[:, 0, 0, 0].tolist())
            return self.readout(x.flatten(1))

    for flip, expected in ((False, {1.0}), (True, {1.0, 2.0})):
        network = Watching()
        data = small.Dataset(split, split, input_shape=(1, 1, 2))
        loop.train(network, data, PLAIN.changed(epochs=1, augmentation={"flip": flip}), seed=0, device=CPU)
        assert network.seen == expected


def test_error_share_counts_an_output_of_zero_as_wrong_and_restores_the_mode(small):
    data = small.clouds(outputs=1)
    network = Linear(1).train()
    recipe = PLAIN.changed(loss="squared-hinge")
    assert loop.error_share(network, data, data.test, device=CPU, recipe=recipe) == 1.0
    nn.init.ones_(network.readout.weight[:, :2])
    wrong = (torch.sign(data.test.inputs[:, :2].sum(1)) != data.test.labels).double().mean()
    assert loop.error_share(network, data, data.test, device=CPU, recipe=recipe, batch=7) == wrong == 0
    assert network.training


def test_snapshots_can_be_written_whatever_the_layout_of_the_weights(small, tmp_path):
    """On a GPU convolutions have their channels last; a safetensors file holds contiguous tensors only."""
    network = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4, 3)).to(
        memory_format=torch.channels_last
    )
    assert not network[0].weight.is_contiguous()
    images = torch.randn(20, 2, 3, 3, generator=torch.Generator().manual_seed(0))
    split = small.Split(images, torch.arange(20) % 3)
    data = small.Dataset(split, split, input_shape=(2, 3, 3))
    trained = loop.train(network, data, PLAIN, seed=0, device=CPU, state=tmp_path, every_seconds=0.0)
    assert all(tensor.is_contiguous() for tensor in trained.snapshots[3].values())
    assert torch.equal(trained.snapshots[3]["0.weight"], network[0].weight)


@pytest.mark.parametrize("samples", [96, 100])  # 100: the last batch is smaller, and so is its last part
def test_micro_batches_give_the_gradient_of_the_whole_batch(small, samples):
    weights, histories = [], []
    for accumulate in (1, 4):
        network = Linear(3)
        recipe = PLAIN.changed(precision="float64", label_smoothing=0.1, accumulate=accumulate)
        trained = loop.train(network, small.clouds(samples), recipe, seed=5, device=CPU)
        weights.append(small.flat(network))
        histories.append([(line.loss, line.train_error, line.test_error) for line in trained.history])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-12, atol=1e-12)
    for whole, parts in zip(*histories, strict=True):
        assert parts == pytest.approx(whole, rel=1e-6)


def test_batch_norm_sees_micro_batches(small):
    class Watching(Linear):
        def __init__(self) -> None:
            super().__init__(3)
            self.norm, self.sizes = nn.BatchNorm1d(6), []

        def forward(self, x):
            if self.training:
                self.sizes.append(len(x))
            return super().forward(self.norm(x))

    network = Watching()
    loop.train(network, small.clouds(42), PLAIN.changed(epochs=1, accumulate=2), seed=5, device=CPU)
    assert network.sizes == [8] * 5 + [2]
    assert network.norm.num_batches_tracked == 6


def test_a_batch_is_a_whole_number_of_micro_batches():
    with pytest.raises(ValueError, match="a batch of 16 has no 3 equal micro-batches"):
        PLAIN.changed(accumulate=3)


def test_resized_crops_come_from_whole_images_and_tests_from_their_view():
    """The corner of every image is its brightest pixel, and outside the view."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (24, 1, 12, 12), dtype=np.uint8)
    images[:, :, 0, 0] = 255
    part = Split.of_arrays(images, np.arange(24) % 3)
    data = Dataset.of_images("photographs", part, part, classes=("a", "b", "c"), view=8)

    class Watching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.readout, self.seen = nn.Linear(64, 3), {True: [], False: []}

        def forward(self, x):
            self.seen[self.training].append(x)
            return self.readout(x.flatten(1))

    network = Watching()
    recipe = PLAIN.changed(epochs=4, augmentation={"resized_crop": 8})
    loop.train(network, data, recipe, seed=0, device=CPU)
    trained, tested = (torch.cat(network.seen[mode]) for mode in (True, False))
    assert trained.shape[1:] == tested.shape[1:] == data.input_shape == (1, 8, 8)
    centre = data.prepare(torch.from_numpy(images[:, :, 2:10, 2:10].copy()))
    assert torch.equal(tested[:24], centre)
    assert trained.max() > 1.2 * tested.max()
    assert not torch.equal(trained[:24], trained[24:48])


def test_large_images_are_evaluated_in_smaller_batches(small, monkeypatch):
    data, seen = recording(small, small.clouds(4, 30))
    monkeypatch.setattr(loop, "_EVALUATED_AT_ONCE", 6 * 8)
    share = loop.error_share(Linear(3), data, data.test, device=CPU, recipe=PLAIN)
    assert [len(batch) for batch in seen] == [8, 8, 8, 6]
    assert share == (data.test.labels != 0).double().mean()
