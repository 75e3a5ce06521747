import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprops.errors import MeasurementError
from netprops.measures.blocks import Table
from netprops.measures.regression import Regression, Split


@given(st.integers(20, 60), st.integers(10, 40), st.floats(0.1, 0.5), st.booleans(), st.integers(0, 99))
def test_a_split_uses_every_row_once(train, test, validation, shuffled, seed):
    split = Split.of((train, test), validation, shuffled, np.random.default_rng(seed))
    parts = [split.fit, *split.halves, split.test]
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(train + test))
    assert all((np.diff(part) > 0).all() for part in parts)
    assert len(split.halves[0]) - len(split.halves[1]) in (0, 1)
    regressed = train // 2 + test // 2 if shuffled else train
    assert sum(map(len, split.halves)) == round(validation * regressed)
    assert (split.test >= train).sum() == (test - test // 2 if shuffled else test)


def test_a_split_without_test_rows_has_none():
    split = Split.of((30,), 0.2, False, np.random.default_rng(0))
    assert (len(split.fit), len(split.test)) == (24, 0)


def planted():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((120, 6))
    y = x[:, :4] + 0.5 * rng.standard_normal((120, 4))
    return Table(x, name="FSE", what="sources"), Table(y, name="FSE", what="targets")


def test_targets_that_do_not_count_change_no_other_error():
    work = Regression.of(*planted(), None, 0.25, False, np.random.default_rng(2), "FSE")
    parts = [(half, 1.0) for half in work.rows.halves]
    whole, some = (work.score(parts, "FSE", "held-out", without) for without in ((), (1, 3)))
    np.testing.assert_array_equal(some.per_target[[0, 2]], whole.per_target[[0, 2]])
    assert np.isnan(some.per_target[[1, 3]]).all()
    assert some.error.value == pytest.approx(whole.per_target[[0, 2]].mean())
    with pytest.raises(MeasurementError, match="every target is dead or an outlier"):
        work.score(parts, "FSE", "held-out", range(4))


def test_rows_of_one_strength_may_be_scored_in_parts():
    work = Regression.of(*planted(), None, 0.25, False, np.random.default_rng(3), "FSE")
    held = np.sort(np.concatenate(work.rows.halves))
    parts, whole = (
        work.score(some, "FSE", "held-out")
        for some in ([(half, 2.0) for half in work.rows.halves], [(held, 2.0)])
    )
    np.testing.assert_allclose(parts.influence, whole.influence, atol=1e-12)
    assert parts.error.value == pytest.approx(whole.error.value)
    np.testing.assert_array_equal(parts.rows, held)
