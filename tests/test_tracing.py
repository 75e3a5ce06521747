"""The last hidden representation of a network is found, or the user is told how to name it."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from netprops.activations import capture
from netprops.errors import UsageError
from netprops.tracing import ending, listing, steps


class Net(nn.Module):
    """A convolution, a mean over pixels, two linear layers; ``end`` is what is done to them."""

    def __init__(self, end=lambda net, x: net.fc(x), bias=True):
        super().__init__()
        torch.manual_seed(1)
        self.conv = nn.Conv2d(3, 8, 3)
        self.act = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(8, 5, bias=bias)
        self.end = end

    def forward(self, x):
        return self.end(self, self.pool(self.act(self.conv(x))).flatten(1))


IMAGES = torch.randn(12, 3, 6, 6, generator=torch.Generator().manual_seed(0))


def found(network, layer=None, readout=None, inputs=IMAGES):
    return ending(network, steps(network, inputs), layer, readout)


def check(network, at, inputs=IMAGES):
    """The captured features through the readout are the network's logits."""
    features = torch.from_numpy(capture(network, inputs, at.features_layer))
    readout = network.get_submodule(at.readout_layer)
    assert features.shape == (len(inputs), at.width)
    expected = network.eval()(inputs)
    made = functional.linear(features, readout.weight, readout.bias)
    assert torch.allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("end", "layer"),
    [
        (lambda net, x: net.fc(x), "fc.features"),
        (lambda net, x: net.fc(net.drop(x)), "fc.features"),
        (lambda net, x: net.fc(net.norm(x)), "norm"),
        (lambda net, x: net.fc(functional.relu(net.norm(x))), "fc.features"),
        (lambda net, x: net.fc(functional.relu_(net.norm(x))), "fc.features"),
    ],
)
def test_the_input_of_the_last_linear_is_the_representation(end, layer):
    network = Net(end)
    at = found(network)
    assert (at.readout_layer, at.width, at.outputs) == ("fc", 8, 5)
    if "drop" not in layer:
        check(network, at)
    assert at.features_layer in (layer, "drop")
    names = set(Net().state_dict())
    assert set(network.state_dict()) == names


def test_a_sequential_network_and_one_output():
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))
    inputs = torch.randn(5, 4)
    at = found(network, inputs=inputs)
    assert (at.features_layer, at.readout_layer, at.outputs) == ("1", "2", 1)
    check(network, at, inputs)


def test_a_network_that_is_one_linear():
    network = nn.Linear(4, 3)
    at = found(network, inputs=torch.randn(5, 4))
    assert (at.features_layer, at.readout_layer) == ("features", "")
    check(network, at, torch.randn(5, 4))


def test_a_softmax_behind_the_readout_is_left_out_aloud():
    at = found(Net(lambda net, x: functional.log_softmax(net.fc(x), 1)))
    assert at.notes == ("logits are those before the network's log_softmax",)


def test_finding_twice_changes_nothing_more():
    network = Net()
    assert found(network) == found(network)
    assert len(network.fc._forward_pre_hooks) == 1


def test_a_layer_may_be_named_with_dimensions_of_one():
    assert found(Net(), "pool", "fc").features_layer == "fc.features"


@pytest.mark.parametrize(
    ("end", "layer", "readout", "message"),
    [
        (
            lambda net, x: net.fc(x) * 2,
            None,
            None,
            r"does not end in one Linear: .*\(it has fc\); `netprops layers`",
        ),
        (lambda net, x: (net.fc(x), x), None, None, "returns a tuple, expected one tensor of logits"),
        (lambda net, x: x, None, None, r"name the last one with --netprops-readout \(it has none\)"),
        (lambda net, x: net.fc(x), None, "fcc", r"no readout 'fcc'; did you mean 'fc'\?"),
        (lambda net, x: net.fc(x), None, "conv", "'conv' cannot be the readout: it is a Conv2d"),
        (
            lambda net, x: net.fc(x) + net.fc(x),
            None,
            "fc",
            "'fc' cannot be the readout: it ran 2 times in one pass",
        ),
        (lambda net, x: net.fc(x), "pol", "fc", "the network has no layer 'pol'; near to it are 'pool'"),
        (lambda net, x: net.fc(net.norm(x)), "pool", "fc", "'fc' does not read the output of 'pool'"),
        (lambda net, x: net.fc(x), "norm", "fc", "'norm' gives nothing, for it does not run"),
    ],
)
def test_what_cannot_be_found_or_named(end, layer, readout, message):
    with pytest.raises(UsageError, match=message):
        found(Net(end), layer, readout)


def test_a_named_readout_of_a_network_with_two_heads():
    at = found(Net(lambda net, x: {"logits": net.fc(x), "features": x}), None, "fc")
    assert (at.readout_layer, at.width) == ("fc", 8)


def test_channels_last_and_other_shapes_are_told():
    with pytest.raises(
        UsageError, match=r"\(N, 6, 6, 3\), with channels last; the network wants \(N, 3, 6, 6\)"
    ):
        found(Net(), inputs=IMAGES.permute(0, 2, 3, 1))
    with pytest.raises(
        UsageError, match=r"cannot be run on inputs of shape \(8, 7\) \(float32\): RuntimeError"
    ):
        found(nn.Linear(4, 3), inputs=torch.zeros(9, 7))


def test_the_listing_says_what_can_be_named():
    rows = {row[0]: row[1:] for row in listing(steps(Net(), IMAGES))}
    assert rows["conv"] == ("Conv2d", "(8, 8, 4, 4)", "")
    assert rows["pool"] == ("AdaptiveAvgPool2d", "(8, 8, 1, 1)", "layer")
    assert rows["fc"] == ("Linear", "(8, 5)", "readout")
    assert "norm" not in rows


def test_the_mode_of_every_module_is_as_before():
    network = Net().train()
    steps(network, IMAGES)
    assert network.training
    assert network.drop.training
