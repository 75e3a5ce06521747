"""Loss curves across widths: known answers, invariances, other batches as the null, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.loss_curves import fluctuation_correlation, fluctuations, loss_distance, smooth

STEPS = np.arange(2000)
TREND = 0.5 + 2 * (1 + STEPS) ** -0.5


def planted(rng, correlation, *, memory=0.0):
    """Two curves of one trend whose fluctuations share a part; ``memory`` makes them last for steps."""
    shared, *own = rng.standard_normal((3, len(STEPS)))
    mixed = [correlation**0.5 * shared + (1 - correlation) ** 0.5 * one for one in own]
    for one in mixed:
        for t in range(1, len(one) if memory else 0):
            one[t] = memory * one[t - 1] + (1 - memory**2) ** 0.5 * one[t]
    return [TREND * np.exp(0.1 * one) for one in mixed]


def test_a_running_mean_is_a_convolution_inside_and_shorter_at_the_ends():
    losses = np.random.default_rng(0).random((3, 50))
    for window in (1, 4, 7, 50):
        found = smooth(losses, window)
        inside = slice(window // 2, 50 - window + window // 2 + 1)
        for row, mean in zip(losses, found, strict=True):
            np.testing.assert_allclose(mean[inside], np.convolve(row, np.ones(window) / window, "valid"))
    np.testing.assert_allclose(smooth(losses, 7)[:, 0], losses[:, :4].mean(axis=1))
    np.testing.assert_allclose(smooth(losses, 7)[:, -1], losses[:, -4:].mean(axis=1))


def test_a_curve_a_tenth_higher_is_log_11_over_10_away_in_any_range():
    losses = planted(np.random.default_rng(1), 0.5)[0]
    assert loss_distance(1.1 * losses, losses, window=21) == pytest.approx(np.log(1.1))
    half = np.where(STEPS < 1000, 1.0, 1.1) * losses
    assert loss_distance(half, losses, window=21, stop=900) == pytest.approx(0, abs=1e-12)
    assert loss_distance(half, losses, window=21, start=1100) == pytest.approx(np.log(1.1))


def test_smoothing_takes_the_fluctuations_out_of_the_distance():
    first, second = planted(np.random.default_rng(2), 0.0)
    assert loss_distance(first, second, window=201) < 0.02 < 0.1 < loss_distance(first, second, window=1)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.01, 100))
def test_the_unit_of_the_loss_does_not_matter(seed, factor):
    first, second = planted(np.random.default_rng(seed), 0.4)
    plain = fluctuation_correlation(first, second, window=11)
    scaled = fluctuation_correlation(factor * second, first, window=11)
    assert scaled.value == pytest.approx(plain.value)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high))
    assert loss_distance(factor * first, factor * second, window=11) == pytest.approx(
        loss_distance(second, first, window=11)
    )


@pytest.mark.parametrize("memory", [0.0, 0.8])
def test_a_planted_correlation_is_covered_as_often_as_the_interval_says(memory):
    rng = np.random.default_rng(3)
    found = [fluctuation_correlation(*planted(rng, 0.6, memory=memory), window=25) for _ in range(100)]
    assert np.mean([one.value for one in found]) == pytest.approx(0.6, abs=0.02)
    assert sum(one.low <= 0.6 <= one.high for one in found) >= 88  # 95 expected, standard deviation 2.2


def test_curves_of_other_batches_do_not_correlate_although_they_share_a_trend():
    rng = np.random.default_rng(4)
    first, second = planted(rng, 0.9)
    other = planted(rng, 0.9)[0]
    same = fluctuation_correlation(first, second, window=25)
    assert same.low > 0.85
    for null in (
        fluctuation_correlation(first, second, window=25, shift=60, start=50),
        fluctuation_correlation(first, other, window=25, start=50),
    ):
        assert null.low < 0 < null.high
        assert abs(null.value) < 0.1
    assert np.corrcoef(first, other)[0, 1] > 0.5  # what the trend alone would make of it


def test_a_curve_correlates_with_itself_exactly():
    losses = planted(np.random.default_rng(5), 0.5)[0]
    found = fluctuation_correlation(losses, losses, window=25)
    assert found.value == pytest.approx(1)
    assert found.low == pytest.approx(1)


def test_fluctuations_are_shares_of_the_trend():
    found = fluctuations([2.0, 2.0, 5.0, 2.0, 2.0], 3)
    np.testing.assert_allclose(found, [2 / 3 - 1, 5 / 3 - 1, 2 / 3 - 1])


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"reference": TREND[1:]}, MeasurementError, "same batches"),
        ({"losses": np.r_[np.nan, TREND[1:]]}, MeasurementError, "diverged"),
        ({"losses": -TREND}, MeasurementError, "positive mean"),
        ({"losses": np.ones(2000)}, MeasurementError, "does not fluctuate"),
        ({"window": 0}, UsageError, "does not fit"),
        ({"window": 3000}, UsageError, "does not fit"),
        ({"window": 200}, UndeterminedError, "blocks of 400"),
        ({"shift": 1900}, UndeterminedError, "shorter window"),
        ({"shift": -1}, UsageError, "not negative"),
    ],
)
def test_curves_that_cannot_be_correlated_are_refused(change, error, said):
    known = {"losses": TREND * (1 + 0.1 * np.sin(STEPS)), "reference": TREND, "window": 25, **change}
    with pytest.raises(error, match=said):
        fluctuation_correlation(**known)


def test_curves_without_a_logarithm_or_a_step_are_refused():
    with pytest.raises(MeasurementError, match="no logarithm"):
        loss_distance(TREND, 0 * TREND, window=3)
    with pytest.raises(UsageError, match="no step lies from 50 to 10"):
        loss_distance(TREND, TREND, window=3, start=50, stop=10)
