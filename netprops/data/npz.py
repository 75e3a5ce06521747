"""Images and labels of one ``.npz`` file that is too large for memory.

Words: an *npz* is a zip archive, of which each *member* is an array in numpy's own format; a member that is
*stored* lies in the file byte by byte, without compression, and can be mapped into memory. The archive's end
lists the CRC-32 of every member: that tells one file from another without reading it.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from netprops.data import Request
from netprops.data.arrays import kept_arrays
from netprops.errors import DamagedDataError

IMAGES, LABELS = "X.npy", "Y.npy"
_LOCAL_HEADER = 30  # bytes before a member's name, the last four of them its length and that of what follows


class Part:
    """One file with members ``X``, images, and ``Y``, labels; opened at once, read when it is asked for.

    A member that is mapped into memory is not compared with its CRC-32: that would be to read all of it.

    Args:
        path: The file.
        request: For its ``cache_root``, where a compressed member is kept unpacked. Without one, it is
            unpacked into memory.
        sample: Shape of an image.
        classes: Number of classes.

    Raises:
        DamagedDataError: If it is no whole archive, lacks a member, or its members have another type or
            shape, or other labels than the classes.
    """

    def __init__(self, path: Path, request: Request, *, sample: tuple[int, ...], classes: int) -> None:
        self._path, self._request = path, request
        with self._open() as archive:
            members = {info.filename: info for info in archive.infolist()}
            lacking = {IMAGES, LABELS} - set(members)
            if lacking:
                raise self._damaged(
                    f"has the members {', '.join(sorted(members))}, expected {IMAGES} and {LABELS}"
                )
            self._info = members[IMAGES]
            with archive.open(self._info) as file:
                self._shape, self._order, dtype = _header(file)
                self._header_size = file.tell()
            with archive.open(members[LABELS]) as file:
                labels = npy.read_array(file, allow_pickle=False)
        if dtype != np.uint8 or self._shape[1:] != sample:
            raise self._damaged(
                f"has images of type {dtype} and shape {self._shape}, expected uint8 "
                f"(N, {', '.join(map(str, sample))})"
            )
        if labels.shape != self._shape[:1] or labels.dtype.kind not in "iu":
            raise self._damaged(
                f"has labels of type {labels.dtype} and shape {labels.shape} for {self._shape[0]} images, "
                "expected one whole number for each"
            )
        if labels.size and not (labels.min() >= 0 and labels.max() < classes):
            raise self._damaged(
                f"has labels from {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
            )
        self.labels: NDArray[np.int64] = labels.astype(np.int64)
        self.checksums = [[members[name].CRC, members[name].file_size] for name in (IMAGES, LABELS)]

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """(N, ...) images, mapped from the file or from its unpacked copy, and not to be written.

        Raises:
            DamagedDataError: If the file is cut off, or what is unpacked has not its CRC-32.
        """
        if self._info.compress_type == zipfile.ZIP_STORED and not self._order:
            return self._mapped()
        return np.asarray(kept_arrays(self._path, self._request, self._unpacked, "images")["images"])

    def _mapped(self) -> NDArray[np.uint8]:
        with self._path.open("rb") as file:
            file.seek(self._info.header_offset)
            local = file.read(_LOCAL_HEADER)
        name, extra = (int.from_bytes(local[at : at + 2], "little") for at in (26, 28))
        start = self._info.header_offset + _LOCAL_HEADER + name + extra + self._header_size
        return np.memmap(self._path, np.uint8, "r", start, self._shape)

    def _unpacked(self) -> dict[str, NDArray[Any]]:
        with self._open() as archive, archive.open(self._info) as file:
            return {"images": np.ascontiguousarray(npy.read_array(file, allow_pickle=False))}

    @contextmanager
    def _open(self) -> Iterator[zipfile.ZipFile]:
        try:
            with zipfile.ZipFile(self._path) as archive:
                yield archive
        except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise self._damaged(f"cannot be read ({error}): it is cut off or not an npz file") from error

    def _damaged(self, what: str) -> DamagedDataError:
        return DamagedDataError(f"{self._path} {what}; fetch it again")


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return shape, whether the order is Fortran's, and type of an array, reading its header alone."""
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    return read(file)
