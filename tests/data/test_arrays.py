import logging

import numpy as np
import pytest

from netprops.data import Request, decoded
from netprops.data.arrays import FOLDER, kept_arrays
from netprops.errors import UsageError


class Reader:
    """Counts how often it is asked."""

    def __init__(self):
        self.times = 0

    def __call__(self):
        self.times += 1
        return {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.zeros(0, dtype=np.uint8)}


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive"
    path.write_bytes(b"anything")
    return path


@pytest.fixture
def request_(tmp_path):
    return Request("x", cache_root=tmp_path / "cache")


def assert_whole(arrays):
    assert sorted(arrays) == ["a", "b"]
    np.testing.assert_array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]])
    assert arrays["a"].dtype == np.int32
    assert arrays["b"].shape == (0,)


def test_arrays_are_read_once_for_an_archive_and_a_way_of_reading(archive, request_):
    read = Reader()
    for _ in range(2):
        assert_whole(kept_arrays(archive, request_, read, "way", 1))
    assert read.times == 1
    kept_arrays(archive, request_, read, "way", 2)
    archive.write_bytes(b"something")
    kept_arrays(archive, request_, read, "way", 2)
    assert read.times == 3


def test_nothing_is_kept_without_a_cache(archive, tmp_path):
    read = Reader()
    for _ in range(2):
        assert_whole(kept_arrays(archive, Request("x"), read))
    assert read.times == 2
    assert list(tmp_path.iterdir()) == [archive]


def test_what_is_kept_cannot_be_written(archive, request_):
    with pytest.raises(ValueError, match="read-only"):
        kept_arrays(archive, request_, Reader())["a"][0, 0] = 1


@pytest.mark.parametrize("name", ["a.npy", "b.npy", "dataset.json"])
@pytest.mark.parametrize("damage", ["flip", "empty", "gone"])
def test_damage_is_noticed_and_mended(archive, request_, name, damage, caplog):
    read = Reader()
    kept_arrays(archive, request_, read)
    (file,) = (request_.cache_root / FOLDER).glob(f"*/{name}")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.unlink() if damage == "gone" else file.write_bytes(content if damage == "flip" else b"")
    with caplog.at_level(logging.WARNING, logger="netprops"):
        assert_whole(kept_arrays(archive, request_, read))
    assert "is damaged" in caplog.text
    kept_arrays(archive, request_, read)
    assert read.times == 2


def test_a_disk_without_room_is_said(archive, request_, monkeypatch):
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1}))
    with pytest.raises(UsageError, match="MB free, expected 0 MB for the decoded copy; choose another"):
        kept_arrays(archive, request_, Reader())
    assert not any(path.is_dir() for path in (request_.cache_root / FOLDER).iterdir())
