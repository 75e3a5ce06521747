from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from pathlib import Path

import pytest

from netprops.cache import Cache, default_root
from netprops.errors import DamagedEntryError, UsageError

KEY, OTHER = "a" * 64, "b" * 64
FILES = {"weights.safetensors": b"weights" * 50, "snapshots/epoch-00000.safetensors": b"snapshot" * 50}


def written(folder: Path) -> None:
    for name, data in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def entry(cache):
    return cache.publish(KEY, written, {"id": "fc5-w4-s0"})


def flip(path: Path, bit: int) -> None:
    """Flip one bit as a failing disk does: size and times stay."""
    stat, data = path.stat(), bytearray(path.read_bytes())
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    path.write_bytes(data)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_what_is_published_is_found_by_any_cache_of_the_folder(cache, entry):
    found = Cache(cache.root).find(KEY)
    assert found is not None
    assert found.manifest == entry.manifest
    assert found.manifest["id"] == "fc5-w4-s0"
    assert {name: found.read(name) for name in FILES} == FILES
    assert [entry.key for entry in cache.entries()] == [KEY]
    assert cache.find(OTHER) is None


def test_paths_are_hexadecimal_and_nothing_is_left_beside_an_entry(cache, entry):
    assert entry.path.relative_to(cache.root).as_posix() == f"entries/aa/{KEY}"
    assert not list((cache.root / "arriving").iterdir())


@pytest.mark.parametrize("bit", [0, 1001, 2500])
@pytest.mark.parametrize("name", ["manifest.json", *FILES])
def test_one_flipped_bit_in_a_published_file_is_noticed_said_aloud_and_moved_aside(
    cache, entry, name, bit, caplog
):
    flip(entry.path / name, bit)
    assert Cache(cache.root).find(KEY) is None
    assert not entry.path.exists()
    (place,) = (cache.root / "damaged").iterdir()
    assert (place / KEY / name).exists()
    assert name in (place / "why.txt").read_text()
    assert f"it was moved to {place} and is built anew" in caplog.text
    assert cache.publish(KEY, written, {}).read("weights.safetensors") == FILES["weights.safetensors"]


def test_a_cut_or_missing_file_is_noticed(cache, entry, caplog):
    (entry.path / "weights.safetensors").write_bytes(b"w")
    assert cache.find(KEY) is None
    assert "has 1 bytes, its manifest promises 350" in caplog.text
    again = cache.publish(KEY, written, {})
    (again.path / "weights.safetensors").unlink()
    assert cache.find(KEY) is None
    assert "weights.safetensors is missing" in caplog.text


def test_a_file_that_is_damaged_after_the_entry_was_found_is_noticed_at_its_load(cache, entry):
    cache.find(KEY)
    flip(entry.path / "weights.safetensors", 77)
    with pytest.raises(DamagedEntryError, match=r"does not have the digest .* run again to rebuild it"):
        entry.read("weights.safetensors")
    assert cache.find(KEY) is None


def test_an_unknown_file_is_refused_by_name(entry):
    with pytest.raises(
        UsageError, match=r"has no file 'x'; it has snapshots/epoch-00000.safetensors, weights"
    ):
        entry.read("x")


@pytest.mark.parametrize("key", ["", "a" * 63, "../" + "a" * 61, "A" * 64])
def test_what_is_no_key_is_refused(cache, key):
    with pytest.raises(UsageError, match="is not a key: expected 64 hexadecimal digits"):
        cache.find(key)


def test_a_failing_writer_publishes_nothing(cache):
    def failing(folder):
        (folder / "weights.safetensors").write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        cache.publish(KEY, failing, {})
    assert cache.find(KEY) is None
    assert not list((cache.root / "arriving").iterdir())


def test_the_first_of_two_publishers_wins_and_both_get_the_same_entry(cache, entry):
    second = cache.publish(
        KEY, lambda folder: (folder / "weights.safetensors").write_bytes(b"other"), {"id": "late"}
    )
    assert second.manifest["id"] == "fc5-w4-s0"
    assert second.read("weights.safetensors") == FILES["weights.safetensors"]


def test_publishing_over_a_damaged_entry_replaces_it(cache, entry):
    flip(entry.path / "weights.safetensors", 3)
    second = Cache(cache.root).publish(KEY, written, {"id": "late"})
    assert second.manifest["id"] == "late"


# Derived files


def test_a_derived_file_is_made_once_and_found_by_any_cache(cache, entry):
    path = entry.derive("features/test-hidden.npy", lambda target: target.write_bytes(b"numbers"))
    assert path.read_bytes() == b"numbers"
    found = Cache(cache.root).find(KEY)
    assert found is not None
    assert found.derived("features/test-hidden.npy") == path
    assert found.derived_names() == ["features/test-hidden.npy"]
    assert found.derived("features/train-hidden.npy") is None


@pytest.mark.parametrize("which", ["file", "sidecar"])
@pytest.mark.parametrize("bit", [5, 333])
def test_one_flipped_bit_in_a_derived_file_or_its_sidecar_costs_that_file_only(
    cache, entry, which, bit, caplog
):
    name = "features/test-hidden.npy"
    path = entry.derive(name, lambda target: target.write_bytes(b"numbers" * 9))
    flip(path if which == "file" else path.parent / "test-hidden.npy.sidecar.json", bit)
    assert entry.derived(name) is None
    assert "is built anew when it is needed" in caplog.text
    assert cache.find(KEY) is not None
    entry.derive(name, lambda target: target.write_bytes(b"numbers" * 9))
    assert entry.derived(name) is not None


def test_a_derived_file_that_is_missing_is_noticed(entry, caplog):
    entry.derive("features/x.npy", lambda target: target.write_bytes(b"1")).unlink()
    assert entry.derived("features/x.npy") is None
    assert "is missing" in caplog.text


@pytest.mark.parametrize("name", ["../x.npy", "/x.npy", "features/../x.npy", "x", "", "a//b.npy"])
def test_a_derived_name_cannot_lead_out_of_the_entry(entry, name):
    with pytest.raises(UsageError, match="cannot name a derived file"):
        entry.derive(name, lambda target: None)


def test_two_processes_that_derive_other_bytes_at_once_never_mix(entry):
    first = entry.derive("x.npy", lambda target: target.write_bytes(b"one"))
    second = entry.derive("x.npy", lambda target: target.write_bytes(b"two"))
    assert first.read_bytes() == b"one", "whoever mapped the first may go on reading it"
    assert entry.derived("x.npy") == second


# Claims


def test_a_claim_excludes_others_until_it_ends(cache):
    other = Cache(cache.root)
    with cache.claim(KEY) as mine:
        assert mine
        with other.claim(KEY, blocking=False) as theirs:
            assert not theirs
        with other.claim(OTHER, blocking=False) as theirs:
            assert theirs
    with other.claim(KEY, blocking=False) as theirs:
        assert theirs


def test_a_blocking_claim_waits(cache):
    order = []
    with cache.claim(KEY):
        waiting = threading.Thread(target=lambda: _claim_and_note(Cache(cache.root), order))
        waiting.start()
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def _claim_and_note(cache: Cache, order: list[str]) -> None:
    with cache.claim(KEY):
        order.append("second")


def test_a_killed_holder_holds_nothing(cache):
    program = (
        "import os, signal, sys; from pathlib import Path; from netprops.cache import Cache\n"
        f"claim = Cache(Path(sys.argv[1])).claim({KEY!r})\n"
        "assert claim.__enter__(); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(cache.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with cache.claim(KEY, blocking=False) as mine:
            assert not mine
        holder.kill()
        holder.wait()
        with cache.claim(KEY, blocking=False) as mine:
            assert mine


def test_a_claim_finds_the_workspace_that_a_kill_left_without_half_written_files(cache):
    (cache.workspace(KEY) / "state-1").write_bytes(b"whole")
    (cache.workspace(KEY) / "state-2.1-ab.part").write_bytes(b"half")
    with cache.claim(KEY):
        assert [path.name for path in cache.workspace(KEY).iterdir()] == ["state-1"]
    cache.publish(KEY, written, {})
    assert not cache.workspace(KEY, make=False).exists()


def test_without_locks_every_process_works_in_a_folder_of_its_own(cache):
    free = Cache(cache.root, lock=False)
    with cache.claim(KEY), free.claim(KEY, blocking=False) as mine:
        assert mine
        assert free.workspace(KEY) != cache.workspace(KEY)


# Before training


def test_a_root_that_cannot_be_written_is_said_before_anything_trains(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        UsageError, match=r"the cache .*/file/cache cannot be written: .* --netprops-cache or NETPROPS_CACHE"
    ):
        Cache(tmp_path / "file" / "cache").check()


def test_a_full_disk_is_said_before_anything_trains(cache, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 10**6, 10**6))
    cache.check(10**6)
    with pytest.raises(
        UsageError, match="has 1 MB free, expected 25 MB for what is about to be trained; free some"
    ):
        cache.check(25 * 10**6)


def test_the_default_root_is_named_by_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("NETPROPS_CACHE", str(tmp_path))
    assert default_root() == tmp_path
    monkeypatch.delenv("NETPROPS_CACHE")
    assert "netprops" in default_root().parts


def test_the_cache_needs_no_torch():
    subprocess.run(
        [sys.executable, "-c", "import sys, netprops.cache; assert 'torch' not in sys.modules"], check=True
    )


# Upkeep


def test_verify_reads_everything_and_names_what_is_damaged(cache, entry):
    other = cache.publish(OTHER, written, {})
    derived = other.derive("features/x.npy", lambda target: target.write_bytes(b"numbers"))
    assert cache.verify() == []
    flip(entry.path / "weights.safetensors", 9)
    flip(derived, 9)
    problems = cache.verify()
    assert len(problems) == 2
    assert any(f"{KEY}/weights.safetensors does not have the digest" in problem for problem in problems)
    assert any("features/x" in problem for problem in problems)
    assert [entry.key for entry in cache.entries()] == [OTHER]


def test_size_counts_entries_and_bytes(cache, entry):
    entry.derive("x.npy", lambda target: target.write_bytes(b"1" * 1000))
    size = cache.size()
    assert size.entries == 1
    assert size.bytes == entry.bytes() == sum(p.stat().st_size for p in entry.path.rglob("*") if p.is_file())
    assert size.bytes > 1000 + sum(map(len, FILES.values()))


def test_prune_removes_what_was_not_used_for_long_and_says_what(cache, entry):
    used = cache.publish(OTHER, written, {})
    os.utime(entry.path, (0, 0))
    pruned = cache.prune(unused_days=30)
    assert pruned.entries == (KEY,)
    assert pruned.bytes > 700
    assert not entry.path.exists()
    assert used.path.exists()


def test_prune_to_a_size_removes_the_longest_unused_first(cache, entry):
    cache.publish(OTHER, written, {})
    os.utime(entry.path, (0, 0))
    assert cache.prune(max_bytes=cache.size().bytes - 1).entries == (KEY,)
    assert cache.prune(max_bytes=10**9).entries == ()


def test_prune_leaves_what_another_process_holds(cache, entry):
    other = Cache(cache.root)
    with other.claim(KEY):
        assert cache.prune(everything=True).entries == ()
    assert cache.prune(everything=True).entries == (KEY,)


def test_prune_keeps_an_unfinished_training_and_removes_damage_and_leftovers(cache, entry, caplog):
    cache.workspace(OTHER)
    cache.workspace(KEY)
    leftover = cache.root / "arriving" / "x"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    cache.set_aside("for a reason")
    cache.prune()
    assert cache.workspace(OTHER, make=False).exists()
    assert not cache.workspace(KEY, make=False).exists(), "its entry is there"
    assert not leftover.exists()
    assert not list((cache.root / "damaged").iterdir())
    assert entry.path.exists()
