import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.statistics import (
    bootstrap,
    detectable_effect,
    holm,
    mean_interval,
    p_outside,
    paired_difference,
    share_interval,
)

numbers = st.lists(st.floats(-100, 100), min_size=2, max_size=12)


def measured(value, error, df=math.inf):
    half = stats.t.ppf(0.975, df) * error
    return Measurement(
        name="m",
        value=value,
        low=value - half,
        high=value + half,
        standard_error=error,
        df=df,
        n=10,
        n_of="seeds",
        how="given",
    )


def test_the_interval_of_a_mean_is_students():
    found = mean_interval([4.1, 3.9, 4.4, 4.0], name="gap", n_of="seeds", unit="%")
    low, high = stats.ttest_1samp([4.1, 3.9, 4.4, 4.0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    assert (found.value, found.df, found.n, found.unit) == (pytest.approx(4.1), 3, 4, "%")


def test_the_interval_of_a_mean_covers_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        found = mean_interval(rng.normal(3, 2, 5), name="m", n_of="seeds")
        hits += found.low <= 3 <= found.high
    assert 930 <= hits <= 970  # 950 expected, standard deviation 7


@given(numbers, st.floats(-10, 10), st.floats(0.1, 10))
def test_the_interval_of_a_mean_moves_and_stretches_with_the_values(values, shift, factor):
    plain = mean_interval(values, name="m", n_of="seeds")
    moved = mean_interval(np.array(values) * factor + shift, name="m", n_of="seeds")
    assert moved.low == pytest.approx(plain.low * factor + shift, abs=1e-8)
    assert moved.high == pytest.approx(plain.high * factor + shift, abs=1e-8)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([1.0], "at least two seeds, got 1"),
        ([], "at least two seeds, got 0"),
        ([1.0, math.nan], "unit 1 is nan"),
        ([[1.0, 2.0]], r"shape \(1, 2\)"),
    ],
)
def test_a_mean_without_an_interval_is_refused(values, words):
    with pytest.raises(MeasurementError, match=words):
        mean_interval(values, name="gap", n_of="seeds")


def test_a_paired_difference_uses_the_pairs():
    a, b = np.array([1.0, 5.0, 9.0]), np.array([0.9, 4.8, 8.9])
    found = paired_difference(a, b, name="gap", n_of="seeds")
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((low, high))
    shuffled = paired_difference(a, b[[1, 2, 0]], name="gap", n_of="seeds")
    assert shuffled.standard_error > 10 * found.standard_error


def test_a_paired_difference_needs_pairs():
    with pytest.raises(MeasurementError, match="3 and 2 seeds cannot be paired"):
        paired_difference([1, 2, 3], [1, 2], name="gap", n_of="seeds")


def test_the_bootstrap_of_a_mean_agrees_with_theory():
    rng = np.random.default_rng(1)
    rows = rng.normal(0, 1, (200, 3))
    found = bootstrap(lambda kept: float(kept[:, 0].mean()), rows, name="m", n_of="permutations", rng=rng)
    assert found.standard_error == pytest.approx(rows[:, 0].std(ddof=1) / math.sqrt(200), rel=0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.standard_error, rel=0.1)


def test_the_bootstrap_resamples_whole_rows():
    rows = np.random.default_rng(2).normal(0, 1, (50, 1)) * np.array([[1.0, -1.0]])
    found = bootstrap(
        lambda kept: float(kept.sum()), rows, name="m", n_of="rows", rng=np.random.default_rng(0)
    )
    assert found.high - found.low < 1e-9  # the columns of a row cancel, those of different rows would not


def test_the_bootstrap_is_the_same_for_the_same_seed():
    rows = np.random.default_rng(3).normal(0, 1, 30)
    first, second = (
        bootstrap(
            lambda kept: float(np.median(kept)),
            rows,
            name="m",
            n_of="rows",
            rng=np.random.default_rng(7),
            resamples=200,
        )
        for _ in range(2)
    )
    assert first == second


def test_the_bootstrap_refuses_what_resamples_leave_undefined():
    def fragile(kept):
        if len(np.unique(kept)) < 3:
            raise MeasurementError("too few")
        return float(kept.mean())

    with pytest.raises(MeasurementError, match=r"undefined in \d+ of 2000 resamples of 3 seeds"):
        bootstrap(fragile, [1.0, 2.0, 3.0], name="m", n_of="seeds", rng=np.random.default_rng(0))
    with pytest.raises(MeasurementError, match="at least two seeds, got 1"):
        bootstrap(fragile, [1.0], name="m", n_of="seeds", rng=np.random.default_rng(0))


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03, 0.005], 0.05) == [True, False, False, True]
    assert holm([0.02, 0.03], 0.05) == [True, True]  # Bonferroni would reject the first alone
    assert holm([], 0.05) == []
    with pytest.raises(UsageError, match=r"got 1\.5"):
        holm([0.1, 1.5], 0.05)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_lies_between_bonferroni_and_no_correction_in_any_order(values, random):
    found = dict(zip(values, holm(values, 0.05), strict=True))
    for value, rejected in found.items():
        assert rejected or value > 0.05 / len(values)
        assert not rejected or value <= 0.05
    random.shuffle(values)
    assert holm(values, 0.05) == [found[value] for value in values]


def test_holm_keeps_its_budget():
    draws = np.random.default_rng(5).uniform(size=(2000, 10))
    alarms = sum(any(holm(row.tolist(), 0.05)) for row in draws)
    assert alarms <= 2000 * 0.05 + 3 * math.sqrt(2000 * 0.05 * 0.95)


def test_p_outside_is_a_one_sided_test_for_one_bound():
    above = p_outside(measured(1.0, 0.2, df=7), None, 0.6)
    assert above == pytest.approx(stats.t.sf(2, 7))
    assert p_outside(measured(-1.0, 0.2, df=7), -0.6, None) == pytest.approx(above)


def test_p_outside_is_two_sided_for_a_point_and_one_within():
    assert p_outside(measured(1.0, 0.5), 0.0, 0.0) == pytest.approx(2 * stats.norm.sf(2))
    assert p_outside(measured(1.0, 0.5), 0.0, 2.0) == 1.0
    assert p_outside(measured(1.0, 0.5), None, None) == 1.0


def test_p_outside_decides_exact_values():
    exact = Measurement.exact("count", 3, n=1, n_of="networks", how="counted")
    assert (p_outside(exact, 4, None), p_outside(exact, 3, None), p_outside(exact, None, 2)) == (
        0.0,
        1.0,
        0.0,
    )
    with pytest.raises(UsageError, match="low <= high"):
        p_outside(exact, 4, 2)


@settings(max_examples=10, deadline=None)
@given(st.floats(-2, 2), st.floats(0, 3))
def test_p_outside_gives_false_alarms_no_more_often_than_it_says(low, width):
    values = np.random.default_rng(6).normal(low + width, 1.0, 300)  # the truth at the bound's end
    alarms = np.mean([p_outside(measured(value, 1.0), low, low + width) <= 0.1 for value in values])
    assert alarms <= 0.1 + 4 * math.sqrt(0.09 / 300)


def test_a_detectable_effect_is_decided_as_often_as_its_power_says():
    rng = np.random.default_rng(7)
    size = detectable_effect(measured(0.0, 1.0), power=0.8, alpha=0.01)
    decided = np.mean(
        [p_outside(measured(value, 1.0), None, 0.0) <= 0.01 for value in rng.normal(size, 1, 1000)]
    )
    assert decided == pytest.approx(0.8, abs=0.05)
    assert detectable_effect(measured(0.0, 2.0), alpha=0.01) == pytest.approx(2 * size)
    assert detectable_effect(Measurement.exact("count", 3, n=1, n_of="networks", how="counted")) == 0


def test_a_share_has_wilson_s_interval():
    found = share_interval([True] * 3 + [False] * 7, name="share", n_of="networks")
    assert found.value == 0.3
    assert (found.low, found.high) == pytest.approx((0.1078, 0.6032), abs=1e-4)  # Newcombe 1998


def test_a_share_of_nothing_is_refused():
    with pytest.raises(MeasurementError, match="at least one of networks"):
        share_interval([], name="share", n_of="networks")
