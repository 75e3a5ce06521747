"""What a figure keeps of matrices and samples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.plotdata import blocks, histogram, panels, significant


def test_a_large_matrix_becomes_means_over_blocks() -> None:
    matrix = np.add.outer(10.0 * np.arange(6), np.arange(4.0))
    np.testing.assert_allclose(blocks(matrix, 2), [[10.5, 12.5], [40.5, 42.5]])
    np.testing.assert_array_equal(blocks(matrix, 6), matrix)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 150), st.integers(1, 150), st.integers(2, 64))
def test_blocks_keep_a_constant_and_are_never_more_than_asked_for(rows: int, columns: int, most: int) -> None:
    found = blocks(np.full((rows, columns), 0.1), most)
    assert found.shape == (min(rows, most), min(columns, most))
    np.testing.assert_allclose(found, 0.1)


def test_panels_share_a_scale_and_are_rounded_to_what_it_can_show() -> None:
    kept, scale = panels({"a": [[0.123456789, 1.0]], "b": [[-1.0], [0.5]]})
    assert scale == (-1.0, 1.0)
    assert kept[0] == {"label": "a", "shape": [1, 2], "rows": [[0.123, 1.0]]}
    assert kept[1]["rows"] == [[-1.0], [0.5]]
    near = panels({"a": [[1000.001, 1000.002]]})[0][0]["rows"]
    assert near == [[1000.001, 1000.002]]


def test_several_panels_are_kept_as_small_as_one() -> None:
    matrix = np.zeros((200, 200))
    for count, rows in ((1, 64), (2, 45), (4, 32), (8, 22)):
        kept, _ = panels({str(i): matrix for i in range(count)})
        assert {len(one["rows"]) for one in kept} == {rows}
        assert kept[0]["shape"] == [200, 200]
    assert len(panels({"a": matrix}, most=10)[0][0]["rows"]) == 10


@pytest.mark.parametrize(
    ("matrices", "options", "message"),
    [
        ({}, {}, "1 to 8 panels, got 0"),
        ({str(i): [[1.0]] for i in range(9)}, {}, "1 to 8 panels, got 9"),
        ({"a": [1.0, 2.0]}, {}, r"panel a: expected a matrix, got shape \(2,\)"),
        ({"a": [[1.0]]}, {"most": 65}, "2 to 64 rows and columns, got most=65"),
        ({"a": [[1.0]]}, {"limits": (1, 1)}, "limits of a colour scale ascend"),
    ],
)
def test_matrices_that_cannot_be_drawn_are_refused(matrices, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        panels(matrices, **options)


def test_an_entry_that_is_no_number_is_named() -> None:
    with pytest.raises(MeasurementError, match=r"panel a: entry \[1, 0\] is nan"):
        panels({"a": [[1.0], [np.nan]]})


def test_densities_are_shares_over_the_size_of_common_bins() -> None:
    first, second = histogram({"a": [0.0, 0.1, 0.9, 1.0], "b": [2.0]}, bins=4, x_name="z (units)")
    np.testing.assert_allclose(first.x, [0.25, 0.75, 1.25, 1.75])
    np.testing.assert_allclose(first.y, [1.0, 0.5, 0.5, 0.0])
    np.testing.assert_allclose(second.y, [0, 0, 0, 2.0])
    assert (first.x_name, first.n, first.details["line"]) == ("z (units)", 4, "steps")


def test_what_lies_outside_the_range_is_counted_and_in_no_bin() -> None:
    (one,) = histogram({"a": [-5.0, 0.25, 0.75, 9.0]}, bins=2, within=(0, 1))
    np.testing.assert_allclose(one.y, [0.5, 0.5])
    assert one.details["outside"] == 0.5


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.integers(2, 60))
def test_a_density_has_the_area_one(samples: list[float], bins: int) -> None:
    (one,) = histogram({"a": samples}, bins=bins)
    assert (one.y.sum() * (one.x[1] - one.x[0])) == pytest.approx(1, rel=1e-4)


def test_samples_that_have_no_distribution_are_refused() -> None:
    with pytest.raises(UsageError, match="there are no samples"):
        histogram({"a": []})
    with pytest.raises(UsageError, match="at least 2 bins"):
        histogram({"a": [1.0]}, bins=1)
    with pytest.raises(UsageError, match="range of a histogram ascends"):
        histogram({"a": [1.0]}, within=(1, 0))
    with pytest.raises(MeasurementError, match="a sample is not a finite number"):
        histogram({"a": [1.0, np.inf]})


def test_significant_digits() -> None:
    assert [significant(x) for x in (0.123456789, 1234567.0, 0.0)] == [0.123457, 1234570.0, 0.0]
