"""The learner of the signal toy: its formula, how rarely a neuron is active at first, bad input."""

import pytest
import torch

from netprops import models
from netprops.errors import UsageError


def build(width=50, inputs=(8, 32), **kwargs):
    return models.build("signals", width=width, inputs=inputs, outputs=1, **kwargs)


def test_the_output_is_that_of_the_layers_over_the_sum_of_patches():
    network, x = build(), torch.randn(4, 8, 32)
    seen = sum(torch.relu(x[:, p] @ network.first.T - 0.19) for p in range(8))
    torch.testing.assert_close(network(x), network.readout(network.body(seen)))
    assert network.feature_width == 64


def test_neurons_are_rarely_active_for_a_direction_at_first():
    torch.manual_seed(0)
    network = build(width=20_000, rarity=2.0, deviation=0.3)
    share = (network.first[:, 0].abs() > network.threshold).float().mean().item()
    assert share == pytest.approx(0.0455, abs=0.005)


def test_the_order_of_patches_does_not_matter():
    network, x = build(), torch.randn(3, 8, 32)
    torch.testing.assert_close(network(x), network(x[:, torch.randperm(8)]))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [({"width": 0.5}, "whole number"), ({"inputs": (32,)}, r"expected \(patches, dimensions\)")],
)
def test_bad_input_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        build(**arguments)
