import math

import mup
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, jacrev, vmap
from torch.nn import functional

from netprops import tangents
from netprops.errors import MeasurementError, UsageError
from netprops.tangents import empirical_ntk


def plain(network, inputs, scales=None, flat=lambda outputs: outputs):
    """The (N C, N C) kernel of a Jacobian by backward passes one by one."""
    network.eval()
    parameters = dict(network.named_parameters())
    roots = [(scales or {}).get(name, 1.0) ** 0.5 for name in parameters]
    rows = []
    for sample in inputs:
        for output in flat(network(sample[None])).flatten():
            slopes = torch.autograd.grad(
                output,
                list(parameters.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            rows.append(torch.cat([one.flatten() * root for one, root in zip(slopes, roots, strict=True)]))
    jacobian = torch.stack(rows).double().numpy()
    return jacobian @ jacobian.T


def by_func(network, inputs):
    """The same by torch.func, all at once."""
    network.eval()
    parameters = {name: one.detach() for name, one in network.named_parameters()}
    jacobian = vmap(
        jacrev(lambda values, sample: functional_call(network, values, (sample[None],))[0]), in_dims=(None, 0)
    )(parameters, inputs)
    rows = torch.cat([one.flatten(2) for one in jacobian.values()], dim=2).flatten(0, 1).double().numpy()
    return rows @ rows.T


def traced(kernel, outputs):
    samples = len(kernel) // outputs
    return np.einsum("icjc->ij", kernel.reshape(samples, outputs, samples, outputs))


def agree(found, expected):
    np.testing.assert_allclose(found, expected, atol=3e-6 * np.abs(expected).max(), rtol=1e-4)


class Conv(nn.Module):
    """Convolutions of many kinds, norms, in-place ReLU, a shortcut."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.grouped = nn.Conv2d(6, 6, 3, padding=1, groups=3)
        self.named = nn.Conv2d(6, 4, 3, padding="same", dilation=2)
        self.strided = nn.Conv2d(4, 5, (3, 2), stride=(2, 1), padding=(1, 0), bias=False)
        self.ring = nn.Conv2d(5, 5, 3, padding=1, padding_mode="circular")
        self.readout = nn.Linear(5, 3)

    def forward(self, x):
        x = functional.relu(self.first(x), inplace=True)
        x = functional.relu(self.grouped(self.norm(x)) + x)
        x = functional.gelu(self.strided(self.named(x)))
        return self.readout(self.ring(x).mean(dim=(2, 3)))


class Sequence(nn.Module):
    """Embedding tied to a readout, a layer that runs twice, attention, a norm, a weight that is scaled."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 6)
        self.position = nn.Parameter(torch.randn(5, 6))
        self.attend, self.twice = nn.Linear(6, 18), nn.Linear(6, 6)
        self.norm = nn.LayerNorm(6)
        self.scaled = nn.Parameter(torch.randn(6, 6))
        self.wide = nn.Linear(6, 40)
        self.narrow = nn.Linear(40, 6, bias=False)

    def forward(self, x):
        x = self.embed(x.long()) + self.position
        q, k, v = self.attend(self.norm(x)).chunk(3, dim=-1)
        x = x + functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = self.twice(torch.tanh(self.twice(x)))
        x = x + functional.linear(x, self.scaled * 0.5)
        x = x + self.narrow(functional.gelu(self.wide(x)))
        return functional.linear(x.mean(dim=1), self.embed.weight)


class TimeFirst(nn.Module):
    """Its maps see (T, B, i), so that samples cannot be told by the first axis."""

    def __init__(self):
        super().__init__()
        self.inner, self.readout = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x):
        return self.readout(torch.tanh(self.inner(x.transpose(0, 1))).mean(dim=0))


def case(kind, samples=7):
    torch.manual_seed(0)
    if kind == "vectors":
        network = nn.Sequential(
            nn.Linear(4, 9), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(9, 8, bias=False),
            nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 3),
        )  # fmt: skip
        return network.train(), torch.randn(samples, 4)
    if kind == "images":
        network = Conv().train()
        network.norm.running_mean.normal_()
        return network, torch.randn(samples, 2, 6, 6)
    if kind == "time first":
        return TimeFirst(), torch.randn(samples, 6, 4)
    return Sequence(), torch.randint(0, 7, (samples, 5)).float()


KINDS = ["vectors", "images", "sequences", "time first"]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_jacobian_times_its_transpose(kind):
    network, inputs = case(kind)
    expected = plain(network, inputs)
    outputs = len(expected) // len(inputs)
    agree(empirical_ntk(network, inputs), expected)
    agree(empirical_ntk(network, inputs, kind="trace"), traced(expected, outputs))


@pytest.mark.parametrize("kind", ["vectors", "images"])
def test_it_is_that_of_torch_func(kind):
    network, inputs = case(kind)
    agree(empirical_ntk(network, inputs), by_func(network, inputs))


@pytest.mark.parametrize("kind", KINDS[:3])
def test_blocks_and_batches_change_nothing(kind):
    network, inputs = case(kind, samples=4)
    expected = plain(network, inputs)
    agree(empirical_ntk(network, inputs, batch=3, memory=20_000), expected)


def test_a_block_may_be_one_row():
    network, inputs = case("vectors", samples=2)
    agree(empirical_ntk(network, inputs, batch=1, memory=1), plain(network, inputs))


def structured(network, inputs, monkeypatch):
    """Names of the parameters that belong to maps."""
    found = []
    search = tangents._Run.maps
    monkeypatch.setattr(tangents._Run, "maps", lambda run: found.append(search(run)) or found[-1])
    empirical_ntk(network, inputs)
    return {name for one in found[0][0] for name in one.names}


def test_maps_are_found_and_only_those(monkeypatch):
    assert structured(*case("vectors"), monkeypatch) == {
        "0.weight", "0.bias", "3.weight", "6.weight", "6.bias",
    }  # fmt: skip
    assert structured(*case("images"), monkeypatch) == {
        "first.weight", "first.bias", "strided.weight", "ring.weight", "ring.bias", "readout.weight",
        "readout.bias",
    }  # fmt: skip
    assert structured(*case("sequences"), monkeypatch) == {
        "attend.weight", "attend.bias", "wide.weight", "wide.bias", "narrow.weight",
    }  # fmt: skip
    assert structured(*case("time first"), monkeypatch) == {"readout.weight", "readout.bias"}


def test_a_map_that_only_seems_to_be_one_is_seen_through(monkeypatch):
    # With six positions and three samples for the check, (T, B, i) looks like (B, 2, i).
    network, inputs = case("time first")
    monkeypatch.setattr(tangents, "_AGREEMENT", math.inf)
    with pytest.raises(AssertionError, match="Not equal"):
        agree(empirical_ntk(network, inputs[:6]), plain(network, inputs[:6]))


def test_scales_are_learning_rates_of_parameters():
    network, inputs = case("vectors")
    scales = {"0.weight": 16.0, "3.weight": 0.25, "4.weight": 3.0, "6.bias": 0.0}
    agree(empirical_ntk(network, inputs, scales=scales), plain(network, inputs, scales))


def test_a_readout_of_mup_is_a_map_with_its_multiplier():
    torch.manual_seed(0)

    def of(width):
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), mup.MuReadout(width, 2))

    network, inputs = of(32), torch.randn(5, 4)
    mup.set_base_shapes(network, of(4), delta=of(8))
    found = empirical_ntk(network, inputs)
    agree(found, plain(network, inputs))
    network[2].output_mult = 3.0
    assert empirical_ntk(network, inputs).max() > 2 * found.max()


def test_outputs_are_selected():
    network, inputs = case("images")
    found = empirical_ntk(network, inputs, select=lambda outputs: outputs[:, 1])
    agree(found, plain(network, inputs, flat=lambda outputs: outputs[:, 1]))
    assert found.shape == (7, 7)


def test_a_linear_network_has_a_kernel_in_closed_form():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 8, bias=False), nn.Linear(8, 1))
    inputs = torch.randn(10, 5)
    first, second = network[0].weight.detach(), network[1].weight.detach()
    products = inputs @ inputs.T
    expected = (second @ second.T) * products + inputs @ first.T @ first @ inputs.T + 1
    agree(empirical_ntk(network, inputs), expected.numpy())


def test_a_wide_network_has_the_kernel_of_infinite_width():
    # One hidden layer of ReLU, NTK parameterization: arc-cosine kernels of degree 1 and 0.
    torch.manual_seed(0)
    width, inputs = 20_000, functional.normalize(torch.randn(6, 3))
    network = nn.Sequential(nn.Linear(3, width, bias=False), nn.ReLU(), nn.Linear(width, 1, bias=False))
    for one in network.parameters():
        nn.init.normal_(one)
    found = empirical_ntk(network, inputs) / width
    cosine = (inputs @ inputs.T).clamp(-1, 1).numpy().astype(float)
    angle = np.arccos(cosine)
    expected = (np.sin(angle) + (np.pi - angle) * cosine) / (2 * np.pi) + cosine * (np.pi - angle) / (
        2 * np.pi
    )
    np.testing.assert_allclose(found, expected, atol=0.05)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_units_and_of_samples(seed):
    torch.manual_seed(seed)
    network, inputs = nn.Sequential(nn.Linear(4, 9), nn.Tanh(), nn.Linear(9, 1)), torch.randn(6, 4)
    expected = empirical_ntk(network, inputs)
    units, order = torch.randperm(9), torch.randperm(6)
    with torch.no_grad():
        network[0].weight.copy_(network[0].weight[units])
        network[0].bias.copy_(network[0].bias[units])
        network[2].weight.copy_(network[2].weight[:, units])
    agree(empirical_ntk(network, inputs[order]), expected[np.ix_(order, order)])


def test_it_predicts_a_small_step_of_gradient_descent():
    network, inputs = case("vectors")
    network.double().eval()
    inputs, targets = inputs.double(), torch.randn(7, 3, dtype=torch.float64)
    before = network(inputs)
    (0.5 * (before - targets).square().sum()).backward()
    with torch.no_grad():
        for one in network.parameters():
            one -= 1e-7 * one.grad
            one.grad = None
        moved = (network(inputs) - before).flatten().numpy() / 1e-7
    for one, other in zip(network.parameters(), case("vectors")[0].parameters(), strict=True):
        one.data.copy_(other)
    expected = -empirical_ntk(network, inputs) @ (before - targets).detach().flatten().numpy()
    np.testing.assert_allclose(moved, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())


def test_frozen_parameters_do_not_count_unless_all_are():
    network, inputs = case("images")
    whole = empirical_ntk(network, inputs)
    network.requires_grad_(False)
    agree(empirical_ntk(network, inputs), whole)
    network.first.bias.requires_grad_(True)
    network.readout.weight.requires_grad_(True)
    scales = dict.fromkeys(dict(network.named_parameters()), 0.0) | {"first.bias": 1.0, "readout.weight": 1.0}
    found = empirical_ntk(network, inputs)
    network.requires_grad_(True)
    agree(found, plain(network, inputs, scales))


def test_network_is_as_before():
    network, inputs = case("images")
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        empirical_ntk(network, inputs)
    assert network.training
    assert network.norm.training
    assert all(one.grad is None for one in network.parameters())
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())


def test_samples_are_prepared():
    network, inputs = case("images")
    expected = empirical_ntk(network, inputs)
    agree(empirical_ntk(network, inputs / 4, prepare=lambda x: 4 * x), expected)


def test_bad_input_is_named():
    network, inputs = case("vectors")
    with pytest.raises(UsageError, match="kind is 'full' or 'trace', got 'sum'"):
        empirical_ntk(network, inputs, kind="sum")
    with pytest.raises(MeasurementError, match="no samples to take a kernel on"):
        empirical_ntk(network, inputs[:0])
    with pytest.raises(MeasurementError, match="a derivative of the outputs is not finite"):
        empirical_ntk(network, inputs * math.nan)
    with pytest.raises(UsageError, match=r"no parameter '7.bias'; near to it is '.\.bias'"):
        empirical_ntk(network, inputs, scales={"7.bias": 1.0})
