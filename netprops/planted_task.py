"""Inputs, features and labels of planted layers, and what the labels are like near the boundary.

Words: N samples, C outputs, K *feature functions* of an input of d dimensions. The *boundary* is where two
answers are equally good, a sample's *clearance* its distance from there, in standard deviations of the noise
of one neuron.

Where a law of the chunks' error comes from: a chunk of w of W neurons, scaled up, has the layer's logits plus
noise of variance proportional to 1/w - 1/W. Samples with a gap around the boundary are not touched by small
noise. Where right answers alone reach the boundary, the excess error goes with the standard deviation of the
noise: exponent 1/2. Where right and wrong ones do so equally, the first order cancels: exponent 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from netprops.errors import UsageError

if TYPE_CHECKING:
    from netprops.subject import SplitName

Floats = NDArray[np.float64]
Boundary = Literal["gap", "one-sided", "symmetric"]

# Exponent of the chunks' excess error in 1/w - 1/W.
EXPONENTS: dict[Boundary, float | None] = {"gap": None, "one-sided": 0.5, "symmetric": 1.0}
# Noise of symmetric labels, in standard deviations of the lead: larger than that of a chunk that is fitted.
_LABEL_NOISE = 1.0


class Samples(NamedTuple):
    """The samples of one split.

    Args:
        inputs: (N, d) standard normal.
        signal: (N, K) the feature functions, tanh of projections of the inputs.
        labels: (N,) int64 classes, or float32 -1 and 1.
    """

    inputs: Floats
    signal: Floats
    labels: NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Inputs, K feature functions of them and labels: what the layers of one family share.

    Args:
        features: K, at least 2.
        inputs: d; with d >= K the projections are orthonormal and the features independent.
        outputs: C; 1 for labels -1 and 1.
        n_train: Training samples.
        n_test: Test samples.
        train_boundary: What the training samples are like near the boundary. ``"gap"``: none is near, and the
            answers are right, so that the training set can be interpolated. ``"one-sided"``: the answers are
            right up to the boundary. ``"symmetric"``: labels are noisy, and close to the boundary as often
            wrong as right.
        boundary: The same of the test samples.
        clear: With a gap, the share of the drawn inputs, those with the largest clearance, that become
            samples. With one half, w* is about 4 K for K = 4 and 6 K for K = 8.
        seed: Of inputs, features and labels.

    Raises:
        UsageError: If a number is out of range or a boundary is unknown.
    """

    features: int = 8
    inputs: int = 32
    outputs: int = 1
    n_train: int = 600
    n_test: int = 600
    train_boundary: Boundary = "gap"
    boundary: Boundary = "gap"
    clear: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.features < 2 or min(self.inputs, self.outputs, self.n_train, self.n_test) < 1:
            raise UsageError(
                "a task needs two features and one input, output and sample, got "
                f"features={self.features}, inputs={self.inputs}, outputs={self.outputs}, "
                f"n_train={self.n_train}, n_test={self.n_test}"
            )
        if not 0 < self.clear <= 1:
            raise UsageError(f"a task keeps a share of its inputs in (0, 1], got clear={self.clear:g}")
        for boundary in (self.train_boundary, self.boundary):
            if boundary not in EXPONENTS:
                raise UsageError(f"a boundary is 'gap', 'one-sided' or 'symmetric', got {boundary!r}")

    @cached_property
    def directions(self) -> Floats:
        """(d, K) projections of norm 1."""
        drawn = np.random.default_rng([self.seed, 0]).standard_normal((self.inputs, self.features))
        if self.inputs >= self.features:
            return np.linalg.qr(drawn)[0]
        return np.asarray(drawn / np.linalg.norm(drawn, axis=0))

    @cached_property
    def weight(self) -> Floats:
        """(C, K) readout of the features: rows of norm 1."""
        drawn = np.random.default_rng([self.seed, 3]).standard_normal((self.outputs, self.features))
        return np.asarray(drawn / np.linalg.norm(drawn, axis=1, keepdims=True))

    @cached_property
    def splits(self) -> Mapping[SplitName, Samples]:
        """The samples of both splits."""
        return {
            "train": self._drawn(1, self.n_train, self.train_boundary),
            "test": self._drawn(2, self.n_test, self.boundary),
        }

    def _drawn(self, purpose: int, n: int, boundary: Boundary) -> Samples:
        rng = np.random.default_rng([self.seed, purpose])
        inputs = rng.standard_normal((math.ceil(n / self.clear) if boundary == "gap" else n, self.inputs))
        signal = np.tanh(inputs @ self.directions)
        # One output is two classes, of which one has the negative logit.
        classes = np.vstack([-self.weight, self.weight]) if self.outputs == 1 else self.weight
        if boundary == "gap":
            kept = np.sort(np.argsort(-_clearance(signal, classes), kind="stable")[:n])
            inputs, signal = inputs[kept], signal[kept]
        logits = signal @ classes.T
        best, second = np.argsort(-logits, axis=1)[:, :2].T
        if boundary == "symmetric":
            lead = np.take_along_axis(logits, np.stack([best, second], axis=1), axis=1) @ [1, -1]
            best = np.where(_wrong(lead, rng.random()), second, best)
        labels = (2 * best - 1).astype(np.float32) if self.outputs == 1 else best
        return Samples(inputs, signal, labels)


def _clearance(signal: Floats, classes: Floats) -> Floats:
    """Return (N,) the smallest lead of the best class, in standard deviations of one neuron's lead."""
    logits = signal @ classes.T
    best = logits.argmax(axis=1)
    found = np.full(len(signal), np.inf)
    for rival, row in enumerate(classes):
        by_feature = (classes[best] - row) * signal
        lead = by_feature.sum(axis=1) / np.sqrt(signal.shape[1] * (by_feature**2).sum(axis=1) + 1e-300)
        found = np.where(best == rival, found, np.minimum(found, lead))
    return found


def _wrong(lead: Floats, start: float) -> NDArray[np.bool_]:
    """Return (N,) which answers to make wrong: half of them at no lead, fewer with more.

    They are picked systematically along the lead: on every stretch the wrong ones are as many as expected up
    to one, so that few samples show what the law of many is.
    """
    order = np.argsort(lead, kind="stable")
    expected = np.cumsum(special.ndtr(-lead[order] / (_LABEL_NOISE * lead.std())))
    wrong = np.zeros(len(lead), dtype=bool)
    wrong[order] = np.diff(np.floor(expected + start), prepend=np.floor(start)) > 0
    return wrong
