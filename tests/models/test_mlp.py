import math

import pytest
import torch
from torch.nn.functional import gelu

from netprops.errors import UsageError
from netprops.models import build

DEFINITIONS = {"relu": torch.relu, "tanh": torch.tanh, "erf": torch.erf, "gelu": gelu}


@pytest.mark.parametrize(("depth", "bias"), [(2, False), (3, False), (5, True)])
def test_parameters_and_layers_of_every_depth(depth, bias):
    network = build("mlp", width=32, inputs=(10,), outputs=3, depth=depth, bias=bias)
    hidden = 32 * 10 + (depth - 2) * 32 * 32 + bias * (depth - 1) * 32
    assert sum(p.numel() for p in network.parameters()) == hidden + 32 * 3 + bias * 3
    assert network.feature_width == 32
    layers = [name for name, _ in network.hidden.named_children()]
    assert layers == [name for i in range(1, depth) for name in (f"linear{i}", f"relu{i}")]


@pytest.mark.parametrize("activation", DEFINITIONS)
def test_outputs_are_those_of_the_definition(activation):
    torch.manual_seed(0)
    network = build("mlp", width=128, inputs=(1, 3, 4), outputs=2, activation=activation, bias=True)
    for bias in (network.hidden.linear1.bias, network.readout.bias):
        torch.nn.init.normal_(bias)
    w, x = network.state_dict(), torch.randn(5, 1, 3, 4)
    hidden = x.flatten(1)
    for layer in ("hidden.linear1", "hidden.linear2"):
        hidden = DEFINITIONS[activation](hidden @ w[f"{layer}.weight"].T + w[f"{layer}.bias"])
    expected = hidden @ w["readout.weight"].T / 2 + w["readout.bias"]  # the base is 64
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(("activation", "gain"), [("relu", 2), ("tanh", 1)])
def test_hidden_weights_have_the_variance_of_their_activation_and_biases_are_zero(activation, gain):
    torch.manual_seed(0)
    network = build("mlp", width=256, inputs=(50,), outputs=2, activation=activation, bias=True)
    for layer in (network.hidden.linear1, network.hidden.linear2):
        deviation = math.sqrt(gain / layer.in_features)
        assert layer.weight.std().item() == pytest.approx(
            deviation, rel=5 / math.sqrt(2 * layer.weight.numel())
        )
        assert not layer.bias.any()


def test_outputs_of_a_single_number_keep_their_axis():
    assert build("mlp", width=4, inputs=(3,), outputs=1)(torch.zeros(2, 3)).shape == (2, 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth": 1}, "mlp: a depth of 1 layers, expected a hidden layer and the readout at least"),
        ({"activation": "sine"}, "activation is 'sine', expected one of 'relu', 'tanh', 'erf', 'gelu'"),
        ({"width": 0.5}, "the width is 0.5 units, expected a whole number of at least 1"),
    ],
)
def test_what_cannot_be_built_is_said(changes, words):
    with pytest.raises(UsageError, match=words):
        build("mlp", **{"width": 8, "inputs": (3,), "outputs": 1, **changes})
