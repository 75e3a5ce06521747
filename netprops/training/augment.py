"""Augmentation of a whole batch of images at once, on the device where it lies.

Words: B images of C channels and H × W pixels; the *crop* is p pixels, the largest shift in each direction;
the *box* of a resized crop is the part of an image that is kept, h × w pixels, resized to S × S.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from netprops.errors import UsageError
from netprops.training.recipe import Augmentation

BOX_AREA = (0.08, 1.0)
BOX_ASPECT = (3 / 4, 4 / 3)
"""Share of the image's area and ratio of width to height that a box has (Szegedy et al. 2015; torchvision's
defaults)."""
_TRIES = 10


def augment(batch: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Crop every image of a batch at random from its padded self, and mirror half of them.

    No padded copy is made: each output pixel is looked up at the input pixel that padding would have put
    there.

    Args:
        batch: (B, C, H, W) of any dtype on any device; not changed.
        augmentation: Padding in pixels and its kind, and whether to mirror left and right with probability
            1/2. The vertical and the horizontal offset of a crop are uniform over the 2p + 1 possible ones.
            Padding with zeros puts 0 as the batch has it, which is the mean colour in normalised images.
        generator: Where the draws come from; equal states give equal results on one kind of device.

    Returns:
        (B, C, H, W), dtype and device of ``batch``, contiguous where it changed anything.

    Raises:
        UsageError: If the batch is not one of images, or reflection needs more pixels than an image has.
    """
    if batch.dim() != 4:
        raise UsageError(f"a batch to augment has shape {tuple(batch.shape)}, expected images (B, C, H, W)")
    B, C, H, W = batch.shape
    p = augmentation.crop
    if augmentation.padding == "reflect" and p >= min(H, W):
        raise UsageError(
            f"a crop of {p} pixels cannot be reflected in images of {H}×{W}, expected at most {min(H, W) - 1}"
        )
    rows = torch.arange(H, device=batch.device).expand(B, H)
    cols = torch.arange(W, device=batch.device).expand(B, W)
    if p:
        shifts = torch.randint(-p, p + 1, (2, B, 1), generator=generator, device=generator.device)
        shifts = shifts.to(batch.device)
        rows, cols = rows + shifts[0], cols + shifts[1]
    if augmentation.flip:
        mirrored = torch.randint(0, 2, (B, 1), generator=generator, device=generator.device)
        cols = torch.where(mirrored.to(batch.device, torch.bool), cols.flip(1), cols)
    if not p and not augmentation.flip:
        return batch
    reflected = augmentation.padding == "reflect"
    source = (_inside(rows, H, reflected) * W)[:, :, None] + _inside(cols, W, reflected)[:, None, :]
    index = source.reshape(B, 1, H * W).expand(B, C, H * W)
    cropped = batch.reshape(B, C, H * W).gather(2, index).reshape(B, C, H, W)
    if p and not reflected:
        known = _known(rows, H)[:, None, :, None] & _known(cols, W)[:, None, None, :]
        cropped = cropped.masked_fill(~known, 0)
    return cropped


def resized_crop(batch: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Cut a random box out of every image of a batch and resize it to a square.

    Boxes are drawn as torchvision's ``RandomResizedCrop`` draws them, and resized as its ``resized_crop``
    does, bilinear and antialiased; here the whole batch is resized by two products with matrices of weights,
    one for rows and one for columns, and not rounded to whole levels.

    Args:
        batch: (B, C, H, W) of any dtype on any device; not changed.
        size: S, pixels.
        generator: Where the draws come from; equal states give equal results on one kind of device.

    Returns:
        (B, C, S, S) on the device of ``batch``; float32, or the dtype of ``batch`` if that is floating.

    Raises:
        UsageError: If the batch is not one of images.
    """
    if batch.dim() != 4:
        raise UsageError(f"a batch to crop has shape {tuple(batch.shape)}, expected images (B, C, H, W)")
    B, _, H, W = batch.shape
    top, left, h, w = (side.to(batch.device) for side in draw_boxes(B, H, W, generator))
    images = batch if batch.is_floating_point() else batch.float()
    rows = _resizing(top, h, H, size).to(images.dtype)[:, None]
    cols = _resizing(left, w, W, size).to(images.dtype)[:, None]
    return rows @ images @ cols.mT


def policy_augmented(batch: Tensor, generator: torch.Generator) -> Tensor:
    """Apply AutoAugment with ImageNet's policy to every image of a batch by itself.

    torchvision's own implementation draws from torch's global generator: that is seeded from ``generator``
    here, and has its state back afterwards.

    Args:
        batch: (B, C, H, W) uint8, or floating with levels 0 … 255, which are rounded; C is 1 or 3. It is not
            changed.
        generator: Where one number is drawn, which decides everything.

    Returns:
        (B, C, H, W) uint8 on the device of ``batch``.

    Raises:
        UsageError: If the batch is not one of images of one or three channels.

    Source: Cubuk et al. 2019, "AutoAugment: Learning Augmentation Policies from Data".
    """
    from torchvision.transforms.v2 import AutoAugment, AutoAugmentPolicy

    if batch.dim() != 4 or batch.shape[1] not in (1, 3):
        raise UsageError(
            f"a batch to augment by a policy has shape {tuple(batch.shape)}, expected images (B, C, H, W) of "
            "1 or 3 channels"
        )
    if batch.is_floating_point():
        batch = batch.round().clamp(0, 255).to(torch.uint8)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    transform = AutoAugment(AutoAugmentPolicy.IMAGENET)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return torch.stack([transform(image) for image in batch])


def draw_boxes(B: int, H: int, W: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Draw one box an image, as torchvision's ``RandomResizedCrop`` does.

    Area and logarithm of the aspect are uniform; a box that does not fit is drawn again, up to ten times, and
    then is the largest one in the centre whose aspect is allowed. Its place is uniform.

    Args:
        B: Images.
        H: Height of each in pixels.
        W: Width of each in pixels.
        generator: Where the draws come from.

    Returns:
        Top, left, h and w: (B,) int64 each, on the generator's device.
    """

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(_TRIES, B, generator=generator, device=generator.device)

    area, aspect = H * W * uniform(*BOX_AREA), uniform(*map(math.log, BOX_ASPECT)).exp()
    w, h = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (w >= 1) & (w <= W) & (h >= 1) & (h <= H)
    first = fits.byte().argmax(dim=0, keepdim=True)
    fallback_w, fallback_h = min(W, round(H * BOX_ASPECT[1])), min(H, round(W / BOX_ASPECT[0]))
    found = fits.any(dim=0)
    w = torch.where(found, w.gather(0, first)[0], fallback_w)
    h = torch.where(found, h.gather(0, first)[0], fallback_h)
    places = torch.rand(2, B, generator=generator, device=generator.device)
    top = torch.where(found, (places[0] * (H - h + 1)).floor().minimum(H - h), (H - h) // 2)
    left = torch.where(found, (places[1] * (W - w + 1)).floor().minimum(W - w), (W - w) // 2)
    return top.long(), left.long(), h.long(), w.long()


def _resizing(start: Tensor, length: Tensor, size: int, out: int) -> Tensor:
    """Return the weights (B, out, size) that resize pixels [start, start + length) of a line to ``out``.

    They are a triangle about each new pixel's centre that falls to 0 one pixel of the coarser grid away.
    """
    start, scale = start[:, None, None].float(), (length[:, None, None] / out).float()
    pixels = torch.arange(size, device=start.device) + 0.5
    centres = start + (torch.arange(out, device=start.device)[:, None] + 0.5) * scale
    weights = (1 - (pixels - centres).abs() / scale.clamp(min=1)).clamp(min=0)
    weights = weights * ((pixels > start) & (pixels < start + length[:, None, None]))
    return weights / weights.sum(dim=2, keepdim=True)


def _inside(index: Tensor, size: int, reflected: bool) -> Tensor:
    """Return indices within [0, size): mirrored at the border pixels' centres, or clamped."""
    if reflected:
        index = index.abs()
        return torch.where(index >= size, 2 * (size - 1) - index, index)
    return index.clamp(0, size - 1)


def _known(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)
