import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.spectrum import (
    alignment,
    cumulative_power,
    kernel_gradient_flow,
    modes_holding,
    spectrum,
    spectrum_distance,
    time_to,
)  # fmt: skip


def rng(seed=0):
    return np.random.default_rng(seed)


def rotation(size, seed=0):
    return np.linalg.qr(rng(seed).standard_normal((size, size)))[0]


def planted(size=40, seed=0, decay=1.5):
    """A kernel of known eigenvalues and eigenvectors."""
    values = np.arange(1.0, size + 1) ** -decay
    frame = rotation(size, seed)
    return (frame * values) @ frame.T, values, frame


def test_eigenvalues_and_vectors_of_a_planted_kernel():
    kernel, values, frame = planted()
    found = spectrum(kernel)
    np.testing.assert_allclose(found.eigenvalues, values, rtol=1e-10)
    np.testing.assert_allclose(np.abs((found.eigenvectors * frame).sum(axis=0)), 1)
    assert spectrum(found) is found
    assert (found.resolved(), found.resolved(0.1)) == (40, 4)


def test_a_kernel_of_low_rank_has_no_negative_eigenvalues():
    features = rng().standard_normal((30, 4)).astype(np.float32)
    found = spectrum(features @ features.T)
    assert found.eigenvalues.min() == 0
    assert found.resolved() == 4


def test_the_power_of_known_targets():
    curve = cumulative_power(np.diag([4.0, 3, 2, 1]), [3.0, 0, 4, 0])
    np.testing.assert_allclose(curve.y, [0.36, 0.36, 1, 1])
    assert curve.x.tolist() == [1, 2, 3, 4]
    assert modes_holding(np.diag([4.0, 3, 2, 1]), [3.0, 0, 4, 0]).value == 3
    assert modes_holding(np.diag([4.0, 3, 2, 1]), [3.0, 0, 4, 0], share=0.36).value == 1
    kernel, _, frame = planted()
    assert modes_holding(kernel, frame[:, :7].sum(axis=1), share=0.99).value == 7


def test_several_outputs_share_a_kernel_or_have_their_own():
    kernel, _, frame = planted(12)
    targets = np.stack([frame[:, 0], frame[:, 5]], axis=1)
    shared = cumulative_power(kernel, targets)
    np.testing.assert_allclose(shared.y, [0.5] * 5 + [1] * 7)
    own = cumulative_power(np.kron(kernel, np.eye(2)), targets)
    np.testing.assert_allclose(own.y[1::2], shared.y)
    assert own.n == shared.n == 12
    assert time_to(np.kron(kernel, np.eye(2)), targets, share=0.3).value == pytest.approx(
        time_to(kernel, targets, share=0.3).value
    )


def test_equal_eigenvalues_share_their_power():
    frame = rotation(6)
    kernel = (frame * [5.0, 2, 2, 2, 1, 1]) @ frame.T
    for seed in range(3):
        inside = frame[:, 1:4] @ rng(seed).standard_normal(3)
        np.testing.assert_allclose(cumulative_power(kernel, inside).y, [0, 1 / 3, 2 / 3, 1, 1, 1], atol=1e-12)


def test_random_targets_have_the_power_of_chance():
    kernel, _, _ = planted(60)
    drawn = np.mean(
        [cumulative_power(kernel, rng(seed).standard_normal(60)).y for seed in range(150)], axis=0
    )
    np.testing.assert_allclose(drawn, np.arange(1, 61) / 60, atol=0.025)
    held = np.mean([modes_holding(kernel, rng(seed).standard_normal(60)).value for seed in range(50)])
    assert 50 < held < 58


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-9, 1e9), st.floats(1e-6, 1e6))
def test_order_rotation_and_scale_change_nothing(seed, factor, stretch):
    kernel, _, _ = planted(20, seed)
    targets = rng(seed).standard_normal(20)
    turn = rotation(20, seed + 1)[rng(seed).permutation(20)]
    other, others = turn @ kernel @ turn.T * factor, turn @ targets * stretch
    np.testing.assert_allclose(
        cumulative_power(other, others).y, cumulative_power(kernel, targets).y, atol=1e-8
    )
    assert alignment(other, others).value == pytest.approx(alignment(kernel, targets).value)
    assert spectrum_distance(kernel, other).value == pytest.approx(0, abs=1e-8)
    for scaling, ratio in [("samples", factor), ("trace", 1)]:
        first, second = (
            time_to(*each, share=0.2, scaling=scaling).value for each in [(kernel, targets), (other, others)]
        )
        assert second * ratio == pytest.approx(first, rel=1e-6)


def test_alignment_is_one_for_the_targets_own_kernel_and_small_for_noise():
    targets = rng().standard_normal(100)
    assert alignment(np.outer(targets, targets), targets).value == pytest.approx(1)
    assert alignment(np.eye(100), targets).value == pytest.approx(0.1)
    many = rng(1).standard_normal((100, 3))
    assert alignment(many @ many.T, many).value == pytest.approx(1)
    assert alignment(np.outer(targets, targets), many).value < 0.1
    kernel = many @ many.T
    written = targets @ kernel @ targets / (targets @ targets * np.linalg.norm(kernel))
    assert alignment(spectrum(kernel), targets).value == pytest.approx(written)


def test_spectra_are_compared_eigenvalue_by_eigenvalue_above_the_noise():
    first = np.array([4.0, 2, 0.5, 1e-9])
    second = np.array([4.0, 0.5, 2, 1e-8]) * 7
    assert spectrum_distance(first, second).value == pytest.approx(0, abs=1e-8)
    assert spectrum_distance(first, second).n == 3
    steeper = np.array([4.0, 2 / math.e, 0.5, 0])
    logs = np.log([1, math.e, 1]) + math.log(steeper.sum() / first.sum())
    found = spectrum_distance(np.diag(first), steeper)
    assert found.value == pytest.approx(math.sqrt((logs**2).mean()), rel=1e-6)
    wide = [
        spectrum_distance(planted(decay=1.5)[0], planted(decay=1.5 + by)[0]).value for by in (0.1, 0.2, 0.4)
    ]
    assert wide == sorted(wide)


@pytest.mark.parametrize("scaling", ["samples", "trace"])
def test_gradient_flow_is_the_solution_of_its_equation(scaling):
    kernel, values, _ = planted(15)
    targets, initial = rng(1).standard_normal((15, 2)), rng(2).standard_normal((15, 2))
    times = [0.0, 1, 5, 40]
    flow = kernel_gradient_flow(kernel, targets, times, initial=initial, scaling=scaling)
    divisor = 15 if scaling == "samples" else values.mean()

    def slope(_, outputs):
        return (kernel @ (targets - outputs.reshape(15, 2)) / divisor).ravel()

    solved = solve_ivp(slope, (0, 40), initial.ravel(), t_eval=times, rtol=1e-9, atol=1e-12).y
    losses = [0.5 * ((targets - each.reshape(15, 2)) ** 2).sum() / 15 for each in solved.T]
    np.testing.assert_allclose(flow.y, losses, rtol=1e-5)
    assert flow.details["initial"] == pytest.approx(losses[0])
    when = time_to(kernel, targets, share=losses[2] / losses[0], initial=initial, scaling=scaling)
    assert when.value == pytest.approx(5, rel=1e-5)


def test_gradient_flow_is_gradient_descent_with_a_small_lr():
    # A linear model f = X w, whose kernel is X X'.
    inputs = rng().standard_normal((25, 4))
    targets = inputs @ rng(1).standard_normal(4) + 0.1 * rng(2).standard_normal(25)
    weights, lr = np.zeros(4), 1e-4
    for _ in range(3000):
        weights -= lr * inputs.T @ (inputs @ weights - targets) / 25
    loss = 0.5 * ((targets - inputs @ weights) ** 2).mean()
    flow = kernel_gradient_flow(inputs @ inputs.T, targets, [3000 * lr])
    assert flow.y[0] == pytest.approx(loss, rel=1e-3)


def test_one_mode_decays_exponentially():
    found = time_to(3 * np.eye(8), rng().standard_normal(8), share=0.1)
    assert found.value == pytest.approx(math.log(10) / (2 * 3 / 8))
    assert time_to(3 * np.eye(8), np.ones(8), share=0.1, scaling="trace").value == pytest.approx(
        math.log(10) / 2
    )


def test_targets_in_larger_eigenvalues_are_learnt_sooner():
    kernel, _, frame = planted()
    early, late = (time_to(kernel, frame[:, mode], share=0.1).value for mode in (0, 20))
    assert late == pytest.approx(early * 21**1.5)


def test_what_lies_below_the_noise_is_not_learnt():
    kernel = np.diag([1.0, 0.5, 1e-9, 0])
    with pytest.raises(
        UndeterminedError, match=r"0\.5 of the loss lies in eigenvectors whose eigenvalues are below"
    ):
        time_to(kernel, [1.0, 1, 1, 1], share=0.5)
    assert time_to(kernel, [1.0, 1, 1, 1], share=0.51).value > 0
    with pytest.raises(UndeterminedError, match=r"0\.25 of the loss"):
        time_to(kernel, [1.0, 1, 1, 1], share=0.2, noise=1e-12)


def test_bad_kernels_are_named():
    for matrix, words in [
        (np.ones((2, 3)), r"a kernel is \(M, M\), got shape \(2, 3\)"),
        (np.ones((0, 0)), "a kernel is"),
        (np.full((2, 2), np.nan), "an entry of the kernel is not finite"),
        (np.zeros((2, 2)), "the kernel is zero everywhere"),
        (np.array([[1.0, 0.5], [0, 1]]), "not symmetric, by 0.5 of its largest entry"),
        (np.diag([1.0, -0.1]), "an eigenvalue is -0.1 where the largest is 1"),
        (np.diag([-1.0, -1]), "a kernel has no negative ones"),
    ]:
        with pytest.raises(MeasurementError, match=words):
            spectrum(matrix)


def test_bad_arguments_are_named():
    kernel = planted(6)[0]
    for targets in (np.ones(5), np.ones((6, 2, 1)), np.ones((4, 2))):
        with pytest.raises(MeasurementError, match="do not fit a kernel of 6 rows"):
            cumulative_power(kernel, targets)
    for targets in (np.zeros(6), np.full(6, np.inf)):
        with pytest.raises(MeasurementError, match="finite and not all zero"):
            alignment(kernel, targets)
    for times in ([], [1.0, 1.0], [-1.0, 1.0], [[1.0]], [0.0, np.inf]):
        with pytest.raises(MeasurementError, match="times must increase from 0 on"):
            kernel_gradient_flow(kernel, np.ones(6), times)
    with pytest.raises(MeasurementError, match=r"outputs \(5,\) do not fit targets \(6,\)"):
        kernel_gradient_flow(kernel, np.ones(6), [1.0], initial=np.ones(5))
    with pytest.raises(UsageError, match="scaling is 'samples' or 'trace', got 'width'"):
        kernel_gradient_flow(kernel, np.ones(6), [1.0], scaling="width")
    for share in (0, 1, math.nan):
        with pytest.raises(UsageError, match="a share lies within"):
            time_to(kernel, np.ones(6), share=share)
        with pytest.raises(UsageError, match="a share lies within"):
            modes_holding(kernel, np.ones(6), share=share)
    with pytest.raises(MeasurementError, match="6 and 5 eigenvalues cannot be compared"):
        spectrum_distance(kernel, np.ones(5))
    with pytest.raises(MeasurementError, match="the largest positive"):
        spectrum_distance(kernel, np.zeros(6))
