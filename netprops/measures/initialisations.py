"""Bias and variance over initialisations: what the seed and what the width costs a network.

Words: R networks of one width that differ in nothing but the initialisation, N samples, C outputs; an
*ensemble* is the mean of its networks' logits. Of a width's loss the *variance* is what an ensemble takes
away: mean loss of single networks minus loss of their ensemble. The *bias of narrower width* is what is left:
loss of the ensemble minus loss of the widest networks' ensemble. So loss = variance + bias + loss of the
widest ensemble.

An ensemble means one of all networks that there could be. That of R still holds a share 1/R of the variance;
the jackknife, R L - (R - 1) (mean L without one network), does not, to leading order, and for squared error
exactly. ``definition="reference"`` takes the ensembles of R as they are, as the paper does. Intervals are
over networks and samples, crossed.

Source: Vyas et al. 2023, Feature-learning networks are consistent across widths, section 3 and appendix F.
For the same over training sets see ``bias_variance``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.bias_variance import crossed
from netprops.measures.consistency import checked_widths
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]
Kind = Literal["cross-entropy", "squared"]
Definition = Literal["default", "reference"]


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialisationBiasVariance:
    """A width's loss and its parts, in nats or in the unit of squared error.

    Args:
        single: Mean loss of the single networks.
        ensemble: Loss of their ensemble.
        variance: ``single`` minus ``ensemble``.
        bias: ``ensemble`` minus the widest networks' ensemble.
        kind: Which loss.
    """

    single: Measurement
    ensemble: Measurement
    variance: Measurement
    bias: Measurement
    kind: Kind


def sample_losses(logits: ArrayLike, labels: ArrayLike, kind: Kind = "cross-entropy") -> Floats:
    """Return the loss of every sample, (..., N).

    Args:
        logits: (..., N, C) outputs of one or many networks.
        labels: (N,) class indices; for ``"squared"`` any numbers, and C is 1.
        kind: ``"cross-entropy"`` in nats, or ``"squared"``: half the squared difference.

    Raises:
        MeasurementError: If shapes do not fit, a number is not finite, or a label is no class.
        UsageError: If the kind is not known.

    Example:
        >>> sample_losses([[1.0], [3.0]], [1.0, 1.0], "squared").tolist()
        [0.0, 2.0]
    """
    if kind not in ("cross-entropy", "squared"):
        raise UsageError(f"kind is 'cross-entropy' or 'squared', got {kind!r}")
    outputs, truth = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if outputs.ndim < 2 or not outputs.size or truth.shape != outputs.shape[-2:-1]:
        raise MeasurementError(
            f"losses: logits {outputs.shape} and labels {truth.shape} do not fit; expected (..., N, C) and "
            "(N,)"
        )
    if not (np.isfinite(outputs).all() and np.isfinite(truth).all()):
        raise MeasurementError("losses: a logit or a label is not finite; did a network diverge?")
    classes = outputs.shape[-1]
    if kind == "squared":
        if classes != 1:
            raise MeasurementError(f"losses: squared error is of a single output, got {classes}")
        squares: Floats = (outputs[..., 0] - truth) ** 2 / 2
        return squares
    known = np.isin(truth, np.arange(classes))
    if classes < 2 or not known.all():
        raise MeasurementError(
            f"losses: cross-entropy of {classes} outputs expects at least two and labels 0..{classes - 1}, "
            f"got labels from {truth.min():g} to {truth.max():g}"
        )
    known_at = np.broadcast_to(truth.astype(np.int64)[:, None], (*outputs.shape[:-1], 1))
    losses: Floats = -np.take_along_axis(special.log_softmax(outputs, axis=-1), known_at, axis=-1)[..., 0]
    return losses


def initialisation_bias_variance(
    logits: ArrayLike,
    labels: ArrayLike,
    widest: ArrayLike,
    *,
    kind: Kind = "cross-entropy",
    definition: Definition = "default",
) -> InitialisationBiasVariance:
    """Return bias and variance over initialisations of the networks of one width.

    Args:
        logits: (R, N, C) outputs of R networks of one width, trained on the same batches in the same order.
        labels: (N,) as :func:`sample_losses` takes them.
        widest: (V, N, C) outputs of V networks of the widest width on the same samples.
        kind: The loss that the networks were trained with.
        definition: ``"default"`` for the jackknife, ``"reference"`` for ensembles of R and of V as they are.

    Raises:
        MeasurementError: If shapes do not fit, or as :func:`sample_losses`.
        UndeterminedError: If there are fewer than three networks of either width.
        UsageError: If the kind or the definition is not known.
    """
    outputs, other, truth = _networks(logits), _networks(widest), np.asarray(labels)
    singles = sample_losses(outputs, truth, kind)
    ensemble = _ensemble(outputs, truth, kind, definition)
    best = _ensemble(other, truth, kind, definition)
    parts: dict[str, tuple[str, Floats, Floats | None]] = {
        "single": ("loss of single networks", singles, None),
        "ensemble": ("loss of the ensemble", ensemble, None),
        "variance": ("variance over initialisations", singles - ensemble, None),
        "bias": ("bias of narrower width", ensemble, best),
    }
    found = {
        part: _measured(table, minus, name=name, kind=kind, definition=definition)
        for part, (name, table, minus) in parts.items()
    }
    return InitialisationBiasVariance(**found, kind=kind)


def wide_beats_ensemble(
    wide: ArrayLike,
    narrow: ArrayLike,
    labels: ArrayLike,
    *,
    kind: Kind = "cross-entropy",
    definition: Definition = "default",
) -> Measurement:
    """Return the loss of single wide networks minus that of the narrow ones' ensemble.

    Args:
        wide: (V, N, C) outputs of V wide networks, each on its own.
        narrow: (R, N, C) outputs of R narrow networks, averaged.
        labels: (N,) as :func:`sample_losses` takes them.
        kind: The loss.
        definition: ``"default"`` for an ensemble of all narrow networks that there could be, which is harder
            to beat; ``"reference"`` for that of the R.

    Returns:
        The difference on the same samples, negative where a single wide network is better.

    Raises:
        MeasurementError: If shapes do not fit, or as :func:`sample_losses`.
        UndeterminedError: If there are fewer than three narrow networks, or two wide ones.
        UsageError: If the kind or the definition is not known.

    Source:
        Vyas et al. 2023, Fig. 7 (single wide networks beat ensembles of narrower ones).
    """
    truth = np.asarray(labels)
    singles = sample_losses(_networks(wide, least=2), truth, kind)
    ensemble = _ensemble(_networks(narrow), truth, kind, definition)
    return _measured(
        singles, ensemble, name="wide network over narrow ensemble", kind=kind, definition=definition
    )


def logit_variance(logits: ArrayLike) -> Measurement:
    """Return the variance of the outputs over initialisations, as a mean over samples and outputs.

    Args:
        logits: (R, N, C) outputs of R networks of one width.

    Returns:
        The unbiased variance, in squared units of the logits, with a jackknife over networks, for these
        samples.

    Raises:
        MeasurementError: If the shape does not fit, or a logit is not finite.
        UndeterminedError: If there are fewer than three networks.

    Source:
        Vyas et al. 2023, appendix F, equation 10.
    """
    outputs = _networks(logits)
    count = len(outputs)
    squares = ((outputs - outputs.mean(axis=0)) ** 2).mean(axis=(1, 2))
    whole = squares.sum() / (count - 1)
    without = (squares.sum() - squares * count / (count - 1)) / (count - 2)
    return mean_interval(
        count * whole - (count - 1) * without,
        name="variance of logits over initialisations",
        n_of="networks",
        how="unbiased variance, mean over samples and outputs; jackknife over networks, Student's t interval",
    )


def variance_slope(widths: ArrayLike, variances: Sequence[Measurement]) -> Measurement:
    """Return the exponent of a variance over width; -1 is the claim.

    Args:
        widths: (P,) ascending.
        variances: The variance at each width from networks of its own, as :func:`logit_variance` gives it.

    Returns:
        The least-squares slope of log variance over log width. Its interval takes in each variance's own
        standard error, by the delta method; Satterthwaite's degrees of freedom.

    Raises:
        MeasurementError: If there is not one variance a width.
        UndeterminedError: If a variance lies within two standard errors of zero.
        UsageError: If the widths do not ascend.

    Source:
        Vyas et al. 2023, section 3 and appendix G.2 (variance of order 1 / width).
    """
    x = checked_widths(widths)
    if len(variances) != len(x):
        raise MeasurementError(f"variance over width: {len(variances)} variances at {len(x)} widths")
    for width, one in zip(x, variances, strict=True):
        if one.value <= 2 * one.standard_error:
            raise UndeterminedError(
                f"variance over width: at {width:g} it is {one}, within two standard errors of zero; train "
                "more networks"
            )
    along = np.log(x) - np.log(x).mean()
    weights = along / (along @ along)
    value = float(weights @ np.log([one.value for one in variances]))
    parts = (weights * [one.standard_error / one.value for one in variances]) ** 2
    error, spare = math.sqrt(parts.sum()), float((parts**2) @ [1 / one.df for one in variances])
    df = float(parts.sum()) ** 2 / spare if spare else math.inf
    half = t_quantile(0.975, df) * error
    return Measurement(
        name="exponent of the variance over width",
        value=value,
        low=value - half,
        high=value + half,
        standard_error=error,
        df=df,
        n=min(one.n for one in variances),
        n_of=variances[0].n_of,
        how=f"slope of log variance over log of {len(x)} widths; delta method, Satterthwaite's t interval",
    )


def _networks(logits: ArrayLike, least: int = 3) -> Floats:
    """Return (R, N, C) outputs as float64."""
    outputs = np.asarray(logits, dtype=np.float64)
    if outputs.ndim != 3 or not outputs.size:
        raise MeasurementError(
            f"bias and variance over initialisations: expected (R, N, C), got {outputs.shape}"
        )
    if not np.isfinite(outputs).all():
        at = int(np.isfinite(outputs).all(axis=(1, 2)).argmin())
        raise MeasurementError(
            f"bias and variance over initialisations: a logit of network {at} is not finite"
        )
    if len(outputs) < least:
        raise UndeterminedError(
            f"bias and variance over initialisations: {len(outputs)} networks give no interval, at least "
            f"{least} do; train more seeds"
        )
    return outputs


def _ensemble(outputs: Floats, truth: NDArray[np.generic], kind: Kind, definition: Definition) -> Floats:
    """Return (R, N) pseudo-values of the ensemble's loss."""
    if definition not in ("default", "reference"):
        raise UsageError(f"definition is 'default' or 'reference', got {definition!r}")
    count, total = len(outputs), outputs.sum(axis=0)
    whole = sample_losses(total / count, truth, kind)
    pseudo: Floats = count * whole - (count - 1) * sample_losses((total - outputs) / (count - 1), truth, kind)
    return pseudo if definition == "default" else pseudo + whole - pseudo.mean(axis=0)


def _measured(
    table: Floats, minus: Floats | None = None, *, name: str, kind: Kind, definition: Definition
) -> Measurement:
    """Return the mean of (R, N) numbers of networks crossed with samples, or of a table minus another."""
    if table.shape[1] < 2:
        raise MeasurementError(f"{name}: at least two samples are needed, got {table.shape[1]}")
    value, error, df = crossed(table, minus)
    half = t_quantile(0.975, df) * error
    return Measurement(
        name=name,
        value=value,
        low=value - half,
        high=value + half,
        standard_error=error,
        df=df,
        n=len(table),
        n_of="networks",
        unit="nats" if kind == "cross-entropy" else "",
        how=f"{'jackknife' if definition == 'default' else 'plug-in'} of {kind} of mean logits; t over "
        "networks and samples",
        definition=definition,
        details={
            "kind": kind,
            "samples": table.shape[1],
            "networks_taken_off": 0 if minus is None else len(minus),
        },
    )
