"""Files that survive a kill and show damage.

Words: a *durable* write is there wholly or not at all, whatever moment the process dies at; a *sealed*
document is canonical JSON that holds its own SHA-256, so that one flipped bit anywhere in it is noticed.
A seal guards against damage, not against somebody who forges it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

from netprops.errors import DamagedEntryError

PART = ".part"
"""Ending of files that are being written; one that a kill left behind is never read."""

_PIECE = 1 << 20


def canonical(document: object) -> str:
    """Return the one JSON text of a document: sorted keys, no blanks, ASCII, no NaN.

    Args:
        document: JSON types only.

    Returns:
        Equal texts for equal documents, whatever the order of their keys.

    Raises:
        ValueError: If a number in it is not finite.

    >>> canonical({"b": 1, "a": [0.1, None]})
    '{"a":[0.1,null],"b":1}'
    """
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def digest_of(data: bytes | bytearray | str) -> str:
    """Return the SHA-256 of bytes, or of a text in UTF-8, as 64 hexadecimal digits."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed(document: dict[str, Any]) -> bytes:
    """Return a document as canonical JSON with its own digest inside, under ``"seal"``."""
    return canonical({**document, "seal": digest_of(canonical(document))}).encode() + b"\n"


def unsealed(data: bytes, where: str) -> dict[str, Any]:
    """Return the document of :func:`sealed`, without its seal.

    Args:
        data: The bytes of a file.
        where: What is said of its origin when it is damaged.

    Raises:
        DamagedEntryError: If any bit differs from what was sealed.
    """
    try:
        document = json.loads(data)
        del document["seal"]
        whole = sealed(document) == data
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise DamagedEntryError(f"{where} does not carry the seal of its content: it is damaged or cut off")
    return document  # type: ignore[no-any-return]


def temporary_beside(path: Path) -> Path:
    """Return an unused name beside ``path``, on the same file system, that nobody reads."""
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}{PART}")


def write(path: Path, data: bytes | bytearray) -> None:
    """Write a file so that it is there wholly or not at all: beside it, fsync, rename, fsync of the folder.

    Args:
        path: Where; missing parent folders are made. An older file of this name is replaced at once.
        data: The whole content.

    Raises:
        OSError: If the disk is full or the place cannot be written; nothing is left behind then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o644)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest[:_PIECE]) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Ask the disk to hold what was written to a file."""
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Ask the disk to hold a folder's names; systems that cannot open a folder keep them by themselves."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clear_parts(folder: Path) -> None:
    """Remove what kills left half written in a folder and below; only for who holds its lock."""
    for part in folder.rglob(f"*{PART}"):
        part.unlink(missing_ok=True)
