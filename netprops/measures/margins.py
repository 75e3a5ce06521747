"""Margins of a layer's answers, and the error of random chunks that follows from them.

Words: N samples, W units, C outputs, w chunk size. A *lead* is the logit of the true class minus that of a
*rival*, y f for a single output; the *margin* is the smallest lead: positive where the answer is right. A
unit *contributes* to a lead its feature times the difference of its readout weights.

A chunk of w of W units, without rescaling, leads by the difference of the biases plus the sum of its units'
contributions. Over random chunks that sum has w/W of the layer's as its mean and the variance
w (1 - w/W) S^2, where S^2 is the variance of the W contributions with divisor W - 1: a sample without
replacement from a finite population. Scaled up by W/w, the noise has the variance W^2 S^2 u with
u = 1/w - 1/W. So t = margin / (W S) is the margin in units of the noise at u = 1. With q its density over the
samples, one rival and no bias, and for small u,

    excess error = sqrt(u) integral_0^inf Phi(-z) (q(sqrt(u) z) - q(-sqrt(u) z)) dz
                 ~ sqrt(u / (2 pi)) (q(0+) - q(0-)) + (u / 4) (q'(0+) + q'(0-)).

Where right answers alone reach the boundary, q(0-) = 0, the first term decides: an exponent of 1/2. Where
right and wrong answers are equally dense there, it vanishes: an exponent of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.measures.chunks import error_of
from netprops.measures.chunks import sizes as chunk_sizes
from netprops.statistics import t_quantile

Floats = NDArray[np.float64]

# Samples whose contributions are in memory at a time.
_BLOCK = 512
# Rivals of a sample: those with the largest logits. A chunk that still knows the answer confuses no others.
_RIVALS = 9
# Points of the lattice that integrates over several rivals.
_NODES = 64
_PRIMES = np.array([2, 3, 5, 7, 11, 13, 17, 19, 23])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Margins:
    """Margins at the boundary, and what they say of the error of chunks.

    Args:
        right: q(0+), density of t just above 0, where answers are right.
        wrong: q(0-), density of t just below 0, where answers are wrong.
        asymmetry: (right - wrong) / (right + wrong): 1 where right answers alone reach the boundary, 0 where
            both do so equally.
        exponent: gamma of the predicted excess error in 1/w - 1/W.
        predicted: Predicted error of chunks over their size.
        margin: (N,) t of every sample.
        bandwidth: h, the densities are taken from 0 < t < h and -h < t <= 0.
    """

    right: Measurement
    wrong: Measurement
    asymmetry: Measurement
    exponent: Measurement
    predicted: Curve
    margin: Floats
    bandwidth: float


def predicted_chunk_error(
    features: NDArray[np.float32],
    weight: ArrayLike,
    bias: ArrayLike,
    labels: ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    name: str = "predicted chunk error",
) -> Curve:
    """Return the error of random chunks that margins and their noise predict, without drawing a chunk.

    The leads over at most nine rivals are taken as normal, with the moments that they have over all chunks.
    This holds for chunks of some ten units and more, unless single units decide.

    Args:
        features: (N, W) float32, the last hidden representation; may be a memmap.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        sizes: Chunk sizes; None for those of :func:`netprops.measures.chunks.sizes`.
        name: Name of the curve.

    Returns:
        Expected error as a fraction over w, of this network on these samples: no interval.

    Raises:
        MeasurementError: If shapes disagree, a label is not one of the readout's, or a feature is not finite.
        UsageError: If a size is not between 1 and W.
    """
    layer = _Layer(features, weight, bias, labels)
    return layer.curve(layer.sizes(sizes), name)[0]


def margin_density(
    features: NDArray[np.float32],
    weight: ArrayLike,
    bias: ArrayLike,
    labels: ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    bandwidth: float | None = None,
) -> Margins:
    """Return the density of margins on both sides of the boundary, and the exponent to expect of chunks.

    Args:
        features: (N, W) float32; may be a memmap.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        sizes: Chunk sizes whose exponent is meant; None for W/16 to W/2 in powers of two.
        bandwidth: h, in the unit of t; None for the noise of a chunk of W/4, sqrt(3 / W).

    Returns:
        Densities by the kernel (4 - 6 |t| / h) / h, which a slope of the density does not bias; the exponent
        by least squares in log-log over the sizes, of these samples. All intervals are over samples, by the
        normal approximation, for this network: they say what other samples could show. Sizes whose predicted
        excess is not positive are left out.

    Raises:
        MeasurementError: As :func:`predicted_chunk_error`, or if a layer has fewer than four units.
        UndeterminedError: If no margin lies within the bandwidth, or fewer than two sizes have an excess.
        UsageError: If a size is not between 1 and W, or the bandwidth is not positive.

    Source:
        The expansion above is ours; Doimo et al. 2022, Fig. 3, for the exponent of 1/2.
    """
    layer = _Layer(features, weight, bias, labels)
    width = layer.width
    if width < 4:
        raise MeasurementError(f"margins: a layer of {width} units has too few chunks; at least 4 are needed")
    h = math.sqrt(3 / width) if bandwidth is None else bandwidth
    if not h > 0:
        raise UsageError(f"the bandwidth of margins is positive, got {h:g}")
    wanted = layer.sizes(
        [size for size in chunk_sizes(width) if 16 * size >= width > size] if sizes is None else sizes
    )
    predicted, flips, t = layer.curve(wanted, "predicted chunk error")
    kernel = np.where(np.abs(t) < h, (4 - 6 * np.abs(t) / h) / h, 0.0)
    right, wrong = np.where(t > 0, kernel, 0.0), np.where(t <= 0, kernel, 0.0)
    total = float(kernel.mean())
    if total <= 0:
        raise UndeterminedError(
            f"margins: too few of {len(t)} samples lie within {h:.3g} of the boundary to tell their density; "
            "give more samples or a larger bandwidth"
        )
    how = f"boundary kernel of bandwidth {h:.3g}, normal approximation over samples"
    difference = float((right - wrong).mean()) / total
    return Margins(
        right=_over_samples("density of right answers at the boundary", right, how),
        wrong=_over_samples("density of wrong answers at the boundary", wrong, how),
        asymmetry=_over_samples(
            "asymmetry of margins at the boundary",
            difference + (right - wrong - difference * kernel) / total,
            how,
        ),
        exponent=_exponent(flips - (t <= 0)[:, None], np.array(wanted, dtype=np.float64), width),
        predicted=predicted,
        margin=t,
        bandwidth=h,
    )


def _exponent(excess: Floats, sizes: Floats, width: int) -> Measurement:
    """Return the slope of the log mean excess (N, P) over log u, with an interval over samples."""
    mean = excess.mean(axis=0)
    kept = (mean > 0) & (sizes < width)
    if kept.sum() < 2:
        raise UndeterminedError(
            f"margins: {int(kept.sum())} of {len(sizes)} chunk sizes have a predicted error above that of "
            "the layer; two are needed for an exponent"
        )
    log_u = np.log(1 / sizes[kept] - 1 / width)
    slope = (log_u - log_u.mean()) / ((log_u - log_u.mean()) ** 2).sum()
    value = float(slope @ np.log(mean[kept]))
    return _over_samples(
        "exponent expected from margins",
        value + (excess[:, kept] / mean[kept] - 1) @ slope,
        "least squares in log-log of the predicted excess over 1/w - 1/W; delta method over samples",
    )


def _over_samples(name: str, values: Floats, how: str) -> Measurement:
    """Return the mean of (N,) values, one a sample."""
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values))
    half = t_quantile(0.975, math.inf) * error
    return Measurement(
        name=name,
        value=mean,
        low=mean - half,
        high=mean + half,
        standard_error=error,
        n=len(values),
        n_of="samples",
        how=how,
    )


class _Layer:
    """A layer with readout and labels, whose leads are gone through in blocks of samples."""

    def __init__(
        self, features: NDArray[np.float32], weight: ArrayLike, bias: ArrayLike, labels: ArrayLike
    ) -> None:
        every = np.arange(features.shape[1] if np.ndim(features) == 2 else 0)
        error_of(features, weight, bias, labels, every)  # checks all of them
        self.features, self.labels, self.width = features, np.asarray(labels), len(every)
        self.weight, self.bias = np.asarray(weight, dtype=np.float64), np.asarray(bias, dtype=np.float64)

    def sizes(self, wanted: Sequence[int] | None) -> tuple[int, ...]:
        """Return ascending chunk sizes."""
        if wanted is None:
            return chunk_sizes(self.width, smallest=min(2, self.width))
        ordered = tuple(sorted({int(size) for size in wanted}))
        if not ordered or ordered[0] < 1 or ordered[-1] > self.width:
            raise UsageError(
                f"chunk sizes lie in 1..{self.width}, the units of the layer; got {list(wanted)}"
            )
        return ordered

    def curve(self, wanted: tuple[int, ...], name: str) -> tuple[Curve, Floats, Floats]:
        """Return the predicted error, the (N, P) chances of each sample to be wrong, and (N,) t."""
        starts = range(0, len(self.features), _BLOCK)
        parts = [self._block(slice(start, start + _BLOCK), np.array(wanted)) for start in starts]
        flips, t = (np.concatenate(part) for part in zip(*parts, strict=True))
        curve = Curve.plain(
            name,
            [float(size) for size in wanted],
            flips.mean(axis=0).tolist(),
            x_name="chunk size w (neurons)",
            y_name="error (fraction)",
            n=len(flips),
            n_of="samples",
            how="normal approximation of the leads over random chunks; for this network and these samples",
        )
        return curve, flips, t

    def _block(self, rows: slice, wanted: NDArray[np.int64]) -> tuple[Floats, Floats]:
        X, y = np.asarray(self.features[rows], dtype=np.float64), self.labels[rows].astype(np.intp)
        by_unit, offset = self._leads(X, y)
        total = by_unit.sum(axis=2)
        centred = by_unit - total[:, :, None] / self.width
        S = centred @ centred.mT / max(self.width - 1, 1)
        margin, nearest = (total + offset).min(axis=1), (total + offset).argmin(axis=1)
        spread = np.sqrt(np.diagonal(S, axis1=1, axis2=2)[np.arange(len(X)), nearest])
        share = wanted / self.width
        flips = np.empty((len(X), len(wanted)))
        flips[:, wanted == self.width] = (margin <= 0)[:, None]
        inside = wanted < self.width
        scale = np.sqrt(wanted * (1 - share))[inside, None]
        mean = (total[:, None] * share[inside, None] + offset[:, None]) / scale
        flips[:, inside] = 1 - _all_positive(mean, S)
        return flips, margin / np.maximum(self.width * spread, 1e-300)

    def _leads(self, X: Floats, y: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """Return (n, R, W) contributions to the leads over R rivals, and (n, R) bias differences."""
        if len(self.bias) == 1:
            signs = y.astype(np.float64)[:, None]
            return (X * self.weight[0] * signs)[:, None], self.bias[0] * signs
        logits = X @ self.weight.T + self.bias
        logits[np.arange(len(X)), y] = -np.inf
        rivals = np.argsort(-logits, axis=1)[:, : min(_RIVALS, len(self.bias) - 1)]
        return (
            (self.weight[y][:, None] - self.weight[rivals]) * X[:, None],
            self.bias[y][:, None] - self.bias[rivals],
        )


def _all_positive(mean: Floats, S: Floats) -> Floats:
    """Return (n, P) chances that all of R normal leads are positive.

    Args:
        mean: (n, P, R) means.
        S: (n, R, R) covariances.

    Source:
        Genz 1992, Journal of Computational and Graphical Statistics 1, 141-149: one lead after the other,
        each given that those before it are positive, integrated over a lattice.
    """
    rivals = S.shape[-1]
    least = 1e-12 * np.trace(S, axis1=1, axis2=2) / rivals + 1e-300
    if rivals == 1:
        return np.asarray(special.ndtr(mean[:, :, 0] / np.sqrt(S[:, 0] + least[:, None])))
    L = np.linalg.cholesky(S + least[:, None, None] * np.eye(rivals))
    nodes = np.modf(np.outer(np.arange(1, _NODES + 1), np.sqrt(_PRIMES[:rivals])))[0]
    chance = np.ones((*mean.shape[:2], _NODES))
    drawn = np.zeros((*mean.shape[:2], _NODES, rivals))
    for r in range(rivals):
        known = np.einsum("npgs,ns->npg", drawn[..., :r], L[:, r, :r])
        positive = special.ndtr((mean[:, :, r, None] + known) / L[:, r, r, None, None])
        chance *= positive
        drawn[..., r] = -special.ndtri(np.maximum(positive * nodes[:, r], 1e-300))
    return np.asarray(chance.mean(axis=2))
