"""Which units of a layer are similar: pairs counted by the size of their correlation, never as one matrix.

Words: N samples, n units; r is Pearson's correlation of two units over the samples; two units are *similar*
where |r| reaches a threshold, up to rounding; a *constant* unit has no correlation. A *panel* is some units,
standardised to mean 0 and norm 1 and stored unit-major (p, N); a *tile* holds |r| between two panels.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measures.moments import Moments

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]

# Numbers of a panel (42 MB as float32) and its units at most: two panels and a tile of 1,024² stay near
# 150 MB, and larger tiles are not multiplied faster.
_PANEL, _UNITS = 10 << 20, 1024
# Numbers that are float64 at a time while a panel is filled: 2 MB, which stay in a core's cache.
_BLOCK = 1 << 18
# A unit whose deviation is below this share of its mean is constant: as in moments.py.
_CONSTANT = 1e-12
# Rounding of r in float32: 1e-6 at most was seen at N = 50,000, heavy tails included; such pairs are decided
# in float64, where rounding stays below 1e-12.
_SINGLE, _DOUBLE = 1e-5, 1e-12
# Half a unit in the last place of a bfloat16, as a share of the number.
_HALF_ULP = 2.0**-9
# Above this share of undecided pairs a whole tile in float32 costs less than pair by pair.
_MANY = 1 / 64


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
        The counts, for these samples. Memory beyond the activations: some 300 MB, whatever n is; time:
        N n² multiplications.

    Raises:
        MeasurementError: If there are fewer than two samples or an activation is not finite.
        UsageError: If the threshold is not in (0, 1].

    Example:
        >>> similar_units(np.array([[0.0, 0, 1], [1, 2, 0], [2, 4, 1]])).counts.tolist()
        [1, 1, 0]
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"{name}: the threshold of |r| lies in (0, 1], got {threshold}")
    units = _Units(activations, name)
    count, step = activations.shape[1], max(64, min(_UNITS, _PANEL // len(activations)))
    found = np.zeros(count, dtype=np.int64)
    starts = range(0, count, step)
    for first in starts:
        left = _Panel(units, first, min(first + step, count))
        for second in starts[first // step :]:
            right = left if second == first else _Panel(units, second, min(second + step, count))
            similar = _similar(left, right, threshold)
            if second == first:
                similar = similar.triu(1)
            found[first : first + step] += similar.sum(dim=1).numpy()
            found[second : second + step] += similar.sum(dim=0).numpy()
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


class _Units:
    """Activations with the mean and scale of every unit, found in one pass."""

    def __init__(self, activations: NDArray[Any], name: str) -> None:
        if activations.ndim != 2 or len(activations) < 2 or not activations.shape[1]:
            raise MeasurementError(
                f"{name}: expected (N, n) activations of at least 2 samples and 1 unit, got shape "
                f"{activations.shape}"
            )
        self.activations = activations
        count, mean, squares = 0, np.zeros(activations.shape[1]), np.zeros(activations.shape[1])
        step = max(1, _BLOCK // activations.shape[1])
        for start in range(0, len(activations), step):
            part = np.asarray(activations[start : start + step], dtype=np.float64)
            middle = part.mean(axis=0)
            if not np.isfinite(middle).all():
                row, unit = (int(i[0]) for i in np.nonzero(~np.isfinite(part)))
                raise MeasurementError(
                    f"{name}: unit {unit} is {part[row, unit]} for sample {start + row}, expected finite "
                    f"activations"
                )
            part = part - middle  # a new array: the activations are the caller's
            apart, whole = middle - mean, count + len(part)
            squares += np.einsum("ij,ij->j", part, part) + apart**2 * (count * len(part) / whole)
            mean += apart * (len(part) / whole)
            count = whole
        self.mean = mean
        self.varies: NDArray[np.bool_] = squares > count * (_CONSTANT * mean) ** 2
        self.scale = np.zeros_like(mean)
        self.scale[self.varies] = 1 / np.sqrt(squares[self.varies])

    def standardised(self, rows: slice, units: slice | NDArray[np.intp]) -> Floats:
        """Return (rows, units) float64 of mean 0 and norm 1 over all rows; 0 for a constant unit."""
        part = np.asarray(self.activations[rows][:, units], dtype=np.float64) - self.mean[units]
        part *= self.scale[units]
        return part

    def exactly(self, left: NDArray[np.intp], right: NDArray[np.intp]) -> Floats:
        """Return |r| of pairs of units in float64."""
        chosen, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        gram = np.zeros((len(chosen), len(chosen)))
        step = max(1, _BLOCK // len(chosen))
        for start in range(0, len(self.activations), step):
            part = self.standardised(slice(start, start + step), chosen)
            gram += part.T @ part
        return np.asarray(np.abs(gram[place[: len(left)], place[len(left) :]]))


class _Panel:
    """Some units, standardised in float32, and in bfloat16 where that is fast.

    Attributes:
        single: (p, N) float32.
        half: (p, N) bfloat16, or None.
        lost: Norm of what the rounding to bfloat16 takes from a unit, at most.
    """

    def __init__(self, units: _Units, start: int, stop: int) -> None:
        import torch

        self.units, self.start = units, start
        samples = len(units.activations)
        filled = np.empty((stop - start, samples), dtype=np.float32)
        step = max(1, _BLOCK // (stop - start))
        for row in range(0, samples, step):
            rows = slice(row, row + step)
            filled[:, rows] = units.standardised(rows, slice(start, stop)).T
        self.single = torch.from_numpy(filled)
        self.half: torch.Tensor | None = None
        self.lost = 0.0
        if _half_is_fast():
            self.half = self.single.bfloat16()
            for unit, rounded in zip(self.single, self.half, strict=True):
                self.lost = max(self.lost, float((unit - rounded.float()).norm()))


def _similar(left: _Panel, right: _Panel, threshold: float) -> torch.Tensor:
    """Return (p, q) bool: whether |r| reaches the threshold."""
    tile = _screened(left, right, threshold)
    near = ((tile - threshold).abs() <= _SINGLE).nonzero().numpy()
    similar = tile >= threshold
    if len(near):
        rows, columns = near.T
        sizes = left.units.exactly(left.start + rows, right.start + columns)
        similar.numpy()[rows, columns] = sizes >= threshold - _DOUBLE
    return similar


def _screened(left: _Panel, right: _Panel, threshold: float) -> torch.Tensor:
    """Return (p, q) |r|, as good as float32 wherever it is near the threshold."""
    if left.half is None or right.half is None:
        return (left.single @ right.single.T).abs_()
    tile = (left.half @ right.half.T).float().abs_()
    # Cauchy-Schwarz for what both roundings took; the product itself is rounded to bfloat16, too.
    slack = left.lost + right.lost + left.lost * right.lost + _SINGLE
    slack = (slack + _HALF_ULP * threshold) / (1 - _HALF_ULP)
    undecided = (tile - threshold).abs() <= slack
    if int(undecided.sum()) > _MANY * undecided.numel():
        return (left.single @ right.single.T).abs_()
    for row in undecided.any(dim=1).nonzero()[:, 0].tolist():
        others = undecided[row].nonzero()[:, 0]
        tile[row, others] = (right.single[others] @ left.single[row]).abs_()
    return tile


@lru_cache(maxsize=1)
def _half_is_fast() -> bool:
    """Return whether this processor multiplies bfloat16 at least twice as fast as float32.

    The counts are the same either way.
    """
    import torch

    single = torch.ones((256, 4096))
    seconds = []
    for matrix in (single, single.bfloat16()):
        tried = []
        for _ in range(4):
            start = time.perf_counter()
            matrix @ matrix.T
            tried.append(time.perf_counter() - start)
        seconds.append(min(tried))
    return seconds[1] < seconds[0] / 2
