import copy
from functools import cache, partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from netprops.curving import hessian_products, sharpness
from netprops.errors import MeasurementError, UsageError
from netprops.training.optimizers import loss_of
from netprops.training.recipe import Recipe

RECIPE = Recipe(epochs=1, batch=8, optimizer="sgd", lr=0.1, label_smoothing=0.1)
LOSS = partial(loss_of, recipe=RECIPE)


class Normed(nn.Module):
    """Linear maps, a norm, ReLU in place, dropout and batch norm."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(5, 9), nn.LayerNorm(9), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(9, 6),
            nn.BatchNorm1d(6), nn.Tanh(),
        )  # fmt: skip
        self.readout = nn.Linear(6, 4)

    def forward(self, x):
        return self.readout(self.body(x))


class Attentive(nn.Module):
    """Every position of a sequence is classified after fused attention."""

    def __init__(self):
        super().__init__()
        self.attend, self.readout = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = self.attend(x).chunk(3, dim=-1)
        return self.readout(functional.scaled_dot_product_attention(q, k, v, is_causal=True))


def rng(seed=0):
    return np.random.default_rng(seed)


def case(kind):
    torch.manual_seed(0)
    if kind == "classes":
        return Normed(), torch.randn(30, 5), torch.randint(0, 4, (30,)), LOSS
    if kind == "numbers":
        network = nn.Sequential(nn.Linear(5, 12), nn.GELU(), nn.Linear(12, 1))
        return network, torch.randn(30, 5), torch.randn(30), lambda f, y: 0.5 * (y - f[:, 0]).square().mean()
    labels = torch.randint(0, 3, (30, 6))
    labels[torch.rand(30, 6) < 0.7] = -100
    labels[:7] = -100

    def loss(outputs, truth):
        return functional.cross_entropy(outputs.flatten(0, 1), truth.flatten())

    return Attentive(), torch.randn(30, 6, 4), labels, loss


@cache
def dense_of(kind):
    return dense(*case(kind))


def dense(network, inputs, labels, loss, step=1e-5):
    """(P, P) Hessian of the mean loss, by differences of its gradient in float64.

    Derivatives of torch.func.jacrev are no oracle: they are wrong for LayerNorm (torch 2.14).
    """
    network = copy.deepcopy(network).eval().double().requires_grad_(True)
    weights = list(network.parameters())
    start = nn.utils.parameters_to_vector(weights).detach()

    def gradient(at):
        nn.utils.vector_to_parameters(at, weights)
        slopes = torch.autograd.grad(loss(network(inputs.double()), labels), weights)
        return torch.cat([one.flatten() for one in slopes])

    moves = step * torch.eye(len(start), dtype=torch.float64)
    return torch.stack(
        [(gradient(start + one) - gradient(start - one)) / (2 * step) for one in moves]
    ).numpy()


@pytest.mark.parametrize("kind", ["classes", "numbers", "sequences"])
def test_it_is_the_top_eigenvalue_of_the_dense_hessian(kind):
    network, inputs, labels, loss = case(kind)
    expected = np.linalg.eigvalsh(dense_of(kind))[-1]
    for batch in (7, 256):
        found = sharpness(network.train(), inputs, labels, loss, rng=rng(), batch=batch)
        assert found.value == pytest.approx(expected, rel=1e-3)
        assert found.low <= expected <= found.high
        assert (found.n, found.n_of) == (30, "samples")
        assert found.details["products"] <= 40


def test_products_are_exact_and_bounded_in_samples():
    network, inputs, labels, loss = case("classes")
    full = dense_of("classes")
    seen = []
    network.register_forward_pre_hook(lambda module, arguments: seen.append(len(arguments[0])))
    for batch in (4, 30):
        seen.clear()
        with hessian_products(network, inputs, labels, loss, batch=batch) as (product, size):
            assert size == len(full)
            for seed in range(3):
                vector = rng(seed).standard_normal(size)
                np.testing.assert_allclose(
                    product(vector), full @ vector, atol=2e-5 * np.abs(full @ vector).max()
                )
        assert max(seen) == batch
        assert len(seen) == (1 if batch == 30 else 3 * 8)  # the gradient of one batch is kept


def test_scales_are_learning_rates_of_parameters():
    network, inputs, labels, loss = case("numbers")
    scales = {"0.weight": 4.0, "2.weight": 0.25, "2.bias": 0.0}
    root = np.concatenate(
        [np.full(one.numel(), scales.get(name, 1.0) ** 0.5) for name, one in network.named_parameters()]
    )
    expected = np.linalg.eigvalsh(root[:, None] * dense_of("numbers") * root)[-1]
    found = sharpness(network, inputs, labels, loss, rng=rng(), scales=scales)
    assert found.value == pytest.approx(expected, rel=1e-3)
    assert found.details["scaled"] is True
    assert abs(sharpness(network, inputs, labels, loss, rng=rng()).value / expected - 1) > 0.1


def test_the_order_of_samples_and_units_changes_nothing():
    network, inputs, labels, loss = case("numbers")
    first = sharpness(network, inputs, labels, loss, rng=rng()).value
    order, units = torch.randperm(30), torch.randperm(12)
    with torch.no_grad():
        for one in (network[0].weight, network[0].bias):
            one.copy_(one[units])
        network[2].weight.copy_(network[2].weight[:, units])
    again = sharpness(network, inputs[order], labels[order], loss, rng=rng(1), batch=11).value
    assert again == pytest.approx(first, rel=1e-3)


def test_a_linear_network_has_the_curvature_of_its_inputs():
    inputs = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    network = nn.Linear(6, 1, bias=False)
    found = sharpness(
        network, inputs, torch.zeros(50), lambda f, y: 0.5 * (y - f[:, 0]).square().mean(), rng=rng()
    )
    assert found.value == pytest.approx(np.linalg.eigvalsh(inputs.T @ inputs / 50)[-1], rel=1e-3)
    flat = sharpness(network, inputs, torch.zeros(50), lambda f, y: f.mean(), rng=rng())
    assert flat.value == 0


def test_frozen_parameters_do_not_count_unless_all_are():
    network, inputs, labels, loss = case("classes")
    whole = sharpness(network, inputs, labels, loss, rng=rng()).value
    network.requires_grad_(False)
    assert sharpness(network, inputs, labels, loss, rng=rng()).value == pytest.approx(whole)
    assert not any(one.requires_grad for one in network.parameters())
    network.readout.requires_grad_(True)
    with hessian_products(network, inputs, labels, loss) as (_, size):
        assert size == 28
    assert sharpness(network, inputs, labels, loss, rng=rng()).value < whole


def test_network_and_gradients_are_as_before_also_after_an_error():
    network, inputs, labels, loss = case("classes")
    network.train()
    network.body[0].eval()
    modes = [module.training for module in network.modules()]
    state = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        sharpness(network, inputs, labels, loss, rng=rng())
        assert not torch.is_grad_enabled()
    broken = inputs.clone()
    broken[9] = torch.nan
    with pytest.raises(MeasurementError, match="the loss of samples 8 to 15 is not finite"):
        sharpness(network, broken, labels, loss, rng=rng(), batch=8)
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(state[key], value) for key, value in network.state_dict().items())
    assert all(one.grad is None for one in network.parameters())


def test_samples_are_prepared_and_doubles_stay_doubles():
    network, inputs, labels, loss = case("classes")
    expected = sharpness(network, inputs, labels, loss, rng=rng()).value
    halves = sharpness(network, inputs / 2, labels, loss, rng=rng(), prepare=lambda x: 2 * x)
    assert halves.value == pytest.approx(expected)
    exact = sharpness(network.double(), inputs, labels, loss, rng=rng(), rtol=1e-9)
    assert exact.value == pytest.approx(expected, rel=1e-3)
    assert exact.high - exact.low < 1e-7 * exact.value


def test_bad_input_is_named():
    network, inputs, labels, loss = case("classes")
    with pytest.raises(UsageError, match="30 samples have 29 labels"):
        sharpness(network, inputs, labels[1:], loss, rng=rng())
    with pytest.raises(MeasurementError, match="no sample has a label that is asked"):
        sharpness(network, inputs, torch.full((30,), -100), loss, rng=rng())
    with pytest.raises(MeasurementError, match="no sample has a label"):
        sharpness(network, inputs[:0], labels[:0], loss, rng=rng())
    with pytest.raises(
        UsageError, match=r"trains no parameter 'readout.weigth'; near to it is 'readout.weight'"
    ):
        sharpness(network, inputs, labels, loss, rng=rng(), scales={"readout.weigth": 2})
    with pytest.raises(UsageError, match=r"the scale of 'readout.bias' is -1, expected a finite number"):
        sharpness(network, inputs, labels, loss, rng=rng(), scales={"readout.bias": -1})
    with pytest.raises(UsageError, match="no parameters"):
        sharpness(nn.Identity(), inputs, labels, loss, rng=rng())
