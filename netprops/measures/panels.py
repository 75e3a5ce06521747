"""Standardised units in panels, and which pairs of two panels reach a correlation, whatever rounding does.

Words: as in ``correlated.py``; what a unit *loses* is the norm of its rounding to bfloat16.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
Places = NDArray[np.int64]
Over = Callable[[Callable[[int], Any], Iterable[int]], Iterable[Any]]
"""Maps a function over numbers, as the built-in ``map`` does."""

# Units of a right panel: tiles of this width are multiplied as fast as larger ones.
PART = 256
# Numbers that are float64 at a time, and samples of a part that are standardised at a time: 1 MB at most,
# which stays in a core's cache.
_BLOCK, _ROWS = 1 << 17, 512
# A unit whose deviation is below this share of its mean is constant: as in moments.py.
_CONSTANT = 1e-12
# Rounding of r in float32 up to N = 50,000, in proportion beyond: at most 5e-6 was seen at 10,000, 6e-6 at
# 50,000 and 3e-5 at 400,000, for Gaussian, ReLU, binary, shifted and log-normal units.
_SINGLE, _SINGLE_SAMPLES = 2e-5, 50_000
# bfloat16 has 8 binary digits and so rounds by 2^-8 of a number at most; the sums of a product are float32.
_HALF = 2.0**-8
# Scales beyond this could overflow float32; means of more deviations than this are subtracted in two parts.
_LARGE, _FAR = 1e30, 1e3
# Above this share of undecided pairs a whole tile in float32 costs less than pair by pair.
_MANY = 1 / 64


class Units:
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
        self._own = threading.local()

    def panel(self, start: int, stop: int, over: Over = map) -> Panel:
        """Return some of the units, standardised; ``over`` maps a function over their parts."""
        return self._filled(self._memory(stop - start), start, stop, over)

    def narrow(self, start: int, stop: int) -> Panel:
        """Return at most ``PART`` units, standardised, until this thread asks for the next."""
        if not hasattr(self._own, "memory"):
            self._own.memory = self._memory(PART)
        single, half = self._own.memory
        units = stop - start
        return self._filled((single[:units], None if half is None else half[:units]), start, stop, map)

    def _memory(self, units: int) -> tuple[Singles, torch.Tensor | None]:
        import torch

        shape = units, len(self.activations)
        # From numpy, which asks for huge pages.
        single = np.empty(shape, dtype=np.float32)
        return single, torch.empty(shape, dtype=torch.bfloat16) if half_is_fast() else None

    def _filled(
        self, memory: tuple[Singles, torch.Tensor | None], start: int, stop: int, over: Over
    ) -> Panel:
        """Return a panel that lies in some memory."""
        import torch

        (single, half), samples = memory, len(self.activations)
        target = torch.from_numpy(single)

        def fill(left: int) -> None:
            right = min(left + PART, stop)
            place = slice(left - start, right - start)
            known = half is None or not np.isnan(self.halving[left:right]).any()
            lost = torch.zeros(right - left)
            for first in range(0, samples, _ROWS):
                part = torch.from_numpy(self._standardised(first, first + _ROWS, left, right))
                target[place, first : first + _ROWS] = part.T
                if not known:
                    lost += (part - part.bfloat16()).square_().sum(0)
            if half is not None:
                half[place] = target[place]
            if not known:
                self.halving[left:right] = lost.double().sqrt().numpy()

        list(over(fill, range(start, stop, PART)))
        return Panel(single, half, self.halving[start:stop])

    def exactly(self, left: Places, right: Places) -> Floats:
        """Return |r| of pairs of units in float64."""
        chosen, place = np.unique(np.concatenate([left, right]), return_inverse=True)
        one, other = place[: len(left)], place[len(left) :]
        found = np.zeros(len(left))
        step = max(1, _BLOCK // len(place))
        for start in range(0, len(self.activations), step):
            part = np.asarray(self.activations[start : start + step][:, chosen], dtype=np.float64)
            part = (part - self.mean[chosen]) * self.scale[chosen]
            found += np.einsum("ij,ij->j", part[:, one], part[:, other])
        return np.asarray(np.abs(found))

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
class Panel:
    """Some standardised units.

    Args:
        single: (p, N) float32.
        half: The same as bfloat16; None where that is not fast.
        lost: (p,) norm of the difference, for units of norm 1.
    """

    single: NDArray[np.float32]
    half: torch.Tensor | None
    lost: Floats

    def part(self, start: int, stop: int) -> Panel:
        """Return some of the units, without a copy."""
        half = None if self.half is None else self.half[start:stop]
        return Panel(self.single[start:stop], half, self.lost[start:stop])


def screened(
    left: Panel, right: Panel, threshold: float, diagonal: int, rounding: float
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
def half_is_fast() -> bool:
    """Return whether this processor multiplies bfloat16 at least 1.5 times as fast as float32.

    The counts are the same either way. Timed in turns and by the processor's clock, for other processes may
    run beside this one.
    """
    import torch

    left, right = torch.ones((4 * PART, 2048)), torch.ones((PART, 2048))
    pairs = [(left, right), (left.bfloat16(), right.bfloat16())]
    best = [math.inf, math.inf]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(6):
            for place, (one, other) in enumerate(pairs):
                start = time.thread_time()
                one @ other.T
                best[place] = min(best[place], time.thread_time() - start)
    finally:
        torch.set_num_threads(threads)
    return best[1] < best[0] / 1.5
