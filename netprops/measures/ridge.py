"""Ridge regressions from many regressors to many targets, of every strength at the price of one.

Words: X (N, n) *regressors*, Y (N, m) *targets*, both about their means over the rows to *fit* on; *scale*
(n,) is one over a regressor's standard deviation there, and 0 for a *dead* one, which is constant there. With
S = diag(scale), G = S X'X S and its eigenvectors V and eigenvalues v, all coefficients of *strength* s are

    A = W diag(1 / (v + s)) B,    W = S V,    B = W' X'Y,

so that one decomposition serves every strength and every target. The *loss* of a strength on other rows
follows from their moments about the same means, H = W'X'X W and K = W'X'Y: a sum over targets with weights w
of squared residuals is sum w y'y - 2 d'diag(B w K') + d'(H * B w B')d with d = 1 / (v + s), whose cost does
not depend on the rows or the targets.

The intercept is not penalised, and regressors count by their standard deviation. All is float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg
from scipy.linalg import blas

from netprops.errors import MeasurementError
from netprops.measures.blocks import Floats, Rows, Table, in_blocks
from netprops.measures.moments import varies


@dataclass(frozen=True, slots=True, eq=False)
class Joint:
    """Second moments of regressors and targets over some rows, about given points.

    Args:
        n: Number of rows.
        x: (n,) sum of the regressors' deviations.
        y: (m,) sum of the targets' deviations.
        G: (n, n) sum of products of the regressors' deviations; the upper triangle alone.
        cross: (n, m) sum of products of deviations of regressors and targets.
        squares: (m,) sum of squared deviations of the targets.
    """

    n: int
    x: Floats
    y: Floats
    G: Floats
    cross: Floats
    squares: Floats

    @classmethod
    def of(cls, x: Table, y: Table, rows: Rows, about: tuple[Floats, Floats]) -> Joint:
        """Return the moments of some rows, read in blocks, about a point of each table."""
        n, m = x.shape[1], y.shape[1]
        # In Fortran order BLAS adds to them in place: no second matrix of this size.
        G, cross = np.zeros((n, n), order="F"), np.zeros((n, m), order="F")
        sum_x, sum_y, squares = np.zeros(n), np.zeros(m), np.zeros(m)
        for some in in_blocks(rows, n + m):
            u, v = x.take(some), y.take(some)
            u -= about[0]
            v -= about[1]
            sum_x += u.sum(axis=0)
            sum_y += v.sum(axis=0)
            squares += np.einsum("ij,ij->j", v, v)
            G = blas.dsyrk(1.0, u.T, beta=1.0, c=G, overwrite_c=1)
            cross = blas.dgemm(1.0, u.T, v.T, trans_b=1, beta=1.0, c=cross, overwrite_c=1)
        return cls(len(rows), sum_x, sum_y, G, cross, squares)

    def centred(self) -> Joint:
        """Return the moments about the means of the rows; takes over the matrices."""
        G = blas.dsyr(-1.0 / self.n, self.x, a=self.G, overwrite_a=1)
        cross = blas.dger(-1.0 / self.n, self.x, self.y, a=self.cross, overwrite_a=1)
        squares = np.maximum(self.squares - self.y**2 / self.n, 0.0)
        return Joint(self.n, np.zeros_like(self.x), np.zeros_like(self.y), G, cross, squares)


@dataclass(frozen=True, slots=True, eq=False)
class Ridge:
    """Regressions from one table to another that were fitted on some rows, of every strength.

    Args:
        n: Rows that were fitted.
        mean_x: (n,) means of the regressors there.
        mean_y: (m,) means of the targets there.
        squares: (m,) sums of the targets' squared deviations there.
        live: (n,) which regressors vary there.
        values: (n,) eigenvalues v; their mean over live regressors is the number of rows.
        W: (n, n) eigenvectors, in the scale of the regressors.
        B: (n, m) targets along the eigenvectors.
    """

    n: int
    mean_x: Floats
    mean_y: Floats
    squares: Floats
    live: NDArray[np.bool_]
    values: Floats
    W: Floats
    B: Floats

    @classmethod
    def fit(cls, x: Table, y: Table, rows: Rows) -> Ridge:
        """Return the regressions that some rows determine.

        Args:
            x: (N, n) regressors.
            y: (N, m) targets.
            rows: Ascending rows to fit on.

        Raises:
            MeasurementError: If all regressors are constant, or a number is not finite.
        """
        # Any point near the means serves: moments about it hardly cancel when they are moved to the means.
        near = next(in_blocks(rows, x.shape[1] + y.shape[1]))
        about = (x.take(near).mean(axis=0), y.take(near).mean(axis=0))
        raw = Joint.of(x, y, rows, about)
        mean_x, mean_y = about[0] + raw.x / raw.n, about[1] + raw.y / raw.n
        joint = raw.centred()
        spread = np.diag(joint.G).copy()
        live = varies(joint.n, mean_x, spread)
        if not live.any():
            raise MeasurementError(
                f"all {len(live)} regressors are constant on the {joint.n} rows to fit on; there is nothing "
                f"to regress on"
            )
        scale = np.zeros(len(live))
        scale[live] = np.sqrt(joint.n / spread[live])
        G = joint.G
        G *= scale
        G *= scale[:, None]
        values, W = linalg.eigh(G, lower=False, overwrite_a=True, check_finite=False, driver="evd")
        W *= scale[:, None]
        B = blas.dgemm(1.0, W, joint.cross, trans_a=1)
        B[:, ~varies(joint.n, mean_y, joint.squares)] = 0.0  # not the rounding of a constant
        return cls(joint.n, mean_x, mean_y, joint.squares, live, np.maximum(values, 0.0), W, B)

    def coefficients(self, strength: float) -> Floats:
        """Return A, (n, m) float64, in units of the targets over units of the regressors."""
        return np.asarray(blas.dgemm(1.0, self.W, self.B / (self.values + strength)[:, None]))

    def residuals(
        self, x: Table, y: Table, rows: Rows, coefficients: Floats
    ) -> Iterator[tuple[Rows, Floats]]:
        """Yield rows and their (b, m) targets minus predictions, block by block."""
        for some in in_blocks(rows, sum(coefficients.shape)):
            u, v = x.take(some), y.take(some)
            u -= self.mean_x
            v -= self.mean_y
            v -= u @ coefficients
            yield some, v

    def losses(self, x: Table, y: Table, rows: Rows, strengths: ArrayLike, weights: Floats) -> Floats:
        """Return the weighted sum over targets of the mean squared residual on some rows.

        Args:
            x: Regressors.
            y: Targets.
            rows: Ascending rows to score on.
            strengths: (S,) positive.
            weights: (m,) not negative.

        Returns:
            (S,) float64, one loss a strength.
        """
        joint = Joint.of(x, y, rows, (self.mean_x, self.mean_y))
        constant, G, cross = float(joint.squares @ weights), joint.G, joint.cross
        del joint  # of the largest matrices each is let go as soon as it has served
        half = blas.dsymm(1.0, G, self.W)
        del G
        H = blas.dgemm(1.0, self.W, half, trans_a=1)
        del half
        K = blas.dgemm(1.0, self.W, cross, trans_a=1)
        del cross
        K *= self.B
        linear = K @ weights
        del K
        H *= blas.dsyrk(1.0, self.B * np.sqrt(weights))  # one triangle; the other is zero
        d = 1 / (self.values + np.asarray(strengths, dtype=np.float64)[:, None])
        square = 2 * np.einsum("sk,sk->s", d @ H, d) - d**2 @ np.diag(H)
        return np.asarray((constant - 2 * d @ linear + square) / len(rows))
