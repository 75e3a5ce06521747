import numpy as np
import pytest
import torch
from torch import nn

from netprops.activations import capture
from netprops.errors import MeasurementError, UsageError
from netprops.models import build


def network(inplace=False):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(4, 6),
        nn.BatchNorm1d(6),
        nn.Linear(6, 5),
        nn.ReLU(inplace=inplace),
        nn.Dropout(0.5),
        nn.Linear(5, 2),
    )


def samples(n=23):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("batch", [1, 7, 23, 100])
def test_features_are_those_of_a_plain_forward_pass_in_eval_mode(batch):
    net = network()
    captured = capture(net, samples(), "3", batch=batch)
    with torch.no_grad():
        expected = net.eval()[:4](samples())
    assert captured.dtype == np.float32
    np.testing.assert_allclose(captured, expected.numpy(), rtol=1e-5, atol=1e-6)


def test_a_relu_in_place_behind_the_layer_does_not_change_it():
    captured = capture(network(inplace=True), samples(), "2")
    assert (captured < 0).any()
    np.testing.assert_array_equal(captured, capture(network(), samples(), "2"))


def test_the_root_gives_the_outputs_and_prepare_is_applied():
    net = network()
    doubled = capture(net, samples(), "", prepare=lambda x: 2 * x)
    np.testing.assert_array_equal(doubled, capture(net, 2 * samples(), ""))


def test_modes_and_hooks_and_weights_are_as_before_also_after_an_error():
    net = network()
    net[4].eval()
    modes = [m.training for m in net.modules()]
    state = {key: value.clone() for key, value in net.state_dict().items()}
    capture(net, samples(), "3")
    with pytest.raises(MeasurementError):
        capture(net, samples() * torch.nan, "3")
    assert [m.training for m in net.modules()] == modes
    assert not any(m._forward_hooks for m in net.modules())
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())


def test_features_go_into_a_memmap(tmp_path):
    out = np.lib.format.open_memmap(tmp_path / "f.npy", mode="w+", dtype=np.float32, shape=(23, 5))
    assert capture(network(), samples(), "3", batch=4, out=out) is out
    out.flush()
    np.testing.assert_array_equal(np.load(tmp_path / "f.npy"), capture(network(), samples(), "3", batch=4))


def test_networks_in_float64_are_given_float64():
    captured = capture(network().double(), samples(), "3")
    np.testing.assert_allclose(captured, capture(network(), samples(), "3"), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "inputs"), [("fc5", (10,)), ("wrn28", (1, 8, 8))])
def test_the_layer_that_an_architecture_names_has_its_width(name, inputs):
    net = build(name, width=1, inputs=inputs, outputs=2)
    assert capture(net, torch.randn(3, *inputs), net.features_layer).shape == (3, net.feature_width)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_the_first_sample_that_is_not_finite_is_named(bad):
    inputs = samples()
    inputs[[9, 17], 2] = bad
    with pytest.raises(MeasurementError, match=r"layer '2': unit 0 is (nan|-?inf) for sample 9, expected"):
        capture(network(), inputs, "2", batch=4)


def test_an_overflow_of_float32_is_not_passed_off_as_a_feature():
    with pytest.raises(MeasurementError, match=r"unit 0 is -?inf for sample 0"):
        capture(network().double(), samples().double() * 1e60, "2")


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.shared, self.unused = nn.Linear(4, 4), nn.Linear(4, 4)
        self.pair, self.image = Pair(), nn.Conv1d(1, 2, 1)

    def forward(self, x):
        self.image(x[:, None])
        return self.pair(self.shared(self.shared(x)))[0]


class Pair(nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        ("shard", "no layer 'shard'; near to it are 'shared'"),
        ("zzz", "no layer 'zzz'; near to it are .*'pair'"),
        ("shared", "layer 'shared' ran 2 times in one pass, expected once"),
        ("unused", "layer 'unused' ran 0 times in one pass"),
        ("pair", "layer 'pair' gives a tuple, expected one tensor"),
        ("image", r"layer 'image' gives shape \(23, 2, 4\) for 23 samples, expected \(23, W\)"),
    ],
)
def test_layers_that_do_not_give_one_vector_are_refused(layer, words):
    with pytest.raises(UsageError, match=words):
        capture(Odd(), samples(), layer)


def test_no_samples_and_a_wrong_place_to_write_are_refused():
    with pytest.raises(MeasurementError, match="layer '3': there are no samples"):
        capture(network(), samples(0), "3")
    wrong = np.empty((23, 9), dtype=np.float32)
    with pytest.raises(UsageError, match=r"out is float32 of shape \(23, 9\), expected .* \(23, 5\)"):
        capture(network(), samples(), "3", out=wrong)
