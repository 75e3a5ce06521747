"""Chosen chunks of neurons: the worst of a size, the smallest that interpolates, and how far they overlap.

Words: N samples, W units, C outputs, w chunk size; the error of a chunk is that of
``netprops/measures/chunks.py``: the readout's columns of its units, the whole bias, no rescaling. The *smooth
error* is the mean over samples of 1 - p, p the share of the true class in a softmax of logits / T: a step
that has been rounded, so that it tells which way the errors would go.

A chunk is chosen greedily: one matrix product gives the derivative of the smooth error with respect to every
unit, and the few best of these are tried out. No chunk of the same size is promised to be worse; random ones
are, by far, not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.measures.chunks import chunk_error, error_of

# Units whose step is tried out, the best by derivative; on planted layers more of them find no worse chunk.
_TRIED = 4
# Units whose loss is tried out when a chunk that interpolates shrinks.
_DROPPED = 64
# T as a share of the logits' spread, where errors are sought and where they are to vanish: the few that are
# left before a chunk interpolates need the sharper one. Best of 0.03, 0.1 and 0.3 on planted layers.
_TO_ERR, _TO_HOLD = 0.3, 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstChunk:
    """The worst chunk of a size that a greedy search finds.

    Args:
        neurons: Its units, ascending.
        error: Its error, as a fraction.
        random: Mean error of random chunks of that size.
        difference: Error of the worst chunk minus that mean.
    """

    neurons: tuple[int, ...]
    error: Measurement
    random: Measurement
    difference: Measurement


def adversarial_chunk(
    features: NDArray[np.float32],
    weight: ArrayLike,
    bias: ArrayLike,
    labels: ArrayLike,
    size: int,
    *,
    draws: int = 200,
    rng: np.random.Generator,
) -> WorstChunk:
    """Return a chunk with as many errors as a greedy search finds, beside random chunks of its size.

    Up to half of the layer, units are added to none; beyond, they are taken away from all.

    Args:
        features: (N, W) float32; may be a memmap.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        size: w, in 1..W.
        draws: Random chunks to compare with.
        rng: Source of the random chunks.

    Returns:
        The chunk; the intervals are over the random chunks, for this network and these samples.

    Raises:
        MeasurementError: If shapes disagree, a label is not one of the readout's, a feature is not finite or
            there are fewer than two draws.
        UsageError: If there is no chunk of that size.
    """
    walk = _Walk(features, weight, bias, labels)
    width = len(walk.inside)
    if not 1 <= size <= width:
        raise UsageError(f"a chunk of a layer of {width} units has 1..{width} neurons, got size={size}")
    by_chance = chunk_error(features, weight, bias, labels, sizes=[size], draws=draws, rng=rng)
    if 2 * size > width:
        walk.take_all()
    while walk.count != size:
        walk.step(add=walk.count < size, better=False)
    chosen = walk.neurons
    error = error_of(features, weight, bias, labels, chosen)
    random, replicates = by_chance.at(size).named(f"error of random chunks of {size}"), by_chance.replicates
    return WorstChunk(
        neurons=chosen,
        error=Measurement.exact(
            f"error of the worst chunk of {size}",
            error,
            n=1,
            n_of="chunk",
            how="greedy search by the smooth error",
            details={"largest_of_random_chunks": None if replicates is None else float(replicates.max())},
        ),
        random=random,
        difference=Measurement(
            name=f"error of the worst chunk of {size} minus that of random ones",
            value=error - random.value,
            low=error - random.high,
            high=error - random.low,
            standard_error=random.standard_error,
            df=random.df,
            n=random.n,
            n_of=random.n_of,
            how="greedy search against random chunks; the interval is that of the random ones",
        ),
    )


def smallest_interpolating_chunk(
    features: NDArray[np.float32],
    weight: ArrayLike,
    bias: ArrayLike,
    labels: ArrayLike,
    *,
    threshold: float = 0.005,
) -> tuple[tuple[int, ...], Measurement]:
    """Return few neurons that interpolate, chosen greedily: how many suffice where w* random ones do.

    Units are added until the error is at most the threshold, then taken away for as long as it stays so.

    Args:
        features: (N, W) float32, of the training set; may be a memmap.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        threshold: Error at which the training set counts as interpolated, as for w*.

    Returns:
        The neurons, ascending, and their number: an upper bound of the least number.

    Raises:
        MeasurementError: As :func:`adversarial_chunk`, or if the search finds no chunk that interpolates.
    """
    walk = _Walk(features, weight, bias, labels)
    while walk.error() > threshold:
        if walk.inside.all():
            raise MeasurementError(
                f"smallest interpolating chunk: none was found with an error of at most {threshold:g}; the "
                f"layer's own is {walk.error():.4g}: the training set is not interpolated"
            )
        walk.step(add=True, better=True)
    while walk.drop(threshold):
        pass
    chosen = walk.neurons
    return chosen, Measurement.exact(
        "neurons of the smallest interpolating chunk",
        len(chosen),
        n=1,
        n_of="chunk",
        unit="neurons",
        how="greedy search by the smooth error: added, then taken away",
        details={
            "threshold": threshold,
            "error": error_of(features, weight, bias, labels, chosen),
            "neurons": " ".join(map(str, chosen)),
        },
    )


def overlap(
    chunks: Sequence[Sequence[int]], width: int, *, rng: np.random.Generator, draws: int = 2000
) -> Measurement:
    """Return by how much chunks overlap more than independent uniform ones of their sizes.

    Args:
        chunks: Units of each chunk, at least two chunks of one layer or of layers whose units correspond.
        width: W.
        rng: Source of independent chunks.
        draws: Number of sets of independent chunks.

    Returns:
        Mean Jaccard index over pairs, common units over units of either, minus its expectation under the
        hypergeometric law. The interval is that of independent chunks about the value: it holds 0 where the
        overlap may be chance. ``details`` has both parts and a two-sided p-value.

    Raises:
        MeasurementError: If there are fewer than two chunks, or one is empty.
        UsageError: If a chunk has a unit twice or one that does not exist.
    """
    sets = [np.unique(np.asarray(one, dtype=np.intp)) for one in chunks]
    if len(sets) < 2 or not all(len(one) for one in sets):
        raise MeasurementError(
            f"overlap: at least two chunks with a neuron each are needed, got sizes {[len(s) for s in sets]}"
        )
    for one, given in zip(sets, chunks, strict=True):
        if len(one) != len(given) or not 0 <= one[0] <= one[-1] < width:
            raise UsageError(f"a chunk is distinct units of 0..{width - 1}, got {list(given)}")
    sizes = np.array([len(one) for one in sets])
    inside = np.zeros((len(sets), width), dtype=np.float32)
    for row, one in zip(inside, sets, strict=True):
        row[one] = 1
    found = _mean_jaccard(inside, sizes)
    expected = float(np.mean([_by_chance(int(a), int(b), width) for a, b in combinations(sizes, 2)]))
    null = np.empty(draws)
    for i in range(draws):
        null[i] = _mean_jaccard(np.stack([rng.permutation(row) for row in inside]), sizes)
    excess, away = found - expected, null - expected
    low, high = np.quantile(away, [0.025, 0.975])
    rarer = int((np.abs(away) >= abs(excess) - 1e-12).sum())
    return Measurement(
        name="overlap of chunks beyond chance",
        value=excess,
        low=min(excess - float(high), excess),
        high=max(excess - float(low), excess),
        standard_error=float(away.std(ddof=1)),
        n=len(sets),
        n_of="chunks",
        how="mean Jaccard index over pairs minus its expectation; interval from independent uniform chunks",
        details={"jaccard": found, "expected": expected, "p_value": (1 + rarer) / (1 + draws)},
    )


def _mean_jaccard(inside: NDArray[np.float32], sizes: NDArray[np.intp]) -> float:
    """Return the mean Jaccard index over pairs of the rows of (chunks, W) indicators."""
    pairs = np.triu_indices(len(sizes), 1)
    common = (inside @ inside.T)[pairs]
    return float((common / (sizes[pairs[0]] + sizes[pairs[1]] - common)).mean())


def _by_chance(a: int, b: int, width: int) -> float:
    """Return the expected Jaccard index of two independent uniform chunks of a and b units."""
    ways = math.comb(width, b)
    return sum(
        math.comb(a, k) * math.comb(width - a, b - k) / ways * k / (a + b - k)
        for k in range(max(0, a + b - width), min(a, b) + 1)
    )


class _Walk:
    """A chunk on its way: its logits are kept while units come and go. Class- and unit-major for speed."""

    def __init__(
        self, features: NDArray[np.float32], weight: ArrayLike, bias: ArrayLike, labels: ArrayLike
    ) -> None:
        width = features.shape[1] if np.ndim(features) == 2 else 0
        error_of(features, weight, bias, labels, np.arange(width))  # checks all of them
        self.rows = np.ascontiguousarray(np.asarray(features, dtype=np.float32).T)
        columns: NDArray[np.float32] = np.asarray(weight, dtype=np.float32)
        start: NDArray[np.float32] = np.asarray(bias, dtype=np.float32)
        truth = np.asarray(labels)
        if len(start) == 1:  # one output is two classes, of which one has the negative logit
            columns, start, truth = np.vstack([-columns, columns]), np.r_[-start, start], truth > 0
        samples = self.rows.shape[1]
        self.columns = columns
        self.logits: NDArray[np.float32] = np.repeat(start[:, None], samples, axis=1)
        self.inside = np.zeros(width, dtype=np.bool_)
        self.true = (truth.astype(np.intp), np.arange(samples))
        squares = (self.columns**2).mean(axis=0) @ np.einsum("wn,wn->w", self.rows, self.rows)
        self.unit = math.sqrt(float(squares) / (samples * width))

    @property
    def count(self) -> int:
        """Number of units of the chunk."""
        return int(self.inside.sum())

    @property
    def neurons(self) -> tuple[int, ...]:
        """The chunk, ascending."""
        return tuple(np.flatnonzero(self.inside).tolist())

    def take_all(self) -> None:
        """Make the chunk the whole layer."""
        self.inside[:] = True
        self.logits += self.columns @ self.rows

    def error(self) -> float:
        """Return the chunk's error; a tie is one."""
        return self._wrong(self.logits)

    def step(self, *, add: bool, better: bool) -> None:
        """Add or take away the unit that lowers the smooth error most, or raises it most."""
        temperature = self._temperature(_TO_HOLD if better else _TO_ERR)
        tried = self._ranked(add, better, temperature)[:_TRIED]
        smooth = [-float(self._own(self._moved(unit, add), temperature).mean()) for unit in tried]
        self._move(tried[int(np.argmin(smooth) if better else np.argmax(smooth))], add)

    def drop(self, threshold: float) -> bool:
        """Take away one of the units that matter least, if the error stays within the threshold."""
        tried = self._ranked(False, True, self._temperature(_TO_HOLD))[:_DROPPED]
        errors = [self._wrong(self._moved(unit, add=False)) for unit in tried]
        if not errors or min(errors) > threshold:
            return False
        self._move(tried[int(np.argmin(errors))], add=False)
        return True

    def _ranked(self, add: bool, better: bool, temperature: float) -> list[int]:
        """Return the units to add or take away, by the derivative of the smooth error."""
        share = self._softmax(self.logits, temperature)
        slope = share * share[self.true]  # of the smooth error, times the temperature
        slope[self.true] -= share[self.true]
        gain = ((slope @ self.rows.T) * self.columns).sum(axis=0)
        order = np.argsort(gain if add == better else -gain, kind="stable")
        return [int(unit) for unit in order[self.inside[order] != add]]

    def _temperature(self, share: float) -> float:
        return max(self.unit, share * math.sqrt(float(self.logits.var(axis=0).mean()))) or 1.0

    def _softmax(self, logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
        scaled = np.exp((logits - logits.max(axis=0)) * np.float32(1 / temperature))
        return np.asarray(scaled / scaled.sum(axis=0))

    def _own(self, logits: NDArray[np.float32], temperature: float) -> NDArray[np.float32]:
        """Return (N,) shares of the true class in the softmax."""
        over = np.minimum((logits - logits[self.true]) * np.float32(1 / temperature), np.float32(80))
        return np.asarray(1 / np.exp(over).sum(axis=0))

    def _wrong(self, logits: NDArray[np.float32]) -> float:
        others = logits.copy()
        others[self.true] = -np.inf
        return float((others.max(axis=0) >= logits[self.true]).mean())

    def _moved(self, unit: int, add: bool) -> NDArray[np.float32]:
        change = self.columns[:, unit, None] * self.rows[unit]
        return np.asarray(self.logits + change if add else self.logits - change)

    def _move(self, unit: int, add: bool) -> None:
        self.logits, self.inside[unit] = self._moved(unit, add), add
