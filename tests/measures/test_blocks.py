import numpy as np
import pytest

from netprops.errors import MeasurementError
from netprops.measures import blocks
from netprops.measures.blocks import Table, in_blocks


def test_columns_lie_side_by_side_and_rows_go_on_below(tmp_path):
    rng = np.random.default_rng(0)
    a, b, c = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 2), (5, 3), (4, 5)))
    stored = np.memmap(tmp_path / "b", dtype=np.float32, mode="w+", shape=b.shape)
    stored[:] = b
    table = Table([a, stored], c, name="FSE", what="sources")
    whole = np.concatenate([np.concatenate([a, b], axis=1), c])
    assert table.shape == (9, 5)
    assert table.lengths == (5, 4)
    for rows in ([0, 2, 4, 5, 8], [1], [6, 7], []):
        taken = table.take(np.array(rows, dtype=np.intp))
        assert taken.dtype == np.float64
        np.testing.assert_array_equal(taken, whole[rows])


def test_blocks_hold_all_rows_in_order(monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", 20)
    rows = np.arange(3, 20, 2)
    parts = list(in_blocks(rows, 6))
    assert [len(part) for part in parts] == [3, 3, 3]
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert [len(part) for part in in_blocks(rows, 1000)] == [1] * 9


def test_what_does_not_fit_is_named():
    a = np.ones((5, 2), dtype=np.float32)
    with pytest.raises(MeasurementError, match="FSE: sources are empty: no array was given"):
        Table([], name="FSE", what="sources")
    with pytest.raises(MeasurementError, match=r"array of targets has shape \(0, 2\)"):
        Table(a[:0], name="FSE", what="targets")
    with pytest.raises(MeasurementError, match=r"shape \(5,\); expected \(samples, features\)"):
        Table(a[:, 0], name="FSE", what="sources")
    with pytest.raises(MeasurementError, match="5 and 4 samples cannot lie side by side as sources"):
        Table([a, a[:4]], name="FSE", what="sources")
    with pytest.raises(MeasurementError, match="4 features in sources and 2 in test sources"):
        Table([a, a], a, name="FSE", what="sources")


def test_a_feature_that_is_not_finite_is_named():
    a = np.ones((6, 3), dtype=np.float32)
    a[4, 1] = np.nan
    table = Table([a[:, :1], a[:, 1:]], name="FSE", what="sources")
    with pytest.raises(MeasurementError, match="FSE: feature 1 of row 4 of the sources is nan"):
        table.take(np.array([1, 4, 5]))
