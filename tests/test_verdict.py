"""Verdicts: the interval and the budget decide, and no run gives more false alarms than it promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import UsageError
from netprops.measurement import Measurement
from netprops.statistics import holm, mean_interval
from netprops.verdict import Bound, Outcome, judge, judge_all, overall, rejections


def interval(value, error, *, df=9.0):
    low, high = value - 2 * error, value + 2 * error
    return Measurement(
        name="q",
        value=value,
        low=low,
        high=high,
        n=10,
        n_of="seeds",
        standard_error=error,
        df=df,
        how="made by hand",
    )


def bound(low=None, high=None):
    return Bound(at_least=low, at_most=high, source="Fig. 1")


@pytest.mark.parametrize(
    ("value", "low", "high", "outcome"),
    [
        (0.6, 0.5, None, "PASS"),
        (0.52, 0.5, None, "PASS"),
        (0.51, 0.5, None, "INCONCLUSIVE"),
        (0.45, 0.5, None, "FAIL"),
        (0.45, None, 0.5, "PASS"),
        (0.60, None, 0.5, "FAIL"),
        (0.5, 0.45, 0.55, "PASS"),
        (0.5, 0.5, 0.5, "INCONCLUSIVE"),
        (0.7, 0.45, 0.55, "FAIL"),
        (0.2, 0.45, 0.55, "FAIL"),
    ],
)
def test_the_interval_decides(value, low, high, outcome):
    verdict = judge(interval(value, 0.01), bound(low, high), alpha=0.05)
    assert verdict.outcome == outcome
    assert f"q = {value:.4g} [" in verdict.sentence
    assert str(bound(low, high)) in verdict.sentence


def test_outside_without_enough_evidence_is_undecided_and_says_so():
    near = interval(0.47, 0.01)
    assert judge(near, bound(0.5), alpha=0.05).outcome is Outcome.FAIL
    verdict = judge(near, bound(0.5), alpha=0.001)
    assert (verdict.outcome, verdict.outside) == (Outcome.INCONCLUSIVE, True)
    assert "outside, but p = 0.0075 exceeds its share of alpha, 0.001" in verdict.sentence
    assert "with 10 seeds a distance of" in verdict.sentence


@pytest.mark.parametrize(("value", "outcome"), [(3, "PASS"), (4, "PASS"), (5, "FAIL")])
def test_an_exact_value_is_always_decided_and_the_end_of_a_bound_lies_inside(value, outcome):
    exact = Measurement.exact("count", value, n=1, n_of="networks", how="counted")
    verdict = judge(exact, bound(high=4), alpha=1e-12)
    assert (verdict.outcome, verdict.detectable_effect) == (outcome, None)


def test_the_expectations_of_one_test_share_alpha_by_holm():
    # p = 0.0034 and 0.0075: each alone is below 0.01, and by Holm only where both fit 0.005 and 0.01.
    near, nearer = (interval(0.4653, 0.01), bound(0.5)), (interval(0.47, 0.01), bound(0.5))
    assert [one.outcome for one in judge_all([near, nearer], alpha=0.01)] == ["FAIL", "FAIL"]
    assert [one.outcome for one in judge_all([nearer, near], alpha=0.006)] == ["INCONCLUSIVE", "INCONCLUSIVE"]
    assert judge(*near, alpha=0.006).outcome is Outcome.FAIL


@given(
    value=st.floats(-1, 1),
    error=st.floats(0.01, 1),
    low=st.floats(-1, 1),
    shift=st.floats(-2, 2),
    alpha=st.sampled_from([1e-4, 0.01, 0.2]),
)
@settings(max_examples=60, deadline=None)
def test_moving_value_and_bound_together_changes_nothing(value, error, low, shift, alpha):
    here = judge(interval(value, error), bound(low), alpha)
    there = judge(interval(value + shift, error), bound(low + shift), alpha)
    if abs(value - low - 2 * error) > 1e-6 and abs(value + 2 * error - low) > 1e-6:
        assert here.outcome == there.outcome
    mirrored = judge(interval(-value, error), bound(high=-low), alpha)
    assert here.outcome == mirrored.outcome


def test_a_failure_is_never_promoted_for_a_value_inside():
    (verdict,) = judge_all([(interval(0.9, 0.01), bound(0.5))], 0.4)
    assert verdict.p_value > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs at_least, at_most or both"),
        ({"at_least": float("nan")}, "at_least is nan"),
        ({"at_most": float("inf")}, "at_most is inf"),
        ({"at_least": 2, "at_most": 1}, "at_least=2 lies above at_most=1"),
        ({"at_least": 1, "source": " "}, "needs its source"),
    ],
)
def test_a_bound_that_is_none(arguments, message):
    with pytest.raises(UsageError, match=message):
        Bound(**{"source": "Fig. 1", **arguments})


def test_alpha_is_a_probability():
    with pytest.raises(UsageError, match="alpha must lie between 0 and 1, got 0"):
        judge(interval(0, 1), bound(0), alpha=0)


def test_the_worst_of_several_outcomes():
    assert overall([]) == overall([Outcome.PASS]) == "PASS"
    assert overall([Outcome.PASS, Outcome.INCONCLUSIVE]) == "INCONCLUSIVE"
    assert overall([Outcome.INCONCLUSIVE, Outcome.FAIL, Outcome.PASS]) == "FAIL"


def test_a_test_that_is_wholly_rejected_passes_its_share_on():
    assert rejections([[0.001], [0.004]], alpha=0.006, tests=2) == [[True], [True]]
    assert rejections([[0.5], [0.004]], alpha=0.006, tests=2) == [[False], [False]]
    # A test that is only half rejected keeps its share.
    assert rejections([[0.001, 0.5], [0.004]], alpha=0.006, tests=2) == [[True, False], [False]]
    # A test that made no expectations keeps its share, too.
    assert rejections([[0.001], [0.004]], alpha=0.009, tests=4) == [[True], [False]]
    assert rejections([], alpha=0.01, tests=0) == []


def test_more_tests_than_shares_are_refused():
    with pytest.raises(UsageError, match="2 tests made expectations, but only 1 share"):
        rejections([[0.1], [0.1]], alpha=0.01, tests=1)


TESTS = st.lists(st.floats(0, 1) | st.floats(0, 0.01), min_size=1, max_size=3)
P_VALUES = st.lists(TESTS, min_size=1, max_size=5)


@given(p_values=P_VALUES, alpha=st.sampled_from([0.001, 0.01, 0.3]), idle=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_the_whole_budget_rejects_whatever_the_shares_rejected(p_values, alpha, idle):
    tests = len(p_values) + idle
    final = rejections(p_values, alpha, tests)
    for ps, rejected in zip(p_values, final, strict=True):
        assert all(late or not early for early, late in zip(holm(ps, alpha / tests), rejected, strict=True))
    order = list(range(len(p_values)))[::-1]
    assert rejections([p_values[i] for i in order], alpha, tests) == [final[i] for i in order]


def test_a_thousand_runs_in_which_every_claim_holds_keep_to_the_budget():
    """Every true value lies on its bound, the worst case; alpha = 10% of the runs may raise an alarm."""
    rng = np.random.default_rng(7)
    runs, alarms, uncorrected = 1000, 0, 0
    for _ in range(runs):
        tests = [
            [(mean_interval(rng.standard_normal(6), name="q", n_of="seeds"), bound(0.0)) for _ in range(size)]
            for size in (1, 2)
        ]
        verdicts = [judge_all(test, 0.1 / 2) for test in tests]
        p_values = [[one.p_value for one in test] for test in verdicts]
        late = rejections(p_values, 0.1, 2)
        alarms += any(
            one.outcome is Outcome.FAIL or (one.outside and rejected)
            for test, decided in zip(verdicts, late, strict=True)
            for one, rejected in zip(test, decided, strict=True)
        )
        uncorrected += any(p <= 0.1 for ps in p_values for p in ps)
    # Three standard errors above 10% of 1000 is 128; without a correction about 27% of the runs are alarmed.
    assert 0 < alarms <= 128
    assert uncorrected > 200
