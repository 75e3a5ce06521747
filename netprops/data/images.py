"""Image folders: a folder or tar with ``train/<class>/*`` and ``test/<class>/*``, decoded once.

Words: an *archive* is the folder or the tar; its *listing* names the image files of both parts in their final
order, by class and then by path, as ``torchvision.datasets.ImageFolder`` orders them.
"""

from __future__ import annotations

import io
import logging
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netprops.data import Dataset, Request, Split, register
from netprops.data.decoded import kept
from netprops.errors import DamagedDataError

log = logging.getLogger("netprops")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"})
TEST_NAMES = ("test", "val")
"""Names of the test part; the first that an archive has is taken."""

CIFAR10_JPEG = "cifar10-jpeg.tar"
_CIFAR10_COUNTS = {"train": 50_000, "test": 10_000}
_GREY_MODES = frozenset({"1", "L"})
_MODES = _GREY_MODES | {"LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}  # those of 8 bits a channel
_SHOW_EVERY = 1000  # images, for the caller's progress
_SAY_EVERY = 2.0  # seconds, for the log


@dataclass(frozen=True, order=True)
class _File:
    part: str
    label: str
    path: str


def archive_path(request: Request) -> Path:
    """Return where a request's archive lies: its argument, below the root unless it is absolute."""
    path = Path(CIFAR10_JPEG if request.name == "cifar10jpeg" else request.argument).expanduser()
    return path if request.root is None else request.root / path


def missing(request: Request) -> str | None:
    """Say where an archive was looked for, if it is not there."""
    path = archive_path(request)
    if path.exists() and (request.root is not None or request.name != "cifar10jpeg"):
        return None
    where = f"looked for {path}"
    what = "a folder or tar with train/<class>/* and test/<class>/* (or val/<class>/*)"
    size = "its decoded copy takes 3 bytes a pixel"
    if request.name == "cifar10jpeg":
        where = "no data root is set" if request.root is None else where
        what = "all 60,000 CIFAR-10 images as JPEG, packed as train/<class>/*.jpg and test/<class>/*.jpg"
        size = "93 MB, and 184 MB for its decoded copy"
    return (
        f"{request.name} needs {what}, which was not found ({where}); put it there or point "
        f"--netprops-data-root or NETPROPS_DATA at the folder that holds it ({size}; netprops cannot "
        "download it)"
    )


@register("imagefolder", missing=missing, takes_argument=True)
def load_image_folder(request: Request) -> Dataset:
    """Return the images of a folder or tar; all of one size, of one channel if every one of them is grey."""
    return kept(archive_path(request), request, lambda: decode(archive_path(request), request))


@register("cifar10jpeg", missing=missing)
def load_cifar10_jpeg(request: Request) -> Dataset:
    """Return CIFAR-10 from JPEG files: the same images up to what the compression lost."""
    dataset = load_image_folder(request)
    counts = {"train": len(dataset.train), "test": len(dataset.test)}
    if counts != _CIFAR10_COUNTS or len(dataset.classes) != 10:
        raise DamagedDataError(
            f"{archive_path(request)} has {counts['train']} training and {counts['test']} test images of "
            f"{len(dataset.classes)} classes, expected 50,000 and 10,000 of 10; it is not all of CIFAR-10"
        )
    return dataset


def decode(path: Path, request: Request) -> Dataset:
    """Decode every image of an archive; a tar is read once, in the order of its members.

    Args:
        path: A folder or tar (compressed or not).
        request: For the data set's name and whom to tell how far it is.

    Returns:
        The data set, in an order that does not depend on the order in the tar or the file system.

    Raises:
        DamagedDataError: If the archive is cut off, lacks a part or a class, or an image cannot be decoded or
            has another size than the first.
    """
    with _opened(path) as (files, contents):
        parts = _parts(path, files)
        chosen = sorted(file for file in files if file.part in parts)
        place = {file: row for row, file in enumerate(chosen)}
        pixels: NDArray[np.uint8] | None = None
        grey = True
        said = time.monotonic()
        done = 0
        for file, content in contents:
            if file not in place:
                continue
            image, is_grey = _image(path, file, content)
            grey = grey and is_grey
            if pixels is None:
                pixels = np.empty((len(chosen), *image.shape), dtype=np.uint8)
                log.info("%s: decoding %d images (%.0f MB)", path.name, len(chosen), pixels.nbytes / 1e6)
            if image.shape != pixels.shape[1:]:
                raise DamagedDataError(
                    f"{path}: {file.path} is {image.shape[2]}×{image.shape[1]} pixels, the first image "
                    f"{pixels.shape[3]}×{pixels.shape[2]}; expected one size, resize them first"
                )
            pixels[place[file]] = image
            done += 1
            if request.progress is not None and (done % _SHOW_EVERY == 0 or done == len(chosen)):
                request.progress(done, len(chosen))
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                log.info("%s: %d of %d images decoded", path.name, done, len(chosen))
    assert pixels is not None  # both parts have files
    pixels = np.ascontiguousarray(pixels[:, :1]) if grey else pixels
    classes = sorted({file.label for file in chosen})
    labels = np.array([classes.index(file.label) for file in chosen], dtype=np.int64)
    splits = []
    for part in parts:
        rows = np.flatnonzero([file.part == part for file in chosen])
        within = slice(int(rows[0]), int(rows[-1]) + 1)  # sorted by part first
        splits.append(Split.of_arrays(pixels[within], labels[within]))
    return Dataset.of_images(request.name, *splits, classes=tuple(classes))


def _parts(path: Path, files: list[_File]) -> tuple[str, str]:
    classes = {part: {f.label for f in files if f.part == part} for part in ("train", *TEST_NAMES)}
    test = next((part for part in TEST_NAMES if classes[part]), None)
    if not classes["train"] or test is None:
        lacking = "train/<class>/*" if not classes["train"] else "test/<class>/* or val/<class>/*"
        raise DamagedDataError(
            f"{path} has no images as {lacking}, expected both a training and a test part; it is another "
            "archive or cut off"
        )
    odd = sorted(classes["train"] ^ classes[test])
    if odd:
        raise DamagedDataError(
            f"{path}: classes {odd[:5]} are in only one of train and {test}, expected the same in both"
        )
    return "train", test


def _image(path: Path, file: _File, content: IO[bytes]) -> tuple[NDArray[np.uint8], bool]:
    """Return (3, H, W) pixels, and whether the image was grey."""
    try:
        with Image.open(io.BytesIO(content.read())) as image:
            if image.mode not in _MODES:
                raise DamagedDataError(
                    f"{path}: {file.path} has mode {image.mode!r}, expected 8 bits a channel "
                    f"({', '.join(sorted(_MODES))})"
                )
            pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
            return np.moveaxis(pixels, 2, 0), image.mode in _GREY_MODES
    except (OSError, SyntaxError, ValueError, tarfile.TarError, EOFError, zlib.error) as error:
        raise DamagedDataError(f"{path}: {file.path} cannot be decoded ({error}); fetch it again") from error


@contextmanager
def _opened(path: Path) -> Iterator[tuple[list[_File], Iterator[tuple[_File, IO[bytes]]]]]:
    """Open an archive and give its files and, in the order in which they lie there, their contents."""
    if path.is_dir():
        found = {file: path / file.path for file in map(_named, _below(path)) if file}
        yield list(found), _from_folder(found)
        return
    try:
        with tarfile.open(path) as tar:
            members = {file: m for m in tar.getmembers() if m.isfile() and (file := _named(m.name))}
            _refuse_cut_off(path, tar)
            yield list(members), _from_tar(tar, members)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        cause = str(error).partition("\n")[0].rstrip(":")  # tarfile says on further lines what it tried
        raise DamagedDataError(f"{path} cannot be read as a tar ({cause}): it is cut off or none") from error


def _below(path: Path) -> list[str]:
    return [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]


def _from_folder(found: dict[_File, Path]) -> Iterator[tuple[_File, IO[bytes]]]:
    for file, path in found.items():
        with path.open("rb") as content:
            yield file, content


def _from_tar(
    tar: tarfile.TarFile, members: dict[_File, tarfile.TarInfo]
) -> Iterator[tuple[_File, IO[bytes]]]:
    for file, member in members.items():
        content = tar.extractfile(member)
        assert content is not None  # it is a file
        with content:
            yield file, content


def _refuse_cut_off(path: Path, tar: tarfile.TarFile) -> None:
    """A tar ends with a block of zeros; tarfile stops without a word where a cut-off one ends earlier."""
    assert tar.fileobj is not None
    tar.fileobj.seek(tar.offset)
    if tar.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise DamagedDataError(
            f"{path} has no end-of-archive block at byte {tar.offset}: it is cut off; fetch it again"
        )


def _named(path: str) -> _File | None:
    """Return part and class of an image's path in the archive, which may have folders above, or None."""
    parts = PurePosixPath(path).parts
    name = PurePosixPath(path)
    if name.suffix.lower() not in SUFFIXES or name.name.startswith("."):
        return None
    for depth, part in enumerate(parts[:-2]):
        if part in ("train", *TEST_NAMES):
            return _File(part, parts[depth + 1], path)
    return None
