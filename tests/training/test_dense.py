"""A stack of perceptrons gives what each gives by itself; torch.func is the oracle of its gradients."""

from __future__ import annotations

import itertools
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, stack_module_state, vmap

from netprops.errors import UsageError
from netprops.training import dense
from netprops.training.dense import DenseStack, loss_slopes, mean_losses
from netprops.training.optimizers import loss_of, wrong
from netprops.training.recipe import Recipe

CPU = torch.device("cpu")
HINGE = Recipe(epochs=1, batch=8, optimizer="sgd", lr=0.1, loss="squared-hinge")
ENTROPY = HINGE.changed(loss="cross-entropy", label_smoothing=0.1)


def perceptron(*units: int) -> nn.Module:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (before, after) in enumerate(itertools.pairwise(units)):
        layers[f"linear{i}"] = nn.Linear(before, after)
        if i < len(units) - 2:
            layers[f"relu{i}"] = nn.ReLU()
    return nn.Sequential(layers)


def members(m: int, *units: int) -> list[nn.Module]:
    torch.manual_seed(0)
    return [perceptron(*units).double() for _ in range(m)]


def stack_of(networks) -> DenseStack:
    return DenseStack(networks, device=CPU, dtype=torch.float64)


def batch(m: int, inputs: int, outputs: int, B: int = 9):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(m, B, inputs, generator=generator, dtype=torch.float64)
    if outputs == 1:
        return x, torch.sign(x[:, :, 0]), HINGE
    return x, torch.randint(0, outputs, (m, B), generator=generator), ENTROPY


@pytest.fixture(params=["one group", "groups of two"], autouse=True)
def _grouping(request, monkeypatch) -> None:
    """Every grouping; five members in groups of at most two make three groups."""
    if request.param != "one group":
        monkeypatch.setattr(dense, "_GROUP_BYTES", 2 * 9 * 3 * 7 * 8)


@pytest.mark.parametrize(
    ("outputs", "loss_name"), [(1, "squared-hinge"), (1, "logistic"), (3, "cross-entropy")]
)
@pytest.mark.parametrize("hidden", [(7, 7), (5, 7), (7, 4)])
def test_gradients_losses_and_errors_are_those_of_torch_func(hidden, outputs, loss_name):
    networks = members(5, 4, *hidden, outputs)
    x, labels, recipe = batch(5, 4, outputs)
    recipe = recipe.changed(loss=loss_name)
    stack = stack_of(networks)
    losses, errors = stack.learn(x, labels, recipe)

    weights, _ = stack_module_state(networks)
    shape = perceptron(4, *hidden, outputs).to("meta")

    def loss(own, inputs, truth):
        return loss_of(functional_call(shape, own, (inputs,)), truth, recipe)

    expected = vmap(grad(loss))(weights, x, labels)
    found = stack.split(stack.weights.grad)
    for member in range(5):
        for name, slope in expected.items():
            torch.testing.assert_close(found[member][name], slope[member], rtol=1e-12, atol=1e-15)
    torch.testing.assert_close(losses, vmap(loss)(weights, x, labels).detach(), rtol=1e-12, atol=0)
    assert errors.tolist() == [int(wrong(n(x[i]).detach(), labels[i])) for i, n in enumerate(networks)]


def test_outputs_are_those_of_the_networks_for_own_and_for_common_samples():
    networks = members(5, 4, 7, 7, 3)
    x, _, _ = batch(5, 4, 3)
    stack = stack_of(networks)
    for given in (x, x[:1]):
        for member, (network, outputs) in enumerate(zip(networks, stack(given), strict=True)):
            torch.testing.assert_close(
                outputs, network(given[member % len(given)]).detach(), rtol=1e-12, atol=0
            )


def test_split_gives_every_member_its_state_in_memory_of_its_own():
    networks = members(3, 4, 7, 1)
    stack = stack_of(networks)
    states = stack.split(stack.weights.detach())
    for network, state in zip(networks, states, strict=True):
        assert state.keys() == network.state_dict().keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    states[0]["linear0.weight"].zero_()
    assert torch.equal(stack(torch.ones(1, 2, 4).double())[0], networks[0](torch.ones(2, 4).double()))


def test_the_numbers_of_a_member_do_not_depend_on_what_the_others_see():
    x, labels, recipe = batch(5, 4, 1)
    gradients = []
    for scale in (1.0, 1e3):
        stack = stack_of(members(5, 4, 7, 7, 1))
        stack.learn(torch.cat([x[:1], scale * x[1:]]), labels, recipe)
        gradients.append(stack.split(stack.weights.grad))
    assert all(torch.equal(gradients[0][0][name], tensor) for name, tensor in gradients[1][0].items())
    assert not torch.equal(gradients[0][1]["linear0.weight"], gradients[1][1]["linear0.weight"])


@pytest.mark.parametrize("recipe", [HINGE, ENTROPY], ids=["hinge", "entropy"])
def test_losses_and_slopes_are_those_of_one_network(recipe):
    outputs, labels = torch.randn(3, 8, 1 if recipe is HINGE else 4).double(), torch.ones(3, 8).double()
    labels = labels if recipe is HINGE else torch.arange(24).reshape(3, 8) % 4
    losses, slopes = mean_losses(outputs, labels, recipe), loss_slopes(outputs, labels, recipe)
    for member in range(3):
        own = outputs[member].clone().requires_grad_()
        loss = loss_of(own, labels[member], recipe)
        (slope,) = torch.autograd.grad(loss, own)
        torch.testing.assert_close(losses[member], loss.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(slopes[member], slope, rtol=1e-12, atol=1e-16)


class Shared(nn.Module):
    """Its one layer has two names."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(4, 4)
        self.relu = nn.ReLU()
        self.b = self.a

    def forward(self, x):
        return self.b(self.relu(self.a(x)))


REFUSED = {
    "batch norm": (
        nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 1)),
        "BatchNorm1d",
    ),
    "dropout": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.1), nn.Linear(3, 1)), "found Dropout"),
    "no ReLU": (nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 1)), "one ReLU between each two"),
    "a ReLU at the end": (nn.Sequential(nn.Linear(4, 3), nn.ReLU()), "one ReLU between each two"),
    "no bias": (nn.Sequential(nn.Linear(4, 3, bias=False), nn.ReLU(), nn.Linear(3, 1)), "with a bias"),
    "a layer with two names": (Shared(), "one ReLU between each two"),
    "no layer": (nn.Sequential(), "linear layers"),
}


@pytest.mark.parametrize(("network", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_other_networks_are_refused(network, words):
    with pytest.raises(UsageError, match=f"cannot train as one of a stack: .*{words}.* train it one by one"):
        stack_of([network, network])


def test_networks_of_several_shapes_are_refused():
    with pytest.raises(UsageError, match="have one shape, got several"):
        stack_of([*members(1, 4, 3, 1), *members(1, 4, 5, 1)])
