import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm

from netprops.models import build
from netprops.models.transformer import positions


def samples(lengths, length, size, seed=0):
    """Random states, zero from each sample's length on."""
    states = torch.randn(len(lengths), length, size, generator=torch.Generator().manual_seed(seed))
    for states_of_one, there in zip(states, lengths, strict=True):
        states_of_one[there:] = 0
    return states


def parameters(a, size, outputs):
    h, m = int(128 * a), int(1024 * a)
    return size * h + 4 * (4 * h * h + 2 * h * m + 2 * h) + h + h * outputs + outputs


@pytest.mark.parametrize("a", [1, 1 / 2, 1 / 4, 1 / 8])
@pytest.mark.parametrize("size", [128, 768])
def test_parameters_and_last_width_at_every_factor(a, size):
    with torch.device("meta"):
        network = build("transformer", width=a, inputs=(64, size), outputs=3)
        assert network(torch.empty(2, 64, size)).shape == (2, 3)
    assert network.feature_width == 128 * a
    assert sum(p.numel() for p in network.parameters()) == parameters(a, size, 3)


def reference(network, states, heads, causal):
    """One sample at a time, without padding, head by head, from the definition."""
    w = network.state_dict()
    found = []
    for sample in states:
        there = max(1, int((sample != 0).any(-1).sum()))
        x = sample[:there] @ w["project.weight"].T
        units = x.shape[1]
        for place in range(there):
            for i in range(0, units, 2):
                angle = place / 10_000 ** (i / units)
                x[place, i] += math.sin(angle)
                x[place, i + 1] += math.cos(angle)
        for layer in range(len(network.layers)):
            name = f"layers.{layer}"
            query, key, value = (
                layer_norm(x, (units,), w[f"{name}.norm1.weight"]) @ w[f"{name}.attend.weight"].T
            ).split(units, dim=1)
            merged = []
            for head in range(heads):
                rows = slice(head * units // heads, (head + 1) * units // heads)
                scores = query[:, rows] @ key[:, rows].T / math.sqrt(units / heads)
                if causal:
                    scores = scores + torch.full((there, there), -math.inf).triu(1)
                merged.append(torch.softmax(scores, dim=1) @ value[:, rows])
            x = x + torch.cat(merged, dim=1) @ w[f"{name}.merge.weight"].T
            inner = gelu(layer_norm(x, (units,), w[f"{name}.norm2.weight"]) @ w[f"{name}.expand.weight"].T)
            x = x + inner @ w[f"{name}.contract.weight"].T
        found.append(layer_norm(x, (units,), w["norm.weight"]).mean(0))
    features = torch.stack(found)
    return features, features @ w["readout.weight"].T + w["readout.bias"]


@pytest.mark.parametrize("causal", [False, True])
def test_outputs_are_those_of_the_definition_whatever_the_padding(causal):
    torch.manual_seed(0)
    network = build("transformer", width=1 / 4, inputs=(7, 10), outputs=3, depth=2, heads=2, causal=causal)
    states = samples((7, 4, 1), 7, 10)
    seen = []
    network.pool.register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        features, outputs = reference(network, states, heads=2, causal=causal)
        torch.testing.assert_close(network(states), outputs)
    torch.testing.assert_close(seen[0], features)


def test_more_padding_changes_nothing_and_a_sample_of_padding_has_outputs():
    torch.manual_seed(0)
    network = build("transformer", width=1 / 8, inputs=(9, 6), outputs=2).eval()
    states = samples((5, 2, 0), 9, 6)
    with torch.no_grad():
        torch.testing.assert_close(network(states[:, :5]), network(states))
        assert network(states).isfinite().all()


def test_the_order_of_the_tokens_matters_and_causal_networks_do_not_look_ahead():
    torch.manual_seed(0)
    states = samples((6, 6), 6, 8)
    turned = states.flip(1)
    changed = states.clone()
    changed[:, -1] += 1
    for causal in (False, True):
        network = build("transformer", width=1 / 8, inputs=(6, 8), outputs=2, causal=causal)
        stream = []
        network.norm.register_forward_hook(lambda m, i, o, stream=stream: stream.append(o))
        with torch.no_grad():
            plain, other = network(states), network(turned)
            network(changed)
        assert (plain - other).abs().min() > 1e-4
        assert torch.allclose(stream[0][:, :-1], stream[2][:, :-1], atol=1e-6) == causal


def test_positions_of_an_odd_number_of_units_are_those_of_the_formula():
    place, unit = np.arange(5)[:, None], np.arange(7)
    angles = place / 10_000 ** ((unit - unit % 2) / 7)
    expected = np.where(unit % 2, np.cos(angles), np.sin(angles))
    np.testing.assert_allclose(positions(5, 7).numpy(), expected, atol=1e-6)


def test_initialisation_has_variance_one_over_the_fan_in_and_no_bias_but_the_readouts():
    torch.manual_seed(0)
    network = build("transformer", width=1, inputs=(8, 100), outputs=50)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            expected, count = module.in_features**-0.5, module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name
    assert [name for name, _ in network.named_parameters() if name.endswith("bias")] == ["readout.bias"]
    assert not network.readout.bias.any()
