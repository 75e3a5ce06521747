"""Where tensors live: names of devices to devices, spread over workers, with reproducible arithmetic.

Words: the *kind* of a device is its type (``cpu``, ``cuda``, ``mps``), which enters the cache key; its
index does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from netprops.errors import UsageError


def resolve(name: str) -> torch.device:
    """Return the device of a name.

    Args:
        name: ``"auto"`` (CUDA, else MPS, else CPU), ``"cpu"``, ``"cuda"``, ``"cuda:N"`` or ``"mps"``.

    Returns:
        A device that is there; CUDA always with an index.

    Raises:
        UsageError: If the name is not one of these, or this machine has no such device.
    """
    kind, _, index = name.partition(":")
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", 0)
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    if name == "cpu":
        return torch.device("cpu")
    if name == "mps":
        if not torch.backends.mps.is_available():
            raise UsageError(f"device 'mps' is not on this machine; it has {', '.join(available())}")
        return torch.device("mps")
    if kind == "cuda" and (not name.endswith(":")) and (not index or index.isdecimal()):
        number = int(index or 0)
        if number >= torch.cuda.device_count():
            raise UsageError(f"device {name!r} is not on this machine; it has {', '.join(available())}")
        return torch.device("cuda", number)
    raise UsageError(f"device {name!r} is not known; expected auto, cpu, cuda, cuda:N or mps")


def worker_device(name: str, worker_index: int) -> torch.device:
    """Return the device of one of several workers: ``auto`` and ``cuda`` are spread over the visible GPUs.

    Args:
        name: As for :func:`resolve`.
        worker_index: Number of the worker, from 0.

    Returns:
        The device; a name that says which one it wants (``cuda:1``, ``cpu``) gets it on every worker.
    """
    device = resolve(name)
    if device.type == "cuda" and ":" not in name:
        return torch.device("cuda", worker_index % torch.cuda.device_count())
    return device


def available() -> tuple[str, ...]:
    """Return the names of the devices of this machine."""
    found = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
    return (*found, "mps") if torch.backends.mps.is_available() else tuple(found)


def resident(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a data set's tensor on the device, or as it is if it would fill half of a GPU's free memory."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if tensor.numel() * tensor.element_size() > free // 2:
            return tensor
    return tensor.to(device)


@contextmanager
def reproducible(device: torch.device) -> Iterator[None]:
    """Choose deterministic algorithms on a CPU, the fastest ones on CUDA; what was set before comes back.

    Same weights on a CPU hold for one number of threads on one kind of processor; on a GPU they hold up
    to the rounding of its atomic sums.

    On a CPU, numbers too small for full precision count as 0: decay drives the weights of dead units and
    their moments there, and processors compute with such numbers ten times slower (FC5 of 128 units with a
    decay of 1e-2: 0.14 s an epoch at first, 1.1 s after 60 epochs without this).
    """
    chosen = torch.are_deterministic_algorithms_enabled()
    memory = torch.utils.deterministic
    filled = memory.fill_uninitialized_memory  # type: ignore[attr-defined]
    tuned = torch.backends.cudnn.benchmark
    flushed = _flushes_denormal()
    if device.type == "cpu":
        torch.set_flush_denormal(True)
        torch.use_deterministic_algorithms(True)
        memory.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(chosen)
        memory.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = tuned
        if device.type == "cpu":
            torch.set_flush_denormal(flushed)


def _flushes_denormal() -> bool:
    """Return whether this thread counts numbers below the normal range as 0; torch only sets it."""
    return bool(torch.full((), 1e-40) * 1.0 == 0.0)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with a number of threads; what was set before comes back.

    Sums are split between threads, so another number gives other last bits, already for a layer of 16 units.

    Args:
        number: Threads of torch on a CPU, at least 1.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)
