import numpy as np
import pytest
import torch

from netprops.data import check, load, windows
from netprops.data import wikitext as module
from netprops.errors import DamagedDataError, MissingDataError, UsageError


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Both folders with short texts of 40 words, of which early ones are frequent."""
    monkeypatch.setattr(windows, "SIZE", 8)
    rng = np.random.default_rng(0)

    def write(name, lines):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        drawn = (rng.random((lines, 9)) ** 2 * 40).astype(int)
        path.write_text("".join(" " + " ".join(f"w{word}" for word in line) + " \n" for line in drawn))

    for name, lines in (("valid", 30), ("test", 20)):
        write(f"wikitext-2/wiki.{name}.tokens", lines)
    for name, lines in (("train", 90), ("test", 20)):
        write(f"wikitext-103/wiki.{name}.tokens", lines)
    return tmp_path


def spelled(data, tokens):
    return " ".join(data.classes[token] for token in tokens)


def test_windows_are_pieces_of_the_text(root):
    data = load("wikitext103:10", root)
    text = (root / "wikitext-103" / "wiki.train.tokens").read_text().replace("\n", "<eos> ").split()
    pieces = {" ".join(text[at : at + 10]) for at in range(0, len(text), 10)}
    assert data.stream.chunks == 89 // 8
    seen = {spelled(data, w) for i in range(data.stream.chunks) for w in data.stream.chunk(i).inputs.tolist()}
    assert seen <= pieces
    assert len(seen) == 8 * data.stream.chunks
    for inputs, labels in zip(data.train.inputs, data.train.labels, strict=True):
        assert torch.equal(inputs[1:].long(), labels[:-1])
    assert data.classes[0] == "<unk>"
    assert (data.task, data.input_shape) == ("tokens", (10,))


def test_the_vocabulary_is_that_of_the_training_text_and_can_be_cut(root):
    (root / "wikitext-103" / "wiki.test.tokens").write_text("w0 strange w1\n" * 10)
    whole, cut = load("wikitext103:10", root), load("wikitext103:10:top5", root)
    assert len(whole.classes) == 42
    assert cut.classes == whole.classes[:5]
    expected = torch.where(whole.train.inputs < 5, whole.train.inputs, 0)
    assert torch.equal(cut.train.inputs, expected)
    assert (whole.test.inputs == 0).double().mean() == pytest.approx(0.25, abs=0.05)
    assert whole.digest != cut.digest


def test_wikitext2_trains_on_its_validation_text_only_where_it_has_no_other(root):
    small = load("wikitext2:10", root)
    assert small.stream.chunks == 29 // 8
    valid = root / "wikitext-2" / "wiki.valid.tokens"
    (root / "wikitext-2" / "wiki.train.tokens").write_text(valid.read_text() * 3)
    assert load("wikitext2:10", root).stream.chunks == 89 // 8


def test_masked_words_are_asked(root):
    data = load("wikitext2:masked:10", root)
    assert data.classes[-1] == "<mask>"
    for part in (data.train, data.test):
        assert torch.equal(part.inputs == len(data.classes) - 1, part.labels >= 0)


def test_words_are_read_once_and_kept(root, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    plain, first = load("wikitext2:10", root), load("wikitext2:10", root, cache_root=cache)
    monkeypatch.setattr(module, "numbered", None)
    again = load("wikitext2:10", root, cache_root=cache)
    assert plain.digest == first.digest == again.digest
    assert load("wikitext2:10:top5", root, cache_root=cache).outputs == 5


@pytest.mark.parametrize(
    ("name", "file", "words"),
    [
        (
            "wikitext103",
            "wikitext-103/wiki.train.tokens",
            "needs WikiText-103, which was not found (looked for",
        ),
        ("wikitext103", "wikitext-103/wiki.test.tokens", "wiki.test.tokens); put wiki.train.tokens and"),
        (
            "wikitext2:masked",
            "wikitext-2/wiki.valid.tokens",
            "put wiki.train.tokens or wiki.valid.tokens and",
        ),
    ],
)
def test_missing_files_are_one_sentence(root, name, file, words):
    (root / file).unlink()
    sentence = check(name, root)
    assert words in sentence
    assert name in sentence
    assert "\n" not in sentence
    with pytest.raises(MissingDataError) as caught:
        load(name, root)
    assert str(caught.value) == sentence
    assert "no data root is set" in check(name, None)


def test_what_is_no_text_is_said(root):
    file = root / "wikitext-2" / "wiki.valid.tokens"
    file.write_bytes(b"\xff\xfe " * 200)
    with pytest.raises(
        DamagedDataError, match=r"wiki\.valid\.tokens cannot be read as a text .*fetch it again"
    ):
        load("wikitext2:10", root)
    file.write_text("too short")
    with pytest.raises(
        UsageError, match="wikitext2:10 has 0 windows of 10 tokens, expected at least one chunk"
    ):
        load("wikitext2:10", root)
    with pytest.raises(UsageError, match="'top' cannot stand there"):
        check("wikitext2:top", root)


def test_the_real_wikitext2_can_be_read(real):
    if check("wikitext2", real) is not None:
        pytest.skip("WikiText-2 is not there")
    data = load("wikitext2", real)
    assert data.classes[:4] == ("<unk>", "the", ",", ".")
    assert 10_000 < len(data.classes) <= module.VOCABULARY
    assert data.stream.chunks >= 6
    assert 0.02 < (data.test.inputs == 0).double().mean() < 0.2
