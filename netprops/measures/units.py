"""The unit census: what each unit of a layer is good for.

Words: N samples, n units, C outputs. A unit is *silent* where it is 0 for all samples, *constant* where it
has another value for all of them; *redundant* where a linear combination of the other units gives it, up to a
share of its variance; *blocked* where its ablation alone changes no prediction, else *functional*. Every unit
is of exactly one kind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.ablation import Readout, predictions
from netprops.measures.moments import Moments

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

KINDS = ("silent", "constant", "redundant functional", "redundant blocked", "blocked", "rest")

# Numbers of logits that are looked at together: 8 MB.
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Census:
    """The kind of every unit of a layer.

    Args:
        kinds: (n,) int64, places in :data:`KINDS`.
        samples: N, on which the kinds were found.
        explained: Share of a unit's variance from which the other units make it redundant.
    """

    kinds: NDArray[np.int64]
    samples: int
    explained: float

    @property
    def counts(self) -> dict[str, int]:
        """Number of units of every kind, in the order of :data:`KINDS`; they add up to n."""
        found = np.bincount(self.kinds, minlength=len(KINDS))
        return {kind: int(count) for kind, count in zip(KINDS, found, strict=True)}

    def share(self, kind: str) -> Measurement:
        """Return the share of units of one kind, a fact about this network and these samples.

        Raises:
            UsageError: If there is no such kind.
        """
        if kind not in KINDS:
            raise UsageError(f"{kind!r} is no kind of unit; there are {', '.join(map(repr, KINDS))}")
        return Measurement.exact(
            f"share of units: {kind}",
            self.counts[kind] / len(self.kinds),
            n=self.samples,
            n_of="samples",
            how=f"unit census; redundant from {self.explained:.0%} of the variance on",
            details={"units": len(self.kinds)},
        )


def census(
    activations: NDArray[Any], blocked: ArrayLike, *, explained: float = 0.95, name: str = "unit census"
) -> Census:
    """Return the kind of every unit of any layer.

    Args:
        activations: (N, n) of a floating type; may be a memmap, read in blocks of rows.
        blocked: (n,) bool, whether ablating the unit alone changes no prediction.
        explained: A unit is redundant where the other units linearly explain at least this share of its
            variance, in (0, 1]; the share is adjusted for the number of units. Both of two copies are
            redundant.
        name: What is measured, for errors.

    Raises:
        MeasurementError: If shapes do not fit or an activation is not finite.
        UndeterminedError: If there are fewer than two samples for every unit that varies: so many units
            explain anything.
        UsageError: If ``explained`` is not in (0, 1].

    Source:
        The paper on robustness and redundancy, section 2, (i) to (v); the paper names no thresholds.
    """
    if not 0 < explained <= 1:
        raise UsageError(f"{name}: explained is a share of variance in (0, 1], got {explained}")
    without_effect = np.asarray(blocked)
    if activations.ndim != 2 or not activations.size or without_effect.shape != activations.shape[1:]:
        raise MeasurementError(
            f"{name}: activations {activations.shape} and blocked {without_effect.shape} do not fit; "
            f"expected (N, n) and (n,)"
        )
    if without_effect.dtype != np.bool_:
        raise MeasurementError(f"{name}: blocked is {without_effect.dtype}, expected bool, one a unit")
    moments = Moments.of(activations)
    varies = moments.live
    living = int(varies.sum())
    if living and moments.n < 2 * living:
        raise UndeterminedError(
            f"{name}: {moments.n} samples for {living} units that vary; at least {2 * living} are needed to "
            f"say which of them the others explain"
        )
    redundant = np.zeros(len(varies), dtype=bool)
    redundant[varies] = _explained(moments.take(np.flatnonzero(varies))) >= explained - 1e-9
    silent = ~varies & (moments.mean == 0)
    kinds = np.select(
        [silent, ~varies, redundant & ~without_effect, redundant, without_effect],
        range(len(KINDS) - 1),
        default=len(KINDS) - 1,
    )
    return Census(kinds.astype(np.int64), moments.n, explained)


def last_layer_census(
    features: NDArray[Any], weight: ArrayLike, bias: ArrayLike, *, explained: float = 0.95
) -> Census:
    """Return the kind of every unit of the last hidden layer.

    Args:
        features: (N, n) of a floating type; may be a memmap.
        weight: (C, n) readout weights.
        bias: (C,) readout bias.
        explained: As in :func:`census`.

    Raises:
        MeasurementError: As :func:`census`.
        UndeterminedError: As :func:`census`.
        UsageError: As :func:`census`.
    """
    return census(features, last_layer_blocked(features, weight, bias), explained=explained)


def last_layer_blocked(features: NDArray[Any], weight: ArrayLike, bias: ArrayLike) -> Bools:
    """Return which units of the last hidden layer change no prediction when ablated alone.

    Args:
        features: (N, n) of a floating type; may be a memmap.
        weight: (C, n) readout weights.
        bias: (C,) readout bias.

    Returns:
        (n,) bool, for these samples.

    Raises:
        MeasurementError: If shapes do not fit or a number is not finite.
    """
    readout = Readout(features, weight, bias, "blocked units")
    outputs, units = readout.weight.shape
    blocked = np.ones(units, dtype=bool)
    step = max(1, _BLOCK // (outputs * max(units, 64)))
    for part in readout.blocks(step):
        logits = part @ readout.weight.T + readout.bias
        intact = predictions(logits)
        left = np.flatnonzero(blocked)
        reduced = logits[:, None] - part[:, left, None] * readout.weight.T[left]
        blocked[left] = (predictions(reduced) == intact[:, None]).all(axis=0)
    return blocked


def _explained(moments: Moments) -> Floats:
    """Return the adjusted share of every unit's variance that all others explain, from second moments.

    What is left of unit i is 1 / (R^-1)_ii of its variance, R being the correlations; where R is singular,
    eigenvalues below rounding count as rounding.
    """
    if not len(moments.mean):
        return np.zeros(0)
    scale = 1 / np.sqrt(np.diag(moments.G))
    values, vectors = np.linalg.eigh(moments.G * np.outer(scale, scale))
    floor = len(values) * np.finfo(np.float64).eps * values[-1]
    left = 1 / ((vectors**2) @ (1 / np.maximum(values, floor)))
    return np.asarray(1 - left * (moments.n - 1) / (moments.n - len(values)))
