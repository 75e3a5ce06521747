"""Bands, means and pools of curves over replicates."""

import numpy as np
import pytest

from netprops.errors import MeasurementError
from netprops.measurement import Curve
from netprops.replicates import mean_bands, mean_curve, pooled_curve


def test_bands_follow_the_spread_of_the_mean():
    rng = np.random.default_rng(4)
    replicates = rng.normal(0, [0.0, 1.0, 3.0], (400, 3))
    low, high = mean_bands(replicates, rng)
    assert high - low == pytest.approx(2 * 1.96 * replicates.std(axis=0) / 20, rel=0.1)
    with pytest.raises(MeasurementError, match="at least two"):
        mean_bands(replicates[:1], rng)


def test_a_mean_curve_keeps_its_rows_and_has_bands_around_their_mean():
    rows = np.random.default_rng(5).random((6, 3))
    curve = mean_curve(
        "e", [1, 2, 4], rows, x_name="W", y_name="e", n_of="seeds", rng=np.random.default_rng(0)
    )
    np.testing.assert_allclose(curve.y, rows.mean(axis=0))
    assert (curve.low < curve.y).all()
    assert (curve.y < curve.high).all()
    assert curve.replicates is not None
    assert curve.at(2).n == 6


def test_a_single_row_gives_a_curve_without_an_interval():
    curve = mean_curve(
        "e", [1, 2], [[0.3, 0.1]], x_name="W", y_name="e", n_of="seeds", rng=np.random.default_rng(0)
    )
    assert curve.low.tolist() == curve.high.tolist() == [0.3, 0.1]


def drawn_curve(rows, x=(2, 4, 8)):
    rows = np.asarray(rows, dtype=float)
    mean = rows.mean(axis=0)
    return Curve(
        name="error",
        x=np.array(x),
        y=mean,
        low=mean,
        high=mean,
        x_name="w",
        y_name="error",
        n=len(rows),
        n_of="permutations",
        how="mean",
        replicates=rows,
    )


def test_a_pooled_curve_averages_networks_and_keeps_the_spread_of_draws():
    rng = np.random.default_rng(8)
    one, other = rng.random((50, 3)), 1 + rng.random((50, 3))
    pooled = pooled_curve([drawn_curve(one), drawn_curve(other)], rng=rng)
    np.testing.assert_allclose(pooled.y, (one.mean(axis=0) + other.mean(axis=0)) / 2)
    np.testing.assert_allclose(pooled.replicates, (one + other) / 2)
    # The networks differ by 1, their draws by 0.3: the interval is over draws alone.
    assert (pooled.high - pooled.low < 0.2).all()
    assert pooled.details["networks"] == 2


def test_curves_that_do_not_match_are_not_pooled():
    rng = np.random.default_rng(9)
    with pytest.raises(MeasurementError, match="cannot be pooled"):
        pooled_curve([drawn_curve(rng.random((5, 3))), drawn_curve(rng.random((5, 3)), x=(2, 4, 9))], rng=rng)
    with pytest.raises(MeasurementError, match="equally many permutations"):
        pooled_curve([drawn_curve(rng.random((5, 3))), drawn_curve(rng.random((6, 3)))], rng=rng)
    with pytest.raises(MeasurementError, match="at least one curve"):
        pooled_curve([], rng=rng)
