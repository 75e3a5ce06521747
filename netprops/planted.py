"""Layers that are built instead of trained, so that the truth about their clones is known.

Words: N samples, W neurons, C outputs; a *task* is what all layers of one family share: inputs, K feature
functions of them, labels. The seed of a layer draws its neurons alone. A *copy* of a feature is a neuron that
equals it up to *noise*. Of :func:`clones` the claims about clones hold; of each of the others, some must not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netprops.errors import UsageError
from netprops.planted_task import EXPONENTS, Boundary, Samples, Task
from netprops.planted_truth import Truth
from netprops.subject import Readout, SplitName, error_share, generator, logits_of

__all__ = [
    "Boundary",
    "Planted",
    "Task",
    "Truth",
    "clones",
    "correlated",
    "distributed",
    "duplicates",
    "untrained",
]

Floats = NDArray[np.float64]

_SPLITS: dict[SplitName, int] = {"train": 1, "test": 2}


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Planted:
    """A layer with its readout and data, which answers what a trained network's Subject answers about them.

    Args:
        id: ASCII, such as ``planted-clones-w512-s0``.
        width: W, neurons of the layer.
        seed: Of the neurons.
        readout: Weight (C, W) and bias (C,), float32.
        layers: Features (N, W) float32 of each split.
        answers: Labels (N,) of each split.
        exponent: Of the chunks' excess error on the test set in 1/w - 1/W, where theory gives one.
        truth: What chunks should come to, where it can be computed.
    """

    id: str
    width: int
    seed: int
    readout: Readout
    layers: Mapping[SplitName, NDArray[np.float32]]
    answers: Mapping[SplitName, NDArray[Any]]
    exponent: float | None = None
    truth: Truth | None = None

    features_layer = "planted"
    variant: str | None = None

    def __repr__(self) -> str:
        return f"<Planted {self.id}>"

    @property
    def family(self) -> str:
        """The id without width and seed."""
        return self.id.rpartition("-w")[0]

    @property
    def factor(self) -> float:
        """The width."""
        return float(self.width)

    def features(self, split: SplitName, layer: str | None = None) -> NDArray[np.float32]:
        """Return the features (N, W) float32 of a split, read-only.

        Raises:
            UsageError: If there is no such split, or another layer than this one is asked for.
        """
        if layer not in (None, self.features_layer):
            raise UsageError(f"{self.id} has one layer, {self.features_layer!r}, and no {layer!r}")
        if split not in self.layers:
            raise UsageError(f"there is no split {split!r}; expected 'train' or 'test'")
        return self.layers[split]

    def logits(self, split: SplitName) -> NDArray[np.float32]:
        """Return the outputs (N, C) float32 for a split."""
        return logits_of(self.features(split), self.readout)

    def labels(self, split: SplitName) -> NDArray[Any]:
        """Return the labels (N,) of a split: int64 classes, or float32 -1 and 1."""
        self.features(split)
        return self.answers[split]

    def error(self, split: SplitName) -> float:
        """Return the share of a split that is answered wrongly; a single output of exactly 0 is wrong."""
        return error_share(self.logits(split), self.labels(split))

    def measured(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return the result of a measure; nothing of a planted layer is kept."""
        return measure()

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator for one purpose: the same for the same id, whoever asks and when."""
        return generator(self.id, purpose)


def clones(
    width: int,
    *,
    task: Task | None = None,
    seed: int = 0,
    noise: float = 0.05,
    where: Literal["activation", "weights"] = "activation",
    balanced: bool = True,
) -> Planted:
    """Return a layer of W copies of K features, each with noise of its own.

    A feature's readout weight is divided over its copies. With enough of them the training set is
    interpolated, by every chunk of at least w*, and a chunk gives the other copies back up to their noise.

    Args:
        width: W, at least K.
        task: Inputs, features and labels; None for the plain one.
        seed: Of the copies and their noise.
        noise: Standard deviation of a copy's noise. Features have one of 0.63.
        where: ``"activation"``: noise is independent for every neuron and sample. ``"weights"``: it is
            independent in every neuron's incoming weights, of that standard deviation before the tanh. All
            neurons then see their noise through the same d inputs, and residuals are as independent as random
            directions in d dimensions are: correlated by about d^-1/2.
        balanced: Whether every feature has equally many copies, so that the layer's own output is that of the
            features but for the noise and chunks differ from it like samples of a finite population. If not,
            each neuron draws its feature, and the layer is itself a sample of an infinite population, with
            an error of its own.

    Raises:
        UsageError: If the layer is narrower than K, or does not interpolate a training set with a gap.
    """
    task = task or Task()
    of = _copied(task, width, seed, balanced)
    share = np.bincount(of, minlength=task.features)[of] if balanced else width / task.features
    weight = task.weight[:, of] / share
    if where == "weights":
        own = _rng(task, seed, 4).standard_normal((task.inputs, width)) / math.sqrt(task.inputs)
        incoming = task.directions[:, of] + noise * own
        return _built("weight-clones", task, seed, weight, lambda _, one: np.tanh(one.inputs @ incoming))
    if where != "activation":
        raise UsageError(f"the noise of clones is in 'activation' or 'weights', got {where!r}")

    def layer(split: SplitName, one: Samples) -> Floats:
        drawn = _rng(task, seed, 10 + _SPLITS[split]).standard_normal((len(one.signal), width))
        return np.asarray(one.signal[:, of] + noise * drawn)

    truth = Truth(
        of=of,
        weight=weight,
        noise=noise,
        signal={split: one.signal for split, one in task.splits.items()},
        labels={split: one.labels for split, one in task.splits.items()},
    )
    return _built("clones" if balanced else "drawn-clones", task, seed, weight, layer, truth)


def correlated(
    width: int,
    *,
    task: Task | None = None,
    seed: int = 0,
    noise: float = 0.05,
    shared: float = 0.5,
    directions: int | None = None,
) -> Planted:
    """Return clones whose noise has a part in common: copies, but not independent ones.

    Args:
        width: W, at least K.
        task: As for :func:`clones`.
        seed: Of the copies and their noise.
        noise: Standard deviation of a copy's noise.
        shared: Share of the noise's variance that is common.
        directions: Dimension of the common part, which every neuron sees with random weights; None for
            W // 4. A chunk of many more neurons than directions sees them as it sees features: a noise in one
            direction that all neurons share is one more feature, and no residual tells them apart.

    Raises:
        UsageError: As :func:`clones`, or if the share or the number of directions is impossible.
    """
    task = task or Task()
    count = max(1, width // 4) if directions is None else directions
    if not 0 <= shared <= 1 or count < 1:
        raise UsageError(f"shared lies in 0..1 and directions from 1 on, got {shared:g} and {count}")
    of = _copied(task, width, seed, balanced=True)
    mixing = _rng(task, seed, 5).standard_normal((count, width)) / math.sqrt(count)

    def layer(split: SplitName, one: Samples) -> Floats:
        rng = _rng(task, seed, 10 + _SPLITS[split])
        own = rng.standard_normal((len(one.signal), width))
        common = rng.standard_normal((len(one.signal), count)) @ mixing
        return np.asarray(
            one.signal[:, of] + noise * (math.sqrt(shared) * common + math.sqrt(1 - shared) * own)
        )

    weight = task.weight[:, of] / np.bincount(of)[of]
    return _built("correlated", task, seed, weight, layer)


def duplicates(
    width: int, *, task: Task | None = None, seed: int = 0, noise: float = 0.05, distinct: int = 32
) -> Planted:
    """Return exact copies of the neurons of a narrow layer of clones: redundancy without a new measurement.

    A chunk that holds one copy of each distinct neuron gives the layer back exactly, with no residual; the
    error of the layer is that of the narrow one, however wide it is.

    Args:
        width: W, at least ``distinct``.
        task: As for :func:`clones`.
        seed: Of the narrow layer.
        noise: Standard deviation of the narrow layer's noise.
        distinct: Neurons of the narrow layer.

    Raises:
        UsageError: As :func:`clones`, or if the layer is narrower than the narrow one.
    """
    task = task or Task()
    if width < distinct:
        raise UsageError(f"a layer of {width} neurons cannot hold {distinct} distinct ones")
    narrow = clones(distinct, task=task, seed=seed, noise=noise)
    twin = _rng(task, seed, 6).permutation(np.arange(width) % distinct)
    weight = narrow.readout.weight[:, twin] / np.bincount(twin)[twin]
    return _built("duplicates", task, seed, weight, lambda split, _: narrow.features(split)[:, twin])


def distributed(
    width: int, *, outputs: int = 1, n_train: int = 600, n_test: int = 600, seed: int = 0
) -> Planted:
    """Return a layer of W independent features without copies, whose labels need all of them.

    Labels are the layer's own answers: it interpolates. The logits of a chunk have a correlation of
    sqrt(w / W) with the layer's, so that with C = 1 its error is arccos(sqrt(w / W)) / pi.

    Args:
        width: W.
        outputs: C; 1 for labels -1 and 1.
        n_train: Training samples.
        n_test: Test samples.
        seed: Of features and readout.
    """
    rng = np.random.default_rng([seed, 7])
    readout = Readout(
        rng.standard_normal((outputs, width)).astype(np.float32), np.zeros(outputs, dtype=np.float32)
    )
    sizes: dict[SplitName, int] = {"train": n_train, "test": n_test}
    layers = {
        split: _frozen(rng.standard_normal((n, width)).astype(np.float32)) for split, n in sizes.items()
    }
    answers: dict[SplitName, NDArray[Any]] = {}
    for split, layer in layers.items():
        logits = logits_of(layer, readout)
        own = np.where(logits[:, 0] > 0, 1, -1).astype(np.float32) if outputs == 1 else logits.argmax(axis=1)
        answers[split] = own
    return Planted(
        id=f"planted-distributed-w{width}-s{seed}",
        width=width,
        seed=seed,
        readout=readout,
        layers=layers,
        answers=answers,
    )


def untrained(width: int, *, task: Task | None = None, seed: int = 0) -> Planted:
    """Return random features of a task's inputs with a random readout: a network before its training.

    Args:
        width: W.
        task: As for :func:`clones`.
        seed: Of features and readout.
    """
    task = task or Task()
    rng = _rng(task, seed, 8)
    incoming = rng.standard_normal((task.inputs, width)) / math.sqrt(task.inputs)
    weight = rng.standard_normal((task.outputs, width)) / math.sqrt(width)
    return _built(
        "untrained",
        task,
        seed,
        weight,
        lambda _, one: np.tanh(one.inputs @ incoming),
        interpolates=False,
    )


def _rng(task: Task, seed: int, purpose: int) -> np.random.Generator:
    """Return the generator of one purpose of a layer's seed; layers of different tasks share nothing."""
    return np.random.default_rng([task.seed, seed, purpose])


def _copied(task: Task, width: int, seed: int, balanced: bool) -> NDArray[np.intp]:
    """Return (W,) which feature every neuron copies."""
    if width < task.features:
        raise UsageError(f"a layer of {width} neurons cannot copy {task.features} features")
    rng = _rng(task, seed, 9)
    return (
        rng.permutation(np.arange(width) % task.features)
        if balanced
        else rng.integers(0, task.features, width)
    )


def _frozen(layer: NDArray[np.float32]) -> NDArray[np.float32]:
    layer.flags.writeable = False
    return layer


def _built(
    kind: str,
    task: Task,
    seed: int,
    weight: NDArray[np.floating],
    layer: Callable[[SplitName, Samples], NDArray[np.floating]],
    truth: Truth | None = None,
    *,
    interpolates: bool = True,
) -> Planted:
    """Return a layer from its readout's weight and what it makes of samples; its id tells what differs."""
    at_boundary = "" if task.boundary == "gap" else f"-{task.boundary}"
    of_task = f"-t{task.seed}" if task.seed else ""
    built = Planted(
        id=f"planted-{kind}{at_boundary}{of_task}-w{weight.shape[1]}-s{seed}",
        width=weight.shape[1],
        seed=seed,
        readout=Readout(weight.astype(np.float32), np.zeros(len(weight), dtype=np.float32)),
        layers={split: _frozen(layer(split, one).astype(np.float32)) for split, one in task.splits.items()},
        answers={split: one.labels for split, one in task.splits.items()},
        exponent=EXPONENTS[task.boundary],
        truth=truth,
    )
    if interpolates and task.train_boundary == "gap" and built.error("train"):
        raise UsageError(
            f"{built.id} does not interpolate its training set: error {built.error('train'):.2%}; "
            "give it more neurons or less noise"
        )
    return built
