"""Decoded copies of archives of images or text: arrays on disk, published whole and checked at every load.

Words: the *fingerprint* says which archive a copy is of, without reading it (path, sizes, times), and how it
was decoded; the *sidecar* is the sealed document beside the arrays that holds the data set's digest; to
*place* inputs is to write them where they will be kept, so that they need not fit into memory.
"""

from __future__ import annotations

import errno
import logging
import math
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from filelock import FileLock
from numpy.typing import DTypeLike, NDArray

from netprops import durable
from netprops.data import Dataset, Request, Split
from netprops.errors import DamagedDataError, DamagedEntryError, UsageError

log = logging.getLogger("netprops")

READER_VERSION = 1
"""Raised when the code that decodes changes what it gives."""

FOLDER = "images"
SIDECAR = "dataset.json"
TRAIN, TEST = "train-inputs", "test-inputs"
_ARRAYS = (TRAIN, "train-labels", TEST, "test-labels")
_LARGE = 10**9  # bytes from which on it is said that a copy is being checked, at about 1 GB a second

Found = TypeVar("Found")


class Place(Protocol):
    """Where to get the arrays of the inputs."""

    def __call__(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return a new array, its numbers any, for :data:`TRAIN` or :data:`TEST`."""


def kept(archive: Path, request: Request, decode: Callable[[Place], Dataset], *how: int | str) -> Dataset:
    """Return an archive's data set from its decoded copy, which is made if it is not there.

    Args:
        archive: The folder or tar.
        request: For its ``cache_root``: copies lie in ``images/<hex>/`` below it. None keeps no copy.
        decode: Makes the data set; it is given where to get the arrays of its inputs.
        how: Numbers and texts that tell this way of decoding from others of the same archive.

    Returns:
        The data set, its arrays mapped from the copy. A damaged copy is removed, with a warning, and made
        anew; of several processes that want one copy at once, one decodes.

    Raises:
        UsageError: If the disk has no room for the copy.
    """
    if request.cache_root is None:
        return decode(lambda name, shape, dtype=np.uint8: np.empty(shape, dtype=dtype))
    copy = request.cache_root / FOLDER / fingerprint(archive, *how)
    return published(copy, lambda: _read(copy, request), lambda folder: _write(decode, folder))


def published(copy: Path, read: Callable[[], Found | None], write: Callable[[Path], None]) -> Found:
    """Return what a folder holds, which is written if it is not there: whole, and by one process.

    Args:
        copy: The folder.
        read: Returns what it holds, or None if it is not there or was damaged; it is then gone.
        write: Writes it into another, empty folder, which then gets its place.
    """
    found = read()
    if found is not None:
        return found
    copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(copy.with_name(copy.name + ".lock")):
        found = read()
        if found is not None:
            return found
        for rest in copy.parent.glob(f"{copy.name}.*{durable.PART}"):  # of a process that was killed
            shutil.rmtree(rest, ignore_errors=True)
        _publish(write, copy)
    found = read()
    if found is None:
        raise DamagedDataError(f"{copy} was damaged as soon as it was written; check the disk")
    return found


def fingerprint(archive: Path, *how: int | str) -> str:
    """Return 64 hex digits that change when an archive, or a file of a folder, is replaced.

    Args:
        archive: The folder or tar.
        how: As for :func:`kept`.
    """
    files = sorted(p for p in archive.rglob("*") if p.is_file()) if archive.is_dir() else [archive]
    stats = [(p.relative_to(archive).as_posix(), p.stat()) for p in files]
    known = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return durable.digest_of(durable.canonical([READER_VERSION, str(archive.resolve()), known, *how]))


def _publish(write: Callable[[Path], None], copy: Path) -> None:
    part = copy.with_name(f"{copy.name}.{os.getpid()}-{secrets.token_hex(4)}{durable.PART}")
    part.mkdir()
    try:
        write(part)
        part.rename(copy)
        durable.sync_folder(copy.parent)
    except OSError as error:
        # where locks do not hold, somebody else may have published it meanwhile
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(part)


def check_room(folder: Path, needed: int) -> None:
    """Refuse to write a copy for which the disk of a folder has no room.

    A file that is mapped into memory kills the process where its disk is full.

    Args:
        folder: Where it is written.
        needed: Bytes.

    Raises:
        UsageError: If fewer are free.
    """
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"the disk of {folder.parent} has {free / 1e6:,.0f} MB free, expected {needed / 1e6:,.0f} MB "
            "for the decoded copy; choose another folder with --netprops-cache or NETPROPS_CACHE"
        )


def _write(decode: Callable[[Place], Dataset], folder: Path) -> None:
    """Decode into a folder: inputs where they are kept, the rest beside them, and the sidecar."""
    placed: dict[str, NDArray[Any]] = {}

    def place(name: str, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        check_room(folder, math.prod(shape) * np.dtype(dtype).itemsize)
        placed[name] = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=dtype, shape=shape)
        return placed[name]

    dataset = decode(place)
    tensors = (dataset.train.inputs, dataset.train.labels, dataset.test.inputs, dataset.test.labels)
    for name, tensor in zip(_ARRAYS, tensors, strict=True):
        file, array = folder / f"{name}.npy", tensor.numpy()
        mapped = placed.get(name)
        if (
            isinstance(mapped, np.memmap)
            and mapped.shape == array.shape
            and np.may_share_memory(mapped, array)
        ):
            mapped.flush()
        else:
            file.unlink(missing_ok=True)  # a decoder may have placed inputs and returned others
            np.save(file, array, allow_pickle=False)
        durable.sync_file(file)
    sidecar = {
        "digest": dataset.digest,
        "classes": dataset.classes,
        "mean": dataset.mean,
        "std": dataset.std,
        "view": dataset.view,
    }
    durable.write(folder / SIDECAR, durable.sealed(sidecar))


def _read(copy: Path, request: Request) -> Dataset | None:
    """Return the data set of a copy, or None if there is none or it was damaged (it is then gone)."""
    if not copy.is_dir():
        return None
    try:
        facts = durable.unsealed((copy / SIDECAR).read_bytes(), str(copy / SIDECAR))
        arrays = [np.load(copy / f"{name}.npy", mmap_mode="c") for name in _ARRAYS]
        dataset = Dataset(
            name=request.name,
            train=Split.of_arrays(*arrays[:2]),
            test=Split.of_arrays(*arrays[2:]),
            task="classification",
            classes=tuple(facts["classes"]),
            mean=None if facts["mean"] is None else tuple(facts["mean"]),
            std=None if facts["std"] is None else tuple(facts["std"]),
            view=facts.get("view"),
        )
        size = dataset.train.inputs.nbytes + dataset.test.inputs.nbytes
        if size > _LARGE:
            log.info("%s: checking the %.0f GB of its decoded copy", request.name, size / 1e9)
        if dataset.digest != facts["digest"]:
            raise DamagedDataError(f"its digest is {dataset.digest}, expected {facts['digest']}")
    except (OSError, ValueError, EOFError, DamagedDataError, DamagedEntryError) as error:
        log.warning("the decoded copy %s is damaged (%s); it is made anew", copy, error)
        shutil.rmtree(copy, ignore_errors=True)
        return None
    return dataset
