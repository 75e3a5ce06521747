"""The law of the loss over width: planted laws, the paper's way of fitting, no law, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.width_law import width_law

WIDTHS = np.array([16, 32, 64, 128, 256, 512])


def planted(rng, exponent, *, seeds=5, limit=1.5, noise=2e-3, widths=WIDTHS):
    mean = limit + 3 * np.asarray(widths, dtype=np.float64) ** -exponent
    return mean + noise * rng.standard_normal((seeds, len(widths)))


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_a_planted_law_is_covered_as_often_as_the_interval_says(exponent):
    rng, hits, limits = np.random.default_rng(0), 0, 0
    for _ in range(40):
        found = width_law(WIDTHS, planted(rng, exponent), rng=rng, resamples=100)
        hits += found.exponent.low <= exponent <= found.exponent.high
        limits += found.limit.low <= 1.5 <= found.limit.high
        assert found.r2.value > 0.99
    assert hits >= 33  # 38 expected, standard deviation 1.4
    assert limits >= 33
    assert found.universal is (exponent == 1)
    assert found.amplitude == pytest.approx(3, rel=0.1)
    np.testing.assert_allclose(found.predict(WIDTHS), found.curve.y, atol=5e-3)


def test_it_finds_what_the_paper_s_way_of_fitting_finds():
    rng = np.random.default_rng(1)
    losses = planted(rng, 0.7, noise=1e-4)
    found = width_law(WIDTHS, losses, rng=rng)
    parameters, _ = optimize.curve_fit(
        lambda x, a, b, c: a + b * x**-c, WIDTHS, losses.mean(axis=0), p0=[1, 1, 1], bounds=(0, 10)
    )
    assert [found.limit.value, found.amplitude, found.exponent.value] == pytest.approx(parameters, rel=0.01)
    left = losses.mean(axis=0) - found.predict(WIDTHS)
    assert found.r2.value == pytest.approx(1 - (left**2).sum() / losses.mean(axis=0).var() / 6)
    line = found.line()
    assert line.details["line"] == "dashed"
    np.testing.assert_allclose(line.y, found.predict(WIDTHS))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
def test_the_exponent_has_no_unit(seed, factor):
    losses = planted(np.random.default_rng(seed), 0.6)
    plain = width_law(WIDTHS, losses, rng=np.random.default_rng(0), resamples=50)
    scaled = width_law(2 * WIDTHS, factor * losses[::-1], rng=np.random.default_rng(0), resamples=50)
    assert scaled.exponent.value == pytest.approx(plain.exponent.value, abs=1e-3)
    assert scaled.limit.value == pytest.approx(factor * plain.limit.value, rel=1e-3)
    assert scaled.r2.value == pytest.approx(plain.r2.value, abs=1e-6)


def test_losses_that_jump_follow_no_law():
    rng = np.random.default_rng(2)
    jumping = planted(rng, 0.5) + np.array([0.0, 0.4, 0.0, 0.4, 0.0, 0.4])
    assert width_law(WIDTHS, jumping, rng=rng, resamples=100).r2.high < 0.9


def test_losses_that_fall_with_the_logarithm_have_no_limit():
    """As the partial sums of the harmonic series, whose steps fall as well."""
    rng = np.random.default_rng(3)
    losses = 50 - 0.5 * np.log2(WIDTHS) + 1e-4 * rng.standard_normal((5, 6))
    with pytest.raises(MeasurementError, match="at the end of"):
        width_law(WIDTHS, losses, rng=rng, resamples=50)


@pytest.mark.parametrize(
    ("widths", "change", "error", "said"),
    [
        (WIDTHS[:3], lambda x: x[:, :3], UndeterminedError, "not determined by 3 widths"),
        (WIDTHS, lambda x: x[:, :3], MeasurementError, r"expected \(S, 6\)"),
        (WIDTHS, lambda x: x * np.nan, MeasurementError, "finite losses"),
        (WIDTHS, lambda x: x[:1], MeasurementError, "at least two replicates"),
        (WIDTHS[::-1], lambda x: x, UsageError, "ascend"),
        (WIDTHS, lambda x: x[:, ::-1], MeasurementError, "at the end of"),
    ],
)
def test_what_has_no_law_is_refused(widths, change, error, said):
    rng = np.random.default_rng(4)
    with pytest.raises(error, match=said):
        width_law(widths, change(planted(rng, 0.5)), rng=rng, resamples=20)


def test_resamples_without_a_law_are_no_error():
    """Three seeds that scatter as much as they fall: some resamples have their best exponent at an end."""
    losses = [[4.03, 4.11, 3.98, 3.94], [4.07, 3.96, 3.98, 3.94], [4.17, 4.05, 3.96, 3.95]]
    law = width_law([8, 16, 32, 64], losses, rng=np.random.default_rng(0))
    assert law.r2.high <= 1
    assert 0.05 <= law.exponent.low < law.exponent.high <= 5
