"""Where the random numbers of a training come from: streams of one seed, and torch's global generator.

Words: as in ``loop.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def stream_seed(seed: int, purpose: str) -> int:
    """Return the seed of one stream of random numbers of a training.

    Args:
        seed: The network's seed.
        purpose: ``"init"``, ``"order"``, ``"augmentation"`` or ``"dropout"``.

    Returns:
        56 bits: the same for every width, independent for every purpose.
    """
    return int.from_bytes(hashlib.sha256(f"{purpose}:{seed}".encode()).digest()[:7], "little")


@contextmanager
def dropout_stream(seed: int, device: torch.device) -> Iterator[None]:
    """Give torch's global generator, the only one that dropout can draw from, a stream of its own.

    Args:
        seed: The network's seed.
        device: Whose global generator is lent; its state comes back afterwards.
    """
    before = global_state(device)
    _global_seed(stream_seed(seed, "dropout"), device)
    try:
        yield
    finally:
        set_global_state(before, device)


def global_state(device: torch.device) -> Tensor:
    """Return the state of torch's global generator of a device."""
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.mps.get_rng_state() if device.type == "mps" else torch.get_rng_state()


def set_global_state(state: Tensor, device: torch.device) -> None:
    """Put torch's global generator of a device into a state of :func:`global_state`."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    elif device.type == "mps":
        torch.mps.set_rng_state(state)
    else:
        torch.set_rng_state(state)


def _global_seed(seed: int, device: torch.device) -> None:
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
