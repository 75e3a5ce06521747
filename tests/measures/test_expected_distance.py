"""Distances between expectations: bias under more chance, invariances, chance alone, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.expected_distance import expected_distance_falls, expected_distances

WIDTHS = np.array([32, 64, 128, 256])


def planted(rng, *, seeds=6, bias=8.0, chance=2.0, samples=400):
    """Logits f + bias/w + chance/sqrt(w): (S, P, N, 2)."""
    limit, shift = rng.standard_normal((2, samples, 2))
    noise = rng.standard_normal((seeds, len(WIDTHS), samples, 2))
    w = WIDTHS[:, None, None]
    return limit + bias * shift / w + chance * noise / np.sqrt(w)


def test_the_bias_is_found_below_the_chance_of_ensembles():
    """At the widest pair the ensembles' own chance is larger than what is to be found."""
    rng, hits = np.random.default_rng(0), np.zeros(3)
    for _ in range(60):
        found = expected_distances(WIDTHS, planted(rng))
        truth = (8 / WIDTHS[:-1] - 8 / WIDTHS[1:]) ** 2
        hits += (found.low <= truth) & (truth <= found.high)
    assert (hits >= 51).all()  # 57 expected, standard deviation 1.7
    means = planted(rng).mean(axis=0)
    plugged = ((means[2] - means[3]) ** 2).mean()
    assert plugged > 3 * truth[-1]


@pytest.mark.parametrize("seeds", [4, 8])
def test_a_bias_of_one_over_the_width_has_the_slope_minus_one(seeds):
    rng, hits, values = np.random.default_rng(1), 0, []
    for _ in range(60):
        found = expected_distance_falls(WIDTHS, planted(rng, seeds=seeds, bias=20.0, chance=1.0))
        hits += found.low <= -1 <= found.high
        values.append(found.value)
    assert np.mean(values) == pytest.approx(-1, abs=0.02)
    assert hits >= 51  # 57 expected, standard deviation 1.7
    single = expected_distance_falls(WIDTHS, planted(rng, bias=20.0, chance=0.1), against="widest")
    assert single.value < -1.2  # at the widest it would be 0


def test_chance_alone_is_no_bias():
    rng, covered, undetermined = np.random.default_rng(2), 0, 0
    for _ in range(60):
        logits = planted(rng, bias=0.0)
        found = expected_distances(WIDTHS, logits, against="widest")
        covered += int(found.low[0] <= 0 <= found.high[0])
        try:
            expected_distance_falls(WIDTHS, logits)
        except UndeterminedError:
            undetermined += 1
    assert covered >= 51
    assert undetermined > 50


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10), shift=st.floats(-5, 5))
def test_neither_unit_nor_origin_nor_order_matters(seed, factor, shift):
    rng = np.random.default_rng(seed)
    logits = planted(rng, samples=30)
    plain = expected_distances(WIDTHS, logits)
    moved = expected_distances(
        WIDTHS, (factor * logits + shift)[rng.permutation(6)][:, :, rng.permutation(30)]
    )
    np.testing.assert_allclose(moved.y, plain.y, rtol=1e-6)
    np.testing.assert_allclose(moved.high, plain.high, rtol=1e-6)


def test_it_is_the_mean_product_of_different_seeds():
    logits = planted(np.random.default_rng(3), samples=20)
    apart = (logits[:, 1] - logits[:, 2]).reshape(6, -1)
    products = [apart[i] @ apart[j] / 40 for i in range(6) for j in range(6) if i != j]
    spread = logits[:, -1].mean(axis=0).var(axis=0).mean()
    found = expected_distances(WIDTHS, logits)
    assert found.y[1] == pytest.approx(np.mean(products) / spread)
    assert found.x.tolist() == [32, 64, 128]


@pytest.mark.parametrize(
    ("widths", "change", "known", "error", "said"),
    [
        (WIDTHS, lambda x: x[:2], {}, UndeterminedError, "2 seeds give no interval"),
        (WIDTHS, lambda x: x[:, :3], {}, MeasurementError, r"expected \(S, P, N, ...\)"),
        (WIDTHS, lambda x: x * np.nan, {}, MeasurementError, "diverge"),
        (WIDTHS, lambda x: 0 * x, {}, MeasurementError, "do not differ among samples"),
        (WIDTHS, lambda x: x, {"against": "best"}, UsageError, "got 'best'"),
        ([1, 2, 4, 16], lambda x: x, {}, UsageError, "one factor"),
        (WIDTHS[:2], lambda x: x[:, :2], {}, MeasurementError, "at least three widths"),
    ],
)
def test_what_has_no_expectation_is_refused(widths, change, known, error, said):
    with pytest.raises(error, match=said):
        expected_distance_falls(widths, change(planted(np.random.default_rng(4))), **known)
