"""Streams: samples that keep coming, so that a training need never see one twice.

Words: a *chunk* is the samples that a stream gives at once, by their index from 0; one epoch of an online
recipe is one chunk, in the stream's own order. A stream is *inexhaustible* if it has a chunk for every index,
and else runs dry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from netprops.data.dataset import Split


class Stream(Protocol):
    """Chunks of samples by index: always the same for an index, and no sample in two of them."""

    @property
    def size(self) -> int:
        """Samples of a chunk; every chunk has as many."""

    @property
    def chunks(self) -> int | None:
        """Number of chunks; None if the stream is inexhaustible."""

    @property
    def digest(self) -> str:
        """SHA-256 of everything that decides the chunks; it enters the keys of networks."""

    def chunk(self, index: int) -> Split:
        """Return one chunk, whichever others were asked for before.

        Raises:
            UsageError: If there is no such chunk.
        """
