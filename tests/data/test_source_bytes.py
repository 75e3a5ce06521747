import numpy as np
import pytest
import torch

from netprops.data import check, load, source_bytes
from netprops.errors import MissingDataError, UsageError


@pytest.fixture
def library(tmp_path, monkeypatch):
    """A library of three short modules: two train and one tests."""
    rng = np.random.default_rng(0)
    for module, length in (("a", 4200), ("b", 4200), ("c/d", 90)):
        file = tmp_path / f"{module}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(rng.choice(np.frombuffer(b"abc \n", dtype=np.uint8), length).tobytes())
    monkeypatch.setattr(source_bytes, "TRAIN", ("b", "a"))
    monkeypatch.setattr(source_bytes, "TEST", ("c/d",))
    monkeypatch.setattr(source_bytes, "_folder", lambda: tmp_path)
    return tmp_path


def spelled(data, windows):
    return ["".join(data.classes[token] for token in window) for window in windows.tolist()]


def test_the_real_library_is_there_and_large_enough_for_a_hundred_chunks():
    assert check("source-bytes", None) is None
    data = load("source-bytes", None)
    assert (data.task, data.outputs, data.input_shape) == ("tokens", 97, (64,))
    assert data.stream.chunks > 100
    assert (len(data.train), len(data.test)) == (512, 1000)
    for part in (data.train, data.test):
        assert (part.labels == data.classes.index("<other>")).double().mean() < 1e-3
    words = "".join(spelled(data, data.train.inputs)).split()
    assert {"def", "self", "return", "if", "import"} <= set(words)
    assert not set(spelled(data, data.train.inputs)) & set(spelled(data, data.test.inputs))


def test_training_and_test_modules_are_others_and_each_stands_once():
    modules = (*source_bytes.TRAIN, *source_bytes.TEST)
    assert len(set(modules)) == len(modules)


def test_windows_are_pieces_of_the_modules_in_their_order(library):
    data = load("source-bytes:16", None)
    train = (library / "b.py").read_text() + (library / "a.py").read_text()
    pieces = {train[at : at + 16] for at in range(0, len(train), 16)}
    assert data.stream.chunks == 1
    assert set(spelled(data, data.train.inputs)) <= pieces
    assert len(data.test) == 5
    assert sorted(spelled(data, data.test.inputs)) == sorted(
        (library / "c" / "d.py").read_text()[at : at + 16] for at in range(0, 80, 16)
    )


def test_a_byte_that_cannot_be_seen_is_other_and_ends_of_lines_are_the_same_everywhere(library):
    (library / "c" / "d.py").write_bytes(b"a\r\nb\tc\xc3\xa9~\x7f" + b" " * 16)
    data = load("source-bytes:8", None)
    tested = sorted(spelled(data, data.test.inputs))
    assert tested == sorted(["a\nb<other>c<other><other>~", "<other>" + " " * 7, " " * 8])


def test_the_digest_is_that_of_the_text(library):
    first, again = (load("source-bytes:16", None) for _ in range(2))
    assert first.digest == again.digest
    file = library / "a.py"
    file.write_text(file.read_text().replace("a", "b", 1))
    assert load("source-bytes:16", None).stream.digest != first.stream.digest


def test_masked_bytes_are_asked(library):
    data = load("source-bytes:masked:16", None)
    assert data.outputs == 98
    assert torch.equal(data.train.inputs == 97, data.train.labels >= 0)
    assert ((data.train.labels >= 0).sum(dim=1) == 2).all()


def test_a_module_that_is_not_there_is_named(library):
    (library / "a.py").unlink()
    with pytest.raises(
        MissingDataError, match=r"standard library, of which a\.py was not found \(looked for"
    ):
        load("source-bytes", None)


@pytest.mark.parametrize("name", ["source-bytes:top50", "source-bytes:long", "source-bytes:0"])
def test_what_stands_after_the_colon_is_checked_before_anything_is_read(name, library):
    with pytest.raises(UsageError, match="cannot stand there; expected, each at most once"):
        check(name, None)
    with pytest.raises(UsageError, match="'source-bytes:' needs an argument after a colon"):
        check("source-bytes:", None)
