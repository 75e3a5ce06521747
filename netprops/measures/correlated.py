"""Which units of a layer are similar: pairs counted by the size of their correlation, never as one matrix.

Words: N samples, n units; r is Pearson's correlation of two units over the samples; two units are *similar*
where |r| reaches a threshold, up to rounding; a *constant* unit has no correlation. A *panel* is some units,
standardised to mean 0 and norm 1, unit-major (p, N); a *tile* is the pairs of a wide panel on the left and a
narrow one on the right. Tiles are *screened* in bfloat16 where that is fast; the pairs that this leaves
undecided are multiplied again in float32, and the closest in float64.
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
Singles = NDArray[np.float32]
Places = NDArray[np.int64]

# Numbers of a left panel, 63 MB as float32 and half of that as bfloat16, and its units at most: the wider it
# is, the less often the other units are standardised.
_PANEL, _UNITS = 15 << 20, 1536
# Units of a right panel: tiles of this width are multiplied as fast as larger ones.
_PART = 256
# Numbers that are float64 at a time, and samples of a part that are standardised at a time: 1 MB at most,
# which stays in a core's cache.
_BLOCK, _ROWS = 1 << 17, 512
# A unit whose deviation is below this share of its mean is constant: as in moments.py.
_CONSTANT = 1e-12
# Rounding of r in float32 up to N = 50,000, in proportion beyond: at most 5e-6 was seen at 10,000, 6e-6 at
# 50,000 and 3e-5 at 400,000, for Gaussian, ReLU, binary, shifted and log-normal units. Such pairs are decided
# in float64, where at most 5e-14 was seen.
_SINGLE, _SINGLE_SAMPLES, _DOUBLE = 2e-5, 50_000, 1e-12
# bfloat16 has 8 binary digits and so rounds by 2^-8 of a number at most; the sums of a product are float32.
_HALF = 2.0**-8
# Scales beyond this could overflow float32; means of more deviations than this are subtracted in two parts.
_LARGE, _FAR = 1e30, 1e3
# Above this share of undecided pairs a whole tile in float32 costs less than pair by pair.
_MANY = 1 / 64
# So many pairs are decided in float64 together: that reads the activations once.
_TOGETHER = 512


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
        The counts, for these samples. Memory beyond the activations: some 150 MB, whatever N and n are, and
        what torch takes; time: N n² / 2 multiplications.

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
    count, width = activations.shape[1], _PART * max(1, min(_UNITS, _PANEL // len(activations)) // _PART)
    found, near = np.zeros(count, dtype=np.int64), _Near(units, threshold)
    for first in range(0, count, width):
        _count(units, first, min(first + width, count), threshold, found, near)
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
        block = np.empty((step, activations.shape[1]))  # the activations are the caller's
        for start in range(0, len(activations), step):
            part = block[: len(activations) - start]
            part[...] = activations[start : start + step]
            middle = part.mean(axis=0)
            if not np.isfinite(middle).all():
                row, unit = (int(i[0]) for i in np.nonzero(~np.isfinite(part)))
                raise MeasurementError(
                    f"{name}: unit {unit} is {part[row, unit]} for sample {start + row}, expected finite "
                    f"activations"
                )
            part -= middle
            part *= part
            apart, whole = middle - mean, count + len(part)
            squares += part.sum(axis=0) + apart**2 * (count * len(part) / whole)
            mean += apart * (len(part) / whole)
            count = whole
        self.mean = mean
        self.varies: NDArray[np.bool_] = squares > count * (_CONSTANT * mean) ** 2
        self.scale = np.zeros_like(mean)
        self.scale[self.varies] = 1 / np.sqrt(squares[self.varies])
        self.single = activations.dtype.itemsize <= 4 and self.scale.max() < _LARGE
        self.rounding = _SINGLE * max(1, count / _SINGLE_SAMPLES)
        self.far = bool((np.abs(mean) * self.scale).max() * np.sqrt(count) > _FAR)
        self.halving = np.full_like(mean, np.nan)  # norm of what each unit loses in bfloat16, where known

    def panel(self, start: int, stop: int) -> _Panel:
        """Return some of the units, standardised."""
        import torch

        samples, halved = len(self.activations), _half_is_fast()
        # From numpy, which asks for huge pages.
        single = np.empty((stop - start, samples), dtype=np.float32)
        target = torch.from_numpy(single)
        for left in range(start, stop, _PART):
            right = min(left + _PART, stop)
            known = not halved or not np.isnan(self.halving[left:right]).any()
            lost = torch.zeros(right - left)
            for first in range(0, samples, _ROWS):
                part = torch.from_numpy(self._standardised(first, first + _ROWS, left, right))
                target[left - start : right - start, first : first + _ROWS] = part.T
                if not known:
                    lost += (part - part.bfloat16()).square_().sum(0)
            if not known:
                self.halving[left:right] = lost.double().sqrt().numpy()
        half = target.bfloat16() if halved else None
        return _Panel(single, half, self.halving[start:stop])

    def exactly(self, left: Places, right: Places) -> Floats:
        """Return |r| of pairs of units in float64."""
        chosen, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        gram = np.zeros((len(chosen), len(chosen)))
        step = max(1, _BLOCK // len(chosen))
        for start in range(0, len(self.activations), step):
            part = np.asarray(self.activations[start : start + step][:, chosen], dtype=np.float64)
            part = (part - self.mean[chosen]) * self.scale[chosen]
            gram += part.T @ part
        return np.asarray(np.abs(gram[place[: len(left)], place[len(left) :]]))

    def _standardised(self, first: int, last: int, start: int, stop: int) -> Singles:
        """Return (rows, units) float32.

        What is float32 stays so: it loses nothing where a large mean is subtracted in two parts.
        """
        part = self.activations[first:last, start:stop]
        if not self.single:
            wide = np.asarray(part, dtype=np.float64) - self.mean[start:stop]
            return np.asarray(wide * self.scale[start:stop], dtype=np.float32)
        mean = self.mean[start:stop].astype(np.float32)
        narrow = np.asarray(part, dtype=np.float32) - mean
        if self.far:
            narrow -= (self.mean[start:stop] - mean).astype(np.float32)
        narrow *= self.scale[start:stop].astype(np.float32)
        return narrow


@dataclass(frozen=True, slots=True, eq=False)
class _Panel:
    """Some standardised units.

    Args:
        single: (p, N) float32.
        half: The same as bfloat16; None where that is not fast.
        lost: (p,) norm of the difference, for units of norm 1.
    """

    single: NDArray[np.float32]
    half: torch.Tensor | None
    lost: Floats

    def part(self, start: int, stop: int) -> _Panel:
        """Return some of the units, without a copy."""
        half = None if self.half is None else self.half[start:stop]
        return _Panel(self.single[start:stop], half, self.lost[start:stop])


class _Near:
    """Pairs within rounding of the threshold, decided in float64 many at a time."""

    def __init__(self, units: _Units, threshold: float) -> None:
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
        if not self._left:
            return
        left, right = np.concatenate(self._left), np.concatenate(self._right)
        self._left.clear()
        self._right.clear()
        similar = self._units.exactly(left, right) >= self._threshold - _DOUBLE
        for side in (left, right):
            found += np.bincount(side[similar], minlength=len(found))


def _count(
    units: _Units, first: int, last: int, threshold: float, found: NDArray[np.int64], near: _Near
) -> None:
    """Count the pairs of some units with each other and with all behind them.

    Args:
        units: All units.
        first: The first of some units.
        last: The first of those behind them.
        threshold: Of |r|.
        found: (n,) counts, which are raised.
        near: Takes the pairs that are decided later.
    """
    whole = units.panel(first, last)
    for second in range(first, len(found), _PART):
        end = min(second + _PART, len(found))
        left = whole.part(0, min(last, end) - first)  # what is further down is another tile's
        right = whole.part(second - first, end - first) if second < last else units.panel(second, end)
        diagonal = first - second + 1  # pairs of a unit and one behind it
        tile, undecided = _screened(left, right, threshold, diagonal, units.rounding)
        similar = tile >= threshold
        rows, columns = undecided
        close = np.abs(tile[rows, columns] - threshold) <= units.rounding
        if close.any():
            rows, columns = rows[close], columns[close]
            similar[rows, columns] = False
            near.take(first + rows, second + columns, found)
        if second < last:
            similar = np.triu(similar, diagonal)
        found[first : first + len(tile)] += np.count_nonzero(similar, axis=1)
        found[second:end] += np.count_nonzero(similar, axis=0)


def _screened(
    left: _Panel, right: _Panel, threshold: float, diagonal: int, rounding: float
) -> tuple[NDArray[np.float32], tuple[Places, Places]]:
    """Return a tile, and the pairs that may lie within rounding of the threshold.

    Args:
        left: (p) units.
        right: (q) units.
        threshold: Of |r|.
        diagonal: Where pairs begin that count, as for ``np.triu``.
        rounding: Of r in float32.

    Returns:
        (p, q) |r|, as good as float32 wherever it is near the threshold, and places in it.
    """
    import torch

    if left.half is not None and right.half is not None:
        product = (left.half @ right.half.T).float()
        undecided = (product.abs() - threshold).abs_() <= _margin(left.lost, right.lost, threshold, rounding)
        if diagonal > 1 - len(left.single):
            undecided = undecided.triu(diagonal)
        rows, columns = undecided.nonzero().numpy().T
        if len(rows) <= _MANY * undecided.numel():
            tile: NDArray[np.float32] = product.numpy()
            pairs = zip(rows.tolist(), columns.tolist(), strict=True)
            tile[rows, columns] = [left.single[i].dot(right.single[j]) for i, j in pairs]
            np.abs(tile, out=tile)
            return tile, (rows, columns)
    whole = np.abs(left.single @ right.single.T)
    close = torch.from_numpy(np.triu(np.abs(whole - threshold) <= rounding, diagonal))
    rows, columns = close.nonzero().numpy().T
    return whole, (rows, columns)


def _margin(left: Floats, right: Floats, threshold: float, rounding: float) -> float:
    """Return how far a product in bfloat16 may be from the threshold, on the other side of which r lies.

    The factors lose at most |dx| + |dy| + |dx| |dy| of r (Cauchy-Schwarz), float32 its rounding, and then the
    product is rounded itself.
    """
    lost = float(left.max() + right.max() + left.max() * right.max()) + rounding
    return lost + _HALF * (threshold + lost)


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
