from __future__ import annotations

import pytest

from netprops import durable
from netprops.cache import Cache
from netprops.errors import UsageError

pytest.importorskip("fsspec")

KEY = "c" * 64


def written(folder):
    (folder / "snapshots").mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "snapshots" / "epoch-00001.safetensors").write_bytes(b"snapshot")


@pytest.fixture
def url(tmp_path) -> str:
    return (tmp_path / "store").as_uri()


@pytest.fixture
def stored(tmp_path, url):
    """The entry's folder in a store to which another machine has offered it."""
    entry = Cache(tmp_path / "theirs", remote=url).publish(KEY, written, {"id": "n"})
    entry.derive("features/x.npy", lambda target: target.write_bytes(b"1"))
    return tmp_path / "store" / KEY[:2] / KEY


def test_what_was_built_is_offered_and_found_on_a_miss(tmp_path, url, stored):
    ours = Cache(tmp_path / "ours", remote=url)
    assert ours.find(KEY) is None
    entry = ours.fetch(KEY)
    assert entry is not None
    assert entry.manifest["id"] == "n"
    assert entry.read("snapshots/epoch-00001.safetensors") == b"snapshot"
    assert Cache(tmp_path / "ours").find(KEY) is not None, "it is ours now, without the store"
    assert not list(stored.rglob("*.npy")), "derived files stay where they are"
    assert ours.fetch("d" * 64) is None


def test_an_entry_whose_manifest_has_not_arrived_is_not_there(tmp_path, url, stored):
    (stored / "manifest.json").unlink()
    assert Cache(tmp_path / "ours", remote=url).fetch(KEY) is None


@pytest.mark.parametrize(
    "name", ["manifest.json", "weights.safetensors", "snapshots/epoch-00001.safetensors"]
)
def test_a_flipped_bit_in_the_store_is_noticed_and_nothing_is_taken(tmp_path, url, stored, name, caplog):
    data = bytearray((stored / name).read_bytes())
    data[len(data) // 2] ^= 16
    (stored / name).write_bytes(data)
    ours = Cache(tmp_path / "ours", remote=url)
    assert ours.fetch(KEY) is None
    assert "it is built here" in caplog.text
    assert ours.find(KEY) is None


def test_a_file_that_is_missing_in_the_store_is_noticed(tmp_path, url, stored, caplog):
    (stored / "weights.safetensors").unlink()
    assert Cache(tmp_path / "ours", remote=url).fetch(KEY) is None
    assert "weights.safetensors of cccccccccccc is missing" in caplog.text


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "a/../../escaped", "manifest.json"])
def test_a_name_that_leads_out_of_the_entry_is_refused(tmp_path, url, stored, name, caplog):
    digest = durable.digest_of(b"evil")
    manifest = {"key": KEY, "files": {name: {"sha256": digest, "bytes": 4}}}
    (stored / "manifest.json").write_bytes(durable.sealed(manifest))
    ours = Cache(tmp_path / "ours", remote=url)
    assert ours.fetch(KEY) is None
    assert "has a file of the name" in caplog.text
    assert not list(tmp_path.rglob("escaped*"))


def test_the_entry_of_another_key_is_refused(tmp_path, url, stored, caplog):
    other = "e" * 64
    place = stored.parent.parent / "ee" / other
    place.parent.mkdir()
    stored.rename(place)
    assert Cache(tmp_path / "ours", remote=url).fetch(other) is None
    assert "has the entry of another key" in caplog.text


def test_a_store_that_cannot_be_reached_costs_a_warning_only(tmp_path, caplog):
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "ours", remote=(tmp_path / "file").as_uri())
    assert cache.fetch(KEY) is None
    assert cache.publish(KEY, written, {}).read("weights.safetensors") == b"weights"
    assert "cannot be used" in caplog.text


def test_a_url_of_an_unknown_kind_is_refused_at_once(tmp_path):
    with pytest.raises(UsageError, match="the remote store 'nonsense://x' cannot be used"):
        Cache(tmp_path, remote="nonsense://x")
