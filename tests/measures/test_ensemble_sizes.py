"""Sizes of ensembles: what squared error fixes, all subsets, equal networks, bad input."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.ensemble_sizes import ensemble_curve, gain_reached, left_to_gain
from netprops.measures.initialisations import initialisation_bias_variance, sample_losses


def planted(rng, *, networks=6, samples=60, spread=1.0, outputs=3):
    truth = rng.standard_normal((samples, outputs))
    return truth + spread * rng.standard_normal((networks, samples, outputs)), rng.integers(
        0, outputs, samples
    )


def test_squared_error_falls_as_one_over_the_size_whatever_the_networks():
    rng = np.random.default_rng(0)
    outputs, labels = rng.standard_normal((6, 50, 1)), rng.standard_normal(50)
    curve = ensemble_curve(outputs, labels, kind="squared")
    variance = outputs.var(axis=0, ddof=1).mean() / 2
    limit = sample_losses(outputs.mean(axis=0), labels, "squared").mean() - variance / 6
    np.testing.assert_allclose(curve.y, limit + variance / curve.x)
    assert curve.details["limit"] == pytest.approx(limit)
    assert curve.details["all"] == pytest.approx(limit + variance / 6)
    for size in (1, 2, 4):
        found = gain_reached(outputs, labels, size=size, kind="squared")
        assert found.value == pytest.approx(1 - 1 / size)
        assert found.high - found.low == pytest.approx(0, abs=1e-9)


def test_the_curve_is_the_mean_over_all_subsets():
    rng = np.random.default_rng(1)
    logits, labels = planted(rng)
    curve = ensemble_curve(logits, labels)
    slow = [
        np.mean(
            [
                sample_losses(logits[list(chosen)].mean(axis=0), labels).mean()
                for chosen in combinations(range(6), size)
            ]
        )
        for size in range(1, 6)
    ]
    np.testing.assert_allclose(curve.y, slow)
    parts = initialisation_bias_variance(logits, labels, logits)
    assert curve.y[0] == pytest.approx(parts.single.value)
    assert curve.details["limit"] == pytest.approx(parts.ensemble.value)
    assert (np.diff(curve.y) < 0).all()
    assert curve.at(4).standard_error > 0


def test_four_networks_reach_three_quarters_of_a_small_gain_and_leave_little():
    rng = np.random.default_rng(2)
    near, far = (planted(rng, networks=7, spread=spread) for spread in (0.1, 2.0))
    assert gain_reached(*near).value == pytest.approx(0.75, abs=0.02)
    assert left_to_gain(*near).high < 0.01
    assert left_to_gain(*far).low > 0.05
    curve = ensemble_curve(*far)
    assert left_to_gain(*far).value == pytest.approx(1 - curve.details["limit"] / curve.y[3], abs=0.02)


def test_the_limit_is_covered_by_what_is_left():
    """Networks of one width scatter about planted log odds, whose loss is that of a very large ensemble."""
    rng, hits = np.random.default_rng(3), 0
    for _ in range(40):
        truth, labels = rng.standard_normal((100, 3)), rng.integers(0, 3, 100)
        logits = truth + 0.5 * rng.standard_normal((5, 100, 3))
        known = sample_losses(truth, labels).mean()
        chance = 0.5 * rng.standard_normal((40, 4, 100, 3)).mean(axis=1)
        many = sample_losses(truth + np.stack([chance, -chance]), labels)  # in pairs, for less chance
        expected = 1 - known / many.mean()
        found = left_to_gain(logits, labels)
        hits += found.low <= expected <= found.high
    assert hits >= 33  # 38 expected, standard deviation 1.4


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5))
def test_neither_order_nor_a_constant_matters(seed, shift):
    rng = np.random.default_rng(seed)
    logits, labels = planted(rng, networks=5, samples=20)
    order = rng.permutation(20)
    moved = logits[rng.permutation(5)][:, order] + shift
    np.testing.assert_allclose(ensemble_curve(moved, labels[order]).high, ensemble_curve(logits, labels).high)
    assert left_to_gain(moved, labels[order]).value == pytest.approx(left_to_gain(logits, labels).value)


def test_equal_networks_gain_nothing_and_of_nothing_there_is_no_share():
    logits, labels = planted(np.random.default_rng(4), networks=1)
    same = np.repeat(logits, 5, axis=0)
    np.testing.assert_allclose(ensemble_curve(same, labels).y, sample_losses(logits[0], labels).mean())
    assert left_to_gain(same, labels).value == pytest.approx(0, abs=1e-12)
    with pytest.raises(UndeterminedError, match="of nothing there is no share"):
        gain_reached(same, labels)


def test_what_gives_no_curve_is_refused():
    logits, labels = planted(np.random.default_rng(5), networks=13)
    with pytest.raises(UsageError, match="at most 12"):
        ensemble_curve(logits, labels)
    with pytest.raises(UndeterminedError, match="at least three do"):
        ensemble_curve(logits[:2], labels)
    with pytest.raises(MeasurementError, match=r"expected \(R, N, C\)"):
        ensemble_curve(logits[0], labels)
    with pytest.raises(UndeterminedError, match="ensembles of 4: an interval needs 5 networks, got 4"):
        gain_reached(logits[:4], labels)
    with pytest.raises(UsageError, match="at least one network"):
        left_to_gain(logits[:4], labels, size=0)
    perfect = np.repeat(labels[None, :, None] * 1.0, 5, axis=0)
    with pytest.raises(MeasurementError, match="their loss is 0"):
        left_to_gain(perfect, labels * 1.0, kind="squared")
