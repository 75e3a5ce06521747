"""Consistency across widths: planted bias and chance, invariances, quantities without a limit, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.agreement import logit_distance
from netprops.measures.consistency import (
    checked_widths,
    consistent_until,
    falls,
    floor_of,
    more_consistent,
    share_falling,
    successive,
    to_others,
    to_widest,
)

WIDTHS = np.array([32, 64, 128, 256, 512])


def planted(rng, *, seeds=6, bias=0.0, chance=0.0, samples=400, widths=WIDTHS):
    """Logits f + bias/w + chance/sqrt(w), all of one spread at w = 1; (S, P, N, 2)."""
    limit, shift = rng.standard_normal((2, samples, 2))
    noise = rng.standard_normal((seeds, len(widths), samples, 2))
    w = np.asarray(widths)[:, None, None]
    return limit + bias * shift / w + chance * noise / np.sqrt(w)


@pytest.mark.parametrize(("bias", "chance", "slope"), [(0.0, 2.0, -0.5), (8.0, 0.0, -1.0)])
def test_successive_distances_fall_by_the_planted_exponent(bias, chance, slope):
    logits = planted(np.random.default_rng(0), bias=bias, chance=chance)
    logits += 1e-6 * np.random.default_rng(1).standard_normal(logits.shape)
    found = falls(WIDTHS[:-1], successive(WIDTHS, logits, logit_distance))
    assert found.value == pytest.approx(slope, abs=0.02)
    assert found.high - found.low < 0.05
    assert share_falling(successive(WIDTHS, logits, logit_distance)).value == 1


def test_the_distance_to_the_widest_has_the_expectation_of_the_module_s_words():
    bias, chance = 20.0, 2.0
    logits = planted(np.random.default_rng(2), bias=bias, chance=chance, samples=4000)
    found = (to_widest(WIDTHS, logits, logit_distance) ** 2).mean(axis=0)
    widest = WIDTHS[-1]
    spread = 1 + (bias / widest) ** 2 + chance**2 / widest
    expected = (bias / WIDTHS - bias / widest) ** 2 + chance**2 / WIDTHS + chance**2 / widest
    np.testing.assert_allclose(found, expected[:-1] / spread, rtol=0.05)
    floor = floor_of(logits[:, -1], logit_distance)
    assert floor.value == pytest.approx((2 * chance**2 / widest / spread) ** 0.5, rel=0.02)
    assert floor.low <= floor.value <= floor.high


def test_the_others_mean_has_less_chance_and_no_place_for_the_network_itself():
    logits = planted(np.random.default_rng(3), chance=2.0, samples=4000)
    found = (to_others(WIDTHS, logits, logit_distance) ** 2).mean(axis=0)
    np.testing.assert_allclose(found, 4 * (1 / WIDTHS + 1 / (5 * WIDTHS[-1])), rtol=0.05)
    slow = np.array(
        [
            [logit_distance(logits[s, p], np.delete(logits[:, -1], s, axis=0).mean(axis=0)) for p in range(5)]
            for s in range(6)
        ]
    )
    np.testing.assert_allclose(to_others(WIDTHS, logits, logit_distance), slow)


def test_a_quantity_without_a_limit_nears_the_widest_but_its_steps_do_not_fall():
    """Outputs that grow as log w."""
    rng = np.random.default_rng(4)
    limit, shift = rng.standard_normal((2, 300, 2))
    logits = limit + 0.2 * np.log2(WIDTHS)[:, None, None] * shift
    logits = logits + 0.01 * rng.standard_normal((5, 5, 300, 2))
    spread = lambda a, b: float(np.sqrt(((np.asarray(a) - np.asarray(b)) ** 2).mean()))  # noqa: E731
    assert falls(WIDTHS[:-1], to_widest(WIDTHS, logits, spread)).high < -0.3
    steps = falls(WIDTHS[:-1], successive(WIDTHS, logits, spread))
    assert steps.value == pytest.approx(0, abs=0.01)
    assert steps.high > -0.02


def test_chance_that_width_does_not_change_does_not_fall():
    rng = np.random.default_rng(5)
    logits = rng.standard_normal((300, 2)) + 0.3 * rng.standard_normal((6, 5, 300, 2))
    distances = to_widest(WIDTHS, logits, logit_distance)
    assert falls(WIDTHS[:-1], distances).value == pytest.approx(0, abs=0.03)
    share = share_falling(distances)
    assert share.low < 0.5 < share.high


def test_a_slope_by_chance_alone_is_rarely_certain():
    rng, alarms = np.random.default_rng(6), 0
    for _ in range(500):
        alarms += falls(WIDTHS, np.exp(0.3 * rng.standard_normal((4, 5)))).high < 0
    assert alarms < 25  # 2.5% are promised


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_neither_the_unit_nor_the_order_of_seeds_matters(seed, factor):
    rng = np.random.default_rng(seed)
    distances, other = np.exp(rng.standard_normal((2, 4, 5)))
    order = rng.permutation(4)
    plain, moved = falls(WIDTHS, distances), falls(2 * WIDTHS, factor * distances[order])
    assert moved.value == pytest.approx(plain.value)
    assert moved.high == pytest.approx(plain.high)
    paired = more_consistent(distances, other)
    assert more_consistent(factor * distances, factor * other).value == pytest.approx(paired.value)
    assert more_consistent(other, distances).value == pytest.approx(-paired.value)
    assert share_falling(factor * distances).value == share_falling(distances).value


def test_half_the_distance_at_every_seed_is_one_doubling_more_consistent():
    rng = np.random.default_rng(7)
    standard = np.exp(rng.standard_normal((8, 3)))
    mu = 0.5 * standard * np.exp(0.1 * rng.standard_normal((8, 3)))
    found = more_consistent(mu, standard)
    assert found.value == pytest.approx(-1, abs=0.1)
    assert found.low <= -1 <= found.high
    assert found.high - found.low < 0.5  # paired: the seeds themselves differ by far more
    assert more_consistent(mu[:, 0], standard[:, 0]).high < 0
    null = more_consistent(standard, rng.permutation(standard))
    assert null.low < 0 < null.high


STEPS = np.geomspace(1, 1000, 13)


def growing(rng, *, seeds=5, noise=0.1):
    """Distances that reach 0.1 at step 100, as a square root of the step."""
    own = np.exp(noise * rng.standard_normal((seeds, 1)))
    return 0.01 * STEPS**0.5 * own


def test_a_family_is_consistent_until_the_planted_step():
    rng, hits = np.random.default_rng(8), 0
    for _ in range(100):
        found = consistent_until(STEPS, growing(rng), 0.1, rng=rng, resamples=400)
        hits += found.low <= 100 <= found.high
        assert not found.details["censored"]
        assert found.df == 4
    assert hits >= 88  # 95 expected, standard deviation 2.2
    exact = consistent_until(STEPS, growing(rng, noise=0.0), 0.1, rng=rng)
    assert exact.value == pytest.approx(100)
    assert exact.unit == "steps"


def test_a_family_that_never_leaves_is_consistent_at_least_until_the_end():
    rng = np.random.default_rng(9)
    found = consistent_until(STEPS, growing(rng), 0.9, rng=rng)
    assert (found.value, found.low, found.high) == (1000, 1000, 1000)
    assert found.details["censored"] is True
    assert found.details["censored_share"] == 1
    assert found.how.endswith("at least")
    near = consistent_until(STEPS, growing(rng, noise=0.3), 0.3, rng=rng)
    assert near.low < near.value
    assert 0 < near.details["censored_share"] < 1


def test_wider_networks_agree_for_longer():
    rng = np.random.default_rng(10)
    narrow, wide = growing(rng), growing(rng) / 2
    assert (
        consistent_until(STEPS, narrow, 0.1, rng=rng).high < consistent_until(STEPS, wide, 0.1, rng=rng).low
    )


def test_a_family_that_starts_apart_is_undetermined():
    rng = np.random.default_rng(11)
    with pytest.raises(UndeterminedError, match=r"at the first recorded step, 1, above 0\.005"):
        consistent_until(STEPS, growing(rng), 0.005, rng=rng)


@pytest.mark.parametrize(
    ("steps", "distances", "threshold", "said"),
    [
        ([1.0, 2.0], [[0.1, 0.2, 0.3]], 0.1, r"expected \(T >= 2,\) steps"),
        ([0.0, 2.0], [[0.1, 0.2]] * 2, 0.1, "positive and ascend"),
        ([2.0, 1.0], [[0.1, 0.2]] * 2, 0.1, "positive and ascend"),
        ([1.0, 2.0], [[0.1, 0.2]] * 2, 0.0, "threshold be positive"),
        ([1.0, 2.0], [[0.0, 0.2]] * 2, 0.1, "distance 0 from itself"),
        ([1.0, 2.0], [[0.1, 0.2]], 0.5, "at least two"),
    ],
)
def test_recorded_steps_that_tell_nothing_are_refused(steps, distances, threshold, said):
    with pytest.raises(MeasurementError, match=said):
        consistent_until(steps, distances, threshold, rng=np.random.default_rng(0))


@pytest.mark.parametrize("widths", [[4], [4, 2], [4, 4], [0, 2], [[1, 2]]])
def test_widths_that_do_not_ascend_are_refused(widths):
    with pytest.raises(UsageError, match="positive and ascend"):
        checked_widths(widths)


def test_successive_widths_grow_by_one_factor():
    logits = planted(np.random.default_rng(12), widths=[32, 64, 256])
    with pytest.raises(UsageError, match="one factor"):
        successive([32, 64, 256], logits, logit_distance)
    assert to_widest([32, 64, 256], logits, logit_distance).shape == (6, 2)
    checked_widths([8, 11, 16, 23], one_factor=True)  # by the square root of two, in whole numbers


def test_what_does_not_fit_is_refused():
    logits = planted(np.random.default_rng(13))
    with pytest.raises(MeasurementError, match="5 networks for each seed"):
        to_widest(WIDTHS, logits[:, :4], logit_distance)
    with pytest.raises(MeasurementError, match="at least two seeds"):
        to_others(WIDTHS, logits[:1], logit_distance)
    with pytest.raises(UndeterminedError, match="train a third"):
        floor_of(logits[:2, -1], logit_distance)
    with pytest.raises(MeasurementError, match="positive distances"):
        falls(WIDTHS, np.zeros((3, 5)))
    with pytest.raises(MeasurementError, match="P >= 2"):
        share_falling(np.ones((3, 1)))
    with pytest.raises(MeasurementError, match="cannot be paired"):
        more_consistent(np.ones(3), np.ones(4))
