"""Image folders: a folder or tar with ``train/<class>/*`` and ``test/<class>/*``, decoded once.

Photographs of many sizes are kept as squares: the shorter side is resized to 256 pixels and the centre of
256×256 taken. Networks are given the centre of 224×224, which is the usual evaluation on ImageNet to the last
pixel. A training cuts its random crops out of the 256×256, where the usual ones come from the photograph at
its own size: what lies outside the central square is never seen, and small crops have less detail.

Words: an *archive* is the folder or the tar; its *listing* names the image files of both parts in their final
order, by class and then by path, as ``torchvision.datasets.ImageFolder`` orders them; the *side* is that of
the squares, in pixels.
"""

from __future__ import annotations

import io
import logging
import os
import tarfile
import time
import warnings
import zlib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from netprops.data import Dataset, Request, Split, register
from netprops.data.decoded import TEST, TRAIN, Place, kept
from netprops.errors import DamagedDataError

log = logging.getLogger("netprops")

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".bmp", ".tif", ".tiff", ".webp"})
TEST_NAMES = ("test", "val")
"""Names of the test part; the first that an archive has is taken."""

SIDE, VIEW = 256, 224
IMAGENET = "imagenet"
CIFAR10_JPEG = "cifar10-jpeg.tar"
_COUNTS = {"cifar10jpeg": (50_000, 10_000, 10), "imagenet": (1_281_167, 50_000, 1000)}
"""Training images, test images and classes."""
_NAMES = {"cifar10jpeg": "CIFAR-10", "imagenet": "ImageNet (ILSVRC 2012)"}
_GREY_MODES = frozenset({"1", "L"})
_MODES = _GREY_MODES | {"LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"}  # those of 8 bits a channel
_SHOW_EVERY = 1000  # images, for the caller's progress
_SAY_EVERY = 2.0  # seconds, for the log
_CORES = os.cpu_count() or 1
_AHEAD = 4 * _CORES  # images that are read ahead of what is stored


@dataclass(frozen=True, order=True)
class _File:
    part: str
    label: str
    path: str


def archive_path(request: Request) -> Path:
    """Return where a request's archive lies: its argument, below the root unless it is absolute."""
    fixed = {"cifar10jpeg": CIFAR10_JPEG, "imagenet": IMAGENET}
    path = Path(fixed.get(request.name, request.argument)).expanduser()
    return path if request.root is None else request.root / path


def missing(request: Request) -> str | None:
    """Say where an archive was looked for, if it is not there."""
    path = archive_path(request)
    named = request.name in _NAMES
    if path.exists() and (request.root is not None or not named):
        return None
    where = "no data root is set" if named and request.root is None else f"looked for {path}"
    what = "a folder or tar with train/<class>/* and test/<class>/* (or val/<class>/*)"
    size = "its decoded copy takes 3 bytes a pixel"
    if request.name == "cifar10jpeg":
        what = "all 60,000 CIFAR-10 images as JPEG, packed as train/<class>/*.jpg and test/<class>/*.jpg"
        size = "93 MB, and 184 MB for its decoded copy"
    elif request.name == "imagenet":
        what = (
            "the folder of ILSVRC 2012 that torchvision.datasets.ImageNet unpacks, with train/<class>/* and "
            "val/<class>/*"
        )
        size = "150 GB, and 262 GB for its decoded copy in the cache"
    return (
        f"{request.name} needs {what}, which was not found ({where}); put it there or point "
        f"--netprops-data-root or NETPROPS_DATA at the folder that holds it ({size}; netprops cannot "
        "download it)"
    )


@register("imagefolder", missing=missing, takes_argument=True)
def load_image_folder(request: Request) -> Dataset:
    """Return the images of a folder or tar; all of one size, of one channel if every one of them is grey."""
    path = archive_path(request)
    return kept(path, request, lambda place: decode(path, request, place))


@register("imagefolder256", missing=missing, takes_argument=True)
def load_photographs(request: Request) -> Dataset:
    """Return the photographs of a folder or tar, of any sizes, as squares of three channels."""
    path = archive_path(request)
    return kept(path, request, lambda place: decode(path, request, place, SIDE, VIEW), SIDE, VIEW)


@register("cifar10jpeg", missing=missing)
def load_cifar10_jpeg(request: Request) -> Dataset:
    """Return CIFAR-10 from JPEG files: the same images up to what the compression lost."""
    return _whole(request, load_image_folder(request))


@register("imagenet", missing=missing)
def load_imagenet(request: Request) -> Dataset:
    """Return ImageNet as squares; its validation images are the test part."""
    return _whole(request, load_photographs(request))


def _whole(request: Request, dataset: Dataset) -> Dataset:
    train, test, classes = _COUNTS[request.name]
    if (len(dataset.train), len(dataset.test), len(dataset.classes)) != (train, test, classes):
        raise DamagedDataError(
            f"{archive_path(request)} has {len(dataset.train)} training and {len(dataset.test)} test images "
            f"of {len(dataset.classes)} classes, expected {train:,} and {test:,} of {classes}; it is not all "
            f"of {_NAMES[request.name]}"
        )
    return dataset


def decode(
    path: Path, request: Request, place: Place, side: int | None = None, view: int | None = None
) -> Dataset:
    """Decode every image of an archive on all cores; a tar is read once, in the order of its members.

    Args:
        path: A folder or tar (compressed or not).
        request: For the data set's name and whom to tell how far it is.
        place: Where to get the arrays of the images.
        side: Side of the squares; None takes the images as they are, which must be of one size.
        view: Side of the centre that networks are given; None for the whole.

    Returns:
        The data set, in an order that does not depend on the order in the tar or the file system.

    Raises:
        DamagedDataError: If the archive is cut off, lacks a part or a class, or an image cannot be decoded or
            has another size than the first.
    """
    with _opened(path) as (files, contents), warnings.catch_warnings(), ThreadPoolExecutor(_CORES) as pool:
        # ImageNet has photographs whose EXIF data is cut off, which nobody needs
        warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning)
        parts = _parts(path, files)
        chosen = {part: sorted(file for file in files if file.part == part) for part in parts}
        rows = {file: row for part in parts for row, file in enumerate(chosen[part])}
        pixels: dict[str, NDArray[np.uint8]] = {}
        grey = side is None
        said = time.monotonic()
        wanted = ((file, content) for file, content in contents if file in rows)
        images = _images(pool, path, wanted, side)
        for done, (file, image, is_grey) in enumerate(images, 1):
            grey = grey and is_grey
            if not pixels:
                log.info(
                    "%s: decoding %d images (%.0f MB)", path.name, len(rows), len(rows) * image.nbytes / 1e6
                )
                for part, name in zip(parts, (TRAIN, TEST), strict=True):
                    pixels[part] = place(name, (len(chosen[part]), *image.shape))
            expected = pixels[file.part].shape[1:]
            if image.shape != expected:
                raise DamagedDataError(
                    f"{path}: {file.path} is {image.shape[2]}×{image.shape[1]} pixels, the first image "
                    f"{expected[2]}×{expected[1]}; expected one size, resize them first or name the data set "
                    f"imagefolder{SIDE}:PATH, which makes them squares of {SIDE} pixels"
                )
            pixels[file.part][rows[file]] = image
            if request.progress is not None and (done % _SHOW_EVERY == 0 or done == len(rows)):
                request.progress(done, len(rows))
            if time.monotonic() - said > _SAY_EVERY:
                said = time.monotonic()
                log.info("%s: %d of %d images decoded", path.name, done, len(rows))
    number = {label: i for i, label in enumerate(sorted({file.label for file in rows}))}
    splits = []
    for part in parts:
        labels = np.array([number[file.label] for file in chosen[part]], dtype=np.int64)
        inputs = np.ascontiguousarray(pixels[part][:, :1]) if grey else pixels[part]
        splits.append(Split.of_arrays(inputs, labels))
    return Dataset.of_images(request.name, *splits, classes=tuple(number), view=view)


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


def _images(
    pool: ThreadPoolExecutor, path: Path, contents: Iterator[tuple[_File, IO[bytes]]], side: int | None
) -> Iterator[tuple[_File, NDArray[np.uint8], bool]]:
    """Yield each file with its pixels and whether it was grey, in the order of contents."""
    waiting: deque[tuple[_File, Future[tuple[NDArray[np.uint8], bool]]]] = deque()
    for file, content in contents:
        with _named_in_errors(path, file):
            data = content.read()
        waiting.append((file, pool.submit(_image, path, file, data, side)))
        if len(waiting) > _AHEAD:
            first, found = waiting.popleft()
            yield first, *found.result()
    for first, found in waiting:
        yield first, *found.result()


def _image(path: Path, file: _File, data: bytes, side: int | None) -> tuple[NDArray[np.uint8], bool]:
    """Return (3, H, W) pixels, and whether the image was grey."""
    with _named_in_errors(path, file), Image.open(io.BytesIO(data)) as image:
        if image.mode not in _MODES:
            raise DamagedDataError(
                f"{path}: {file.path} has mode {image.mode!r}, expected 8 bits a channel "
                f"({', '.join(sorted(_MODES))})"
            )
        rgb = image.convert("RGB")
        if side is not None:
            from torchvision.transforms import functional

            rgb = functional.center_crop(functional.resize(rgb, [side]), [side, side])
        return np.moveaxis(np.asarray(rgb, dtype=np.uint8), 2, 0), image.mode in _GREY_MODES


@contextmanager
def _named_in_errors(path: Path, file: _File) -> Iterator[None]:
    try:
        yield
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
