"""Data sets of torchvision by name, and a folder of images that is a test split alone.

Words: a folder *is a split* where classes lie directly in it, as ``val/<class>/*``; archives with both parts
are read by ``netprops.data.images``.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netprops.content import nearest
from netprops.errors import DamagedDataError, MissingDataError, UsageError
from netprops.userdata import IMAGENET_MEAN, IMAGENET_STD, UserData, refuse_large

if TYPE_CHECKING:
    import torch

    from netprops.data.dataset import Split

_SIDE, _VIEW = 256, 224  # of photographs of many sizes: the usual evaluation on ImageNet
_PARTS = {"train", "test", "val"}
_NOTE = "images are normalised by ImageNet's mean and deviation; `prepare` in the model's file replaces that"


def located(path: str, base: Path, root: Path | None) -> Path:
    """Return where a folder lies: below the base if it is there, else below the data root."""
    given = Path(path).expanduser()
    return base / given if (base / given).exists() or root is None else root / given


def is_split(folder: Path) -> bool:
    """Return whether a folder holds classes directly, rather than ``train`` and ``test``."""
    if not folder.is_dir():
        return False
    inside = {one.name for one in folder.iterdir() if one.is_dir()}
    return bool(inside) and not inside & _PARTS


def of_split(folder: Path) -> UserData:
    """Return a folder of classes as a test split; photographs of several sizes become centres of 224 pixels.

    Raises:
        DamagedDataError: If a class has no images or one cannot be read.
    """
    from torchvision.datasets import ImageFolder

    name = f"imagefolder:{folder}"
    try:
        images = ImageFolder(str(folder))
        sizes = {image.size for image, _ in images}
    except (OSError, ValueError, SyntaxError) as error:
        raise DamagedDataError(f"{name}: {' '.join(str(error).split())[:200]}") from error
    notes = [_NOTE]
    if len(sizes) > 1:
        notes.append(f"images of several sizes became the centre of {_VIEW} pixels, the shorter side {_SIDE}")
    width, height = next(iter(sizes)) if len(sizes) == 1 else (_VIEW, _VIEW)
    refuse_large(3 * width * height * len(images), name)
    split = _stacked(images, (3, height, width), [label for _, label in images.samples])
    return UserData(name, {"test": split}, by_imagenet, tuple(notes))


def of_torchvision(name: str, root: Path | None, *, download: bool) -> UserData:
    """Return a classification data set of torchvision with its own two parts.

    Args:
        name: Of its class in ``torchvision.datasets``, such as ``"CIFAR10"``.
        root: Folder of the data sets.
        download: Whether to fetch it.

    Raises:
        UsageError: If there is no such data set, or it has no parts for training and testing.
        MissingDataError: If it is not below the root.
    """
    from torchvision import datasets

    known = [one for one in datasets.__all__ if "train" in _parameters(getattr(datasets, one))]
    known += [one for one in datasets.__all__ if _splits(getattr(datasets, one))]
    if name not in known:
        raise UsageError(
            f"torchvision has no data set {name!r} with a training and a test part{nearest(name, known)}"
        )
    if root is None:
        raise MissingDataError(
            f"torchvision:{name} needs a folder: --netprops-data-root DIR, or the environment variable "
            "NETPROPS_DATA"
        )
    make = getattr(datasets, name)
    splits = {}
    for part in ("train", "test"):
        chosen: dict[str, Any] = (
            {"train": part == "train"} if "train" in _parameters(make) else {"split": part}
        )
        if "download" in _parameters(make):
            chosen["download"] = download
        try:
            images = make(str(root), **chosen)
        except (RuntimeError, OSError, ValueError) as error:
            raise MissingDataError(
                f"torchvision:{name} is not below {root}: {' '.join(str(error).split())[:160]}; put it "
                "there, or allow --netprops-download"
            ) from error
        first, _ = images[0]
        pixels = _pixels(first)
        refuse_large(pixels.nbytes * len(images), f"torchvision:{name}")
        splits[part] = _stacked(images, pixels.shape, None)
    from netprops.data.dataset import channel_statistics

    mean, std = channel_statistics(splits["train"].inputs.numpy())
    note = "images are normalised by the mean and deviation of the training part"
    return UserData(f"torchvision:{name}", splits, _Normalise(mean, std), (note,))


def by_imagenet(images: torch.Tensor) -> torch.Tensor:
    """Return uint8 images (B, 3, H, W) as floats, normalised by ImageNet's mean and deviation."""
    return _Normalise(IMAGENET_MEAN, IMAGENET_STD)(images)


class _Normalise:
    """Brings uint8 images to the mean and deviation of channels, which are in units of 0 … 1."""

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.mean, self.std = mean, std

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        values = images.float() / 255
        mean, std = (values.new_tensor(one).reshape(-1, 1, 1) for one in (self.mean, self.std))
        return (values - mean) / std


def _parameters(make: Any) -> tuple[str, ...]:
    try:
        return tuple(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return ()


def _splits(make: Any) -> bool:
    return "split" in _parameters(make) and "train" not in _parameters(make)


def _stacked(images: Any, shape: tuple[int, ...], labels: list[int] | None) -> Split:
    """Return all images of a data set as one array; those of another shape become centres of photographs."""
    from netprops.data.dataset import Split

    pixels = np.empty((len(images), *shape), dtype=np.uint8)
    found = []
    for row in range(len(images)):
        image, label = images[row]
        pixels[row] = _pixels(image, shape)
        found.append(int(label))
    return Split.of_arrays(pixels, np.array(found if labels is None else labels, dtype=np.int64))


def _pixels(image: Any, shape: tuple[int, ...] | None = None) -> NDArray[np.uint8]:
    """Return an image of PIL as (C, H, W)."""
    from torchvision.transforms import functional

    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if shape is not None and shape[0] == 3:
        image = image.convert("RGB")
    if shape is not None and (image.size[1], image.size[0]) != shape[1:]:
        image = functional.center_crop(functional.resize(image, [_SIDE]), [_VIEW, _VIEW])
    array = np.asarray(image, dtype=np.uint8)
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)
