"""Perfect clones that resemble a layer: its shared signal plus independent noise, as second moments.

Words: W live units in two random halves; the *signal* of a unit is its ridge prediction from the half that it
does not belong to; its *noise* has the variance that this prediction leaves on samples it was not fitted on,
less what the other half's own noise contributes. Features that half of the layer sees in the other half are
signal, whatever the network uses them for: a noise that all units share is one more feature, and only what
fewer units share, or what so few units cannot see, is correlation beyond the clones.

No sample is generated: Gaussian noise enters through its second moments, drawn from their exact distribution.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from netprops.measures.moments import Moments
from netprops.measures.threads import over_threads

Floats = NDArray[np.float64]

# Ridge strengths tried, as shares of the largest eigenvalue; the held-out samples choose.
_STRENGTHS = np.geomspace(1e-12, 1.0, 25)


def surrogates(
    first: Moments, second: Moments, *, count: int, rng: np.random.Generator
) -> list[tuple[Moments, Moments]]:
    """Return moments of surrogate features for two parts of the samples.

    Args:
        first: Moments of one part, of live units only.
        second: Moments of the other part.
        count: Number of surrogates, each with halves and noise of its own; they are fitted on either part in
            turn.
        rng: Source of halves and noise.

    Returns:
        ``count`` pairs of moments, for the first and the second part.
    """
    parts = (first, second)
    roots = over_threads(lambda part: _root(part.G), parts)

    def make(turn: tuple[int, np.random.Generator]) -> tuple[Moments, Moments]:
        i, own = turn
        signal, noise = clone_model(parts[i % 2], parts[1 - i % 2], own)
        made = [_surrogate(part, root, signal, noise, own) for part, root in zip(parts, roots, strict=True)]
        return made[0], made[1]

    return over_threads(make, enumerate(rng.spawn(count)))


def clone_model(fit: Moments, score: Moments, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the linear map to every unit's signal, and the variance of every unit's own noise.

    Args:
        fit: Moments of the samples to fit on.
        score: Moments of the samples that choose the ridge strength and measure the noise.
        rng: Source of the two halves of the units.

    Returns:
        (W, W) map H, so that the signal is (x - mean) H, and (W,) noise variances.
    """
    width = len(fit.mean)
    order = rng.permutation(width)
    halves = (np.sort(order[: width // 2]), np.sort(order[width // 2 :]))
    signal = np.zeros((width, width))
    held_out = np.zeros(width)
    for known, other in (halves, halves[::-1]):
        signal[np.ix_(known, other)], held_out[other] = _predict(fit, score, known, other)
    # What is left of a unit is its own noise plus what passes through the other half's noisy units.
    noise = held_out.copy()
    passed = signal**2
    for _ in range(50):  # a contraction by about (dimension of the signal) / (units of a half)
        noise = np.maximum(held_out - noise @ passed, 0.0)
    return signal, noise


def _predict(
    fit: Moments, score: Moments, known: NDArray[np.intp], other: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Return (known, other) ridge coefficients and held-out residual variances of the best strength."""
    values, vectors = linalg.eigh(fit.G[np.ix_(known, known)])
    rotated = vectors.T @ fit.G[np.ix_(known, other)]
    gram = vectors.T @ score.G[np.ix_(known, known)] @ vectors
    cross = vectors.T @ score.G[np.ix_(known, other)]
    total = np.diag(score.G)[other]

    def left(strength: float) -> tuple[Floats, Floats]:
        A = rotated / (np.maximum(values, 0.0) + strength * values[-1])[:, None]
        return A, total - 2 * (A * cross).sum(axis=0) + (A * (gram @ A)).sum(axis=0)

    best = min(_STRENGTHS, key=lambda strength: float((left(strength)[1] / total).sum()))
    A, squares = left(best)
    return vectors @ A, np.maximum(squares, 0.0) / score.n


def _surrogate(
    part: Moments, root: Floats, signal: Floats, noise: Floats, rng: np.random.Generator
) -> Moments:
    """Return moments of signal plus noise on the samples of one part."""
    spread = np.sqrt(noise)
    rank, width = root.shape[1], len(spread)
    shared = rng.standard_normal((rank, width))
    crossed = signal.T @ (root @ shared) * spread
    own = shared.T @ shared + _wishart(part.n - 1 - rank, width, rng)
    G = signal.T @ part.G @ signal + crossed + crossed.T + own * np.outer(spread, spread)
    mean = part.mean @ signal + spread * rng.standard_normal(width) / np.sqrt(part.n)
    return Moments(part.n, mean, G)


def _root(G: Floats) -> Floats:
    """Return R (W, rank) with R R' = G: for noise E, X'E given X is distributed as R times a Gaussian."""
    values, vectors = linalg.eigh(G)
    kept = values > len(values) * np.finfo(np.float64).eps * values[-1]
    return np.asarray(vectors[:, kept] * np.sqrt(values[kept]))


def _wishart(samples: int, width: int, rng: np.random.Generator) -> Floats:
    """Return second moments of independent standard Gaussians; ``samples`` may be below ``width``."""
    if samples < width:
        drawn = rng.standard_normal((max(samples, 0), width))
        return drawn.T @ drawn
    from scipy import stats  # slow to import, and at a pytest start nothing is drawn

    return np.asarray(stats.wishart.rvs(df=samples, scale=np.eye(width), random_state=rng))
