"""MNIST, in the layout of ``torchvision.datasets.MNIST``, and pMNIST made from it.

Words: the *training file* holds 60,000 images of 28×28 pixels, the *test file* 10,000.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from netprops.data import Dataset, Request, Split, register
from netprops.data.digits import parity
from netprops.data.places import fetch, looked_for
from netprops.data.whitening import whitened
from netprops.errors import DamagedDataError

if TYPE_CHECKING:
    import torch

FOLDER = Path("MNIST", "raw")
FILES = {"train": 60_000, "t10k": 10_000}
PMNIST_TRAINING_SAMPLES = 10_000


def _names() -> list[str]:
    return [f"{part}-{what}" for part in FILES for what in ("images-idx3-ubyte", "labels-idx1-ubyte")]


def missing(request: Request) -> str | None:
    """Say which file of MNIST is not there, or return None."""
    for name in _names():
        if request.root is None or not (request.root / FOLDER / name).is_file():
            return looked_for(
                request,
                what="MNIST",
                file=(FOLDER / name).as_posix(),
                reader="torchvision.datasets.MNIST",
                size="a download of 12 MB, 55 MB on disk",
            )
    return None


def download(request: Request) -> None:
    """Fetch MNIST into the root through torchvision."""
    from torchvision.datasets import MNIST

    fetch(request, "MNIST", lambda root: MNIST(root, download=True))


def _part(request: Request, part: str) -> tuple[torch.Tensor, torch.Tensor]:
    from torchvision.datasets.mnist import read_image_file, read_label_file

    assert request.root is not None  # missing() was asked before
    folder = request.root / FOLDER
    tensors = []
    for file, reader, shape in (
        (folder / f"{part}-images-idx3-ubyte", read_image_file, (FILES[part], 28, 28)),
        (folder / f"{part}-labels-idx1-ubyte", read_label_file, (FILES[part],)),
    ):
        try:
            tensor: torch.Tensor = reader(str(file))
        except (AssertionError, RuntimeError, ValueError, TypeError, KeyError, OSError) as error:
            raise DamagedDataError(
                f"{request.name}: {file} cannot be read ({error or type(error).__name__}): it is cut off or "
                "not an IDX file; remove it and fetch MNIST again"
            ) from error
        if tuple(tensor.shape) != shape:
            raise DamagedDataError(
                f"{request.name}: {file} has shape {tuple(tensor.shape)}, expected {shape}; fetch MNIST again"
            )
        tensors.append(tensor)
    return tensors[0], tensors[1]


@register("mnist", missing=missing, download=download)
def load_mnist(request: Request) -> Dataset:
    """Return MNIST as images (1, 28, 28): 60,000 for training, 10,000 for test."""
    parts = []
    for part in FILES:
        images, labels = _part(request, part)
        parts.append(Split(images.unsqueeze(1), labels))
    return Dataset.of_images(request.name, *parts, classes=tuple("0123456789"))


@register("pmnist", missing=missing, download=download)
def load_pmnist(request: Request) -> Dataset:
    """Return ten whitened principal components of MNIST with the parity of the digit: odd is +1.

    The first 10,000 images of the training file train (and the components are fitted on them), its other
    50,000 test.
    """
    images, labels = _part(request, "train")
    pixels, digits = images.flatten(1).numpy(), labels.numpy().astype(np.int64)
    first = PMNIST_TRAINING_SAMPLES
    vectors = whitened(pixels[:first], [pixels[:first], pixels[first:]])
    return parity(request.name, vectors, [digits[:first], digits[first:]])
