"""How far the expectations over seeds of two widths are apart, free of initialisation's variance.

Words: S seeds, P ascending widths, N samples; *outputs* are what was recorded of each network (logits,
kernels); the *expectation* of a width is the mean over all seeds that there could be: a very large ensemble.
The distance between two ensembles of S networks still holds a share 1/S of their variance. Here it does not:
of the differences D between two widths, one a seed, the mean of the products of two *different* seeds'
estimates the square of their expectation without bias, since independent chance does not correlate.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement
from netprops.measures.consistency import checked_widths
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]
Against = Literal["widest", "successive"]


def expected_distances(
    widths: ArrayLike, outputs: ArrayLike, *, against: Against = "successive", name: str = "outputs"
) -> Curve:
    """Return the squared distance between expectations over seeds, free of initialisation's variance.

    Of the differences D of S seeds, the mean of the products of two different ones estimates the square of
    their expectation without bias: independent chance does not correlate.

    Args:
        widths: (P,) ascending; by one factor for ``"successive"``.
        outputs: (S, P, N, ...) of S seeds, such as logits or kernels.
        against: The widest, or the next wider one.
        name: What the outputs are.

    Returns:
        At each narrower width the squared distance relative to the squared spread over samples of the mean
        widest network, which may by chance be slightly negative. Jackknife over seeds with Student's t
        interval; the replicates are its pseudo-values.

    Raises:
        MeasurementError: If shapes do not fit, a number is not finite, or the widest network is constant.
        UndeterminedError: If there are fewer than three seeds.
        UsageError: If the widths do not ascend, by one factor for ``"successive"``.

    Source:
        Vyas et al. 2023, appendix F (bias by the mean over initialisations); the unbiased square is ours.
    """
    x = checked_widths(widths, one_factor=against == "successive")
    grams = _grams(x, outputs, against, name)
    count = len(grams)
    pseudo = count * _squared(grams) - (count - 1) * _without(grams)
    value, error = pseudo.mean(axis=0), pseudo.std(axis=0, ddof=1) / math.sqrt(count)
    half = t_quantile(0.975, count - 1) * error
    return Curve(
        name=f"squared distance of expected {name}",
        x=x[:-1],
        y=value,
        low=value - half,
        high=value + half,
        x_name="width",
        y_name="squared distance over squared spread",
        n=count,
        n_of="seeds",
        how=f"products of different seeds' differences, against "
        f"{'the widest' if against == 'widest' else 'the next wider one'}; jackknife over seeds",
        replicates=pseudo,
    )


def expected_distance_falls(
    widths: ArrayLike, outputs: ArrayLike, *, against: Against = "successive", name: str = "outputs"
) -> Measurement:
    """Return the slope of log2 of the distance between expectations for each doubling of the width.

    Args:
        widths: (P,) ascending, at least three; by one factor for ``"successive"``.
        outputs: (S, P, N, ...) of S seeds.
        against: The widest, or the next wider one.
        name: What the outputs are.

    Returns:
        The slope, -1 for a bias of order 1/w (against the next wider one; against the widest it is steeper),
        with a jackknife over seeds and Student's t interval.

    Raises:
        MeasurementError: As :func:`expected_distances`, or if there are fewer than three widths.
        UndeterminedError: If a squared distance, of all seeds or of all but one, is not positive: it is
            within the noise of the seeds.
        UsageError: As :func:`expected_distances`.

    Source:
        Vyas et al. 2023, appendix G.2 (expectations deviate by 1/w).
    """
    x = checked_widths(widths, one_factor=against == "successive")
    grams = _grams(x, outputs, against, name)
    count = len(grams)
    if len(x) < 3:
        raise MeasurementError(f"expected {name}: a slope needs at least three widths, got {len(x)}")
    squares = np.vstack([_squared(grams), _without(grams)])
    if (squares <= 0).any():
        at = x[int((squares <= 0).any(axis=0).argmax())]
        raise UndeterminedError(
            f"expected {name}: at width {at:g} the distance between expectations is within the noise of "
            f"{count} seeds; train more of them"
        )
    along = np.log2(x[:-1]) - np.log2(x[:-1]).mean()
    slopes = np.log2(squares) @ along / (along @ along) / 2
    return mean_interval(
        count * slopes[0] - (count - 1) * slopes[1:],
        name=f"slope of log2 distance of expected {name}",
        n_of="seeds",
        how=f"slope over log2 of {len(along)} widths, free of variance; jackknife over seeds, t interval",
    )


def _grams(x: Floats, outputs: ArrayLike, against: Against, name: str) -> Floats:
    """Return (S, S, P - 1) mean products of the seeds' differences, over the squared spread of the widest."""
    known = np.asarray(outputs)
    if against not in ("widest", "successive"):
        raise UsageError(f"against is 'widest' or 'successive', got {against!r}")
    if known.ndim < 3 or known.shape[1] != len(x):
        raise MeasurementError(
            f"expected {name}: expected (S, P, N, ...), got {known.shape} at {x.shape} widths"
        )
    if len(known) < 3:
        raise UndeterminedError(f"expected {name}: {len(known)} seeds give no interval; at least three do")
    rows = known.reshape(len(known), len(x), known.shape[2], -1).astype(np.float64)
    if not np.isfinite(rows).all():
        raise MeasurementError(f"expected {name}: a number is not finite; did a network diverge?")
    spread = float(rows[:, -1].mean(axis=0).var(axis=0).mean())
    if not spread > 0:
        raise MeasurementError(f"expected {name}: the widest network's do not differ among samples")
    wider = rows[:, -1:] if against == "widest" else rows[:, 1:]
    apart = (rows[:, :-1] - wider).reshape(len(rows), len(x) - 1, -1)
    products: Floats = np.einsum("apn,bpn->abp", apart, apart) / (apart.shape[2] * spread)
    return products


def _squared(grams: Floats) -> Floats:
    """Return (P,) mean products of different seeds' differences."""
    count = len(grams)
    found: Floats = (grams.sum(axis=(0, 1)) - np.einsum("aap->p", grams)) / (count * (count - 1))
    return found


def _without(grams: Floats) -> Floats:
    """Return (S, P) of :func:`_squared` without each seed."""
    kept = [np.delete(np.arange(len(grams)), one) for one in range(len(grams))]
    return np.stack([_squared(grams[np.ix_(one, one)]) for one in kept])
