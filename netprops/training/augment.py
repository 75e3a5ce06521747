"""Augmentation of a whole batch of images at once, on the device where it lies.

Words: B images of C channels and H × W pixels; the *crop* is p pixels, the largest shift in each direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from netprops.errors import UsageError
from netprops.training.recipe import Augmentation


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


def _inside(index: Tensor, size: int, reflected: bool) -> Tensor:
    """Return indices within [0, size): mirrored at the border pixels' centres, or clamped."""
    if reflected:
        index = index.abs()
        return torch.where(index >= size, 2 * (size - 1) - index, index)
    return index.clamp(0, size - 1)


def _known(index: Tensor, size: int) -> Tensor:
    return (index >= 0) & (index < size)
