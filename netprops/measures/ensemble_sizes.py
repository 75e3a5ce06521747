"""How large an ensemble over initialisations needs to be.

Words: R networks of one width, N samples, C outputs; L(e) is the loss of the mean logits of e networks, as a
mean over all subsets of e of the R; L(∞) that of all networks that there could be, by the jackknife
R L(R) - (R - 1) L(R - 1). The *gain* is L(1) - L(∞): the variance over initialisations.

For squared error L(e) - L(∞) is the variance over e whatever the networks, so that four networks always reach
three quarters of the gain. What says something about networks is how much that gain is of their loss.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.measures.initialisations import Kind, sample_losses
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]

# All subsets are evaluated: 4,095 of 12 networks.
_MOST = 12
# Numbers of mean logits that are held at once.
_BLOCK = 2_000_000


def ensemble_curve(logits: ArrayLike, labels: ArrayLike, *, kind: Kind = "cross-entropy") -> Curve:
    """Return the loss of ensembles over their size.

    Args:
        logits: (R, N, C) outputs of 3 to 12 networks of one width.
        labels: (N,) class indices; for ``"squared"`` any numbers, and C is 1.
        kind: The loss.

    Returns:
        L(e) at e = 1..R - 1, with a jackknife over networks and Student's t interval, for these samples; the
        replicates are its pseudo-values. ``all`` and ``limit`` in the details are L(R) and L(∞): of all R
        there is but one ensemble.

    Raises:
        MeasurementError: As :func:`netprops.measures.initialisations.sample_losses`.
        UndeterminedError: If there are fewer than three networks.
        UsageError: If there are more than 12 networks, or the kind is not known.

    Source:
        Vyas et al. 2023, Feature-learning networks are consistent across widths, Fig. 18 a and b.
    """
    losses = _Losses(logits, labels, kind)
    count = losses.count
    pseudo = losses.pseudo_values(lambda sizes: sizes[: count - 1])
    value, error = pseudo.mean(axis=0), pseudo.std(axis=0, ddof=1) / np.sqrt(count)
    half = t_quantile(0.975, count - 1) * error
    every = losses.by_size()
    return Curve(
        name="loss of ensembles",
        x=np.arange(1, count, dtype=np.float64),
        y=value,
        low=value - half,
        high=value + half,
        x_name="networks in the ensemble",
        y_name="cross-entropy (nats)" if kind == "cross-entropy" else "half the squared error",
        n=count,
        n_of="networks",
        how=f"mean over all subsets of {count} networks; jackknife over networks",
        replicates=pseudo,
        details={"all": float(every[-1]), "limit": float(_limit(every))},
    )


def gain_reached(
    logits: ArrayLike, labels: ArrayLike, *, size: int = 4, kind: Kind = "cross-entropy"
) -> Measurement:
    """Return the share of the gain of a very large ensemble that a small one reaches.

    Args:
        logits: (R, N, C) outputs of more than ``size`` networks, at least 4 and at most 12.
        labels: (N,) as :func:`ensemble_curve` takes them.
        size: Networks in the small ensemble.
        kind: The loss.

    Returns:
        (L(1) - L(size)) / (L(1) - L(∞)), with a jackknife over networks and Student's t interval, for these
        samples; 1 - 1/size for squared error.

    Raises:
        MeasurementError: As :func:`ensemble_curve`.
        UndeterminedError: If there are not enough networks, or nothing to gain that could be told from 0.
        UsageError: As :func:`ensemble_curve`, or if the size is below 1.

    Source:
        Vyas et al. 2023, appendix H (small ensembles suffice); the number is ours.
    """
    losses = _Losses(logits, labels, kind)
    losses.expect(size)
    gains = losses.pseudo_values(lambda sizes: np.array([sizes[0] - _limit(sizes)]))[:, 0]
    gain = mean_interval(gains, name="gain of ensembling", n_of="networks")
    if gain.value <= 2 * gain.standard_error:
        raise UndeterminedError(
            f"gain of ensembling: {gain}, within two standard errors of zero: of nothing there is no share"
        )
    return mean_interval(
        losses.pseudo_values(
            lambda sizes: np.array([(sizes[0] - sizes[size - 1]) / (sizes[0] - _limit(sizes))])
        )[:, 0],
        name=f"share of the gain of ensembling reached by {size}",
        n_of="networks",
        how="all subsets of the networks; jackknife over networks, Student's t interval",
        details={"gain": gain.value, "size": size},
    )


def left_to_gain(
    logits: ArrayLike, labels: ArrayLike, *, size: int = 4, kind: Kind = "cross-entropy"
) -> Measurement:
    """Return the share of a small ensemble's loss that a very large one would still take away.

    Args:
        logits: (R, N, C) outputs of more than ``size`` networks, at least 4 and at most 12.
        labels: (N,) as :func:`ensemble_curve` takes them.
        size: Networks in the small ensemble.
        kind: The loss.

    Returns:
        1 - L(∞) / L(size), near 0 where small ensembles suffice; a jackknife over networks with Student's t
        interval, for these samples.

    Raises:
        MeasurementError: As :func:`ensemble_curve`, or if the ensembles' loss is 0.
        UndeterminedError: If there are not enough networks.
        UsageError: As :func:`ensemble_curve`, or if the size is below 1.

    Source:
        Vyas et al. 2023, appendix H and Fig. 18; the number is ours.
    """
    losses = _Losses(logits, labels, kind)
    losses.expect(size)
    if not losses.by_size().min() > 0:
        raise MeasurementError("ensembles: their loss is 0, and has no share that is left")
    return mean_interval(
        losses.pseudo_values(lambda sizes: np.array([1 - _limit(sizes) / sizes[size - 1]]))[:, 0],
        name=f"share of the loss of ensembles of {size} left to gain",
        n_of="networks",
        how="all subsets of the networks; jackknife over networks, Student's t interval",
        details={"size": size},
    )


class _Losses:
    """The losses of the ensembles of all subsets of R networks.

    Args:
        logits: (R, N, C).
        labels: (N,).
        kind: The loss.
    """

    def __init__(self, logits: ArrayLike, labels: ArrayLike, kind: Kind) -> None:
        outputs, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
        if outputs.ndim != 3:
            raise MeasurementError(f"ensembles: expected (R, N, C) outputs, got {outputs.shape}")
        self.count = len(outputs)
        if self.count > _MOST:
            raise UsageError(f"all subsets of {self.count} networks are too many; give at most {_MOST}")
        if self.count < 3:
            raise UndeterminedError(f"ensembles: {self.count} networks give no interval, at least three do")
        codes = np.arange(1, 2**self.count)
        self.members: NDArray[np.bool_] = (codes[:, None] >> np.arange(self.count) & 1).astype(np.bool_)
        weights = self.members / self.members.sum(axis=1, keepdims=True)
        step = max(1, _BLOCK // outputs[0].size)
        self.losses: Floats = np.concatenate(
            [
                sample_losses(np.tensordot(weights[at : at + step], outputs, axes=1), truth, kind).mean(
                    axis=1
                )
                for at in range(0, len(weights), step)
            ]
        )

    def expect(self, size: int) -> None:
        """Refuse a size that the networks cannot tell without one of them."""
        if size < 1:
            raise UsageError(f"an ensemble has at least one network, got {size}")
        if self.count < max(size + 1, 4):
            raise UndeterminedError(
                f"ensembles of {size}: an interval needs {max(size + 1, 4)} networks, got {self.count}"
            )

    def by_size(self, without: int | None = None) -> Floats:
        """Return L(e) of all sizes e = 1.. of all networks, or of all but one."""
        kept = np.ones(len(self.losses), dtype=np.bool_) if without is None else ~self.members[:, without]
        sizes = self.members[kept].sum(axis=1)
        means: Floats = np.bincount(sizes, weights=self.losses[kept])[1:] / np.bincount(sizes)[1:]
        return means

    def pseudo_values(self, statistic: Callable[[Floats], Floats]) -> Floats:
        """Return (R, ...) pseudo-values of a statistic of L(e)."""
        whole = statistic(self.by_size())
        without = np.stack([statistic(self.by_size(one)) for one in range(self.count)])
        return np.asarray(self.count * whole - (self.count - 1) * without)


def _limit(sizes: Floats) -> float:
    """Return L(∞) from L(1)..L(R)."""
    count = len(sizes)
    return float(count * sizes[-1] - (count - 1) * sizes[-2])
