import pytest
import torch

from netprops.models import build


@pytest.mark.parametrize("width", [1, 16, 512])
def test_parameters_are_those_of_four_hidden_layers(width):
    network = build("fc5", width=width, inputs=(10,), outputs=1)
    expected = 11 * width + 3 * (width * width + width) + width + 1
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network.feature_width == width


def test_outputs_are_those_of_its_weights_applied_by_hand():
    network = build("fc5", width=7, inputs=(3,), outputs=2)
    weights = network.state_dict()
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    hidden = x
    for layer in range(1, 5):
        linear = hidden @ weights[f"hidden.linear{layer}.weight"].T + weights[f"hidden.linear{layer}.bias"]
        hidden = linear.clamp(min=0)
    expected = hidden @ weights["readout.weight"].T + weights["readout.bias"]
    torch.testing.assert_close(network(x), expected)


def test_images_are_read_as_vectors():
    network = build("fc5", width=4, inputs=(1, 8, 8), outputs=10)
    assert network(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
