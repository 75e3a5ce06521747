"""CIFAR-10 and CIFAR-100, in the python layout of ``torchvision.datasets``.

Words: 50,000 training and 10,000 test images of 3×32×32. torchvision compares every file with its published
MD5 before it unpickles it, so that nothing but the published files is ever unpickled.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from netprops.data import Dataset, Request, Split, register
from netprops.data.places import fetch, looked_for
from netprops.errors import DamagedDataError

JPEG_TAR = "cifar10-jpeg.tar"


@dataclass(frozen=True)
class _Layout:
    reader: str
    folder: str
    files: tuple[str, ...]


_LAYOUTS = {
    "cifar10": _Layout(
        "CIFAR10",
        "cifar-10-batches-py",
        (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"),
    ),
    "cifar100": _Layout("CIFAR100", "cifar-100-python", ("train", "test", "meta")),
}


def _reader(request: Request) -> Any:
    from torchvision import datasets

    return getattr(datasets, _LAYOUTS[request.name].reader)


def missing(request: Request) -> str | None:
    """Say which file of the data set is not there, or return None."""
    layout, root = _LAYOUTS[request.name], request.root
    for file in layout.files:
        if root is None or not (root / layout.folder / file).is_file():
            jpegs = request.name == "cifar10" and root is not None and (root / JPEG_TAR).is_file()
            return looked_for(
                request,
                what=f"the python version of {layout.reader}",
                file=f"{layout.folder}/{file}",
                reader=f"torchvision.datasets.{layout.reader}",
                size="a download of 170 MB, 360 MB on disk",
                hint=f"or use the data set cifar10jpeg, for which {JPEG_TAR} lies there" if jpegs else "",
            )
    return None


def download(request: Request) -> None:
    """Fetch the data set into the root through torchvision."""
    fetch(request, request.name, lambda root: _reader(request)(root, download=True))


@register("cifar10", missing=missing, download=download)
@register("cifar100", missing=missing, download=download)
def load_cifar(request: Request) -> Dataset:
    """Return CIFAR-10, or CIFAR-100 with its 100 fine labels."""
    parts = []
    for train in (True, False):
        try:
            with warnings.catch_warnings():
                # the published pickles describe their arrays as old versions of numpy did
                warnings.simplefilter("ignore", np.exceptions.VisibleDeprecationWarning)
                read = _reader(request)(request.root, train=train, download=False)
        except (RuntimeError, OSError) as error:
            raise DamagedDataError(
                f"{request.name}: a file below {request.root} is not the published one ({error}); remove "
                f"{_LAYOUTS[request.name].folder} and fetch it again"
            ) from error
        images = np.ascontiguousarray(np.moveaxis(read.data, 3, 1))
        parts.append(Split.of_arrays(images, np.array(read.targets, dtype=np.int64)))
    return Dataset.of_images(request.name, *parts, classes=tuple(read.classes))
