"""What a suite measured comes back as it was, and anew once the measures' code has changed."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from netprops import keeping
from netprops.measurement import Curve, Measurement
from netprops.measures.counterexample import Search

CURVE = Curve(
    name="error",
    x=np.array([1.0, 2.0]),
    y=np.array([0.5, 0.25]),
    low=np.array([0.4, 0.2]),
    high=np.array([0.6, 0.3]),
    x_name="chunk size w (neurons)",
    y_name="error (fraction)",
    n=2,
    n_of="chunks",
    how="bootstrap",
    replicates=np.array([[0.4, 0.2], [0.6, 0.3]]),
    details={"draws": 2, "method": "bca"},
)
ONE = Measurement.exact("w*", 3.0, n=1, n_of="network", how="counted")
SEARCH = Search(chunks=60, worst=0.25, failing=(1, 5), failing_error=0.125)


@pytest.mark.parametrize(
    "value",
    [None, True, 3, 0.1, float("inf"), "text", [1, [2.5]], (1, ("a", None)), {"a": {1: 2}}, ONE, SEARCH],
    ids=str,
)
def test_values_come_back_as_they_were(value):
    found = keeping.unpack(keeping.pack(value))
    assert found == value
    assert type(found) is type(value)


def test_curves_come_back_with_replicates_and_details():
    [found] = keeping.unpack(keeping.pack([CURVE]))
    assert found.to_json() == CURVE.to_json()
    np.testing.assert_array_equal(found.replicates, CURVE.replicates)


def test_arrays_keep_their_type_and_numbers_become_python_s():
    found = keeping.unpack(keeping.pack({"rows": np.arange(3, dtype=np.int64), "mean": np.float32(0.5)}))
    assert found["rows"].dtype == np.int64
    assert found["rows"].tolist() == [0, 1, 2]
    assert found["mean"] == 0.5


@pytest.mark.parametrize("value", [{1, 2}, object(), SimpleNamespace(a=1), [np.random.default_rng]])
def test_what_is_no_value_is_refused(value):
    with pytest.raises(TypeError, match="cannot keep a"):
        keeping.pack(value)


def test_the_code_changes_with_the_source_of_a_measure_and_of_the_function_that_calls_it(
    monkeypatch, tmp_path
):
    (tmp_path / "measures").mkdir()
    measure, suite = tmp_path / "measures" / "one.py", tmp_path / "test_mine.py"
    monkeypatch.setattr(keeping, "__file__", str(tmp_path / "keeping.py"))
    digests = []
    for texts in (
        ("a = 1", "draws = 1"),
        ("a = 2", "draws = 1"),
        ("a = 1", "draws = 2"),
        ("a = 1", "draws = 1"),
    ):
        for file, text in zip((measure, suite), texts, strict=True):
            file.write_text(text, encoding="utf-8")
        names = {}
        exec(compile("def look(x=0): return 1", str(suite), "exec"), names)
        keeping._code.cache_clear()
        digests.append(keeping.code(names["look"]))
        assert keeping.code(partial(names["look"], 1)) == digests[-1]
    keeping._code.cache_clear()
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3
