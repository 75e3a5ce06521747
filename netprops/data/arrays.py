"""Arrays that are slow to read out of an archive, kept as they are so that they can be mapped into memory.

Words: as in ``decoded.py``.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops import durable
from netprops.data import Request
from netprops.data.decoded import SIDECAR, check_room, fingerprint, published
from netprops.errors import DamagedDataError, DamagedEntryError

log = logging.getLogger("netprops")

FOLDER = "arrays"
Arrays = Mapping[str, NDArray[Any]]


def kept_arrays(archive: Path, request: Request, read: Callable[[], Arrays], *how: int | str) -> Arrays:
    """Return what is read out of an archive, from the copy that is made when it is read first.

    Args:
        archive: The file.
        request: For its ``cache_root``: copies lie in ``arrays/<hex>/`` below it. None keeps no copy.
        read: Returns the arrays by name; they pass through memory.
        how: Numbers and texts that tell this way of reading from others of the same archive.

    Returns:
        The arrays, mapped from the copy and not to be written. A damaged copy is removed, with a warning, and
        made anew.

    Raises:
        UsageError: If the disk has no room for the copy.
    """
    if request.cache_root is None:
        return read()
    copy = request.cache_root / FOLDER / fingerprint(archive, *how)
    return published(copy, lambda: _mapped(copy), lambda folder: _write(read(), folder))


def _write(arrays: Arrays, folder: Path) -> None:
    check_room(folder, sum(array.nbytes for array in arrays.values()))
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
        durable.sync_file(folder / f"{name}.npy")
    digests = {name: durable.file_digest(folder / f"{name}.npy") for name in arrays}
    durable.write(folder / SIDECAR, durable.sealed({"digests": digests}))


def _mapped(copy: Path) -> Arrays | None:
    """Return the arrays of a copy, or None if there is none or it was damaged (it is then gone)."""
    if not copy.is_dir():
        return None
    try:
        digests = durable.unsealed((copy / SIDECAR).read_bytes(), str(copy / SIDECAR))["digests"]
        for name, digest in digests.items():
            if durable.file_digest(copy / f"{name}.npy") != digest:
                raise DamagedDataError(f"{name}.npy is not what was written")
        return {name: np.load(copy / f"{name}.npy", mmap_mode="r") for name in digests}
    except (OSError, ValueError, DamagedDataError, DamagedEntryError) as error:
        log.warning("the decoded copy %s is damaged (%s); it is made anew", copy, error)
        shutil.rmtree(copy, ignore_errors=True)
        return None
