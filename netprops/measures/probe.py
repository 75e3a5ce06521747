"""Linear probes: how well a readout that is trained on given features alone performs.

Words: N samples, n features, C classes; a *probe* is multinomial logistic regression with intercept on
features that are standardised by their mean and deviation over the training samples. It minimises the mean
cross-entropy plus *strength* / 2 times the squared norm of its weights, the intercept's apart; for two
classes these are the weights of their log odds. Scikit-learn's C is 1 / (strength N). *Feature performance*
FP is the probe's accuracy on test samples.

The best weights are one answer, whatever finds them. What makes the way there long is that features are
correlated: so weights are counted along a Cholesky factor of (G / N) p + strength I, where G are the second
moments of the features and p the mean of the predicted p (1 - p) at the start: about the Hessian there.

Source: Duzgun et al. 2024, How does overparameterization affect features?, definition 2.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize, special
from scipy.linalg import blas

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.measures.blocks import Features, Floats, Rows, Table, in_blocks
from netprops.measures.moments import varies
from netprops.measures.span import seeds_and_samples
from netprops.measures.threads import serial_if_small
from netprops.statistics import share_interval

# What the default chooses from: from next to no penalty to one above any curvature of a feature's own loss.
STRENGTHS = tuple(float(10.0**power) for power in range(-5, 1))
# Share of the training samples that chooses the strength.
_HELD_OUT = 0.2
# Norm of the gradient over that of the penalty's gradient at convergence: as the objective curves as much as
# the penalty at least, the weights are then within this share of the best ones.
_TOLERANCE = 1e-4
# What is accepted where steps no longer change the loss in its last digit, after so many starts: the accuracy
# of a probe whose weights are within a hundredth of the best ones is theirs to 1e-3.
_ROUGH, _STARTS = 1e-2, 3
# A penalty's gradient below this is as good as none, as for features that tell nothing.
_ROUNDING = 1e-9
_MOST_ITERATIONS = 3000
# Steps that L-BFGS remembers.
_MEMORY = 20
# Standardised features of this many numbers (256 MB) are kept as float64; more are read again at every step.
_KEPT = 1 << 25


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Probe:
    """A trained probe's performance.

    Args:
        accuracy: Share of test samples that are classified correctly, with Wilson's interval over them.
        correct: (N',) bool, of each test sample.
        train_accuracy: Share of the training samples.
        strength: Of the penalty.
        iterations: Steps of the last training.
        gradient: Norm of the gradient over that of the penalty's gradient at its end: at most that share of
            the weights is missing.
        dead_features: Features that are constant over the training samples; dropped.
    """

    accuracy: Measurement
    correct: NDArray[np.bool_]
    train_accuracy: float
    strength: float
    iterations: int
    gradient: float
    dead_features: int


def linear_probe(
    features: Features,
    labels: ArrayLike,
    test_features: Features,
    test_labels: ArrayLike,
    *,
    strength: float | Sequence[float] = STRENGTHS,
    rng: np.random.Generator,
    name: str = "FP",
) -> Probe:
    """Return the performance of a linear probe on some features.

    Args:
        features: (N, n) training features, float32 or float64, or several such arrays side by side; memmaps
            are read in blocks of rows.
        labels: (N,) class of every training sample, of at least two: integers, or -1 and +1.
        test_features: (N', n) features of test samples.
        test_labels: (N',) their classes.
        strength: Of the penalty; of several the one with the smallest cross-entropy on a fifth of the
            training samples, held out, after which the probe is trained on all of them.
        rng: Source of the samples that are held out. Equal generators hold out equal samples.
        name: Name of the measurement.

    Returns:
        The accuracy, whose interval is over test samples, for these training samples.

    Raises:
        MeasurementError: If shapes do not fit, there is one class, a test label is none of the training
            labels, all features are constant, a feature is not finite, or the training does not converge.
        UsageError: If a strength is not positive.
    """
    x = Table(features, test_features, name=name, what="features")
    classes, targets = _classes(labels, test_labels, x.lengths, name)
    grid = sorted({float(one) for one in np.atleast_1d(np.asarray(strength, dtype=np.float64))}, reverse=True)
    if not grid or not all(math.isfinite(one) and one > 0 for one in grid):
        raise UsageError(f"{name}: the strength of a penalty is a positive number, got {strength}")
    samples = x.lengths[0]
    held = np.zeros(samples, dtype=np.bool_)
    if len(grid) > 1:
        held[rng.permutation(samples)[: round(_HELD_OUT * samples)]] = True
        if not held.any():
            raise MeasurementError(f"{name}: {samples} training samples are too few to hold some out")
    with serial_if_small(samples * x.shape[1] * max(len(classes), x.shape[1])):
        problem = _Problem(x, targets, len(classes), name)
        chosen, start = _choose(problem, grid, held) if len(grid) > 1 else (grid[0], problem.zero())
        weights, iterations, gradient = problem.train(np.full(samples, 1 / samples), chosen, start)
        correct = problem.correct(weights, test=True)
        train_accuracy = float(problem.correct(weights, test=False).mean())
    return Probe(
        accuracy=share_interval(
            correct,
            name=name,
            n_of="test samples",
            how="accuracy of a linear probe trained to convergence; Wilson interval over test samples",
            details={
                "features": x.shape[1],
                "dead_features": int((~problem.live).sum()),
                "classes": len(classes),
                "train_samples": samples,
                "strength": chosen,
                "iterations": iterations,
            },
        ),
        correct=correct,
        train_accuracy=train_accuracy,
        strength=chosen,
        iterations=iterations,
        gradient=gradient,
        dead_features=int((~problem.live).sum()),
    )


class _Problem:
    """Standardised training features, their classes, and the trainings of probes on them."""

    def __init__(self, x: Table, targets: Rows, classes: int, name: str) -> None:
        self._x, self._targets, self._name = x, targets, name
        self._classes, self._samples = classes, x.lengths[0]
        n = x.shape[1]
        # About the first sample, so that a constant's mean is the constant without rounding.
        self._mean, self._scale = x.take(np.arange(1))[0], np.ones(n)
        total = sum((z.sum(axis=0) for _, z in self._blocks(self._samples)), np.zeros(n))
        self._mean = self._mean + total / self._samples
        gram = np.zeros((n, n), order="F")
        for _, z in self._blocks(self._samples):
            gram = blas.dsyrk(1.0, z.T, beta=1.0, c=gram, overwrite_c=1)
        squares = np.diag(gram)
        self.live = varies(self._samples, self._mean, squares)
        if not self.live.any():
            raise MeasurementError(
                f"{name}: all {n} features are constant over the {self._samples} training samples"
            )
        self._scale = np.sqrt(np.divide(self._samples, squares, out=np.zeros(n), where=self.live))
        gram *= self._scale
        gram *= self._scale[:, None]
        gram /= self._samples
        self._gram = gram
        self._kept: list[tuple[slice, Floats]] | None = None
        if self._samples * n <= _KEPT:
            self._kept = list(self._blocks(self._samples))

    def _blocks(self, end: int, start: int = 0) -> Iterator[tuple[slice, Floats]]:
        """Yield consecutive rows and their standardised features."""
        for rows in in_blocks(np.arange(start, end), self._x.shape[1]):
            z = self._x.take(rows)
            z -= self._mean
            z *= self._scale
            yield slice(int(rows[0]), int(rows[-1]) + 1), z

    def _training(self) -> Iterator[tuple[slice, Floats]]:
        return self._blocks(self._samples) if self._kept is None else iter(self._kept)

    def zero(self) -> Floats:
        """Return (n + 1, C) weights of 0; the last row holds the intercepts."""
        return np.zeros((self._x.shape[1] + 1, self._classes))

    def train(self, shares: Floats, strength: float, start: Floats) -> tuple[Floats, int, float]:
        """Return weights, steps, and the norm of the gradient over that of the penalty's.

        Args:
            shares: (N,) weight of each training sample in the mean cross-entropy; they add up to 1.
            strength: Of the penalty.
            start: (n + 1, C) weights to start from.
        """
        # Two columns of opposite weights are half of the log odds' each: twice the penalty makes it theirs.
        penalty = 2 * strength if self._classes == 2 else strength
        curvature = self._curvature(shares, start)
        hessian = self._gram * curvature
        np.fill_diagonal(hessian, np.diag(hessian) + penalty)
        U = linalg.cholesky(hessian, overwrite_a=True, check_finite=False)
        width = math.sqrt(curvature)
        left = math.inf

        def weights_at(point: Floats) -> Floats:
            along = point.reshape(start.shape)
            inner = linalg.solve_triangular(U, along[:-1], check_finite=False)
            return np.concatenate([inner, along[-1:] / width])

        def loss(point: Floats) -> tuple[float, Floats]:
            nonlocal left
            weights = weights_at(point)
            slope = penalty * weights
            slope[-1] = 0.0
            size = float(np.linalg.norm(slope))
            value = size**2 / (2 * penalty)
            for some, z in self._training():
                logits = z @ weights[:-1]
                logits += weights[-1]
                true = (np.arange(len(logits)), self._targets[some])
                logits -= logits.max(axis=1, keepdims=True)
                value -= float(shares[some] @ logits[true])
                np.exp(logits, out=logits)
                total = logits.sum(axis=1)
                value += float(shares[some] @ np.log(total))
                logits *= (shares[some] / total)[:, None]
                logits[true] -= shares[some]
                slope[:-1] += z.T @ logits
                slope[-1] += logits.sum(axis=0)
            left = float(np.linalg.norm(slope)) / max(size, _ROUNDING)
            inner = linalg.solve_triangular(U, slope[:-1], trans=1, check_finite=False)
            return value, np.concatenate([inner, slope[-1:] / width]).ravel()

        def near(intermediate_result: optimize.OptimizeResult) -> None:
            if left <= _TOLERANCE:
                raise StopIteration

        place, steps = np.concatenate([U @ start[:-1], start[-1:] * width]).ravel(), 0
        for _ in range(_STARTS):
            found = optimize.minimize(
                loss,
                place,
                jac=True,
                method="L-BFGS-B",
                callback=near,
                options={
                    "maxiter": _MOST_ITERATIONS,
                    "maxfun": 2 * _MOST_ITERATIONS,
                    "maxcor": _MEMORY,
                    "gtol": 0.0,
                    "ftol": 0.0,
                },
            )
            place, steps = found.x, steps + int(found.nit)
            if left <= _TOLERANCE or steps >= _MOST_ITERATIONS:
                break
        if left > _ROUGH:
            raise MeasurementError(
                f"{self._name}: the probe did not converge: after {steps} steps at strength {strength:g} "
                f"the norm of the gradient is {left:.2g} of that of the penalty's, expected {_ROUGH:g} "
                f"at most; a larger strength converges sooner"
            )
        return weights_at(place), steps, left

    def _curvature(self, shares: Floats, weights: Floats) -> float:
        """Return the mean of p (1 - p) over samples and classes: 1 / C - 1 / C^2 of weights of zero."""
        total = 0.0
        for some, z in self._training():
            p = special.softmax(z @ weights[:-1] + weights[-1], axis=1)
            total += float(shares[some] @ (p * (1 - p)).mean(axis=1))
        return max(total, 1e-12)

    def held_out_loss(self, held: NDArray[np.bool_], weights: Floats) -> float:
        """Return the mean cross-entropy over some of the training samples."""
        total = 0.0
        for some, z in self._training():
            logs = special.log_softmax(z @ weights[:-1] + weights[-1], axis=1)
            total -= float(logs[np.arange(len(logs)), self._targets[some]] @ held[some])
        return total / int(held.sum())

    def correct(self, weights: Floats, *, test: bool) -> NDArray[np.bool_]:
        """Return which of the training or the test samples are classified correctly."""
        rows = self._blocks(len(self._x), self._samples) if test else self._training()
        return np.concatenate(
            [(z @ weights[:-1] + weights[-1]).argmax(axis=1) == self._targets[some] for some, z in rows]
        )


def _choose(problem: _Problem, grid: Sequence[float], held: NDArray[np.bool_]) -> tuple[float, Floats]:
    """Return the strength of the smallest held-out loss and the weights that it gave, to start from.

    Strengths fall, each training starts from the one before, and the search ends where the loss rises.
    """
    shares = ~held / float((~held).sum())
    weights, best, chosen = problem.zero(), math.inf, (grid[0], problem.zero())
    for strength in grid:
        weights, _, _ = problem.train(shares, strength, weights)
        loss = problem.held_out_loss(held, weights)
        if loss > best:
            break
        best, chosen = loss, (strength, weights)
    return chosen


def mean_accuracy(probes: Sequence[Probe], *, name: str) -> Measurement:
    """Return the mean accuracy of probes on the same test samples, with an interval over probes and samples.

    Args:
        probes: One a seed.
        name: Name of the measurement.

    Raises:
        MeasurementError: If there is none, or they were tested on different numbers of samples.
    """
    return _averaged([one.correct.astype(np.float64) for one in probes], name, "mean accuracy of probes")


def accuracy_gap(first: Sequence[Probe], second: Sequence[Probe], *, name: str) -> Measurement:
    """Return how much more accurate the first probes are, paired by seed and by test sample.

    Args:
        first: One a seed.
        second: Their partners, in the same order.
        name: Name of the measurement.

    Raises:
        MeasurementError: If there is no pair, or they were tested on different numbers of samples.
    """
    if len(first) != len(second):
        raise MeasurementError(f"{name}: {len(first)} and {len(second)} probes cannot be paired")
    rows = [
        np.subtract(a.correct, b.correct, dtype=np.float64)
        for a, b in zip(first, second, strict=True)
        if len(a.correct) == len(b.correct)
    ]
    if len(rows) < len(first):
        raise MeasurementError(f"{name}: paired probes were tested on different samples")
    return _averaged(rows, name, "mean difference in accuracy of paired probes")


def _averaged(rows: Sequence[Floats], name: str, how: str) -> Measurement:
    if not rows or len({len(row) for row in rows}) > 1:
        raise MeasurementError(f"{name}: expected probes that were tested on the same samples")
    table = np.stack(rows)
    means = table.mean(axis=1)
    return seeds_and_samples(means, table - means[:, None], name=name, how=how)


def _classes(
    labels: ArrayLike, test_labels: ArrayLike, lengths: Sequence[int], name: str
) -> tuple[NDArray[np.generic], Rows]:
    """Return the C classes, and the number of its class for every training and test sample."""
    train, test = np.asarray(labels), np.asarray(test_labels)
    if (train.shape, test.shape) != ((lengths[0],), (lengths[1],)):
        raise MeasurementError(
            f"{name}: labels {train.shape} and test labels {test.shape} do not fit features of {lengths[0]} "
            f"and {lengths[1]} samples"
        )
    classes = np.unique(train)
    if len(classes) < 2:
        raise MeasurementError(f"{name}: all {len(train)} training samples are of class {classes[0]}")
    known = np.isin(test, classes)
    if not known.all():
        raise MeasurementError(
            f"{name}: test label {test[known.argmin()]} is none of the training labels {classes.tolist()}"
        )
    return classes, np.searchsorted(classes, np.concatenate([train, test]))
