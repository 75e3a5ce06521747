import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprops.data.tokens import hashed_states, tokens, truncated


def states(premises, hypotheses, length=8, numbers=6, dtype=np.float32):
    out = np.full((len(premises), length, numbers), np.nan, dtype=dtype)
    hashed_states(premises, hypotheses, out)
    return out


def test_words_and_signs_are_told_apart_and_the_case_is_not():
    assert tokens("A man, well-dressed: runs!") == ["a", "man", ",", "well", "-", "dressed", ":", "runs", "!"]
    np.testing.assert_array_equal(states(["A Dog"], ["RUNS"]), states(["a dog"], ["runs"]))


def test_the_first_half_tells_the_word_and_the_second_the_sentence():
    (found,) = states(["dogs run fast"], ["run dogs"])
    assert found.shape == (8, 6)
    words, segments = found[:5, :3], found[:5, 3:]
    np.testing.assert_array_equal(words[0], words[4])
    np.testing.assert_array_equal(words[1], words[3])
    assert len({word.tobytes() for word in words}) == 3
    assert len({segment.tobytes() for segment in segments[:3]}) == 1
    np.testing.assert_array_equal(segments[3], segments[4])
    assert (segments[2] != segments[3]).all()
    assert not found[5:].any()


def test_a_word_has_the_same_state_in_every_data_set_and_process():
    one, other = states(["dogs"], ["run"]), states(["no cats", "dogs"], ["run", "sleep"])
    np.testing.assert_array_equal(one[0, 0], other[1, 0])
    # by hand: the SHA-256 of "dogs" as a little-endian number seeds numpy's generator
    seed = int.from_bytes(
        bytes.fromhex("23bcd2d83d4c0f270640ec65cbeb61a1784856255c3c98dd25ec340453458348"), "little"
    )
    expected = np.random.default_rng(seed).standard_normal(3)
    np.testing.assert_allclose(one[0, 0, :3], expected, rtol=1e-6)


def test_states_are_standard_normal_and_unrelated_between_words():
    words = [f"word{i}" for i in range(400)]
    found = states(words, ["x"] * 400, length=2, numbers=128, dtype=np.float64)[:, 0, :64]
    assert abs(found.mean()) < 0.03
    assert found.std() == pytest.approx(1, abs=0.02)
    cosines = np.corrcoef(found)[np.triu_indices(400, 1)]
    assert cosines.std() == pytest.approx(64**-0.5, rel=0.05)


def test_long_pairs_lose_the_end_of_the_longer_sentence():
    (found,) = states(["a b c d e f g"], ["x y z"])
    np.testing.assert_array_equal(found[:5], states(["a b c d e"], ["x y z"])[0, :5])
    np.testing.assert_array_equal(found[5:], states(["a b c d e"], ["x y z"])[0, 5:])
    (found,) = states(["a b c d e f g"], ["p q r s t u v"])
    np.testing.assert_array_equal(found, states(["a b c d"], ["p q r s"])[0])


@given(st.integers(0, 99), st.integers(0, 99), st.integers(2, 64))
def test_what_is_kept_fits_and_nothing_is_cut_without_need(premise, hypothesis, length):
    kept = truncated(premise, hypothesis, length)
    assert sum(kept) == min(premise + hypothesis, length)
    assert kept[0] <= premise
    assert kept[1] <= hypothesis
    for mine, other, all_mine in ((kept[0], kept[1], premise), (kept[1], kept[0], hypothesis)):
        assert mine == all_mine or mine >= other - 1  # only the longer one is shortened
