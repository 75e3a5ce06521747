"""The whole state of a training in one safetensors file, written so that no kill can hurt it.

Words: a *state* is what a training needs to go on as if nothing had happened: tensors (weights, buffers,
optimizer, generators, the order of the running epoch) and facts in JSON (position, history, what was
trained). A state names its step; the two newest of a folder are kept.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from netprops import durable
from netprops.errors import DamagedEntryError

log = logging.getLogger("netprops")

_KEPT = 2
_BLANK = "0" * 64


@dataclass(frozen=True)
class State:
    """One saved moment of a training.

    Args:
        tensors: Everything that is a tensor, on the CPU.
        facts: Everything else, in JSON types.
    """

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def to_bytes(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> bytearray:
    """Return a safetensors file whose header holds facts and the SHA-256 of the whole file.

    Args:
        tensors: Any device and dtype; tensors that share memory are written twice.
        facts: JSON types without NaN.

    Returns:
        The file. Its digest is taken with the digest's own place filled by zeros.
    """
    own = {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}
    head = {"facts": durable.canonical({**facts, "tensors": sorted(own)}), "sha256": _BLANK}
    data = bytearray(safetensors.torch.save(own, metadata=head))
    place = _digest_place(data)
    data[place : place + 64] = durable.digest_of(data).encode()
    return data


def from_bytes(data: bytes | bytearray, where: str) -> State:
    """Return the state of :func:`to_bytes`.

    Args:
        data: The bytes of a file.
        where: What is said of its origin when it is damaged.

    Raises:
        DamagedEntryError: If it is cut off, any bit differs, or a tensor that it promises is missing.
    """
    try:
        place = _digest_place(data)
        blank = bytearray(data)
        found = bytes(blank[place : place + 64]).decode()
        blank[place : place + 64] = _BLANK.encode()
        if durable.digest_of(blank) != found:
            raise ValueError("the digest differs")
        facts = json.loads(_header(data)["__metadata__"]["facts"])
        tensors = safetensors.torch.load(bytes(data))
        missing = sorted(set(facts.pop("tensors")) - set(tensors))
        if missing:
            raise ValueError(f"it lacks {', '.join(missing)}")
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise DamagedEntryError(f"{where} is damaged or cut off: {error}") from error
    # A copy of its own gives each tensor the alignment that torch gives to new ones.
    return State({name: tensor.clone() for name, tensor in tensors.items()}, facts)


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write the state after some step; older ones but one are removed afterwards.

    Args:
        folder: Where the states of one training lie.
        step: Updates made so far, over the whole training.
        tensors: As for :func:`to_bytes`.
        facts: As for :func:`to_bytes`.

    Raises:
        OSError: If the disk is full or the folder cannot be written; the older states stay.
    """
    durable.write(folder / f"state-{step:09d}.safetensors", to_bytes(tensors, facts))
    for old in sorted(folder.glob("state-*.safetensors"))[:-_KEPT]:
        old.unlink(missing_ok=True)


def latest(folder: Path) -> State | None:
    """Return the newest undamaged state of a folder, or None.

    A damaged one is said aloud, renamed to ``*.damaged`` and passed over for the one before it.
    """
    for path in sorted(folder.glob("state-*.safetensors"), reverse=True):
        try:
            return from_bytes(path.read_bytes(), f"the saved state {path}")
        except DamagedEntryError as error:
            log.warning("%s; training goes on from an older state or from the start", error)
            path.replace(path.with_name(path.name + ".damaged"))
    return None


def _header(data: bytes | bytearray) -> dict[str, Any]:
    """Return the JSON header of a safetensors file: 8 bytes of length, little-endian, then the text."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(bytes(data[8 : 8 + length]))
    if not isinstance(header, dict):
        raise ValueError("its header is not an object")
    return header


def _digest_place(data: bytes | bytearray) -> int:
    """Return the offset of the 64 digits of the digest in the header."""
    length = int.from_bytes(data[:8], "little")
    mark = b'"sha256":"'
    place = bytes(data[8 : 8 + length]).find(mark)
    if place < 0:
        raise ValueError("its header has no digest")
    return 8 + place + len(mark)
