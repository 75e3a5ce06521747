"""What chunks of planted clones should come to, by theory and without a measurement.

Words: as in ``netprops/planted.py``; n (K,) counts the copies of each feature in a chunk. Seen through a
chunk, feature k is known up to noise of variance sigma^2 / n_k, and the best linear guess of all features
leaves the covariance P = (S^-1 + diag(n) / sigma^2)^-1, S being their covariance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from netprops.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """What is known of a layer of clones with independent noise of the activations.

    Args:
        of: (W,) the feature that each neuron copies.
        weight: (C, W) readout weights.
        noise: sigma, standard deviation of a copy's noise; positive.
        signal: (N, K) features of each split.
        labels: (N,) labels of each split.
    """

    of: NDArray[np.intp]
    weight: Floats
    noise: float
    signal: Mapping[Any, Floats]
    labels: Mapping[Any, NDArray[Any]]

    def reconstruction(
        self, sizes: Sequence[int], *, rng: np.random.Generator, draws: int = 400
    ) -> tuple[Floats, Floats]:
        """Return R2 and mean residual correlation on the test set, as the default definition has them.

        Args:
            sizes: P chunk sizes.
            rng: Source of the chunks' counts.
            draws: Counts to average over.

        Returns:
            (P,) R2 and (P,) mean absolute correlation of the residuals outside the chunk. Both know that the
            coefficients come from one half of the samples, n of them: residual variances grow by
            (n + 1)(n - 2) / n(n - w - 2), and correlations scatter with variance 1/n + w / (n + w)^2.
        """
        n = len(self.signal["test"]) // 2
        S = np.atleast_2d(np.cov(self.signal["test"].T))
        copies = np.bincount(self.of, minlength=len(S))
        inverse, own = np.linalg.inv(S), self.noise**2
        r2, correlation = np.empty(len(sizes)), np.empty(len(sizes))
        for i, w in enumerate(sizes):
            inside = rng.multivariate_hypergeometric(copies, w, size=draws)
            outside = (copies - inside).astype(np.float64)
            P = np.linalg.inv(inverse + inside[:, :, None] * np.eye(len(S)) / own)
            left = own + np.diagonal(P, axis1=1, axis2=2)
            grown = (n + 1) * (n - 2) / (n * (n - w - 2))
            r2[i] = np.mean(1 - grown * (outside * left).sum(axis=1) / (outside @ (own + np.diag(S))))
            pairs = outside[:, :, None] * outside[:, None, :] - outside[:, :, None] * np.eye(len(S))
            rho = P / np.sqrt(left[:, :, None] * left[:, None, :])
            scatter = np.sqrt(1 / n + w / (n + w) ** 2)
            correlation[i] = np.mean(
                (pairs * _folded(rho, scatter)).sum(axis=(1, 2)) / pairs.sum(axis=(1, 2))
            )
        return r2, correlation

    def chunk_error(self, split: str, sizes: Sequence[int]) -> Floats:
        """Return the expected error of chunks, for one output.

        A chunk's output has the mean (w/W) s. Its variance is that of a sample of the copies without
        replacement, w (1 - w/W) times their variance with divisor W - 1, plus w times a neuron's own noise.

        Args:
            split: ``"train"`` or ``"test"``.
            sizes: P chunk sizes.

        Returns:
            (P,) expected errors as fractions, in the normal approximation.

        Raises:
            UsageError: If there are several outputs.
        """
        if len(self.weight) != 1:
            raise UsageError("the expected error of chunks is known for one output only")
        width = len(self.of)
        by_neuron = self.signal[split][:, self.of] * self.weight[0]
        output, spread = by_neuron.sum(axis=1), by_neuron.var(axis=1, ddof=1)
        own = self.noise**2 * float(np.mean(self.weight[0] ** 2))
        errors = []
        for w in sizes:
            deviation = np.sqrt(w * (1 - w / width) * spread + w * own)
            errors.append(special.ndtr(-self.labels[split] * output * (w / width) / deviation).mean())
        return np.array(errors)


def _folded(mean: Floats, deviation: float) -> Floats:
    """Return the expected absolute value of normal variables."""
    ratio = mean / (deviation * np.sqrt(2))
    return np.asarray(deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2)) + mean * special.erf(ratio))
