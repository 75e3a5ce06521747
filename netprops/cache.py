"""The store of trained networks: content-addressed, published at once or not at all, checked at every load.

Words: a *key* is 64 hexadecimal digits over everything that decides the weights; an *entry* is the folder of
one key: a sealed ``manifest.json`` with the digest of every file, the files, and *derived* files (feature
matrices) with a sealed sidecar each, which can be made again; a *claim* is a lock that saves double work, and
nothing but work rests on it; a *workspace* holds the unfinished training of a key. This file knows nothing of
torch.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import platformdirs

from netprops import durable
from netprops.entry import MANIFEST, Entry, bytes_below
from netprops.errors import DamagedEntryError, UsageError
from netprops.remote import Remote

log = logging.getLogger("netprops")

_KEY = re.compile(r"[0-9a-f]{64}")
_LEFTOVER_SECONDS = 24 * 3600.0  # a half-written entry that is older than this belongs to nobody


def default_root() -> Path:
    """Return ``$NETPROPS_CACHE``, or the user's cache folder of this system."""
    named = os.environ.get("NETPROPS_CACHE")
    return Path(named).expanduser() if named else Path(platformdirs.user_cache_dir("netprops"))


@dataclass(frozen=True)
class Size:
    """What a cache holds: number of entries, and bytes of entries, workspaces and damaged entries."""

    entries: int
    bytes: int
    workspace_bytes: int
    damaged_bytes: int


@dataclass(frozen=True)
class Pruned:
    """What :meth:`Cache.prune` removed: the keys of entries, and all the bytes that are free now."""

    entries: tuple[str, ...]
    bytes: int


class Cache:
    """A folder of entries, shared by any number of processes.

    Args:
        root: The folder; it is made when something is written.
        remote: URL of a store (fsspec) that is asked on a miss and offered what was built.
        lock: Whether claims lock; without, work may be done twice, and every result is still right.

    Raises:
        UsageError: If the URL of the remote store cannot be understood.
    """

    def __init__(self, root: Path, *, remote: str | None = None, lock: bool = True) -> None:
        self.root = Path(root).expanduser().absolute()
        self.remote = Remote(remote) if remote else None
        self.locks = lock
        self._sound: dict[str, object] = {}
        self._unsealed: dict[str, tuple[bytes, dict[str, Any]]] = {}

    def check(self, needed: int = 0) -> None:
        """Make sure before a training that its result can be stored.

        Args:
            needed: Bytes that will be written.

        Raises:
            UsageError: If the folder cannot be written or its disk has not the room.
        """
        advice = "choose another folder with --netprops-cache or NETPROPS_CACHE"
        probe = durable.temporary_beside(self.root / "probe")
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"netprops")
            probe.unlink()
            free = shutil.disk_usage(self.root).free
        except OSError as error:
            raise UsageError(f"the cache {self.root} cannot be written: {error}; {advice}") from error
        if free < needed:
            raise UsageError(
                f"the disk of the cache {self.root} has {free / 1e6:,.0f} MB free, expected "
                f"{needed / 1e6:,.0f} MB for what is about to be trained; free some with "
                f"`netprops cache prune`, or {advice}"
            )

    def find(self, key: str) -> Entry | None:
        """Return the entry of a key after checking all published files, or None if there is no sound one.

        A damaged entry is moved aside and said aloud. Files that did not change since this process checked
        them are not read again.
        """
        entry = self.peek(key)
        if entry is None:
            return None
        try:
            if self._sound.get(key) != entry.signature():
                problems = entry.problems()
                if problems:
                    self.set_aside(problems[0], entry.path)
                    return None
                self._sound[key] = entry.signature()
        except FileNotFoundError as error:
            self.set_aside(f"{error.filename} is missing", entry.path)
            return None
        with suppress(OSError):
            os.utime(entry.path)
        return entry

    def peek(self, key: str) -> Entry | None:
        """Return the entry of a key after checking its manifest only."""
        path = self._path(key)
        try:
            data = (path / MANIFEST).read_bytes()
            read, manifest = self._unsealed.get(key, (b"", {}))
            if data != read:
                manifest = durable.unsealed(data, f"the manifest {path / MANIFEST}")
                self._unsealed[key] = data, manifest
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedEntryError as error:
            self.set_aside(str(error), path)
            return None
        return Entry(key, path, manifest, self.set_aside)

    def fetch(self, key: str) -> Entry | None:
        """Return the entry of a key from the remote store, checked and put in place; None if it has none."""
        if self.remote is None:
            return None
        arriving = self._arriving(key)
        try:
            if self.remote.fetch(key, arriving):
                log.info("%s was found in %s", key[:12], self.remote.url)
                return self._place(key, arriving)
        except DamagedEntryError as error:
            log.warning("%s; it is built here", error)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        return None

    def publish(self, key: str, write: Callable[[Path], None], manifest: dict[str, Any]) -> Entry:
        """Put an entry in place, wholly or not at all.

        Args:
            key: Its key.
            write: Writes all files below the folder that it is given.
            manifest: What is said of it, in JSON types.

        Returns:
            The entry; where another process was first, theirs.
        """
        arriving = self._arriving(key)
        try:
            write(arriving)
            paths = sorted(path for path in arriving.rglob("*") if path.is_file())
            for path in paths:
                durable.sync_file(path)
            files = {
                path.relative_to(arriving).as_posix(): {
                    "sha256": durable.file_digest(path),
                    "bytes": path.stat().st_size,
                }
                for path in paths
            }
            durable.write(arriving / MANIFEST, durable.sealed({**manifest, "key": key, "files": files}))
            entry = self._place(key, arriving)
        finally:
            shutil.rmtree(arriving, ignore_errors=True)
        if self.remote is not None:
            self.remote.offer(entry.path, key)
        shutil.rmtree(self.workspace(key, make=False), ignore_errors=True)
        return entry

    @contextmanager
    def claim(self, key: str, blocking: bool = True) -> Iterator[bool]:
        """Claim a key's work.

        Args:
            key: What is to be built.
            blocking: Whether to wait for whoever holds it; a killed holder holds nothing.

        Yields:
            Whether it is claimed; without locks always True.
        """
        if not self.locks:
            yield True
            return
        place = self.root / "locks"
        place.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(place / f"{_checked(key)}.lock", timeout=-1 if blocking else 0)
        try:
            lock.acquire()
        except filelock.Timeout:
            yield False
            return
        try:
            durable.clear_parts(self.workspace(key, make=False))
            yield True
        finally:
            lock.release()

    def workspace(self, key: str, *, make: bool = True) -> Path:
        """Return the folder of a key's unfinished training: the next who claims the key finds it.

        Without locks every process has its own, so that none disturbs another.
        """
        own = "" if self.locks else f"-{os.getpid()}"
        path = self.root / "work" / f"{_checked(key)}{own}"
        if make:
            path.mkdir(parents=True, exist_ok=True)
        return path

    def entries(self) -> Iterator[Entry]:
        """Yield every entry with a sound manifest, by key."""
        for key in self._keys():
            entry = self.peek(key)
            if entry is not None:
                yield entry

    def verify(self) -> list[str]:
        """Read every file of every entry; move what is damaged aside, and return one sentence for each."""
        before = set(self._damaged())
        for key in self._keys():
            self._sound.pop(key, None)
            entry = self.find(key)
            if entry is not None:
                for name in entry.derived_names():
                    entry.derived(name)
        return [(place / "why.txt").read_text().strip() for place in self._damaged() if place not in before]

    def prune(
        self, *, unused_days: float | None = None, max_bytes: int | None = None, everything: bool = False
    ) -> Pruned:
        """Remove what is not needed: damaged entries, leftovers of kills, and entries as the arguments say.

        Args:
            unused_days: Remove entries and workspaces that nobody used for so long.
            max_bytes: Remove the longest unused entries until the others fit.
            everything: Remove every entry and workspace.

        Returns:
            What was removed. What another process holds stays.
        """
        removed: list[str] = []
        before, now = bytes_below(self.root), time.time()
        limit = 0.0 if everything else unused_days * 86400 if unused_days is not None else None
        entries = sorted(self.entries(), key=lambda entry: entry.path.stat().st_mtime)
        total = sum(entry.bytes() for entry in entries)
        for entry in entries:
            old = limit is not None and now - entry.path.stat().st_mtime >= limit
            if old or (max_bytes is not None and total > max_bytes):
                size = entry.bytes()
                if self._discard(entry.key, entry.path):
                    total -= size
                    removed.append(entry.key)
        for place in sorted((self.root / "work").glob("*")):
            key = place.name[:64]
            old = limit is not None and now - place.stat().st_mtime >= limit
            if old or self._path(key).exists():
                self._discard(key, place)
        for place in (self.root / "arriving").glob("*"):
            if everything or now - place.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(place, ignore_errors=True)
        for place in self._damaged():
            shutil.rmtree(place, ignore_errors=True)
        return Pruned(tuple(removed), before - bytes_below(self.root))

    def size(self) -> Size:
        """Return how much the cache holds."""
        return Size(
            entries=sum(1 for _ in self.entries()),
            bytes=bytes_below(self.root / "entries"),
            workspace_bytes=bytes_below(self.root / "work"),
            damaged_bytes=bytes_below(self.root / "damaged"),
        )

    def set_aside(self, problem: str, *paths: Path) -> Path:
        """Move what is damaged out of the way, say so, and return where it lies now, beside a ``why.txt``."""
        place = self.root / "damaged" / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}"
        place.mkdir(parents=True)
        for path in paths:
            with suppress(FileNotFoundError):
                path.rename(place / path.name)
        (place / "why.txt").write_text(f"{problem}\n")
        log.warning("%s; it was moved to %s and is built anew when it is needed", problem, place)
        return place

    def _keys(self) -> list[str]:
        names = (path.name for path in (self.root / "entries").glob("??/*"))
        return sorted(name for name in names if _KEY.fullmatch(name))

    def _damaged(self) -> list[Path]:
        return sorted((self.root / "damaged").glob("*"))

    def _path(self, key: str) -> Path:
        return self.root / "entries" / _checked(key)[:2] / key

    def _arriving(self, key: str) -> Path:
        path = self.root / "arriving" / f"{_checked(key)}-{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir(parents=True)
        return path

    def _place(self, key: str, arriving: Path) -> Entry:
        """Rename a complete folder into place; where a sound one is already, keep that."""
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        durable.sync_folder(arriving)
        while True:
            try:
                arriving.rename(target)
                durable.sync_folder(target.parent)
            except OSError:
                if not target.exists():
                    raise
            entry = self.find(key)
            if entry is not None:
                return entry
            if not arriving.exists():
                raise DamagedEntryError(f"{target} is damaged as soon as it is written: is the disk sound?")

    def _discard(self, key: str, path: Path) -> bool:
        """Remove a folder at once unless another process holds its key; return whether it is gone."""
        gone = self.root / "arriving" / f"gone-{secrets.token_hex(8)}"
        with self.claim(key, blocking=False) as mine:
            if mine:
                gone.parent.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):
                    path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
        return mine


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise UsageError(f"{key!r} is not a key: expected 64 hexadecimal digits")
    return key
