"""What streams share: a generator for each chunk and purpose, and what is said of a chunk that is not there.

Words: the *purpose* is a text that tells one use of random numbers from others for the same chunk.
"""

from __future__ import annotations

import hashlib

import numpy as np

from netprops.errors import UsageError


def generator(purpose: str, index: int) -> np.random.Generator:
    """Return the generator of one chunk for one purpose: the same everywhere, unrelated to all others.

    Args:
        purpose: What is drawn.
        index: Number of the chunk, from 0.
    """
    seed = hashlib.sha256(f"{purpose}:{index}".encode()).digest()
    return np.random.default_rng(int.from_bytes(seed, "little"))


def refuse_absent(name: str, index: int, chunks: int | None) -> None:
    """Refuse a chunk that a stream does not have.

    Args:
        name: The data set's, for the sentence.
        index: Number of the chunk that is asked for.
        chunks: How many there are; None for a stream without end.

    Raises:
        UsageError: If there is no such chunk.
    """
    if index < 0:
        raise UsageError(f"{name} has no chunk {index}; the first one is chunk 0")
    if chunks is not None and index >= chunks:
        raise UsageError(
            f"{name} runs dry: chunk {index} was asked for, and the last one is chunk {chunks - 1}"
        )
