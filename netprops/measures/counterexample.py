"""A search for the chunk that breaks a claim about every chunk, shrunk to the smallest one that does.

Words: W units of the last hidden layer; a *chunk* is a set of at least m of them; it *fails* when its error
exceeds a threshold. Hypothesis proposes a size and an order of the neurons, whose first ones are the chunk: a
uniform subset at every size. It shrinks a failing chunk by taking neurons away from the end of its order for
as long as what is left still fails.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from netprops.errors import UsageError
from netprops.measurement import Measurement


@dataclass(frozen=True)
class Search:
    """What a search over chunks found.

    Args:
        chunks: Number of distinct chunks that were evaluated, those of the shrinking included.
        worst: Largest error of any of them, as a fraction.
        failing: Neurons of the smallest failing chunk, ascending; empty if none failed.
        failing_error: Error of that chunk; 0 if none failed.
    """

    chunks: int
    worst: float
    failing: tuple[int, ...]
    failing_error: float

    def measurement(self, name: str) -> Measurement:
        """Return the largest error found, as an exact fact about the chunks that were searched."""
        return Measurement.exact(
            name,
            self.worst,
            n=self.chunks,
            n_of="chunks",
            how="largest over a seeded search by Hypothesis",
            details={
                "smallest_failing_chunk": " ".join(map(str, self.failing)),
                "smallest_failing_size": len(self.failing),
            },
        )


def search_failing_chunk(
    error_of: Callable[[tuple[int, ...]], float],
    *,
    width: int,
    smallest: int,
    threshold: float,
    examples: int = 200,
    entropy: int = 0,
) -> Search:
    """Search the chunks of at least ``smallest`` neurons for one whose error exceeds ``threshold``.

    The same arguments give the same search: nothing is read from or written to an example database.

    Args:
        error_of: Error, as a fraction, of the chunk of the given ascending neurons.
        width: W, units of the layer.
        smallest: m, the least number of neurons in a chunk, in 1..W.
        threshold: A chunk with a larger error fails.
        examples: Chunks to propose before giving up.
        entropy: Seed of the proposals.

    Returns:
        The search's outcome, with the failing chunk shrunk.

    Raises:
        UsageError: If ``smallest`` is not in 1..W.
    """
    if not 1 <= smallest <= width:
        raise UsageError(
            f"a chunk of a layer of {width} units has 1..{width} neurons, got smallest={smallest}"
        )
    seen: dict[tuple[int, ...], float] = {}
    last_failing: list[tuple[int, ...]] = []

    @seed(entropy)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
        print_blob=False,
    )
    @given(size=st.integers(smallest, width), order=st.integers(0, 2**32 - 1))
    def every_chunk_holds(size: int, order: int) -> None:
        chunk = tuple(sorted(np.random.default_rng(order).permutation(width)[:size].tolist()))
        if chunk not in seen:
            seen[chunk] = error_of(chunk)
        if seen[chunk] > threshold:
            last_failing[:] = [chunk]
            raise _ChunkFailsError

    try:
        every_chunk_holds()
    except _ChunkFailsError:
        chunk = last_failing[0]
        return Search(len(seen), max(seen.values()), chunk, seen[chunk])
    return Search(len(seen), max(seen.values()), (), 0.0)


class _ChunkFailsError(Exception):
    """Tells Hypothesis that a chunk fails; its shrinking follows this exception."""
