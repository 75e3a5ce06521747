import numpy as np
import pytest

from netprops.data.chunks import generator, refuse_absent
from netprops.errors import UsageError


def test_generators_of_one_purpose_and_chunk_are_the_same_and_all_others_unrelated():
    def drawn(purpose, index):
        return generator(purpose, index).standard_normal(2000)

    first = drawn("noise", 3)
    assert np.array_equal(first, drawn("noise", 3))
    for purpose, index in (("noise", 4), ("noise", 0), ("order", 3), ("noise:3", 0)):
        other = drawn(purpose, index)
        assert not np.isin(first, other).any()
        assert abs(np.corrcoef(first, other)[0, 1]) < 0.1


def test_a_chunk_that_is_not_there_is_refused_by_the_streams_name():
    refuse_absent("text", 6, 7)
    refuse_absent("digits", 10**9, None)
    with pytest.raises(UsageError, match="text runs dry: chunk 7 was asked for, and the last one is chunk 6"):
        refuse_absent("text", 7, 7)
    with pytest.raises(UsageError, match="digits has no chunk -1; the first one is chunk 0"):
        refuse_absent("digits", -1, None)
