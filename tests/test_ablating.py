import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from netprops.ablating import ablate, activation_layers, blocked_units, layer_samples
from netprops.activations import capture
from netprops.errors import MeasurementError, UsageError
from netprops.measures.ablation import last_layer_ablation, unit_orders
from netprops.measures.units import last_layer_blocked


class Block(nn.Module):
    """Two convolutions around a shortcut; one ReLU in place serves both, as in torchvision."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        out = self.relu(self.norm1(self.conv1(x)))
        out = self.norm2(self.conv2(out))
        out += x
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(inplace=True), nn.Dropout(0.5))
        self.blocks = nn.Sequential(Block(6), Block(6))
        self.readout = nn.Linear(6, 4)

    def forward(self, x):
        return self.readout(self.blocks(self.stem(x)).mean(dim=(2, 3)))


@pytest.fixture
def residual():
    torch.manual_seed(0)
    network = Residual()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    with torch.no_grad():  # classes are balanced, so that predictions depend on the units
        network.readout.bias -= network.eval()(images()).mean(dim=0)
    return network.train()


def images(n=40, channels=2):
    return torch.randn(n, channels, 5, 5, generator=torch.Generator().manual_seed(1))


def mlp(inplace=False, outputs=3):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(inplace), nn.Linear(8, 12), nn.ReLU(inplace), nn.Dropout(),
        nn.Linear(12, outputs),
    )  # fmt: skip


def vectors(n=50):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


def by_hand(network, inputs, masks, orders, steps=7):
    """Scores with a hook of its own for every mask; ``masks`` gives (module, turn) for every layer."""
    network.eval()
    with torch.no_grad():
        intact = network(inputs.clone()).argmax(dim=1)
        scores = np.empty((len(orders[0]), steps))
        for row in range(len(orders[0])):
            for column in range(steps):
                handles = []
                for (module, turn), order in zip(masks, orders, strict=True):
                    lost = order[row, : round(column / (steps - 1) * order.shape[1])]
                    turns = iter(range(9))

                    def zero(module, arguments, output, lost=lost, turn=turn, turns=turns):
                        if next(turns) == turn:
                            output = output.clone()
                            output[:, lost.copy()] = 0
                        return output

                    handles.append(module.register_forward_hook(zero))
                scores[row, column] = (network(inputs.clone()).argmax(dim=1) == intact).double().mean()
                for handle in handles:
                    handle.remove()
    return scores


@pytest.mark.parametrize("batch", [7, 40, 500])
@pytest.mark.parametrize(
    ("layer", "path", "turn"),
    [
        ("stem.0", "stem.0", 0),
        ("stem", "stem", 0),
        ("blocks.0.relu@0", "blocks.0.relu", 0),
        ("blocks.1.relu@1", "blocks.1.relu", 1),
        ("blocks.1.norm1", "blocks.1.norm1", 0),
        ("blocks", "blocks", 0),
    ],
)
def test_a_layer_is_ablated_as_if_the_network_ran_with_zeros(residual, batch, layer, path, turn):
    curve = ablate(residual, images(), layer, rng=np.random.default_rng(3), batch=batch)
    orders = unit_orders(6, repeats=3, rng=np.random.default_rng(3))
    expected = by_hand(residual, images(), [(residual.get_submodule(path), turn)], [orders])
    np.testing.assert_allclose(curve.replicates, expected, atol=1e-12)
    assert curve.details["prefix_once"] is True
    assert (curve.details["samples"], curve.details["units"]) == (40, 6)
    assert curve.y.min() < 0.9


def test_all_layers_at_once_lose_the_same_fraction_each(residual):
    names = activation_layers(residual, images())
    assert names == ("stem.1", "blocks.0.relu@0", "blocks.0.relu@1", "blocks.1.relu@0", "blocks.1.relu@1")
    curve = ablate(residual, images(), rng=np.random.default_rng(3))
    rng = np.random.default_rng(3)
    orders = [unit_orders(6, repeats=3, rng=rng) for _ in names]
    masks = [(residual.get_submodule(name.split("@")[0]), int((name + "@0").split("@")[1])) for name in names]
    np.testing.assert_allclose(curve.replicates, by_hand(residual, images(), masks, orders), atol=1e-12)
    assert (curve.details["layers"], curve.details["units"]) == (5, 30)
    backwards = ablate(residual, images(), names[::-1], rng=np.random.default_rng(3))
    np.testing.assert_array_equal(backwards.replicates, curve.replicates)


@pytest.mark.parametrize("inplace", [False, True])
def test_the_last_layer_is_that_of_the_arrays(inplace):
    network = mlp(inplace)
    for layer in ("3", "2"):  # before the ReLU: zeros stay zeros
        curve = ablate(network, vectors(), layer, rng=np.random.default_rng(0))
        features = capture(network, vectors(), "3")
        readout = (parameter.detach().numpy() for parameter in network[5].parameters())
        expected = last_layer_ablation(features, *readout, rng=np.random.default_rng(0))
        np.testing.assert_allclose(curve.replicates, expected.replicates, atol=1e-12)


@pytest.mark.parametrize("order", ["most-similar", "least-similar", "similar-to-one"])
def test_targeted_orders_are_those_of_the_layer(order):
    network = mlp()
    curve = ablate(network, vectors(), "1", rng=np.random.default_rng(0), order=order)
    features = capture(network, vectors(), "1")
    orders = unit_orders(8, repeats=3, rng=np.random.default_rng(0), order=order, activations=features)
    np.testing.assert_allclose(curve.replicates, by_hand(network, vectors(), [(network[1], 0)], [orders]))
    assert curve.n == len(orders)


def test_sequences_have_units_in_the_last_dimension_and_a_prediction_at_every_position():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 5))
    words = vectors(60).view(12, 5, 4)
    curve = ablate(network, words, "1", rng=np.random.default_rng(0))
    flat = ablate(network, vectors(60), "1", rng=np.random.default_rng(0))
    assert curve.details["units"] == 9
    np.testing.assert_allclose(curve.replicates, flat.replicates)


def test_modes_hooks_weights_and_forwards_are_as_before_also_after_an_error(residual):
    residual.train()
    residual.blocks[0].eval()
    modes = [module.training for module in residual.modules()]
    state = {key: value.clone() for key, value in residual.state_dict().items()}
    first, second = (
        ablate(residual, images(), "blocks.0", rng=np.random.default_rng(0)).replicates for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)  # no dropout
    with pytest.raises(MeasurementError, match="an output of the intact network is not finite"):
        ablate(residual, images() * torch.nan, "blocks.0", rng=np.random.default_rng(0))
    assert [module.training for module in residual.modules()] == modes
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in residual.modules())
    assert not any("forward" in module.__dict__ for module in residual.modules())
    assert all(torch.equal(state[key], value) for key, value in residual.state_dict().items())
    assert all(parameter.grad is None for parameter in residual.parameters())


def test_blocked_units_are_those_of_the_arrays():
    network = mlp(inplace=True)
    with torch.no_grad():
        network[5].weight.mul_(torch.logspace(-4, 0.5, 12))
    readout = [parameter.detach().numpy() for parameter in network[5].parameters()]
    for count in (50, 150):
        expected = last_layer_blocked(capture(network, vectors(count), "3"), *readout)
        for batch in (9, 1000):
            found = blocked_units(network, vectors(count), "3", batch=batch)
            np.testing.assert_array_equal(found, expected)
        assert 0 < expected.sum() < 12


def test_layers_are_sampled_at_positions(residual):
    everything = layer_samples(residual, images(), "blocks.0.relu@1", rng=np.random.default_rng(0))
    assert (everything.shape, everything.dtype) == ((1000, 6), np.float32)
    with torch.no_grad():
        whole = residual.eval().blocks[0](residual.stem(images()))
    np.testing.assert_allclose(everything, whole.permute(0, 2, 3, 1).reshape(-1, 6), atol=1e-6)
    some = [
        layer_samples(residual, images(), "blocks.0", count=90, rng=np.random.default_rng(2), batch=batch)
        for batch in (7, 512)
    ]
    np.testing.assert_allclose(some[0], some[1], atol=1e-5)
    assert len(some[0]) == 90
    distance = np.abs(everything[:, None] - some[0]).max(axis=2)
    assert len(set(distance.argmin(axis=0))) == 90
    assert distance.min(axis=0).max() < 1e-5
    raw = layer_samples(residual, images(), "blocks.0.norm1", rng=np.random.default_rng(0))
    kept = layer_samples(residual, images(), "blocks.0.norm1", rng=np.random.default_rng(0), after=torch.relu)
    np.testing.assert_array_equal(kept, np.maximum(raw, 0))
    assert (raw < 0).any()


def test_prepare_is_applied_once():
    network = mlp()
    doubled, plain = (
        ablate(network, inputs, "1", rng=np.random.default_rng(0), prepare=prepare).replicates
        for inputs, prepare in ((vectors(), lambda x: 2 * x), (2 * vectors(), None))
    )
    np.testing.assert_array_equal(doubled, plain)


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.unused, self.pair = nn.Linear(4, 4), nn.Linear(4, 4), Pair()
        self.total = Total()

    def forward(self, x):
        self.total(x)
        return self.pair(functional.relu(self.shared(self.shared(x))))[0]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


class Total(nn.Module):
    def forward(self, x):
        return x.sum(dim=0)


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("shard", "no layer 'shard'; near to it are 'shared'"),
        ("shard@1", "no layer 'shard'; near to it are 'shared'"),
        ("shared", "'shared' ran 2 times in one pass; name one of its runs: 'shared@0' or 'shared@1'"),
        ("shared@2", "'shared' ran 2 times in one pass; name one of its runs"),
        ("unused", "'unused' ran 0 times in one pass; name a layer that runs once"),
        ("pair", "layer 'pair' gives a tuple, expected one tensor"),
        ("total", r"layer 'total' gives shape \(4,\) for 2 samples, expected \(2, n\)"),
    ],
)
def test_layers_that_cannot_be_ablated_are_refused(layer, words):
    for measure in (ablate, layer_samples):
        with pytest.raises(UsageError, match=words):
            measure(Odd(), vectors(), layer, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match=words):
        blocked_units(Odd(), vectors(), layer)


def test_bad_networks_and_options_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(UsageError, match=r"runs no activation module such as nn\.ReLU, and no module gives"):
        ablate(nn.Sequential(nn.Linear(4, 4)), vectors(), rng=rng)
    with pytest.raises(UsageError, match="the network gives a tuple, expected one tensor"):
        ablate(nn.Sequential(nn.Linear(4, 4), Pair()), vectors(), "0", rng=rng)
    with pytest.raises(UsageError, match=r"the network gives shape \(2, 6, 5, 5\)"):
        ablate(nn.Conv2d(2, 6, 3, padding=1), images(), "", rng=rng)
    with pytest.raises(MeasurementError, match="there are no samples to run the network on"):
        ablate(mlp(), vectors(0), "1", rng=rng)
    with pytest.raises(UsageError, match=r"different layers are expected, got \['1', '1'\]"):
        ablate(mlp(), vectors(), ["1", "1"], rng=rng)
    with pytest.raises(UsageError, match="got 1 steps"):
        ablate(mlp(), vectors(), "1", rng=rng, steps=1)
    with pytest.raises(UsageError, match="a positive count of samples is expected, got 0"):
        layer_samples(mlp(), vectors(), "1", rng=rng, count=0)


class ByFunction(nn.Module):
    """A block that ends in a ReLU that is a function, and a readout."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(Rectified(6, 8), Rectified(8, 8))
        self.readout = nn.Linear(8, 3)

    def forward(self, x):
        return self.readout(self.block(x))


class Rectified(nn.Linear):
    def forward(self, x):
        return super().forward(x).relu()


def test_blocks_that_apply_a_relu_as_a_function_are_found_by_what_they_give():
    torch.manual_seed(0)
    network = ByFunction()
    assert activation_layers(network, torch.randn(20, 6)) == ("block.0", "block.1")
