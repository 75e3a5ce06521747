from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops import durable
from netprops.errors import DamagedEntryError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
DOCUMENT = {"files": {"weights": "ab", "größe": 0.1}, "history": [1, None, True]}


@settings(max_examples=40)
@given(st.dictionaries(st.text(max_size=5).filter(lambda key: key != "seal"), JSON, max_size=3))
def test_a_sealed_document_comes_back_and_the_order_of_keys_does_not_matter(document):
    data = durable.sealed(document)
    assert durable.unsealed(data, "it") == document
    assert durable.sealed(dict(reversed(document.items()))) == data


@given(st.data())
def test_any_flipped_bit_and_any_cut_of_a_sealed_document_is_noticed(data):
    whole = durable.sealed(DOCUMENT)
    if data.draw(st.booleans()):
        changed = bytearray(whole)
        changed[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        changed = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(DamagedEntryError, match="the manifest does not carry the seal of its content"):
        durable.unsealed(bytes(changed), "the manifest")


def test_the_same_content_written_otherwise_is_no_sealed_document():
    spaced = durable.sealed(DOCUMENT).replace(b",", b", ")
    with pytest.raises(DamagedEntryError):
        durable.unsealed(spaced, "it")


def test_numbers_that_are_not_finite_have_no_canonical_form():
    with pytest.raises(ValueError, match="not JSON compliant"):
        durable.canonical({"loss": float("nan")})


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "new" / "state"
    durable.write(path, b"a" * 3_000_000)
    durable.write(path, b"short")
    assert path.read_bytes() == b"short"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch, call):
    path = tmp_path / "state"
    durable.write(path, b"old")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        durable.write(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_reaches_the_disk_before_its_name_does(tmp_path, monkeypatch):
    path, order = tmp_path / "state", []
    sync = os.fsync

    def watched(descriptor):
        order.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), path.exists()))
        sync(descriptor)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc to see what is synced")
    monkeypatch.setattr(os, "fsync", watched)
    durable.write(path, b"new")
    (first, named_before), (second, named_after) = order
    assert first.startswith(str(path))
    assert first.endswith(durable.PART)
    assert not named_before
    assert second == str(tmp_path)
    assert named_after


def test_parts_that_a_kill_left_are_cleared(tmp_path):
    part = durable.temporary_beside(tmp_path / "deep" / "state")
    part.parent.mkdir()
    part.write_bytes(b"half")
    (tmp_path / "state").write_bytes(b"whole")
    durable.clear_parts(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["deep", "state"]
