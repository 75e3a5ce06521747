from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from netprops.training.optimizers import build_optimizer, learning_rate, loss_of, wrong
from netprops.training.recipe import Recipe

BASE = Recipe(epochs=10, batch=4, optimizer="sgd", lr=0.4)


def test_constant_and_cosine_and_step_schedules_have_their_known_values():
    assert {learning_rate(BASE, step, 5) for step in range(50)} == {0.4}
    cosine = [learning_rate(BASE.changed(schedule="cosine"), step, 5) for step in range(50)]
    assert cosine[0] == 0.4
    assert cosine[25] == pytest.approx(0.2)
    assert all(a > b > 0 for a, b in pairwise(cosine))
    steps = BASE.changed(schedule="step", milestones=(4, 8), gamma=0.5)
    assert [learning_rate(steps, step, 5) for step in (0, 19, 20, 39, 40, 49)] == [
        0.4,
        0.4,
        0.2,
        0.2,
        0.1,
        0.1,
    ]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_warm_up_rises_in_a_line_to_the_peak(schedule):
    recipe = BASE.changed(schedule=schedule, warmup=2)
    assert [learning_rate(recipe, step, 5) for step in range(10)] == pytest.approx(
        [0.04 * k for k in range(1, 11)]
    )
    assert learning_rate(recipe, 10, 5) == 0.4


def test_the_last_cosine_step_is_the_one_before_zero():
    recipe = BASE.changed(schedule="cosine", warmup=2)
    assert 0 < learning_rate(recipe, 49, 5) < 0.001
    assert learning_rate(recipe, 50, 5) == pytest.approx(0)


def adam_by_hand(x: float, gradients: list[float], lr: float, decay: float, decoupled: bool) -> float:
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        if decoupled:
            x -= lr * decay * x
        else:
            g += decay * x
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        x -= lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)) ** 0.5 + 1e-8)
    return x


@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_adam_couples_the_decay_and_adamw_does_not(kind):
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = build_optimizer([parameter], BASE.changed(optimizer=kind, lr=0.1, weight_decay=0.5))
    gradients = [1.0, -3.0, 0.5]
    for gradient in gradients:
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert parameter.item() == pytest.approx(
        adam_by_hand(2.0, gradients, 0.1, 0.5, kind == "adamw"), rel=1e-9
    )


def test_nesterov_looks_ahead():
    parameter = torch.nn.Parameter(torch.tensor([0.0], dtype=torch.float64))
    optimizer = build_optimizer([parameter], BASE.changed(momentum=0.5, nesterov=True, lr=1.0))
    for gradient in (1.0, 2.0):
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert parameter.item() == -(1.0 + 0.5 * 1.0) - (2.0 + 0.5 * 2.5)


def test_frozen_parameters_are_left_out():
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    free = torch.nn.Parameter(torch.ones(1))
    assert build_optimizer([frozen, free], BASE).param_groups[0]["params"] == [free]


def test_squared_hinge_and_cross_entropy_have_their_known_values():
    recipe = BASE.changed(loss="squared-hinge")
    outputs, labels = torch.tensor([[2.0], [0.5], [-1.0]]), torch.tensor([1.0, 1.0, 1.0])
    assert loss_of(outputs, labels, recipe).item() == pytest.approx((0 + 0.125 + 2.0) / 3)
    even = loss_of(torch.zeros(2, 4), torch.tensor([0, 3]), BASE.changed(label_smoothing=0.3))
    assert even.item() == pytest.approx(torch.log(torch.tensor(4.0)).item())


def test_an_output_of_exactly_zero_is_wrong():
    assert wrong(torch.tensor([[0.0], [1.0], [-2.0]]), torch.tensor([1.0, 1.0, -1.0])).item() == 1
    assert wrong(torch.tensor([[0.1, 0.2], [3.0, 1.0]]), torch.tensor([1, 1])).item() == 1
