import numpy as np
import pytest
import torch
from torch.nn.functional import conv2d, local_response_norm, max_pool2d, relu

from netprops.models import build
from netprops.models.alexnetsmall import LocalNorm


def parameters(factor, inputs, outputs, channels=(96, 256), units=(384, 192)):
    first, second, third, last = (int(n * factor) for n in (*channels, *units))
    side = inputs[1] // 4
    count = 25 * inputs[0] * first + first + 25 * first * second + second
    return count + second * side**2 * third + third + third * last + last + last * outputs + outputs


@pytest.mark.parametrize("inputs", [(3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 2, 4])
def test_parameters_and_width_at_every_factor(factor, inputs):
    with torch.device("meta"):
        network = build("alexnetsmall", width=factor, inputs=inputs, outputs=10)
        assert network(torch.empty(2, *inputs)).shape == (2, 10)
    assert network.feature_width == 192 * factor
    assert sum(p.numel() for p in network.parameters()) == parameters(factor, inputs, 10)


def test_with_64_channels_it_is_the_network_of_zhang_et_al():
    with torch.device("meta"):
        network = build("alexnetsmall", width=1, inputs=(3, 28, 28), outputs=10, channels=(64, 64))
    assert sum(p.numel() for p in network.parameters()) == 1_387_786  # their table 1


def test_local_norm_is_the_sum_over_neighbours_written_out():
    images = np.random.default_rng(0).normal(scale=100, size=(2, 7, 3, 4))
    expected = np.empty_like(images)
    for c in range(7):
        neighbours = images[:, max(0, c - 2) : c + 3]
        expected[:, c] = images[:, c] / (1 + 2e-5 * (neighbours**2).sum(axis=1)) ** 0.75
    found = LocalNorm()(torch.from_numpy(images))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-12)
    theirs = local_response_norm(torch.from_numpy(images), 5, alpha=5 * 2e-5, beta=0.75, k=1.0)
    torch.testing.assert_close(found, theirs)


def test_local_norm_takes_any_layout():
    images = torch.randn(2, 6, 3, 4)
    last = images.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(LocalNorm()(last), LocalNorm()(images))


@pytest.mark.parametrize("inputs", [(1, 8, 8), (3, 11, 10)])
def test_outputs_are_those_of_its_weights_applied_by_hand(inputs):
    """A pool's windows start at every second pixel; what lies beyond the border does not count."""
    torch.manual_seed(0)
    network = build("alexnetsmall", width=1 / 8, inputs=inputs, outputs=5).eval()
    w, x = network.state_dict(), torch.randn(3, *inputs)
    images = x
    for stage in (1, 2):
        x = relu(conv2d(x, w[f"hidden.conv{stage}.weight"], w[f"hidden.conv{stage}.bias"], padding=2))
        h, b = x.shape[2:]
        padded = torch.full((*x.shape[:2], h + 2, b + 2), -torch.inf)
        padded[:, :, :h, :b] = x
        x = max_pool2d(padded, 3, stride=2)[:, :, : h // 2, : b // 2]
        x = local_response_norm(x, 5, alpha=1e-4, beta=0.75, k=1.0)
    x = x.flatten(1)
    for layer in ("dense3", "dense4"):
        x = relu(x @ w[f"hidden.{layer}.weight"].T + w[f"hidden.{layer}.bias"])
    torch.testing.assert_close(network(images), x @ w["readout.weight"].T + w["readout.bias"])


def test_biases_start_where_the_source_has_them():
    network = build("alexnetsmall", width=1 / 8, inputs=(1, 8, 8), outputs=5, init="he-uniform")
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    for bias, value in zip(biases, (0.0, 0.1, 0.1, 0.1, 0.0), strict=True):
        assert torch.equal(bias, torch.full_like(bias, value))


def test_dropout_is_behind_both_dense_layers():
    torch.manual_seed(0)
    network = build("alexnetsmall", width=1, inputs=(1, 8, 8), outputs=5, dropout=0.5)
    seen = {}
    for path in ("hidden.dropout3", "dropout4"):
        network.get_submodule(path).register_forward_hook(lambda m, i, o, path=path: seen.update({path: o}))
    network(torch.randn(20, 1, 8, 8))
    assert {path: tuple(o.shape) for path, o in seen.items()} == {
        "hidden.dropout3": (20, 384),
        "dropout4": (20, 192),
    }
    network.eval()
    images = torch.randn(2, 1, 8, 8)
    assert torch.equal(network(images), network(images))
