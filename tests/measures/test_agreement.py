"""Distances of two networks: known answers, invariances, networks that share nothing, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netprops.errors import MeasurementError
from netprops.measures.agreement import (
    attention_distance,
    cka,
    kernel_distance,
    kernel_of,
    logit_distance,
    preactivation_distance,
)

SEEDS = st.integers(0, 10_000)


def rotation(rng, size):
    return np.linalg.qr(rng.standard_normal((size, size)))[0]


def test_logits_with_noise_of_a_tenth_of_the_spread_are_a_tenth_apart():
    rng = np.random.default_rng(0)
    reference = 3 * rng.standard_normal((20_000, 5)) + np.arange(5)
    assert logit_distance(reference + 0.3 * rng.standard_normal((20_000, 5)), reference) == pytest.approx(
        0.1, rel=0.02
    )
    assert logit_distance(reference, reference) == 0
    assert logit_distance(
        np.broadcast_to(reference.mean(axis=0), reference.shape), reference
    ) == pytest.approx(1)


def test_networks_that_share_nothing_are_the_square_root_of_two_apart():
    rng = np.random.default_rng(1)
    assert logit_distance(*rng.standard_normal((2, 20_000, 3))) == pytest.approx(2**0.5, rel=0.02)


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_neither_order_nor_unit_nor_origin_of_logits_matters(seed, factor, shift):
    rng = np.random.default_rng(seed)
    logits, reference = rng.standard_normal((2, 30, 4))
    order = rng.permutation(30)
    turned = [
        factor * one[order] @ rotation(np.random.default_rng(seed), 4) + shift for one in (logits, reference)
    ]
    assert logit_distance(*turned) == pytest.approx(logit_distance(logits, reference))


def test_a_kernel_of_many_random_features_approaches_that_of_their_distribution():
    rng = np.random.default_rng(2)
    inputs = rng.standard_normal((30, 6))
    limit = inputs @ inputs.T
    apart = [
        np.mean(
            [kernel_distance(kernel_of(inputs @ rng.standard_normal((6, width))), limit) for _ in range(20)]
        )
        for width in (100, 400)
    ]
    assert apart[0] / apart[1] == pytest.approx(2, rel=0.15)
    assert kernel_of([[1.0, 2.0], [0.0, 2.0]]).tolist() == [[2.5, 2.0], [2.0, 2.0]]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.1, 10))
def test_a_kernel_knows_no_order_of_units_and_cka_no_scale_and_no_mean(seed, factor):
    rng = np.random.default_rng(seed)
    first, second = rng.standard_normal((2, 12, 7))
    K, other = kernel_of(first), kernel_of(second)
    np.testing.assert_allclose(kernel_of(first @ rotation(rng, 7)), K, atol=1e-12)
    assert kernel_distance(factor * K, factor * other) == pytest.approx(kernel_distance(K, other))
    moved = kernel_of(factor * first + rng.standard_normal(7))
    assert cka(moved, other) == pytest.approx(cka(K, other), abs=1e-9)
    assert cka(moved, K) == pytest.approx(1)


def test_cka_is_that_of_the_cross_covariances():
    """Kornblith et al. 2019, equation 4 for linear kernels."""
    rng = np.random.default_rng(3)
    first, second = rng.standard_normal((2, 40, 6))
    second = first[:, ::-1] + second
    a, b = first - first.mean(axis=0), second - second.mean(axis=0)
    expected = np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))
    assert cka(kernel_of(first), kernel_of(second)) == pytest.approx(expected)


def test_features_that_share_nothing_are_not_aligned():
    rng = np.random.default_rng(4)
    first, second = kernel_of(rng.standard_normal((1000, 4))), kernel_of(rng.standard_normal((1000, 4)))
    assert cka(first, second) < 0.05
    assert kernel_distance(first, second) > 1


def test_a_distribution_moved_or_stretched_is_as_far_as_its_quantiles():
    rng = np.random.default_rng(5)
    reference = rng.standard_normal((500, 40))
    moved = rng.permutation(reference.ravel()) + 0.5 * reference.std()
    assert preactivation_distance(moved, reference) == pytest.approx(0.5)
    # The mean absolute value of a standard normal number is the square root of 2/pi.
    assert preactivation_distance(2 * reference, reference) == pytest.approx((2 / np.pi) ** 0.5, rel=0.03)
    fewer = rng.standard_normal((500, 8))
    assert preactivation_distance(fewer, reference) == pytest.approx(
        stats.wasserstein_distance(fewer.ravel(), reference.ravel()) / reference.std()
    )


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_neither_place_nor_unit_of_preactivations_matters(seed, factor, shift):
    rng = np.random.default_rng(seed)
    some, others = rng.standard_normal((10, 3)), rng.standard_normal((10, 5))
    again = preactivation_distance(factor * rng.permuted(some) + shift, factor * others + shift)
    assert again == pytest.approx(preactivation_distance(some, others))


def test_attention_paid_elsewhere_is_the_distance():
    here, there = np.zeros((2, 3, 4, 4)), np.zeros((2, 3, 4, 4))
    here[..., 0], there[..., 0], there[..., 3] = 1, 0.75, 0.25
    assert attention_distance(here, there) == pytest.approx(0.25)
    assert attention_distance(here, here) == 0
    assert attention_distance(here, np.roll(here, 1, axis=-1)) == 1


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_the_order_of_positions_does_not_matter_to_attention(seed):
    rng = np.random.default_rng(seed)
    first, second = rng.dirichlet(np.ones(5), size=(2, 3, 5))
    order = rng.permutation(5)
    again = attention_distance(first[:, order][:, :, order], second[:, order][:, :, order])
    assert again == pytest.approx(attention_distance(first, second))
    assert again == pytest.approx(attention_distance(second, first))


ROWS = np.eye(3)


@pytest.mark.parametrize(
    ("measure", "first", "second", "said"),
    [
        (logit_distance, np.ones((3, 2)), np.ones((3, 3)), "the same samples and outputs"),
        (logit_distance, np.ones(3), np.ones(3), "one of 2 axes"),
        (logit_distance, np.full((3, 2), np.nan), ROWS[:, :2], "diverge"),
        (logit_distance, ROWS, np.full((3, 3), 0.1), "no spread"),
        (kernel_distance, ROWS[:2], ROWS[:2], "kernel_of"),
        (kernel_distance, ROWS, np.zeros((3, 3)), "silent"),
        (cka, ROWS, np.full((3, 3), 0.1), "constant"),
        (preactivation_distance, [], [1.0], "expected finite"),
        (preactivation_distance, [np.inf], [1.0, 2.0], "expected finite"),
        (preactivation_distance, [1.0], [0.1, 0.1, 0.1], "all alike"),
        (attention_distance, ROWS, 2 * ROWS, "after the softmax"),
        (attention_distance, [[1.5, -0.5], [0.0, 1.0]], ROWS[:2, :2], "not negative"),
        (attention_distance, ROWS[:2], ROWS[:2], "T, T"),
    ],
)
def test_what_cannot_be_compared_is_refused(measure, first, second, said):
    with pytest.raises(MeasurementError, match=said):
        measure(first, second)


def test_a_kernel_needs_a_matrix_of_features():
    with pytest.raises(MeasurementError, match=r"\(N, W\) finite"):
        kernel_of(np.ones(3))
