"""One entry of the cache: published files with their digests, and derived files that can be made again.

Words: as in ``cache.py``; a *sidecar* is the sealed document beside a derived file that holds its digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netprops import durable
from netprops.errors import DamagedEntryError, UsageError

MANIFEST = "manifest.json"
_SIDECAR = ".sidecar.json"
_NAME = re.compile(r"[A-Za-z0-9_%-][A-Za-z0-9_.%@-]*(/[A-Za-z0-9_%-][A-Za-z0-9_.%@-]*)*")


@dataclass(frozen=True)
class Entry:
    """One published folder.

    Args:
        key: Its key.
        path: Its folder.
        manifest: What was said of it when it was published, and ``files``: digest and bytes by name.
        set_aside: How the cache moves damaged paths away: takes the problem and the paths.
    """

    key: str
    path: Path
    manifest: dict[str, Any]
    set_aside: Callable[..., Path]

    def read(self, name: str) -> bytes:
        """Return the content of a published file after checking its digest.

        The bytes that were checked are the bytes that are returned: what happens to the file later does not
        reach whoever has read it, as it would through a memory map.

        Raises:
            UsageError: If the entry was published without such a file.
            DamagedEntryError: If the file differs from what was published; the entry is moved aside before.
        """
        if name not in self.manifest["files"]:
            known = ", ".join(sorted(self.manifest["files"]))
            raise UsageError(f"entry {self.key[:12]} has no file {name!r}; it has {known}")
        path = self.path / name
        try:
            data = path.read_bytes()
            problem = f"{path} does not have the digest that its manifest promises"
        except FileNotFoundError:
            data, problem = b"", f"{path} is missing"
        if durable.digest_of(data) != self.manifest["files"][name]["sha256"]:
            place = self.set_aside(problem, self.path)
            raise DamagedEntryError(f"{problem}; the entry was moved to {place}, run again to rebuild it")
        return data

    def derived(self, name: str) -> Path | None:
        """Return a derived file after checking its digest, or None if it is missing or was damaged."""
        sidecar = self._sidecar(name)
        paths = [sidecar]
        try:
            facts = durable.unsealed(sidecar.read_bytes(), f"the sidecar {sidecar}")
            paths.append(sidecar.with_name(facts["file"]))
            if durable.file_digest(paths[-1]) == facts["sha256"]:
                return paths[-1]
            problem = f"{paths[-1]} does not have the digest that its sidecar promises"
        except FileNotFoundError:
            if not sidecar.exists():
                return None
            problem = f"the file of the sidecar {sidecar} is missing"
        except DamagedEntryError as error:
            problem = str(error)
        self.set_aside(problem, *paths)
        return None

    def derive(self, name: str, write: Callable[[Path], None]) -> Path:
        """Make a derived file, and return its path.

        Args:
            name: Relative, such as ``features/test-hidden.npy``.
            write: Writes the whole file at the path that it is given.

        Returns:
            A path that holds the first 12 digits of the digest, so that two processes that derive the same
            name at once never mix the file of one with the sidecar of the other.
        """
        sidecar = self._sidecar(name)
        sidecar.parent.mkdir(parents=True, exist_ok=True)
        temporary = durable.temporary_beside(sidecar)
        try:
            write(temporary)
            digest = durable.file_digest(temporary)
            stem, _, ending = name.rpartition("/")[2].rpartition(".")
            path = sidecar.with_name(f"{stem}.{digest[:12]}.{ending}")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        facts = {"name": name, "file": path.name, "sha256": digest, "bytes": path.stat().st_size}
        durable.write(sidecar, durable.sealed(facts))
        return path

    def problems(self) -> list[str]:
        """Return one sentence for each published file that differs from what was published."""
        found = (self._problem(name) for name in sorted(self.manifest["files"]))
        return [problem for problem in found if problem is not None]

    def bytes(self) -> int:
        """Return what the entry takes on disk, derived files included."""
        return bytes_below(self.path)

    def derived_names(self) -> list[str]:
        """Return the names of the derived files."""
        found = sorted(self.path.rglob(f"*{_SIDECAR}"))
        return [path.relative_to(self.path).as_posix().removesuffix(_SIDECAR) for path in found]

    def signature(self) -> tuple[tuple[str, int, int, int], ...]:
        """Return what changes when a published file is replaced or written to."""
        stats = [(name, (self.path / name).stat()) for name in (MANIFEST, *sorted(self.manifest["files"]))]
        return tuple((name, stat.st_ino, stat.st_size, stat.st_mtime_ns) for name, stat in stats)

    def _sidecar(self, name: str) -> Path:
        if not _NAME.fullmatch(name) or "." not in name:
            raise UsageError(f"{name!r} cannot name a derived file")
        return self.path / f"{name}{_SIDECAR}"

    def _problem(self, name: str) -> str | None:
        path, promised = self.path / name, self.manifest["files"][name]
        if not path.is_file():
            return f"{path} is missing"
        if path.stat().st_size != promised["bytes"]:
            return f"{path} has {path.stat().st_size} bytes, its manifest promises {promised['bytes']}"
        if durable.file_digest(path) != promised["sha256"]:
            return f"{path} does not have the digest that its manifest promises"
        return None


def bytes_below(folder: Path) -> int:
    """Return the bytes of all files in a folder and below."""
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
