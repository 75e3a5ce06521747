"""From arrays to the data of a figure that stays small: matrices by blocks, samples by bins.

Words: a *panel* is one matrix of a figure, as means over *blocks* of entries where it is larger than what can
be told apart; *densities* are shares of samples per unit of their axis.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve

CELLS = 64
"""Most rows and columns of a panel that are kept."""

_DRAWN = CELLS * CELLS  # cells of one figure where nothing else is asked for: about 40 kB of drawing

PANELS = 8
"""Most panels of one figure: more would be smaller than a thumbnail."""

_LEVELS = 1e3  # steps of the colour scale that values are rounded to; a drawing shows 32 of them


def significant(value: float, digits: int = 6) -> float:
    """Return a number with so many significant digits.

    >>> significant(0.123456789)
    0.123457
    """
    return float(f"{value:.{digits}g}")


def blocks(matrix: NDArray[np.float64], most: int = CELLS) -> NDArray[np.float64]:
    """Return a matrix of at most ``most`` rows and columns: means over blocks of nearly equal size.

    Args:
        matrix: (R, C) float64.
        most: Largest number of rows and of columns.

    Returns:
        (r, c) float64 with r <= most and c <= most; the matrix itself if it is small enough.

    >>> blocks(np.arange(16.0).reshape(4, 4), 2).tolist()
    [[2.5, 4.5], [10.5, 12.5]]
    """
    for axis in (0, 1):
        n = matrix.shape[axis]
        if n > most:
            starts = np.arange(most) * n // most
            sizes = np.diff([*starts, n])
            sums = np.add.reduceat(matrix, starts, axis=axis)
            matrix = sums / (sizes[:, None] if axis == 0 else sizes)
    return matrix


def panels(
    matrices: Mapping[str, ArrayLike], *, most: int | None = None, limits: tuple[float, float] | None = None
) -> tuple[list[dict[str, Any]], tuple[float, float]]:
    """Return matrices as a record keeps them, and the ends of their common colour scale.

    Args:
        matrices: Label to (R, C) array of real numbers; their sizes may differ.
        most: Largest number of rows and columns that is kept of each; if None, 64 of one panel and 32 of each
            of four, so that the figure stays as small.
        limits: Ends of the colour scale; the smallest and the largest kept value if None.

    Returns:
        For each panel ``label``, ``shape`` of the matrix, and ``rows`` of kept values, rounded to a
        thousandth of the scale; and (low, high) of the scale.

    Raises:
        UsageError: If there is no matrix or more than ``PANELS``, one is not two-dimensional, ``most`` is not
            between 2 and 64, or the limits do not ascend.
        MeasurementError: If an entry is not a finite number.
    """
    if not 1 <= len(matrices) <= PANELS:
        raise UsageError(f"a figure of matrices has 1 to {PANELS} panels, got {len(matrices)}")
    most = math.isqrt(_DRAWN // len(matrices)) if most is None else most
    if not 2 <= most <= CELLS:
        raise UsageError(f"a panel keeps 2 to {CELLS} rows and columns, got most={most}")
    if limits is not None and not (math.isfinite(limits[0]) and limits[0] < limits[1] < math.inf):
        raise UsageError(f"the limits of a colour scale ascend and are finite, got {limits}")
    kept = {}
    for label, matrix in matrices.items():
        entries = np.asarray(matrix, dtype=np.float64)
        if entries.ndim != 2 or not entries.size:
            raise UsageError(f"panel {label}: expected a matrix, got shape {entries.shape}")
        if not np.isfinite(entries).all():
            row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(entries)))
            raise MeasurementError(
                f"panel {label}: entry [{row}, {column}] is {entries[row, column]}, expected a finite number"
            )
        kept[label] = (entries.shape, blocks(entries, most))
    every = [end for _, values in kept.values() for end in (float(values.min()), float(values.max()))]
    low, high = limits or (min(every), max(every))
    digits = math.ceil(-math.log10((high - low) / _LEVELS)) if high > low else 12
    found = [
        {"label": label, "shape": list(shape), "rows": np.round(values, digits).tolist()}
        for label, (shape, values) in kept.items()
    ]
    return found, (low, high)


def histogram(
    samples: Mapping[str, ArrayLike],
    *,
    bins: int = 40,
    within: tuple[float, float] | None = None,
    x_name: str = "value",
    n_of: str = "samples",
) -> list[Curve]:
    """Return the densities of several sets of samples over the same bins, as curves of steps.

    Args:
        samples: Label to an array of real numbers, of any shape.
        bins: Number of bins, all of one size.
        within: Range that the bins divide; from the smallest to the largest of all samples if None.
        x_name: Name and unit of what was sampled.
        n_of: What the samples are.

    Returns:
        A curve for each label: x are the middles of the bins, y the share of its samples in a bin over the
        bin's size. What lies outside ``within`` is in no bin; ``details["outside"]`` is its share.

    Raises:
        UsageError: If there are no samples or fewer than two bins, or ``within`` does not ascend.
        MeasurementError: If a sample is not a finite number.
    """
    arrays = {label: np.asarray(one, dtype=np.float64).ravel() for label, one in samples.items()}
    for label, one in arrays.items():
        if not len(one):
            raise UsageError(f"histogram of {label}: there are no samples")
        if not np.isfinite(one).all():
            raise MeasurementError(f"histogram of {label}: a sample is not a finite number")
    if not arrays or bins < 2:
        raise UsageError(
            f"a histogram needs samples and at least 2 bins, got {len(arrays)} sets, {bins} bins"
        )
    low, high = within or (min(map(np.min, arrays.values())), max(map(np.max, arrays.values())))
    if within is not None and not low < high:
        raise UsageError(f"the range of a histogram ascends, got {within}")
    edges = np.histogram_bin_edges(np.array([low, high], dtype=np.float64), bins)
    size = float(edges[1] - edges[0])
    curves = []
    for label, one in arrays.items():
        counts, _ = np.histogram(one, edges)
        density = [significant(share) for share in counts / (len(one) * size)]
        curves.append(
            Curve(
                name=label,
                x=(edges[:-1] + edges[1:]) / 2,
                y=np.array(density),
                low=np.array(density),
                high=np.array(density),
                x_name=x_name,
                y_name="density (share of the samples per unit)",
                n=len(one),
                n_of=n_of,
                how=f"share of the samples in each of {bins} bins of equal size",
                details={"line": "steps", "outside": 1 - float(counts.sum()) / len(one)},
            )
        )
    return curves
