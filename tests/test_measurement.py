import json
import math

import numpy as np
import pytest

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.statistics import mean_interval


def curve(**changes):
    fields = {
        "name": "error",
        "x": [1, 2, 4],
        "y": [0.3, 0.2, 0.1],
        "low": [0.2, 0.1, 0.0],
        "high": [0.4, 0.3, 0.2],
        "x_name": "w",
        "y_name": "error",
        "n": 3,
        "n_of": "permutations",
        "how": "mean",
        "replicates": np.array([[0.2, 0.1, 0.1], [0.3, 0.2, 0.1], [0.4, 0.3, 0.1]]),
    }
    return Curve(**(fields | changes))


def test_a_measurement_survives_json():
    before = Measurement(
        name="R2",
        value=0.5,
        low=0.4,
        high=0.6,
        standard_error=0.05,
        df=4.0,
        n=5,
        n_of="seeds",
        how="mean",
        details={"dropped": 2},
    )
    assert Measurement.from_json(json.loads(json.dumps(before.to_json()))) == before


def test_infinite_degrees_of_freedom_are_json_too():
    exact = Measurement.exact("count", 3, n=1, n_of="networks", how="counted")
    assert "Infinity" not in json.dumps(exact.to_json())
    assert Measurement.from_json(exact.to_json()).df == math.inf


def test_a_measurement_reads_as_value_and_interval():
    assert str(
        Measurement(name="gap", value=0.5, low=0.4, high=0.6, n=5, n_of="seeds", how="mean", unit="%")
    ) == ("0.5 [0.4, 0.6] %")
    assert str(Measurement.exact("count", 3, n=1, n_of="networks", how="counted")) == "3"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value": math.nan}, "R2: value is nan"),
        ({"high": math.inf}, "R2: high is inf"),
        ({"standard_error": math.nan}, "R2: standard_error is nan"),
        ({"low": 0.55}, "0.5 lies outside its interval"),
    ],
)
def test_what_is_not_a_measurement_is_refused(changes, words):
    fields = {"name": "R2", "value": 0.5, "low": 0.4, "high": 0.6, "n": 5, "n_of": "seeds", "how": "mean"}
    with pytest.raises(MeasurementError, match=words):
        Measurement(**(fields | changes))


def test_a_point_of_a_curve_has_its_interval_and_the_error_of_its_replicates():
    point = curve().at(2)
    assert (point.value, point.low, point.high, point.df) == (0.2, 0.1, 0.3, 2)
    assert point.standard_error == pytest.approx(0.1 / math.sqrt(3))
    assert curve().at(4).standard_error == pytest.approx(0, abs=1e-15)


def test_a_curve_is_not_interpolated():
    with pytest.raises(UsageError, match=r"not measured at 3; it was at \[1.0, 2.0, 4.0\]"):
        curve().at(3)


def test_a_curve_survives_json_without_its_replicates():
    after = Curve.from_json(json.loads(json.dumps(curve().to_json())))
    np.testing.assert_array_equal(after.y, curve().y)
    assert after.replicates is None
    assert after.to_json() == curve().to_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y": [0.3, math.nan, 0.1]}, r"y\[1\] is nan"),
        ({"low": [0.3, 0.2]}, r"low has shape \(2,\)"),
        ({"x": [1, 1, 2]}, "x does not increase"),
    ],
)
def test_what_is_not_a_curve_is_refused(changes, words):
    with pytest.raises(MeasurementError, match=words):
        curve(**changes)


def test_a_shifted_measurement_keeps_its_errors():
    moved = mean_interval([1.0, 2.0, 3.0], name="x", n_of="seeds").shifted(-2.0)
    assert moved.value == 0.0
    assert moved.high - moved.value == pytest.approx(moved.value - moved.low)
    assert moved.standard_error == mean_interval([1.0, 2.0, 3.0], name="x", n_of="seeds").standard_error
