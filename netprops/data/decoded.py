"""Decoded copies of image archives: uint8 arrays on disk, published whole and checked at every load.

Words: the *fingerprint* says which archive a copy is of, without reading it (path, sizes, times); the
*sidecar* is the sealed document beside the arrays that holds the data set's digest.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from filelock import FileLock

from netprops import durable
from netprops.data import Dataset, Request, Split
from netprops.errors import DamagedDataError, DamagedEntryError

log = logging.getLogger("netprops")

READER_VERSION = 1
"""Raised when the code that decodes changes what it gives."""

FOLDER = "images"
SIDECAR = "dataset.json"
_ARRAYS = ("train-inputs", "train-labels", "test-inputs", "test-labels")


def kept(archive: Path, request: Request, decode: Callable[[], Dataset]) -> Dataset:
    """Return an archive's data set from its decoded copy, which is made if it is not there.

    Args:
        archive: The folder or tar.
        request: For its ``cache_root``: copies lie in ``images/<hex>/`` below it. None keeps no copy.
        decode: Makes the data set.

    Returns:
        The data set, its arrays mapped from the copy. A damaged copy is removed, with a warning, and made
        anew; of several processes that want one copy at once, one decodes.
    """
    if request.cache_root is None:
        return decode()
    copy = request.cache_root / FOLDER / fingerprint(archive)
    dataset = _read(copy, request)
    if dataset is not None:
        return dataset
    copy.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(copy.with_name(copy.name + ".lock")):
        dataset = _read(copy, request)
        if dataset is not None:
            return dataset
        for rest in copy.parent.glob(f"{copy.name}.*{durable.PART}"):  # of a process that was killed
            shutil.rmtree(rest, ignore_errors=True)
        _publish(decode(), copy)
    dataset = _read(copy, request)
    if dataset is None:
        raise DamagedDataError(f"{copy} was damaged as soon as it was written; check the disk")
    return dataset


def fingerprint(archive: Path) -> str:
    """Return 64 hex digits that change when an archive, or a file of a folder, is replaced."""
    files = sorted(p for p in archive.rglob("*") if p.is_file()) if archive.is_dir() else [archive]
    stats = [(p.relative_to(archive).as_posix(), p.stat()) for p in files]
    known = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]
    return durable.digest_of(durable.canonical([READER_VERSION, str(archive.resolve()), known]))


def _publish(dataset: Dataset, copy: Path) -> None:
    part = copy.with_name(f"{copy.name}.{os.getpid()}-{secrets.token_hex(4)}{durable.PART}")
    part.mkdir()
    try:
        tensors = (dataset.train.inputs, dataset.train.labels, dataset.test.inputs, dataset.test.labels)
        for name, tensor in zip(_ARRAYS, tensors, strict=True):
            np.save(part / f"{name}.npy", tensor.numpy(), allow_pickle=False)
            durable.sync_file(part / f"{name}.npy")
        sidecar = {
            "digest": dataset.digest,
            "classes": dataset.classes,
            "mean": dataset.mean,
            "std": dataset.std,
        }
        durable.write(part / SIDECAR, durable.sealed(sidecar))
        part.rename(copy)
        durable.sync_folder(copy.parent)
    except OSError as error:
        # where locks do not hold, somebody else may have published it meanwhile
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
    finally:
        with suppress(FileNotFoundError):
            shutil.rmtree(part)


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
            mean=tuple(facts["mean"]),
            std=tuple(facts["std"]),
        )
        if dataset.digest != facts["digest"]:
            raise DamagedDataError(f"its digest is {dataset.digest}, expected {facts['digest']}")
    except (OSError, ValueError, EOFError, DamagedDataError, DamagedEntryError) as error:
        log.warning("the decoded copy %s is damaged (%s); it is made anew", copy, error)
        shutil.rmtree(copy, ignore_errors=True)
        return None
    return dataset
