"""The search for a failing chunk: it finds planted ones, shrinks them, and repeats itself exactly."""

import pytest

from netprops.errors import UsageError
from netprops.measures.counterexample import search_failing_chunk


def test_a_planted_failure_is_found_and_shrunk_to_the_smallest_chunk():
    def error_of(chunk):
        return 0.0 if 7 in chunk else 0.3

    search = search_failing_chunk(error_of, width=40, smallest=5, threshold=0.005)
    assert len(search.failing) == 5
    assert 7 not in search.failing
    assert search.failing_error == 0.3
    assert search.measurement("worst").details["smallest_failing_size"] == 5


def test_a_chunk_is_not_shrunk_past_what_makes_it_fail():
    search = search_failing_chunk(
        lambda chunk: 0.3 if {2, 5} <= set(chunk) else 0.0, width=12, smallest=1, threshold=0.005
    )
    assert {2, 5} <= set(search.failing)
    assert search.worst == search.failing_error == 0.3
    # Without its last neuron, in the order that Hypothesis chose, the chunk would hold.
    assert len(search.failing) < 12


def test_no_counterexample_where_every_chunk_holds():
    search = search_failing_chunk(lambda chunk: 0.004, width=64, smallest=32, threshold=0.005, examples=50)
    assert search.failing == ()
    assert search.worst == 0.004
    assert search.chunks >= 40


def test_every_proposed_chunk_has_distinct_neurons_of_the_layer_and_at_least_the_smallest_size():
    proposed = []
    search_failing_chunk(lambda chunk: proposed.append(chunk) or 0.0, width=256, smallest=128, threshold=0.5)
    assert len({len(chunk) for chunk in proposed}) > 5
    for chunk in proposed:
        assert len(set(chunk)) == len(chunk) >= 128
        assert 0 <= chunk[0] <= chunk[-1] < 256


def test_the_same_entropy_gives_the_same_search():
    runs = []
    for _ in range(2):
        proposed = []
        search_failing_chunk(
            lambda chunk, kept=proposed: kept.append(chunk) or 0.0,
            width=30,
            smallest=3,
            threshold=0.5,
            examples=30,
            entropy=4,
        )
        runs.append(proposed)
    assert runs[0] == runs[1]


def test_an_error_of_the_callable_is_not_taken_for_a_failing_chunk():
    def error_of(chunk):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        search_failing_chunk(error_of, width=8, smallest=2, threshold=0.1)


@pytest.mark.parametrize("smallest", [0, 9])
def test_an_impossible_size_is_refused(smallest):
    with pytest.raises(UsageError, match=r"1\.\.8 neurons"):
        search_failing_chunk(lambda chunk: 0.0, width=8, smallest=smallest, threshold=0.1)
