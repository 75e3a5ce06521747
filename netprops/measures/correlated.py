"""Which units of a layer are similar: pairs counted by the size of their correlation, never as one matrix.

Words: N samples, n units; r is Pearson's correlation of two units over the samples; two units are *similar*
where |r| reaches a threshold, up to rounding; a *constant* unit has no correlation. A *panel* is some units,
standardised to mean 0 and norm 1, unit-major (p, N); a *tile* is the pairs of a wide panel on the left and a
narrow one on the right. Tiles are *screened* in bfloat16 where that is fast; the pairs that this leaves
undecided are multiplied again in float32, and the closest in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from netprops.errors import UsageError
from netprops.measures import panels
from netprops.measures.moments import Moments
from netprops.measures.panels import Floats, Over, Places

# Numbers of a left panel, 55 MB as float32 and half of that as bfloat16, and its units at most: the wider it
# is, the less often the other units are standardised.
_PANEL, _UNITS = 13 << 20, 1536
# So many pairs are decided in float64 together: that reads the activations once.
_TOGETHER = 512
# Rounding of r in float64: at most 5e-14 was seen.
_DOUBLE = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Similar:
    """How many other units each unit is similar to.

    Args:
        counts: (n,) int64; 0 for a constant unit.
        varies: (n,) bool, whether each unit varies.
    """

    counts: NDArray[np.int64]
    varies: NDArray[np.bool_]


def similar_units(
    activations: NDArray[Any], *, threshold: float = 0.5, name: str = "similar units"
) -> Similar:
    """Count for every unit the others whose |r| with it is at least a threshold.

    Tiles are multiplied in float32, or in bfloat16 where that is faster here; pairs that rounding could
    decide are multiplied again in float32 and then float64, so that the counts do not depend on it.

    Args:
        activations: (N, n) of a floating type; may be a memmap, read in blocks.
        threshold: In (0, 1].
        name: What is measured, for errors.

    Returns:
        The counts, for these samples. Memory beyond the activations: some 145 MB on two threads, whatever N
        and n are, and what torch takes; time: N n² / 2 multiplications.

    Raises:
        MeasurementError: If there are fewer than two samples or an activation is not finite.
        UsageError: If the threshold is not in (0, 1].

    Example:
        >>> similar_units(np.array([[0.0, 0, 1], [1, 2, 0], [2, 4, 1]])).counts.tolist()
        [1, 1, 0]
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"{name}: the threshold of |r| lies in (0, 1], got {threshold}")
    units = panels.Units(activations, name)
    count = activations.shape[1]
    width = panels.PART * max(1, min(_UNITS, _PANEL // len(activations)) // panels.PART)
    found, near = np.zeros(count, dtype=np.int64), _Near(units, threshold)
    with _serial_tasks() as over:
        for first in range(0, count, width):
            _count(units, first, min(first + width, count), threshold, found, near, over)
        near.decide(found)
    return Similar(found, units.varies)


def mean_correlation(activations: NDArray[Any]) -> Floats:
    """Return the mean |r| of every unit with the other units.

    Args:
        activations: (N, n) of a floating type; may be a memmap.

    Returns:
        (n,) float64 in [0, 1]; a constant unit counts as uncorrelated, with itself and with others.

    Raises:
        MeasurementError: If there are no samples, or an activation is not finite.
    """
    sizes = np.abs(correlations(activations))
    np.fill_diagonal(sizes, 0)
    return np.asarray(sizes.sum(axis=1) / max(1, len(sizes) - 1))


def correlations(activations: NDArray[Any]) -> Floats:
    """Return the (n, n) float64 correlations between units: 0 wherever a unit is constant.

    Raises:
        MeasurementError: If there are no samples, or an activation is not finite.
    """
    moments = Moments.of(activations)
    scale = np.zeros(len(moments.mean))
    scale[moments.live] = 1 / np.sqrt(np.diag(moments.G)[moments.live])
    return np.asarray(np.clip(moments.G * np.outer(scale, scale), -1, 1))


class _Near:
    """Pairs within rounding of the threshold, decided in float64 many at a time."""

    def __init__(self, units: panels.Units, threshold: float) -> None:
        self._units, self._threshold = units, threshold
        self._left: list[Places] = []
        self._right: list[Places] = []

    def take(self, left: Places, right: Places, found: NDArray[np.int64]) -> None:
        """Take pairs in; raise the counts of those that are similar once enough have come together."""
        self._left.append(left)
        self._right.append(right)
        if sum(map(len, self._left)) >= _TOGETHER:
            self.decide(found)

    def decide(self, found: NDArray[np.int64]) -> None:
        """Raise the counts (n,) of all pairs that were taken in and are similar."""
        if not any(map(len, self._left)):
            return
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        self._left.clear()
        self._right.clear()
        similar = self._units.exactly(left, right) >= self._threshold - _DOUBLE
        for side in (left, right):
            found += np.bincount(side[similar], minlength=len(found))


def _count(
    units: panels.Units,
    first: int,
    last: int,
    threshold: float,
    found: NDArray[np.int64],
    near: _Near,
    over: Over,
) -> None:
    """Count the pairs of some units with each other and with all behind them.

    Args:
        units: All units.
        first: The first of some units.
        last: The first of those behind them.
        threshold: Of |r|.
        found: (n,) counts, which are raised.
        near: Takes the pairs that are decided later.
        over: Maps a function over many arguments.
    """
    whole = units.panel(first, last, over)

    def tile(second: int) -> tuple[int, NDArray[np.int64], NDArray[np.int64], tuple[Places, Places]]:
        end = min(second + panels.PART, len(found))
        left = whole.part(0, min(last, end) - first)  # what is further down is another tile's
        right = whole.part(second - first, end - first) if second < last else units.narrow(second, end)
        diagonal = first - second + 1  # pairs of a unit and one behind it
        sizes, (rows, columns) = panels.screened(left, right, threshold, diagonal, units.rounding)
        similar = sizes >= threshold
        close = np.abs(sizes[rows, columns] - threshold) <= units.rounding
        rows, columns = rows[close], columns[close]
        similar[rows, columns] = False
        if second < last:
            similar = np.triu(similar, diagonal)
        counts = (np.count_nonzero(similar, axis=axis) for axis in (1, 0))
        return second, *counts, (first + rows, second + columns)

    for second, of_rows, of_columns, pairs in over(tile, range(first, len(found), panels.PART)):
        found[first : first + len(of_rows)] += of_rows
        found[second : second + len(of_columns)] += of_columns
        near.take(pairs[0], pairs[1], found)


@contextmanager
def _serial_tasks() -> Iterator[Over]:
    """Give a ``map`` over as many threads as torch has, serial within.

    Threads that wait for each other at every product of a millisecond spin, and on a busy machine wait for a
    time slice.
    """
    import torch

    panels.half_is_fast()  # timed with nothing beside it
    threads = torch.get_num_threads()
    try:
        with (
            threadpool_limits(1, user_api="blas"),
            ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
        ):
            yield pool.map
    finally:
        torch.set_num_threads(threads)  # the workers' setting is also that of threads yet to come
