"""Second moments of features, and the residuals of a regression between units that follow from them.

Words: N samples, W units; ``mean`` (W,) and G (W, W), the sum over samples of (x - mean)(x - mean)', of the
samples to *fit* on and of those to *score* on; a *chunk* is w units, A (w, W) its ridge coefficients:
(G_cc + ridge I) A = G_c.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg

from netprops.errors import MeasurementError

Floats = NDArray[np.float64]

# A unit whose standard deviation is below this share of its mean is constant: float32 cannot represent a
# smaller change in one of N = 1e8 samples, and float64 rounds a constant's deviation to less.
_CONSTANT = 1e-12
# Residual variance below this share of the unit's own is rounding: moments carry some 1e-13 of it.
EXACT = 1e-10
# The authors' code adds this to the denominator of a correlation.
_REFERENCE_EPSILON = 1e-8


def varies(n: int, mean: Floats, squares: Floats) -> NDArray[np.bool_]:
    """Return (W,) whether each unit varies over n samples, from means and sums of squared deviations."""
    found: NDArray[np.bool_] = squares > n * (_CONSTANT * mean) ** 2
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """First and second moments of some samples.

    Args:
        n: Number of samples.
        mean: (W,) float64.
        G: (W, W) float64, centred second moments, summed over samples.
    """

    n: int
    mean: Floats
    G: Floats

    @classmethod
    def of(
        cls, features: NDArray[np.floating], rows: slice | NDArray[np.intp] | None = None, block: int = 4096
    ) -> Moments:
        """Return the moments of some rows of the features, read in blocks.

        Args:
            features: (N, W), float32 or float64; may be a memmap.
            rows: Samples to use: a slice, indices, or None for all.
            block: Samples that are in memory at a time, as float64.

        Raises:
            MeasurementError: If there are no samples, or a feature is not finite.
        """
        chosen = np.arange(len(features))[slice(None) if rows is None else rows]
        if not len(chosen):
            raise MeasurementError("moments need at least one sample, got none")
        total: Moments | None = None
        for start in range(0, len(chosen), block):
            part = np.asarray(features[chosen[start : start + block]], dtype=np.float64)
            mean = part.mean(axis=0)
            if not np.isfinite(mean).all():
                row, unit = (int(i[0]) for i in np.nonzero(~np.isfinite(part)))
                raise MeasurementError(
                    f"feature of sample {chosen[start + row]}, unit {unit} is {part[row, unit]}, "
                    f"expected a finite number"
                )
            part -= mean
            piece = cls(len(part), mean, part.T @ part)
            total = piece if total is None else total + piece
        assert total is not None
        return total

    def __add__(self, other: Moments) -> Moments:
        n = self.n + other.n
        apart = other.mean - self.mean
        return Moments(
            n,
            self.mean + apart * (other.n / n),
            self.G + other.G + np.outer(apart, apart * (self.n * other.n / n)),
        )

    @property
    def live(self) -> NDArray[np.bool_]:
        """(W,) whether each unit varies."""
        return varies(self.n, self.mean, np.diag(self.G))

    def take(self, units: NDArray[np.intp]) -> Moments:
        """Return the moments of some of the units."""
        return Moments(self.n, self.mean[units], self.G[np.ix_(units, units)])


@dataclass(frozen=True, slots=True, eq=False)
class Residuals:
    """What a chunk leaves unexplained in other units, on the samples that score it.

    Args:
        units: (U,) indices of the units that are scored.
        squares: (U,) sum of squared residuals.
        total: (U,) sum of squared deviations from the mean.
        correlation: Mean absolute correlation of the residuals over pairs of units.
        exact: Units without a residual, which no pair includes.
    """

    units: NDArray[np.intp]
    squares: Floats
    total: Floats
    correlation: float
    exact: int

    @property
    def r2(self) -> float:
        """Share of explained variance; units count by their variance."""
        return 1 - float(self.squares.sum() / self.total.sum())

    @property
    def unit_r2(self) -> Floats:
        """(U,) share of explained variance of every unit; 0 for one that is constant where it is scored."""
        left = np.ones_like(self.squares)
        np.divide(self.squares, self.total, out=left, where=self.total > 0)
        return 1 - left


def solve(gram: Floats, right: Floats, ridge: float) -> Floats:
    """Return the solution A of (gram + ridge I) A = right, for a Gram matrix that may be singular.

    The matrix is scaled to unit diagonal first. Where Cholesky fails, as for dead or duplicated units,
    directions that rounding cannot tell from zero are left out (minimum norm). Where it succeeds on a
    singular matrix, the solution is large only along directions in which the units do not vary.

    Args:
        gram: (w, w) symmetric, positive semidefinite.
        right: (w, U).
        ridge: Strength; not negative.

    Returns:
        (w, U) float64.
    """
    scale = np.sqrt(np.diag(gram) + ridge)
    scale = 1 / np.where(scale > 0, scale, 1.0)
    scaled = gram * scale[:, None] * scale
    np.fill_diagonal(scaled, (np.diag(gram) + ridge) * scale**2)
    factor, failed = linalg.lapack.dpotrf(scaled, lower=1)
    if not failed:
        # Two products with the inverse factor: several times faster than substitution row by row.
        inverse, _ = linalg.lapack.dtrtri(factor, lower=1)
        inverse = np.tril(inverse) * scale
        return np.asarray(inverse.T @ (inverse @ right))
    values, vectors = linalg.eigh(scaled)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    basis = vectors[:, kept]
    solution: Floats = ((basis / values[kept]) @ (basis.T @ (right * scale[:, None]))) * scale[:, None]
    return solution


def residuals(
    fit: Moments,
    score: Moments,
    chunk: ArrayLike,
    *,
    ridge: float = 1e-8,
    definition: Literal["default", "reference"] = "default",
) -> Residuals:
    """Return what a regression from a chunk leaves of the units, from second moments alone.

    With A and the intercept from ``fit``, the residuals on ``score`` have the second moments
    G - A'G_c - G_c'A + A'G_cc A about a mean that the intercept misses.

    Args:
        fit: Moments of the samples to fit on.
        score: Moments of the samples to score on; the same object for the reference definition.
        chunk: (w,) unit indices.
        ridge: Strength of the regression.
        definition: ``"default"``: units outside the chunk. ``"reference"``: all units, and 1e-8 added to the
            denominator of every correlation.

    Returns:
        The residuals; costs O(w W^2), whatever the number of samples.
    """
    c = np.asarray(chunk, dtype=np.intp)
    width = len(score.mean)
    units = np.arange(width)
    if definition == "default":
        units = np.setdiff1d(units, c)
    known = score.G[np.ix_(c, c)]
    A = solve(fit.G[np.ix_(c, c)], fit.G[np.ix_(c, units)], ridge)
    # A symmetric rank-2 update of one triangle (Fortran order, upper): half of the work of two products.
    half = score.G[np.ix_(c, units)] - known @ (A / 2)
    left = score.G[np.ix_(units, units)].T
    total = np.diag(left).copy()
    left = linalg.blas.dsyr2k(-1.0, A.T, half.T, beta=1.0, c=left, overwrite_c=1)
    variance = np.maximum(np.diag(left), 0.0)
    missed = (score.mean - fit.mean)[units] - (score.mean[c] - fit.mean[c]) @ A
    squares = variance + score.n * missed**2
    if definition == "reference":
        # The chunk reconstructs itself up to the ridge; what the difference leaves of it is rounding.
        left[c], left[:, c], variance[c], squares[c] = 0.0, 0.0, 0.0, 0.0
        spread = np.sqrt(variance / score.n)
        shares = np.abs(np.triu(left / score.n, 1)) / (np.outer(spread, spread) + _REFERENCE_EPSILON)
        return Residuals(units, squares, total, float(shares.sum() * 2 / (width * (width - 1))), 0)
    some = variance > EXACT * total
    scale = np.zeros(len(units))
    scale[some] = 1 / np.sqrt(variance[some])
    np.abs(left, out=left)
    count = int(some.sum())
    pairs = count * (count - 1)
    mean = (scale @ linalg.blas.dsymv(1.0, left, scale) - count) / pairs if pairs else 0.0
    return Residuals(units, squares, total, float(mean), len(units) - count)
