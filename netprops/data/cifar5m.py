"""CIFAR-5m: six million images like CIFAR-10's that a generative model drew, as a stream; and parts of it.

Words: a *part* is one of the six files ``part0.npz`` … ``part5.npz``, each with ``X`` (1,000,448, 32, 32, 3)
uint8 and ``Y``, the classes of CIFAR-10; the first five train and the sixth tests. A part that is stored
without compression is mapped into memory where it lies, another one is unpacked once into the cache.

Source: Nakkiran et al. 2020, "The Deep Bootstrap Framework"; the division is that of its code, with the first
10,000 images of the sixth file for test.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register
from netprops.data.chunks import generator, refuse_absent
from netprops.data.decoded import TRAIN, Place, kept
from netprops.data.noisy_labels import with_noise
from netprops.data.npz import Part
from netprops.data.places import fetch, looked_for
from netprops.durable import PART, canonical, digest_of
from netprops.errors import DamagedDataError, UsageError

FOLDER = "cifar5m"
FILES = tuple(f"part{i}.npz" for i in range(6))
URL = "https://storage.googleapis.com/gresearch/cifar5m/"
SIZE = 10_000
TEST_SAMPLES = 10_000
SUBSETS = {"cifar200k": 200_000, "cifar50k": 50_000}
"""Images of the random subsets."""
NOISE = 0.5
"""Share of the labels of ``cifar50k-noisy`` that are drawn."""
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SHAPE = (32, 32, 3)


class ImageStream:
    """Chunks of 10,000 images in the order of the files, read when they are asked for.

    Args:
        name: Of the data set, for errors.
        parts: The training parts.

    Raises:
        UsageError: If they have not enough images for one chunk.
    """

    def __init__(self, name: str, parts: list[Part]) -> None:
        self.size = SIZE
        self._name, self._parts = name, parts
        self._starts = np.cumsum([0, *(len(part.labels) for part in parts)])
        self.samples = int(self._starts[-1])
        self.chunks = self.samples // SIZE
        if not self.chunks:
            raise UsageError(
                f"{name}: its {len(parts)} training files have {self.samples} images, expected at least a "
                f"chunk of {SIZE}"
            )
        self.digest = digest_of(canonical(["cifar5m", SIZE, [part.checksums for part in parts]]))

    def chunk(self, index: int) -> Split:
        """Return 10,000 images, (10000, 3, 32, 32) uint8, and their classes, always the same for an index.

        Raises:
            UsageError: If the stream has no such chunk: it runs dry.
            DamagedDataError: If a file is cut off or has other images than CIFAR-5m's.
        """
        refuse_absent(self._name, index, self.chunks)
        return self.rows(np.arange(index * SIZE, (index + 1) * SIZE))

    def rows(self, rows: NDArray[np.int64], out: NDArray[np.uint8] | None = None) -> Split:
        """Return images by their number along all training files.

        Args:
            rows: (N,) ascending.
            out: Where to put the images, (N, 3, 32, 32); a new array if None.
        """
        images = np.empty((len(rows), 3, 32, 32), dtype=np.uint8) if out is None else out
        labels = np.empty(len(rows), dtype=np.int64)
        for part, (start, stop) in zip(self._parts, pairwise(self._starts), strict=True):
            first, last = np.searchsorted(rows, (start, stop))
            if first < last:
                mine = rows[first:last] - start
                images[first:last] = np.moveaxis(part.images[mine], 3, 1)
                labels[first:last] = part.labels[mine]
        return Split.of_arrays(images, labels)


def missing(request: Request) -> str | None:
    """Say which part of CIFAR-5m is not there, or return None."""
    for file in FILES:
        if request.root is None or not (request.root / FOLDER / file).is_file():
            return looked_for(
                request,
                what=f"CIFAR-5m, {FILES[0]} … {FILES[-1]} in a folder {FOLDER}",
                file=f"{FOLDER}/{file}",
                reader="netprops",
                size="up to 18.4 GB",
                hint=f"or fetch the files from {URL}",
            )
    return None


def download(request: Request) -> None:
    """Fetch the parts that are not there into the root."""
    from torchvision.datasets.utils import download_url

    def whole(root: Path) -> None:
        for file in FILES:
            place = root / FOLDER / file
            if not place.is_file():
                download_url(URL + file, place.parent, file + PART)
                place.with_name(file + PART).replace(place)

    fetch(request, "CIFAR-5m", whole)


def _parts(request: Request) -> list[Part]:
    assert request.root is not None  # missing() was asked before
    folder = request.root / FOLDER
    return [Part(folder / file, request, sample=_SHAPE, classes=len(CLASSES)) for file in FILES]


def _test(part: Part) -> Split:
    images = np.ascontiguousarray(np.moveaxis(part.images[:TEST_SAMPLES], 3, 1))
    return Split.of_arrays(images, part.labels[:TEST_SAMPLES])


@register("cifar5m", missing=missing, download=download)
def load_cifar5m(request: Request) -> Dataset:
    """Return the stream of the first five files' images, and 10,000 of the sixth for test.

    Mean and standard deviation are exactly those of the first chunk.

    Raises:
        DamagedDataError: If a file is cut off or is not what its name promises.
    """
    *train, test = _parts(request)
    stream = ImageStream(request.name, train)
    return Dataset.of_images(request.name, stream.chunk(0), _test(test), classes=CLASSES, stream=stream)


def _subset(request: Request, name: str) -> Dataset:
    """Return a fixed random subset of the training images, from its decoded copy where one is kept."""
    assert request.root is not None  # missing() was asked before
    count = SUBSETS[name]

    def decode(place: Place) -> Dataset:
        *train, test = _parts(request)
        stream = ImageStream(request.name, train)
        if stream.samples < count:
            raise DamagedDataError(
                f"{request.name}: the first five files have {stream.samples} images, expected at least "
                f"{count}"
            )
        rows = np.sort(generator(name, 0).permutation(stream.samples)[:count])
        images = place(TRAIN, (count, 3, *_SHAPE[:2]))
        return Dataset.of_images(request.name, stream.rows(rows, images), _test(test), classes=CLASSES)

    return kept(request.root / FOLDER, request, decode, name)


@register("cifar200k", missing=missing, download=download)
def load_cifar200k(request: Request) -> Dataset:
    """Return 200,000 random images of CIFAR-5m, always the same, and the test images of ``cifar5m``."""
    return _subset(request, "cifar200k")


@register("cifar50k", missing=missing, download=download)
def load_cifar50k(request: Request) -> Dataset:
    """Return 50,000 random images of CIFAR-5m, always the same, and the test images of ``cifar5m``."""
    return _subset(request, "cifar50k")


@register("cifar50k-noisy", missing=missing, download=download)
def load_cifar50k_noisy(request: Request) -> Dataset:
    """Return ``cifar50k`` with half of its training labels drawn at random from all ten classes."""
    return with_noise(_subset(request, "cifar50k"), NOISE, request.name)
