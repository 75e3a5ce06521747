import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve
from netprops.measures.dynamics import change_point, fall_after, fall_before, first_epoch_below
from netprops.replicates import spread_means

EPOCHS = np.array([1, 2, 5, 10, 20, 40, 60, 80, 100, 130, 140, 150, 160, 170, 180, 200], dtype=np.float64)


def series(rng, law, *, epochs=EPOCHS, replicates=6, noise=0.03, walk=False, scale="log"):
    """Replicates of a law over x in 0..1; with a walk, noise of nearby epochs is related, as of one seed."""
    x = np.log(epochs) if scale == "log" else epochs
    u = (x - x[0]) / (x[-1] - x[0])
    scatter = rng.standard_normal((replicates, len(epochs)))
    if walk:
        scatter = np.cumsum(scatter, axis=1) / np.sqrt(len(epochs) / 2) + rng.standard_normal((replicates, 1))
    return law(u) + noise * scatter


def broken(at, first=-1.5, second=-0.1):
    return lambda u: 1 + first * np.minimum(u, at) + second * np.maximum(u - at, 0)


def claimed(rng, law, count, **how):
    """How often two phases are found."""
    found = 0
    for _ in range(count):
        try:
            change_point(EPOCHS, series(rng, law, **how), rng=rng, resamples=50)
            found += 1
        except UndeterminedError:
            pass
    return found


@pytest.mark.parametrize("walk", [False, True])
@pytest.mark.parametrize("scale", ["log", "epoch"])
def test_a_planted_knot_is_covered(scale, walk):
    rng = np.random.default_rng(0)
    at = 0.55
    truth = 200**at if scale == "log" else 1 + 199 * at
    found = []
    for _ in range(40):
        rows = series(rng, broken(at), noise=0.02, walk=walk, scale=scale)
        found.append(change_point(EPOCHS, rows, rng=rng, scale=scale, resamples=200))
    assert sum(one.low <= truth <= one.high for one in found) >= 35
    assert np.median([one.value for one in found]) == pytest.approx(truth, rel=0.1)
    assert all(one.details["slope_before"] < one.details["slope_after"] for one in found)


def test_the_knot_of_an_exact_broken_line_is_found_with_its_slopes():
    rng = np.random.default_rng(1)
    rows = series(rng, broken(0.5, -1.2, 0.3), noise=0) + 0.001 * rng.standard_normal((6, 1))
    found = change_point(EPOCHS, rows, rng=rng)
    assert found.value == pytest.approx(200**0.5, rel=0.02)
    assert found.low <= 200**0.5 <= found.high
    assert found.details["slope_before"] == pytest.approx(-1.2 / np.log(200), rel=0.02)
    assert found.details["slope_after"] == pytest.approx(0.3 / np.log(200), rel=0.1)
    assert found.details["r2_broken_line"] > 0.999 > found.details["r2_single_line"]
    assert (found.unit, found.n, found.details["open_above"]) == ("epochs", 6, False)


@pytest.mark.parametrize("walk", [False, True])
def test_a_single_line_has_no_two_phases(walk):
    rng = np.random.default_rng(2)
    assert claimed(rng, lambda u: 1 - 0.8 * u, 100, walk=walk) <= 8  # at most 5 expected
    with pytest.raises(UndeterminedError, match="a single straight line describes it as well"):
        change_point(EPOCHS, series(rng, lambda u: 1 - 0.8 * u), rng=rng)
    with pytest.raises(UndeterminedError, match="a single straight line"):
        change_point(EPOCHS, np.ones((5, len(EPOCHS))), rng=rng)


@pytest.mark.parametrize(
    "law",
    [
        lambda u: 1 - 0.8 * u * (2 - u),
        lambda u: np.exp(-5 * u),
        lambda u: 1 / (1 + np.exp(10 * (u - 0.5))),
        lambda u: 0.5 + 0.5 * np.cos(np.pi * u),
    ],
)
def test_a_smooth_bend_is_no_change_point(law):
    rng = np.random.default_rng(3)
    assert claimed(rng, law, 40, replicates=10) <= 4
    with pytest.raises(UndeterminedError, match=r"bends, but not at one epoch: .* a smooth curve"):
        change_point(EPOCHS, series(rng, law, noise=0.005), rng=rng)


def test_a_knot_at_the_end_of_the_range_is_not_determined():
    rng = np.random.default_rng(4)
    rows = series(rng, lambda u: 1 - 0.1 * u - 3.0 * (u == 1), noise=0.01)
    with pytest.raises(
        UndeterminedError, match="at the last knot that was tried, epoch 180; more epochs after"
    ):
        change_point(EPOCHS, rows, rng=rng)


@settings(max_examples=15, deadline=None)
@given(st.floats(1e-6, 1e6), st.floats(-10, 10), st.integers(0, 100))
def test_the_unit_of_the_quantity_changes_no_epoch(factor, shift, seed):
    rows = series(np.random.default_rng(seed), broken(0.5), noise=0.01)
    order = np.random.default_rng(seed).permutation(len(rows))
    first = change_point(EPOCHS, rows, rng=np.random.default_rng(0), resamples=50)
    second = change_point(EPOCHS, factor * (rows + shift), rng=np.random.default_rng(0), resamples=50)
    third = change_point(EPOCHS, rows[order], rng=np.random.default_rng(0), resamples=50)
    assert (second.value, second.low, second.high) == pytest.approx((first.value, first.low, first.high))
    assert third.value == pytest.approx(first.value)
    assert second.details["slope_after"] == pytest.approx(factor * first.details["slope_after"])


def test_a_curve_with_replicates_serves_as_well():
    rng = np.random.default_rng(5)
    rows = series(rng, broken(0.5))
    curve = Curve(
        name="residual correlation",
        x=EPOCHS,
        y=rows.mean(axis=0),
        low=rows.min(axis=0),
        high=rows.max(axis=0),
        x_name="epoch",
        y_name="mean |r|",
        n=6,
        n_of="seeds",
        how="planted",
        replicates=rows,
    )
    one, other = (change_point(EPOCHS, each, rng=np.random.default_rng(0)) for each in (curve, rows))
    assert (one.value, one.high, one.name) == (
        other.value,
        other.high,
        "change point of residual correlation",
    )
    assert one.n_of == "seeds"
    with pytest.raises(MeasurementError, match="residual correlation: phases need the replicates"):
        change_point(EPOCHS, Curve.from_json(curve.to_json()), rng=rng)


def test_the_first_epoch_below_is_between_two_saved_ones():
    rng = np.random.default_rng(6)
    rows = series(rng, lambda u: 1 - u, noise=0.01)
    found = first_epoch_below(EPOCHS, rows, 0.5, rng=rng)
    assert found.value == pytest.approx(200**0.5, rel=0.05)
    assert (found.low, found.high) == (10, 20)
    assert found.details["open_below"] is False
    straight = first_epoch_below([0, 10], [[1, 0], [1, 0]], 0.25, rng=rng, scale="epoch")
    assert straight.value == pytest.approx(7.5)
    assert (straight.low, straight.high) == (0, 10)


def test_the_interval_of_the_first_epoch_covers_other_seeds():
    rng = np.random.default_rng(7)
    found = [
        first_epoch_below(
            EPOCHS, series(rng, lambda u: 1 - u, noise=0.05, walk=True), 0.4, rng=rng, resamples=200
        )
        for _ in range(40)
    ]
    assert sum(one.low <= 200**0.6 <= one.high for one in found) >= 35


def test_a_threshold_on_a_saved_epoch_is_that_epoch():
    rng = np.random.default_rng(8)
    falling = np.tile([0.75, 0.5, 0.125, 0.0, 0.0], (4, 1))
    late = np.tile([0.75, 0.5, 0.125, 0.125, 0.0], (4, 1))
    found = first_epoch_below([1, 10, 100, 150, 200], falling, 0.125, rng=rng)
    assert (found.low, found.value, found.high) == pytest.approx((100, 100, 100))
    last = first_epoch_below([1, 10, 100, 150, 200], late, 0.0, rng=rng)
    assert (last.value, last.high) == pytest.approx((200, 200))
    assert fall_after([1, 10, 100, 150, 200], late, last.value).value == pytest.approx(0)
    below = first_epoch_below([1, 10, 100, 150, 200], falling, 0.95, rng=rng)
    assert (below.value, below.details["open_below"]) == (1, True)


def test_a_threshold_that_is_not_reached_has_no_epoch():
    rng = np.random.default_rng(9)
    with pytest.raises(
        UndeterminedError, match=r"does not fall to 0.1 within 200 epochs; the smallest is 0\.2"
    ):
        first_epoch_below(EPOCHS, np.tile(np.linspace(1, 0.2, 16), (4, 1)), 0.1, rng=rng)
    astride = np.tile(np.linspace(1, 0.2, 16), (4, 1)) + np.array([[-0.1], [0.1], [0.0], [-0.02]])
    with pytest.raises(UndeterminedError, match="resamples; train longer"):
        first_epoch_below(EPOCHS, astride, 0.2, rng=rng)


def test_falls_before_and_after_are_paired_and_add_up():
    rng = np.random.default_rng(10)
    knot = np.log(10) / np.log(200)
    law = broken(knot, -0.6 / knot, -0.06 / (1 - knot))
    rows = series(rng, law, noise=0) + rng.standard_normal((6, 1))  # seeds differ in level only
    before, after = fall_before(EPOCHS, rows, 10), fall_after(EPOCHS, rows, 10)
    assert (before.value, after.value) == pytest.approx((0.6, 0.06))
    assert after.high - after.low < 1e-9
    assert before.value + after.value == pytest.approx((rows[:, 0] - rows[:, -1]).mean())
    assert fall_after(EPOCHS, rows, 40).value == pytest.approx((rows[:, 5] - rows[:, -1]).mean())
    assert fall_after(EPOCHS, rows, 200).value == fall_before(EPOCHS, rows, 1).value == 0
    assert fall_before(EPOCHS, rows, 30, scale="epoch").value == pytest.approx(
        (rows[:, 0] - rows[:, [4, 5]].mean(axis=1)).mean()
    )


def test_a_quantity_that_stays_does_not_fall():
    rng = np.random.default_rng(11)
    found = [fall_after(EPOCHS, series(rng, lambda u: 0 * u), 50) for _ in range(100)]
    assert sum(one.low > 0 for one in found) <= 7  # 2.5 expected
    rising = fall_after(EPOCHS, series(rng, lambda u: u), 50)
    assert rising.high < 0


def test_means_are_spread_as_few_replicates_ask():
    rng = np.random.default_rng(12)
    hits = 0
    for _ in range(200):
        low, high = np.quantile(spread_means(rng.standard_normal((4, 1)), rng, 300), [0.025, 0.975])
        hits += low <= 0 <= high
    assert hits >= 178  # 190 expected; the percentiles of four plain resampled values would cover some 160


def test_bad_series_are_named():
    rng = np.random.default_rng(13)
    rows = series(rng, broken(0.5))
    with pytest.raises(MeasurementError, match="at least 5 epochs are needed, got 4"):
        change_point(EPOCHS[:4], rows[:, :4], rng=rng)
    with pytest.raises(MeasurementError, match="epochs do not ascend"):
        change_point(EPOCHS[::-1], rows, rng=rng)
    with pytest.raises(MeasurementError, match="do not fit; expected"):
        change_point(EPOCHS[:-1], rows, rng=rng)
    with pytest.raises(MeasurementError, match="at least two replicates, got 1"):
        fall_after(EPOCHS, rows[:1], 10)
    with pytest.raises(UsageError, match="scale is 'log' or 'epoch', got 'ln'"):
        change_point(EPOCHS, rows, rng=rng, scale="ln")
    with pytest.raises(UsageError, match="epoch 0 has no logarithm"):
        first_epoch_below(EPOCHS - 1, rows, 0.5, rng=rng)
    with pytest.raises(UsageError, match="epoch 300 lies outside the saved ones, 1 to 200"):
        fall_before(EPOCHS, rows, 300)
    rows[2, 3] = np.nan
    with pytest.raises(MeasurementError, match="is nan in row 2 at epoch 10"):
        change_point(EPOCHS, rows, rng=rng)
