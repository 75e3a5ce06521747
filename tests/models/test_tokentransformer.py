import math

import pytest
import torch
from torch import nn
from torch.nn.functional import gelu, layer_norm

from netprops.errors import UsageError
from netprops.models import build
from netprops.models.transformer import positions as sinusoidal


def tokens(n, length, vocabulary, seed=0):
    return torch.randint(0, vocabulary, (n, length), generator=torch.Generator().manual_seed(seed)).float()


def made(seed=0, **changes):
    torch.manual_seed(seed)
    arguments = {"width": 16, "base": 8, "inputs": (7,), "outputs": 11, "heads": 2, **changes}
    return build("tokentransformer", **arguments)


@pytest.mark.parametrize(("width", "positions"), [(256, "learned"), (4096, "learned"), (512, "sinusoidal")])
def test_parameters_and_shapes_at_the_widths_of_the_paper(width, positions):
    with torch.device("meta"):
        network = build(
            "tokentransformer",
            width=width,
            inputs=(64,),
            outputs=1000,
            depth=4,
            positions=positions,
            base=128,
        )
        assert network(torch.empty(1, 64)).shape == (1, 64, 1000)
    layer = (3 + 1 + 2 * 4) * width * width + 2 * width
    places = 64 * width if positions == "learned" else 0
    expected = 1000 * width + places + 4 * layer + width + 1000 * width + 1000
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network.feature_width == width


def reference(network, samples, heads, causal, scale):
    """One sample at a time, head by head, from the definition: the stream after the norm, and the weights."""
    w = network.state_dict()
    streams, matrices = [], []
    for sample in samples.long():
        places = w.get("positions", sinusoidal(len(sample), network.feature_width))
        x = w["embedding.weight"][sample] + places[: len(sample)]
        (t, units), found = x.shape, []
        for layer in range(len(network.layers)):
            name = f"layers.{layer}"
            query, key, value = (
                layer_norm(x, (units,), w[f"{name}.norm1.weight"]) @ w[f"{name}.attend.weight"].T
            ).split(units, dim=1)
            merged = []
            for head in range(heads):
                rows = slice(head * units // heads, (head + 1) * units // heads)
                scores = scale * query[:, rows] @ key[:, rows].T
                scores = scores + torch.full((t, t), -math.inf).triu(1) if causal else scores
                found.append(torch.softmax(scores, dim=1))
                merged.append(found[-1] @ value[:, rows])
            x = x + torch.cat(merged, dim=1) @ w[f"{name}.merge.weight"].T
            inner = gelu(layer_norm(x, (units,), w[f"{name}.norm2.weight"]) @ w[f"{name}.expand.weight"].T)
            x = x + inner @ w[f"{name}.contract.weight"].T
        streams.append(layer_norm(x, (units,), w["norm.weight"]))
        matrices.append(torch.stack(found).reshape(-1, heads, t, t))
    return torch.stack(streams), torch.stack(matrices, dim=1)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
@pytest.mark.parametrize(
    ("parameterization", "scale", "divided"),
    [("mup", math.sqrt(4) / 8, 2), ("standard", 8**-0.5, 1), ("ntk", 8**-0.5, 1)],
)
def test_outputs_features_and_attention_are_those_of_the_definition(
    causal, positions, parameterization, scale, divided
):
    network = made(depth=2, causal=causal, positions=positions, parameterization=parameterization)
    samples, seen = tokens(3, 7, 11), {}
    for layer in ("layers.0.attention", "layers.1.attention", "last"):
        network.get_submodule(layer).register_forward_hook(
            lambda m, i, o, layer=layer: seen.__setitem__(layer, o)
        )
    with torch.no_grad():
        stream, matrices = reference(network, samples, heads=2, causal=causal, scale=scale)
        weights = network.state_dict()
        expected = stream @ weights["readout.weight"].T / divided + weights["readout.bias"]
        torch.testing.assert_close(network(samples), expected)
    torch.testing.assert_close(seen["last"], stream[:, -1])
    for layer, expected in enumerate(matrices):
        torch.testing.assert_close(seen[f"layers.{layer}.attention"], expected)


def test_attention_is_scaled_by_one_over_d_in_mup_and_is_the_usual_at_the_base():
    scales = {w: made(width=w).layers[0].attention.scale for w in (8, 16, 64)}
    assert scales == pytest.approx({8: 4**-0.5, 16: 4**-0.5 / 2, 64: 4**-0.5 / 8})
    assert made(width=64, parameterization="standard").layers[0].attention.scale == 32**-0.5


def test_attention_is_even_where_queries_start_at_zero_and_the_network_learns_to_attend():
    network, samples, seen = made(query_zero_init=True, causal=False), tokens(2, 7, 11), []
    network.layers[1].attention.register_forward_hook(lambda m, i, o: seen.append(o))
    torch.autograd.backward(network(samples).square().sum())
    assert torch.equal(seen[0], torch.full((2, 2, 7, 7), 1 / 7))
    query, key, value = network.layers[1].attend.weight.chunk(3)
    assert not query.any()
    assert key.any()
    assert value.any()
    assert network.layers[1].attend.weight.grad[:16].any()


def test_causal_networks_do_not_look_ahead_and_others_do():
    samples = tokens(2, 7, 11)
    changed = samples.clone()
    changed[:, -1] = (changed[:, -1] + 1) % 11
    for causal in (True, False):
        network = made(causal=causal)
        with torch.no_grad():
            before, after = network(samples), network(changed)
        assert torch.equal(before[:, :-1], after[:, :-1]) == causal
        assert not torch.equal(before[:, -1], after[:, -1])


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_the_order_of_tokens_matters_and_samples_may_be_shorter(positions):
    network, samples = made(causal=False, positions=positions), tokens(2, 5, 11)
    with torch.no_grad():
        assert network(samples).shape == (2, 5, 11)
        assert (network(samples) - network(samples.flip(1)).flip(1)).abs().max() > 1e-3


@pytest.mark.parametrize("positions", ["learned", "sinusoidal"])
def test_the_stream_starts_with_a_mean_square_of_one_and_layers_with_variance_one_over_the_fan_in(positions):
    network = made(width=256, base=256, outputs=64, inputs=(50,), positions=positions)
    seen = []
    network.layers[0].register_forward_pre_hook(lambda m, i: seen.append(i[0]))
    network(tokens(20, 50, 64))
    assert seen[0].square().mean().item() == pytest.approx(1, abs=0.05)
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            expected, count = module.in_features**-0.5, module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name


def test_gradients_reach_every_parameter():
    network = made(depth=2)
    torch.autograd.backward(network(tokens(8, 7, 11)).square().sum())
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 9}, "tokentransformer: the width is 9 units, expected a multiple of its 2 heads"),
        ({"width": 1}, "the width is 1 units, expected a multiple of its 2 heads"),
        ({"inputs": (7, 3)}, r"samples of shape \(7, 3\), expected tokens \(T,\)"),
        ({"depth": 0}, "0 layers of 2 heads and a ratio of 4, expected at least one of each"),
        ({"ratio": 0}, "a ratio of 0"),
        ({"positions": "none"}, "positions are 'none', expected 'learned' or 'sinusoidal'"),
        ({"parameterization": "x"}, "parameterization is 'x', expected one of"),
    ],
)
def test_what_cannot_be_built_is_said(changes, words):
    with pytest.raises(UsageError, match=words):
        made(**changes)
