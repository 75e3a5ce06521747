import numpy as np
import pytest

from netprops.data.vocabulary import looked_up, numbered
from netprops.errors import DamagedDataError


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text(" b a b <unk>\n\n c  b a\u00a0x a\n", encoding="utf-8")
    return path


def test_words_are_ordered_by_frequency_and_then_by_their_bytes(text):
    words, numbers = numbered(text)
    assert [word.decode() for word in words] == ["<unk>", "<eos>", "b", "a", "a\u00a0x", "c"]
    assert numbers.dtype == np.int32
    spelled = [words[number].decode() for number in numbers]
    assert spelled == ["b", "a", "b", "<unk>", "<eos>", "<eos>", "c", "b", "a\u00a0x", "a", "<eos>"]


def test_another_text_is_spelled_in_the_same_words(text, tmp_path):
    other = tmp_path / "other"
    other.write_text("a z b z\n")
    known = {b"<unk>": 0, b"<eos>": 1, b"a": 2}
    assert looked_up(other, known).tolist() == [2, 0, 0, 0, 1]
    assert known == {b"<unk>": 0, b"<eos>": 1, b"a": 2}


def test_a_text_without_unknown_words_has_a_number_for_them(tmp_path):
    (tmp_path / "text").write_text("a a")
    words, numbers = numbered(tmp_path / "text")
    assert words == [b"<unk>", b"a", b"<eos>"]
    assert numbers.tolist() == [1, 1, 2]


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DamagedDataError, match=r"nothing cannot be read as a text \(.*\); fetch it again"):
        numbered(tmp_path / "nothing")
