"""A store of entries at a URL: asked on a miss, offered what was built, trusted in nothing.

Words: as in ``cache.py``; the store holds ``<first two digits of the key>/<key>/`` with the files of an entry
and its manifest, which is written last, so that an entry without one is not there yet.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from netprops import durable
from netprops.errors import DamagedEntryError, UsageError

log = logging.getLogger("netprops")

_MANIFEST = "manifest.json"
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")


class Remote:
    """A remote store.

    Args:
        url: Any URL that fsspec knows: ``file:///mnt/zoo``, ``s3://bucket/zoo``, ``gs://...``.

    Raises:
        UsageError: If fsspec or the package of the URL's protocol is not installed, or the URL has none.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs
        except ImportError as error:
            raise UsageError(
                f"the remote store {url} needs fsspec: pip install 'netprops[remote]'"
            ) from error
        try:
            self._files, self._root = url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UsageError(f"the remote store {url!r} cannot be used: {error}") from error
        self.url = url

    def fetch(self, key: str, folder: Path) -> bool:
        """Copy an entry into a folder and check every digest.

        Args:
            key: Its key.
            folder: Exists and is empty.

        Returns:
            Whether the store has it; a store that cannot be reached has nothing, and that is said aloud.

        Raises:
            DamagedEntryError: If what the store has is not what its manifest promises.
        """
        where = self._where(key)
        try:
            data = self._files.cat_file(f"{where}/{_MANIFEST}")
        except FileNotFoundError:
            return False
        except Exception as error:
            self._unreachable(error)
            return False
        manifest = durable.unsealed(data, f"the manifest of {key[:12]} in {self.url}")
        _check(manifest, key, self.url)
        for name, promised in manifest["files"].items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._files.get_file(f"{where}/{name}", str(path))
            except FileNotFoundError as error:
                raise DamagedEntryError(f"{name} of {key[:12]} is missing in {self.url}") from error
            except Exception as error:
                self._unreachable(error)
                return False
            if durable.file_digest(path) != promised["sha256"]:
                raise DamagedEntryError(f"{name} of {key[:12]} in {self.url} has not the promised digest")
            durable.sync_file(path)
        durable.write(folder / _MANIFEST, data)
        return True

    def offer(self, folder: Path, key: str) -> bool:
        """Copy an entry to the store unless it has it.

        Args:
            folder: The published entry; derived files stay here.
            key: Its key.

        Returns:
            Whether it was copied; a store that cannot be written costs a warning, nothing else.
        """
        where = self._where(key)
        data = (folder / _MANIFEST).read_bytes()
        manifest = durable.unsealed(data, f"the manifest of {key[:12]}")
        try:
            if self._files.exists(f"{where}/{_MANIFEST}"):
                return False
            for name in manifest["files"]:
                self._files.makedirs(f"{where}/{name}".rpartition("/")[0], exist_ok=True)
                self._files.put_file(str(folder / name), f"{where}/{name}")
            self._files.pipe_file(f"{where}/{_MANIFEST}", data)
        except Exception as error:
            self._unreachable(error)
            return False
        return True

    def _where(self, key: str) -> str:
        return f"{self._root.rstrip('/')}/{key[:2]}/{key}"

    def _unreachable(self, error: Exception) -> None:
        """Every back end raises errors of its own; none of them may cost a training."""
        log.warning("the remote store %s cannot be used (%s: %s)", self.url, type(error).__name__, error)


def _check(manifest: dict[str, Any], key: str, url: str) -> None:
    """Refuse a manifest of another key, and names that lead out of the folder."""
    if manifest.get("key") != key:
        raise DamagedEntryError(f"{url} has the entry of another key at {key[:12]}")
    unsafe = [name for name in manifest["files"] if not _SAFE.fullmatch(name) or name == _MANIFEST]
    if unsafe:
        raise DamagedEntryError(f"the entry {key[:12]} in {url} has a file of the name {unsafe[0]!r}")
