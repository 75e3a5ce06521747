"""Outputs of several layers in one pass, of any shape."""

import numpy as np
import pytest
import torch
from torch import nn

from netprops.errors import MeasurementError, UsageError
from netprops.observing import observe


class Twice(nn.Module):
    """Runs one layer two times."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 3)

    def forward(self, inputs):
        return self.layer(self.layer(inputs))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3))


def test_every_layer_is_what_the_network_computes_of_any_shape_and_in_any_batches(network):
    inputs = torch.randn(5, 1, 4, 4)
    found = observe(network, inputs, ["0", "2"], batch=2)
    maps = network[0](inputs)
    np.testing.assert_allclose(found["0"], maps.detach(), rtol=1e-6)
    np.testing.assert_allclose(found["2"], maps.relu().flatten(1).detach(), rtol=1e-6)
    np.testing.assert_allclose(found[""], network(inputs).detach(), rtol=1e-6)


def test_what_an_activation_in_place_does_later_does_not_reach_the_layer_before_it(network):
    assert (observe(network, torch.randn(5, 1, 4, 4), ["0"])["0"] < 0).any()


def test_modes_and_hooks_are_as_before(network):
    network.train()
    network[1].eval()
    observe(network, torch.randn(2, 1, 4, 4), ["0"])
    assert network.training
    assert not network[1].training
    assert not network[0]._forward_hooks


def test_samples_are_prepared(network):
    inputs = torch.randint(0, 255, (3, 1, 4, 4), dtype=torch.uint8)
    found = observe(network, inputs, [], prepare=lambda images: images.float() / 255)
    np.testing.assert_allclose(found[""], network(inputs.float() / 255).detach(), rtol=1e-6)


def test_what_cannot_be_observed_is_refused(network):
    inputs = torch.randn(2, 1, 4, 4)
    with pytest.raises(UsageError, match="has no layer '7'"):
        observe(network, inputs, ["7"])
    with pytest.raises(MeasurementError, match="no samples"):
        observe(network, inputs[:0], ["0"])
    with pytest.raises(UsageError, match="ran 2 times in 1 passes"):
        observe(Twice(), torch.randn(2, 3), ["layer"])
    with pytest.raises(UsageError, match="gives 1 rows for 2 samples"):
        observe(
            nn.Sequential(nn.Flatten(0, 1), nn.Flatten(0), nn.Unflatten(0, (1, 6))), torch.randn(2, 3), ["2"]
        )
    with pytest.raises(UsageError, match="gives a tuple"):
        observe(nn.LSTM(3, 2), torch.randn(2, 3), [])
    with torch.no_grad():
        network[3].bias[0] = torch.nan
    with pytest.raises(MeasurementError, match="not a finite number"):
        observe(network, inputs, ["0"])
