"""Error of random subsets of the last layer's neurons: the readout sees a chunk, and nothing else.

Words: N samples, W units of the last hidden layer, C outputs; a *chunk* is a set of w units picked uniformly
without replacement; its *logits* are the readout's columns for those units and the whole bias, without
rescaling. A *draw* is one permutation of the units, whose prefixes are its chunks: each is a uniform subset,
and one pass over the permuted units serves every size. A *tile* is a block of samples of one label, stored
unit-major (W, n), small enough to stay in a core's cache while all draws pass over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.replicates import mean_bands
from netprops.statistics import mean_interval

if TYPE_CHECKING:
    import torch

# Floats of a tile (1 MB) and of the rows gathered from it at a time (4 MB): together they stay in the second
# and third level of cache; measured best among powers of two at N = 10,000, W = 512, C = 10.
_TILE = 1 << 18
_GATHERED = 1 << 20


def sizes(width: int, per_octave: int = 1, smallest: int = 2) -> tuple[int, ...]:
    """Return chunk sizes in a geometric series down from the whole layer.

    Args:
        width: W, units of the layer.
        per_octave: Sizes for every factor of two; 1 gives W // powers of two.
        smallest: No size is below this one.

    Returns:
        Strictly increasing sizes; the last is ``width``.

    Raises:
        UsageError: If an argument is not positive, or ``smallest`` exceeds ``width``.

    Example:
        >>> sizes(20)
        (2, 5, 10, 20)
    """
    if per_octave < 1 or not 1 <= smallest <= width:
        raise UsageError(
            f"chunk sizes need per_octave >= 1 and 1 <= smallest <= width, "
            f"got per_octave={per_octave}, smallest={smallest}, width={width}"
        )
    found = set()
    step = 0
    while (size := _fraction(width, step, per_octave)) >= smallest:
        found.add(size)
        step += 1
    return tuple(sorted(found))


def chunk_error(
    features: NDArray[np.float32],
    weight: ArrayLike,
    bias: ArrayLike,
    labels: ArrayLike,
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 500,
    rng: np.random.Generator,
    name: str = "chunk error",
) -> Curve:
    """Return the error of random chunks of the last layer over their size.

    Args:
        features: (N, W) float32, the last hidden representation; may be a memmap.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        sizes: Chunk sizes; None for :func:`sizes` of W.
        draws: Permutations of the units.
        rng: Source of the permutations.
        name: Name of the curve.

    Returns:
        Error as a fraction in [0, 1] over w, with pointwise intervals over draws; ``replicates`` is
        (draws, sizes). Predictions are those of :func:`error_of` but for logits that are equal up to
        rounding. With C = 1 the prediction is the sign of the output, and an output of 0 is an error.

    Raises:
        MeasurementError: If shapes disagree, a label is not one of the readout's, a feature is not finite or
            there are fewer than two draws.
        UsageError: If a size is not between 1 and W.

    Source:
        Doimo et al. 2022, Fig. 2 and 3.
    """
    readout = _Readout(features, weight, bias, labels, name)
    width = features.shape[1]
    wanted = _checked(sizes, width)
    if draws < 2:
        raise MeasurementError(f"{name}: an interval needs at least two draws, got {draws}")
    order = np.stack([rng.permutation(width) for _ in range(draws)])
    replicates = _count_errors(readout, order, wanted) / len(features)
    low, high = mean_bands(replicates, rng)
    return Curve(
        name=name,
        x=np.array(wanted, dtype=np.float64),
        y=replicates.mean(axis=0),
        low=low,
        high=high,
        x_name="chunk size w (neurons)",
        y_name="error (fraction)",
        n=draws,
        n_of="permutations",
        replicates=replicates,
        how="mean over nested random chunks, percentile bootstrap over whole "
        "permutations; for this network and these samples",
        details={"samples": len(features), "width": width},
    )


def error_of(
    features: NDArray[np.float32], weight: ArrayLike, bias: ArrayLike, labels: ArrayLike, neurons: ArrayLike
) -> float:
    """Return the error of one given chunk, by index and multiply.

    Args:
        features: (N, W) float32.
        weight: (C, W) readout weights.
        bias: (C,) readout bias.
        labels: (N,) class indices, or -1 and +1 where C is 1.
        neurons: (w,) distinct unit indices.

    Returns:
        Share of samples that the chunk predicts wrongly, in [0, 1].

    Raises:
        MeasurementError: As :func:`chunk_error`.
        UsageError: If an index is repeated or does not exist.
    """
    readout = _Readout(features, weight, bias, labels, "error of a chunk")
    chosen = np.asarray(neurons, dtype=np.intp).reshape(-1)
    width = features.shape[1]
    if len(np.unique(chosen)) != len(chosen) or (
        len(chosen) and not 0 <= chosen.min() <= chosen.max() < width
    ):
        raise UsageError(f"a chunk is distinct units of 0..{width - 1}, got {chosen.tolist()}")
    logits = np.asarray(features[:, chosen]) @ readout.weight[:, chosen].T + readout.bias
    if not np.isfinite(logits).all():
        raise MeasurementError("error of a chunk: a logit is not finite; the features hold NaN or infinity")
    return float(_wrong(logits, readout.labels).mean())


def ensemble_error(logits: Sequence[ArrayLike], labels: ArrayLike) -> Measurement:
    """Return the error of an ensemble that sums its members' logits.

    Args:
        logits: (N, C) arrays, one a network.
        labels: (N,) class indices, or -1 and +1 where C is 1.

    Returns:
        Error as a fraction in [0, 1]; the interval is a jackknife over the networks.

    Raises:
        MeasurementError: If there are fewer than two networks, or shapes disagree.

    Source:
        Doimo et al. 2022, section 2.3 (error of an infinitely wide network by an ensemble of 20);
        Efron and Stein 1981 (jackknife).
    """
    name = "error of the ensemble"
    members = [np.asarray(one, dtype=np.float64) for one in logits]
    truth = np.asarray(labels)
    if len(members) < 2:
        raise MeasurementError(f"{name}: an interval needs at least two networks, got {len(members)}")
    for one in members:
        if one.ndim != 2 or one.shape != members[0].shape or len(one) != len(truth):
            raise MeasurementError(
                f"{name}: logits of shape {one.shape}, expected {members[0].shape} for {len(truth)} labels"
            )
    total = np.sum(members, axis=0)
    value = float(_wrong(total, truth).mean())
    count = len(members)
    left_out = np.array([_wrong(total - one, truth).mean() for one in members])
    # Jackknife pseudo-values: their mean is biased for so rough a statistic, their spread is what we need.
    spread = mean_interval((count - 1) * (left_out.mean() - left_out) + value, name=name, n_of="networks")
    return Measurement(
        name=name,
        value=value,
        low=max(0.0, spread.low),
        high=min(1.0, spread.high),
        standard_error=spread.standard_error,
        df=spread.df,
        n=count,
        n_of="networks",
        how="summed logits; jackknife over networks, for these samples",
        details={"samples": len(truth)},
    )


class _Readout:
    """Features, readout and labels, checked once."""

    def __init__(
        self, features: NDArray[np.float32], weight: ArrayLike, bias: ArrayLike, labels: ArrayLike, name: str
    ) -> None:
        self.name, self.features = name, features
        self.weight = np.asarray(weight, dtype=np.float32)
        self.bias = np.asarray(bias, dtype=np.float32)
        self.labels = np.asarray(labels)
        if features.ndim != 2 or not features.size:
            raise MeasurementError(
                f"{name}: features need N >= 1 samples of W >= 1 units, got {features.shape}"
            )
        outputs = len(self.bias)
        if self.weight.shape != (outputs, features.shape[1]) or self.labels.shape != (len(features),):
            raise MeasurementError(
                f"{name}: features {features.shape}, weight {self.weight.shape}, bias {self.bias.shape} and "
                f"labels {self.labels.shape} do not fit; expected (N, W), (C, W), (C,) and (N,)"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise MeasurementError(f"{name}: a weight or bias of the readout is not finite")
        allowed = np.array([-1, 1]) if outputs == 1 else np.arange(outputs)
        strange = ~np.isin(self.labels, allowed)
        if strange.any():
            at = int(np.flatnonzero(strange)[0])
            raise MeasurementError(
                f"{name}: label {self.labels[at]} of sample {at}; a readout of {outputs} outputs "
                f"expects {'-1 or +1' if outputs == 1 else f'0..{outputs - 1}'}"
            )

    def blocks(self) -> list[tuple[int, NDArray[np.intp]]]:
        """Return labels and the samples of each tile, all of one label."""
        rows = max(64, _TILE // self.features.shape[1])
        found = []
        for label in np.unique(self.labels):
            samples = np.flatnonzero(self.labels == label)
            found += [(int(label), samples[start : start + rows]) for start in range(0, len(samples), rows)]
        return found

    def tile(self, samples: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the (W, n) features of some samples, unit-major."""
        block = np.asarray(self.features[samples], dtype=np.float32)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise MeasurementError(
                f"{self.name}: the features of sample {samples[~finite][0]} are not finite"
            )
        return np.ascontiguousarray(block.T)


def _count_errors(readout: _Readout, order: NDArray[np.intp], wanted: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (draws, sizes) numbers of wrong predictions for the prefixes of each row of ``order``.

    The process's threads each take tiles and run every operation of a tile serially: the operations last some
    50 microseconds, too short to be worth a barrier between threads, above all on a busy machine.
    """
    import torch

    partial = [size for size in wanted if size < order.shape[1]]
    units = torch.from_numpy(order[:, : max(partial, default=0)].copy())
    weight, columns = torch.from_numpy(readout.weight), torch.from_numpy(readout.weight.T.copy())
    bias = torch.from_numpy(readout.bias)[:, None]

    def count(block: tuple[int, NDArray[np.intp]]) -> NDArray[np.int64]:
        label, samples = block
        tile = torch.from_numpy(readout.tile(samples))
        wrong = torch.zeros((len(order), len(wanted)), dtype=torch.int64)
        if len(partial) < len(wanted):  # all units: the same for every draw
            wrong[:, -1] = _missed(torch.addmm(bias, weight, tile)[None], label)
        batch = max(1, _GATHERED // max(1, units.shape[1] * len(samples)))
        for first in range(0, len(order) if partial else 0, batch):
            chosen = units[first : first + batch]
            rows = tile.index_select(0, chosen.reshape(-1)).view(*chosen.shape, -1)
            readouts = columns.index_select(0, chosen.reshape(-1)).view(*chosen.shape, -1).mT
            logits = bias.expand(len(chosen), -1, len(samples)).contiguous()
            start = 0
            for column, size in enumerate(partial):
                logits.baddbmm_(readouts[:, :, start:size], rows[:, start:size])
                wrong[first : first + batch, column] = _missed(logits, label)
                start = size
        counts: NDArray[np.int64] = wrong.numpy()
        return counts

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            total: NDArray[np.int64] = np.sum(list(pool.map(count, readout.blocks())), axis=0)
            return total
    finally:
        torch.set_num_threads(threads)  # the workers' setting is also that of threads yet to come


def _missed(logits: torch.Tensor, label: int) -> torch.Tensor:
    """Return (D,) numbers of wrong predictions from (D, C, n) logits of samples of one label.

    The prediction is the first of the largest logits, as argmax has it: an earlier class wins a tie.
    """
    if logits.shape[1] == 1:
        return (logits[:, 0] * label <= 0).sum(dim=1)
    own = logits[:, label]
    missed = own.isnan()
    if label:
        missed |= logits[:, :label].amax(dim=1) >= own
    if label + 1 < logits.shape[1]:
        missed |= logits[:, label + 1 :].amax(dim=1) > own
    return missed.sum(dim=1)


def _wrong(logits: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N,) whether the prediction from (N, C) logits is wrong."""
    wrong: NDArray[np.bool_]
    wrong = logits[:, 0] * labels <= 0 if logits.shape[1] == 1 else logits.argmax(axis=1) != labels
    return wrong


def _checked(wanted: Sequence[int] | None, width: int) -> tuple[int, ...]:
    if wanted is None:
        return sizes(width, smallest=min(2, width))
    ordered = tuple(sorted({int(size) for size in wanted}))
    if not ordered or ordered[0] < 1 or ordered[-1] > width:
        raise UsageError(f"chunk sizes lie in 1..{width}, the units of the layer; got {list(wanted)}")
    return ordered


def _fraction(width: int, step: int, per_octave: int) -> int:
    octaves, rest = divmod(step, per_octave)
    return width // 2**octaves if not rest else round(width / 2 ** (step / per_octave))
