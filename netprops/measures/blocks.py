"""Features that lie in several arrays, read in blocks of rows.

Words: a *table* is (N, n) features, whose columns may lie side by side in several arrays (a concatenation of
networks) and whose rows may go on in others (training rows above test rows); a *row* is counted over all of
them. A *block* is as many rows as are held in memory as float64 at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError

Floats = NDArray[np.float64]
Rows = NDArray[np.intp]
Features = NDArray[Any] | Sequence[NDArray[Any]]

# Numbers in a block: 32 MB, more than enough rows for a matrix product to run at full speed.
_BLOCK = 1 << 22


def in_blocks(rows: Rows, width: int) -> Iterator[Rows]:
    """Return consecutive parts of the rows, of which ``width`` numbers a row fill a block at most."""
    step = max(1, _BLOCK // max(1, width))
    return (rows[start : start + step] for start in range(0, len(rows), step))


class Table:
    """Features side by side, and perhaps further rows below them; never copied as a whole.

    Args:
        features: (N, n_i) arrays of a floating type, or one of them; memmaps are read in blocks.
        below: Further rows of the same columns.
        name: What is measured, for errors.
        what: What the features are, such as ``"sources"``, for errors.

    Raises:
        MeasurementError: If an array is not a matrix or is empty, or shapes do not fit each other.
    """

    def __init__(self, features: Features, below: Features | None = None, *, name: str, what: str) -> None:
        self._name, self._what = name, what
        self._pieces = [self._beside(features, what)]
        if below is not None:
            self._pieces.append(self._beside(below, f"test {what}"))
            columns = [sum(one.shape[1] for one in piece) for piece in self._pieces]
            if columns[0] != columns[1]:
                raise MeasurementError(
                    f"{name}: {columns[0]} features in {what} and {columns[1]} in test {what}; expected the "
                    f"same features of other samples"
                )
        self.lengths = tuple(len(piece[0]) for piece in self._pieces)
        self._ends = np.cumsum(self.lengths)
        self.shape = (int(self._ends[-1]), sum(one.shape[1] for one in self._pieces[0]))

    def _beside(self, features: Features, what: str) -> list[NDArray[Any]]:
        arrays = [features] if isinstance(features, np.ndarray) else list(features)
        if not arrays:
            raise MeasurementError(f"{self._name}: {what} are empty: no array was given")
        for one in arrays:
            if one.ndim != 2 or not one.size:
                raise MeasurementError(
                    f"{self._name}: an array of {what} has shape {one.shape}; expected (samples, features) "
                    f"and neither of them zero"
                )
            if len(one) != len(arrays[0]):
                raise MeasurementError(
                    f"{self._name}: arrays of {len(arrays[0])} and {len(one)} samples cannot lie side "
                    f"by side as {what}; give features of the same samples"
                )
        return arrays

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, rows: Rows) -> Floats:
        """Return some rows in float64, a new array.

        Args:
            rows: (b,) ascending.

        Returns:
            (b, n) float64.

        Raises:
            MeasurementError: If a feature is not finite.
        """
        taken = np.empty((len(rows), self.shape[1]))
        first = 0
        for piece, end in zip(self._pieces, self._ends, strict=True):
            above = int(end) - len(piece[0])
            last = int(np.searchsorted(rows, end))
            column = 0
            for one in piece:
                taken[first:last, column : column + one.shape[1]] = one[rows[first:last] - above]
                column += one.shape[1]
            first = last
        if not np.isfinite(taken.sum(axis=0)).all():
            row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(taken)))
            raise MeasurementError(
                f"{self._name}: feature {column} of row {rows[row]} of the {self._what} is "
                f"{taken[row, column]}, expected a finite number"
            )
        return taken
