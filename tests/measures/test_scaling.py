import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.measures.scaling import (
    clones,
    critical_width,
    crossing,
    growth_exponent,
    independent_size,
    local_slope,
    power_law,
)

SIZES = (16, 32, 64, 128, 256, 512)


def curve(rng, law, *, sizes=SIZES, draws=60, noise=0.02):
    """A curve whose replicates scatter about a law, in part alike at all sizes, as nested chunks do."""
    x = np.array(sizes, dtype=np.float64)
    spread = noise / np.sqrt(x)
    values = law(x) + spread * (rng.standard_normal((draws, len(x))) + 0.5 * rng.standard_normal((draws, 1)))
    return Curve(
        name="error",
        x=x,
        y=values.mean(axis=0),
        low=np.quantile(values, 0.025, axis=0),
        high=np.quantile(values, 0.975, axis=0),
        x_name="w",
        y_name="error",
        n=draws,
        n_of="permutations",
        how="planted",
        replicates=values,
    )


@pytest.mark.parametrize(
    ("limit", "width", "given"),
    [
        (0.05, None, {"asymptote": 0.05}),
        (0.05, None, {}),
        (0.05, 512, {"full_width": 512}),
        (0.05, 512, {"full_width": 512, "asymptote": 0.05}),
    ],
)
def test_a_known_exponent_is_covered_as_often_as_the_interval_says(limit, width, given):
    rng = np.random.default_rng(0)
    hits = straight = 0
    for _ in range(100):
        found = power_law(
            curve(rng, lambda x: limit + (1 / x - (1 / width if width else 0)) ** 0.5),
            rng=rng,
            resamples=200,
            **given,
        )
        hits += found.exponent.low <= 0.5 <= found.exponent.high
        straight += found.curvature.low <= 0 <= found.curvature.high
        assert found.exponent.value == pytest.approx(0.5, abs=0.02)
        assert found.asymptote == pytest.approx(limit, abs=0.01)
        assert found.amplitude == pytest.approx(1, abs=0.1)
    assert hits >= 88  # 95 expected, standard deviation 2.2
    assert straight >= 88


def test_three_seeds_are_enough_for_an_honest_interval():
    rng = np.random.default_rng(1)
    found = [
        power_law(curve(rng, lambda x: 0.8 * x**-0.7, draws=3), rng=rng, resamples=200, asymptote=0.0)
        for _ in range(100)
    ]
    assert sum(one.exponent.low <= 0.7 <= one.exponent.high for one in found) >= 85


def test_a_bend_is_flagged_and_its_model_straightens_it():
    rng = np.random.default_rng(2)
    bent = curve(rng, lambda x: 0.01 + (1 / x - 1 / 512) ** 1.5, noise=0.001)
    wrong = power_law(bent, rng=rng, asymptote=0.0095)
    right = power_law(bent, rng=rng, full_width=512)
    assert wrong.curvature.low > 0.05  # steep, then flat: convex over log u
    assert wrong.straight_is_better is False
    assert wrong.curved.r2 > wrong.straight.r2
    assert right.exponent.low <= 1.5 <= right.exponent.high
    assert right.curvature.low <= 0 <= right.curvature.high
    assert right.straight_is_better is True
    np.testing.assert_allclose(right.predict(SIZES), bent.y, atol=2e-3)


def test_an_excess_within_noise_is_dropped_and_not_clipped():
    rng = np.random.default_rng(3)
    law = curve(rng, lambda x: 0.1 + 20 * x**-2.0, noise=0.02)
    found = power_law(law, rng=rng, asymptote=0.1)
    assert found.dropped
    assert found.points + found.dropped == SIZES
    assert found.exponent.details["dropped"] == len(found.dropped)
    assert found.exponent.low <= 2 <= found.exponent.high
    excess = law.y - 0.1
    clipped = np.polyfit(np.log(1 / law.x), np.log(np.maximum(excess, 1e-6)), 1)[0]
    assert not found.exponent.low <= clipped <= found.exponent.high


def test_only_sizes_from_w_star_on_are_used():
    rng = np.random.default_rng(4)
    kinked = curve(rng, lambda x: np.where(x < 64, 0.125 * (x / 64) ** -3.0, x**-0.5))
    found = power_law(kinked, rng=rng, asymptote=0.0, above=64)
    assert found.points == (64, 128, 256, 512)
    assert found.exponent.value == pytest.approx(0.5, abs=0.03)
    assert local_slope(kinked, 16, 32, rng=rng, asymptote=0.0).low > 2.9
    assert local_slope(kinked, 64, 512, rng=rng, asymptote=0.0).high < 0.55


def test_a_fitted_asymptote_is_an_error_and_not_negative():
    rng = np.random.default_rng(10)
    found = [power_law(curve(rng, lambda x: x**-0.5), rng=rng, resamples=100) for _ in range(10)]
    assert min(one.asymptote for one in found) == 0
    assert sum(one.exponent.low <= 0.5 <= one.exponent.high for one in found) >= 8


def test_an_uncertain_asymptote_widens_the_interval():
    law = curve(np.random.default_rng(5), lambda x: 0.05 + x**-0.5)
    limit = Measurement(
        name="ensemble",
        value=0.05,
        low=0.046,
        high=0.054,
        standard_error=0.002,
        n=20,
        n_of="networks",
        how="given",
    )
    exact, uncertain = (
        power_law(law, rng=np.random.default_rng(0), asymptote=each).exponent for each in (0.05, limit)
    )
    assert uncertain.high - uncertain.low > 2 * (exact.high - exact.low)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.2, 5), st.integers(0, 100))
def test_the_exponent_has_no_unit(factor, seed):
    law = curve(np.random.default_rng(seed), lambda x: x**-0.6)
    scaled = Curve(
        name="error",
        x=law.x,
        y=law.y * factor,
        low=law.low,
        high=law.high,
        x_name="w",
        y_name="error",
        n=law.n,
        n_of=law.n_of,
        how="scaled",
        replicates=law.replicates * factor,
    )
    first, second = (
        power_law(each, rng=np.random.default_rng(0), asymptote=0.0, resamples=100) for each in (law, scaled)
    )
    assert second.exponent.value == pytest.approx(first.exponent.value)
    assert second.curvature.high == pytest.approx(first.curvature.high)
    assert second.amplitude == pytest.approx(factor * first.amplitude)


def test_an_error_that_does_not_fall_has_no_exponent():
    rng = np.random.default_rng(6)
    flat = curve(rng, lambda x: 0.1 + 0 * x)
    with pytest.raises(MeasurementError, match="3 sizes from 0 on with an excess above 2 standard errors"):
        power_law(flat, rng=rng, asymptote=0.1)
    with pytest.raises(MeasurementError, match=r"cannot both be fitted|are needed|undefined"):
        power_law(flat, rng=rng)
    with pytest.raises(MeasurementError, match="excess at 64 is within 2 standard errors"):
        local_slope(flat, 64, 128, rng=rng, asymptote=0.1)


def test_bad_curves_and_sizes_are_named():
    rng = np.random.default_rng(7)
    law = curve(rng, lambda x: x**-0.5)
    with pytest.raises(MeasurementError, match="at least two replicates"):
        power_law(Curve.from_json(law.to_json()), rng=rng, asymptote=0.0)
    with pytest.raises(MeasurementError, match="3 sizes are needed, 2 lie from 200 on"):
        power_law(law, rng=rng, asymptote=0.0, above=200)
    with pytest.raises(UsageError, match="not measured at the full width 1024"):
        power_law(law, rng=rng, full_width=1024)
    with pytest.raises(UsageError, match="no excess at 48"):
        local_slope(law, 48, 128, rng=rng, asymptote=0.0)
    with pytest.raises(UsageError, match="needs an asymptote or the full width"):
        local_slope(law, 32, 128, rng=rng)


def test_w_star_is_the_first_size_that_interpolates():
    train = curve(np.random.default_rng(8), lambda x: 3 / x**2, noise=1e-4)
    found = critical_width(train)
    assert (found.value, found.low, found.high) == (32, 32, 32)
    assert found.details["open_above"] is False
    assert critical_width(train, threshold=0.02).value == 16


def test_the_interval_of_w_star_holds_the_sizes_that_may_interpolate():
    train = Curve(
        name="training error",
        x=[8, 16, 32, 64],
        y=[0.1, 0.006, 0.004, 0.0],
        low=[0.08, 0.004, 0.002, 0.0],
        high=[0.12, 0.008, 0.006, 0.0],
        x_name="w",
        y_name="error",
        n=9,
        n_of="permutations",
        how="given",
    )
    found = critical_width(train)
    assert (found.low, found.value, found.high) == (16, 32, 64)
    count = clones(64, found)
    assert (count.low, count.value, count.high) == (1, 2, 4)
    assert count.standard_error > 0


def test_a_layer_that_does_not_interpolate_has_no_w_star():
    train = curve(np.random.default_rng(9), lambda x: 0.3 + 0 * x)
    with pytest.raises(
        MeasurementError, match=r"no size of error reaches an error of 0.005; the smallest is 0\.\d+"
    ):
        critical_width(train)


def test_the_fitted_line_covers_the_points_it_was_fitted_on():
    rng = np.random.default_rng(5)
    law = power_law(curve(rng, lambda w: 0.02 + 0.5 / w), rng=rng, asymptote=0.02, above=8)
    line = law.line(SIZES)
    assert line.x.tolist() == list(law.points)
    np.testing.assert_allclose(line.y, 0.02 + 0.5 / line.x, rtol=0.1)
    assert "better by AICc" in law.comparison


@given(exponent=st.floats(-2, 2), scale=st.floats(0.1, 10))
def test_a_growth_exponent_is_found_at_any_scale(exponent, scale):
    sizes = np.array([16.0, 64.0, 512.0])
    assert growth_exponent(sizes, scale * sizes**exponent) == pytest.approx(exponent, abs=1e-9)


@pytest.mark.parametrize(
    ("sizes", "values"), [([64], [2]), ([64, 64], [2, 3]), ([64, 128], [2, 0]), ([1, 2], [1])]
)
def test_a_growth_exponent_needs_two_sizes_and_positive_values(sizes, values):
    with pytest.raises(MeasurementError, match="at least two different positive sizes"):
        growth_exponent(sizes, values)


def test_the_independent_size_of_perfect_clones_does_not_depend_on_the_width():
    sizes = [independent_size(width, 1 / (1 / 30 + 1 / width)) for width in (64, 128, 1024)]
    np.testing.assert_allclose(sizes, 30)


@pytest.mark.parametrize("w_star", [0, 64, 65])
def test_the_independent_size_needs_a_chunk_that_interpolates(w_star):
    with pytest.raises(MeasurementError, match="only the whole layer interpolates"):
        independent_size(64, w_star)


def test_the_crossing_lies_between_the_sizes_around_it():
    curve = Curve.plain("error", [8, 16, 32], [0.1, 0.009, 0.001], x_name="w", y_name="error", how="given")
    assert crossing(curve) == pytest.approx(16 * 2 ** (4 / 8))
    assert crossing(curve) <= critical_width(curve).value
    assert crossing(curve, threshold=0.2) == 8
