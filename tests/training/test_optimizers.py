from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from netprops.errors import UsageError
from netprops.models import build
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


def test_an_exponential_schedule_falls_from_epoch_to_epoch():
    recipe = BASE.changed(schedule="exponential", gamma=0.5)
    assert [learning_rate(recipe, step, 5) for step in (0, 4, 5, 9, 10, 49)] == [
        0.4,
        0.4,
        0.2,
        0.2,
        0.1,
        0.4 * 0.5**9,
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


def test_rmsprop_divides_by_the_root_of_the_mean_square_before_its_momentum():
    recipe = BASE.changed(optimizer="rmsprop", momentum=0.9, alpha=0.8, eps=1.0, lr=0.1, weight_decay=0.5)
    parameter = torch.nn.Parameter(torch.tensor([2.0], dtype=torch.float64))
    optimizer = build_optimizer([parameter], recipe)
    x, square, moving = 2.0, 0.0, 0.0
    for rate, gradient in ((0.1, 1.0), (0.05, -3.0)):
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        slope = gradient + 0.5 * x
        square = 0.8 * square + 0.2 * slope**2
        moving = 0.9 * moving + slope / (square**0.5 + 1.0)
        x -= rate * moving
    assert parameter.item() == pytest.approx(x, rel=1e-12)


@pytest.mark.parametrize("changes", [{"alpha": 0.9}, {"eps": 1.0}])
def test_the_constants_of_rmsprop_belong_to_it(changes):
    with pytest.raises(ValueError, match="alpha and eps belong to rmsprop; the optimizer here is sgd"):
        BASE.changed(**changes)


def test_what_recipes_gained_leaves_the_keys_of_older_ones():
    assert set(BASE.model_dump(exclude_defaults=True)) == {"epochs", "batch", "optimizer", "lr"}


def test_nesterov_looks_ahead():
    parameter = torch.nn.Parameter(torch.tensor([0.0], dtype=torch.float64))
    optimizer = build_optimizer([parameter], BASE.changed(momentum=0.5, nesterov=True, lr=1.0))
    for gradient in (1.0, 2.0):
        parameter.grad = torch.tensor([gradient], dtype=torch.float64)
        optimizer.step()
    assert parameter.item() == -(1.0 + 0.5 * 1.0) - (2.0 + 0.5 * 2.5)


def test_a_normalized_step_has_length_lr_against_the_slope_of_loss_and_decay():
    first, second = (torch.nn.Parameter(torch.tensor(values)) for values in ([3.0, 0.0], [1.0]))
    recipe = BASE.changed(optimizer="normalized-sgd", lr=0.5, weight_decay=0.1)
    optimizer = build_optimizer([first, second], recipe)
    first.grad, second.grad = torch.tensor([0.0, 0.4]), torch.tensor([1.1])
    optimizer.step()  # the slope is (0.3, 0.4, 1.2), of length 1.3
    torch.testing.assert_close(first.data, torch.tensor([3.0 - 0.15 / 1.3, -0.2 / 1.3]))
    torch.testing.assert_close(second.data, torch.tensor([1.0 - 0.6 / 1.3]))


def test_a_normalized_step_without_a_slope_leaves_the_weights():
    weight = torch.nn.Parameter(torch.tensor([2.0]))
    optimizer = build_optimizer([weight], BASE.changed(optimizer="normalized-sgd"))
    weight.grad = torch.zeros(1)
    optimizer.step()
    assert weight.tolist() == [2.0]


def test_normalized_steps_have_no_momentum_and_no_stack():
    with pytest.raises(ValueError, match="normalized-sgd has no momentum"):
        BASE.changed(optimizer="normalized-sgd", momentum=0.9)
    assert BASE.changed(optimizer="normalized-sgd").alone == "steps of a fixed length"


def test_frozen_parameters_are_left_out():
    frozen = torch.nn.Parameter(torch.ones(1), requires_grad=False)
    free = torch.nn.Parameter(torch.ones(1))
    assert build_optimizer([frozen, free], BASE).param_groups[0]["params"] == [free]


def test_the_losses_have_their_known_values():
    recipe = BASE.changed(loss="squared-hinge")
    outputs, labels = torch.tensor([[2.0], [0.5], [-1.0]]), torch.tensor([1.0, 1.0, 1.0])
    assert loss_of(outputs, labels, recipe).item() == pytest.approx((0 + 0.125 + 2.0) / 3)
    logistic = loss_of(outputs, labels, BASE.changed(loss="logistic"))
    assert logistic.item() == pytest.approx((0.126928 + 0.474077 + 1.313262) / 3, rel=1e-5)
    even = loss_of(torch.zeros(2, 4), torch.tensor([0, 3]), BASE.changed(label_smoothing=0.3))
    assert even.item() == pytest.approx(torch.log(torch.tensor(4.0)).item())


def test_an_output_of_exactly_zero_is_wrong():
    assert wrong(torch.tensor([[0.0], [1.0], [-2.0]]), torch.tensor([1.0, 1.0, -1.0])).item() == 1
    assert wrong(torch.tensor([[0.1, 0.2], [3.0, 1.0]]), torch.tensor([1, 1])).item() == 1


@pytest.mark.parametrize("optimizer", ["rmsprop", "normalized-sgd"])
def test_networks_with_base_shapes_learn_by_the_optimizers_that_have_rates_for_them(optimizer):
    for parameterization in ("mup", "standard", "ntk"):
        network = build("mlp", width=4, inputs=(3,), outputs=1, parameterization=parameterization)
        with pytest.raises(
            UsageError, match=f"optimizer '{optimizer}' has no learning rates .* sgd, adam, adamw"
        ):
            build_optimizer(network.parameters(), BASE.changed(optimizer=optimizer))


def test_groups_keep_their_share_of_lr_and_decay_and_the_fused_step():
    network = build("mlp", width=32, base=8, inputs=(3,), outputs=1)
    network.hidden.linear1.weight.requires_grad_(False)
    optimizer = build_optimizer(network.parameters(), BASE.changed(momentum=0.9, weight_decay=0.5))
    found = {tuple(group["params"][0].shape): group for group in optimizer.param_groups}
    assert {shape: group["scale"] for shape, group in found.items()} == {(32, 32): 1.0, (1, 32): 4.0}
    assert found[1, 32]["weight_decay"] == 0.5 / 4
    assert all(group["fused"] and group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_networks_without_base_shapes_learn_in_one_group():
    network = build("fc5", width=4, inputs=(3,), outputs=1)
    (group,) = build_optimizer(network.parameters(), BASE).param_groups
    assert "scale" not in group


def test_the_squared_loss_is_half_the_mean_square():
    recipe = BASE.changed(loss="squared")
    outputs, targets = torch.tensor([[2.0], [-1.0], [0.5]]), torch.tensor([1.0, 3.0, 0.5])
    assert loss_of(outputs, targets, recipe).item() == pytest.approx((0.5 + 8.0 + 0.0) / 3)
    assert wrong(outputs, targets).item() == 1, "a sign that is not the target's"
    with pytest.raises(
        ValueError, match="label_smoothing belongs to cross-entropy; the loss here is squared"
    ):
        recipe.changed(label_smoothing=0.1)
    assert recipe.alone == "the squared loss"


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_losses_and_errors_of_sequences_are_means_over_what_is_asked(smoothing):
    outputs = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, -100, 2, 4], [-100, -100, -100, 1], [3, 3, -100, 0]])
    recipe = BASE.changed(label_smoothing=smoothing)
    asked = [(row, place) for row in range(3) for place in range(4) if labels[row, place] >= 0]
    each = [loss_of(outputs[r, t][None], labels[r, t][None], recipe).item() for r, t in asked]
    assert loss_of(outputs, labels, recipe).item() == pytest.approx(sum(each) / 7)
    errors = [sum(int(outputs[r, t].argmax() != labels[r, t]) for r, t in asked if r == i) for i in range(3)]
    assert wrong(outputs, labels).tolist() == errors
    moved = torch.where((labels < 0)[:, :, None], 10 * torch.randn(3, 4, 5), outputs)
    assert loss_of(moved, labels, recipe) == loss_of(outputs, labels, recipe)
    assert torch.equal(wrong(moved, labels), wrong(outputs, labels))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_in_groups_goes_on_where_it_was_killed(small, tmp_path, optimizer):
    class KilledError(Exception):
        pass

    def kill(progress):
        if progress.epoch == 2:
            raise KilledError

    def made():
        torch.manual_seed(0)
        return build("mlp", width=32, base=8, inputs=(6,), outputs=3)

    lr = {"sgd": 0.05, "adam": 0.01}[optimizer]
    momentum = {"sgd": 0.9, "adam": 0.0}[optimizer]
    recipe = Recipe(epochs=3, batch=20, optimizer=optimizer, lr=lr, momentum=momentum, schedule="cosine")
    whole, resumed = made(), made()
    small.train(None, made=whole, recipe=recipe)
    with pytest.raises(KilledError):
        small.train(tmp_path, made=resumed, recipe=recipe, progress=kill)
    again = made()
    small.train(tmp_path, made=again, recipe=recipe)
    assert torch.equal(small.flat(again), small.flat(whole))
    assert not torch.equal(small.flat(resumed), small.flat(whole))
