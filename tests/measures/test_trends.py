"""Trends over width: known slopes, invariances, chance alone, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprops.errors import MeasurementError
from netprops.measures.trends import largest_of, trend

WIDTHS = (0.25, 0.5, 1, 2, 4)


def test_a_value_that_grows_by_three_at_each_doubling_has_that_slope():
    rows = np.array([[3.0 * k + seed for k in range(5)] for seed in range(3)])
    found = trend(WIDTHS, rows, name="trend")
    assert found.value == pytest.approx(3)
    assert found.high - found.low == pytest.approx(0, abs=1e-9)


@given(seed=st.integers(0, 1000), factor=st.floats(0.1, 10))
def test_a_unit_of_width_does_not_matter(seed, factor):
    rows = np.random.default_rng(seed).standard_normal((4, 5))
    plain = trend(WIDTHS, rows, name="trend")
    scaled = trend(factor * np.array(WIDTHS), rows, name="trend")
    assert scaled.value == pytest.approx(plain.value)


def test_the_largest_of_trends_by_chance_alone_is_rarely_certain():
    """A tenth of a thousand such choices would be certain without the correction."""
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(1000):
        trends = [trend(WIDTHS, rng.standard_normal((4, 5)), name="trend") for _ in range(3)]
        alarms += largest_of(trends).low > 0
    assert alarms < 40  # 2.5% are promised


def test_a_clear_trend_among_others_stays_clear():
    rng = np.random.default_rng(1)
    none = [trend(WIDTHS, rng.standard_normal((6, 5)), name="none") for _ in range(2)]
    clear = trend(WIDTHS, np.arange(5) + 0.1 * rng.standard_normal((6, 5)), name="clear")
    found = largest_of([*none, clear])
    assert (found.name, found.low > 0) == ("clear", True)
    assert found.high - found.low > clear.high - clear.low


def test_where_all_fall_none_is_positive():
    falling = [trend(WIDTHS, -np.arange(5) + 0.1 * np.eye(3, 5), name=f"{k}") for k in range(3)]
    assert largest_of(falling).value < 0


@pytest.mark.parametrize(
    ("widths", "values", "said"),
    [
        ((1,), [[1.0], [2.0]], "P >= 2 widths"),
        ((1, 2), [[1.0, 2.0, 3.0]], "P >= 2 widths"),
        ((1, 1), [[1.0, 2.0], [1.0, 2.0]], "positive and different"),
        ((1, 2), [[1.0, np.nan], [1.0, 2.0]], "values finite"),
        ((1, 2), [[1.0, 2.0]], "at least two seeds"),
    ],
)
def test_bad_input_is_refused(widths, values, said):
    with pytest.raises(MeasurementError, match=said):
        trend(widths, values, name="trend")


def test_the_largest_of_nothing_is_refused():
    with pytest.raises(MeasurementError, match="no trends"):
        largest_of([])
