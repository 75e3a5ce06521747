"""Ablation curves: how many predictions stay as units of a layer are set to zero.

Words: N samples, n units of a layer, C outputs; to *ablate* a unit is to set it to zero after its
activation, for all samples, without rescaling the others; the *score* of a mask is the share of predictions
that are those of the intact network; an *order* is a permutation of the units, whose prefixes are ablated; a
*fraction* p is the share of the units that is ablated; R *repeats*, F fractions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve, Detail, Measurement
from netprops.measures.correlated import correlations, mean_correlation
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]
Orders = NDArray[np.intp]
Order = Literal["random", "most-similar", "least-similar", "similar-to-one"]

# Numbers that are float64 at a time: 2 MB, which stay in a core's cache while every order gathers from them.
_BLOCK = 1 << 18


def fractions_of(steps: int) -> Floats:
    """Return equally many steps of the ablated fraction from 0 to 1.

    Raises:
        UsageError: If there are fewer than two.

    Example:
        >>> fractions_of(3).tolist()
        [0.0, 0.5, 1.0]
    """
    if steps < 2:
        raise UsageError(f"an ablation curve needs at least the fractions 0 and 1, got {steps} steps")
    return np.linspace(0, 1, steps)


def ablated_units(units: int, fractions: ArrayLike) -> NDArray[np.intp]:
    """Return how many of n units are ablated at each fraction: p n, rounded.

    Args:
        units: n.
        fractions: (F,) in [0, 1], increasing.

    Raises:
        UsageError: If the fractions do not increase within [0, 1].

    Example:
        >>> ablated_units(10, [0, 0.25, 1]).tolist()
        [0, 2, 10]
    """
    known = np.asarray(fractions, dtype=np.float64)
    if known.ndim != 1 or not len(known) or known[0] < 0 or known[-1] > 1 or (np.diff(known) <= 0).any():
        raise UsageError(f"fractions increase within [0, 1], got {known.tolist()}")
    return np.asarray(np.rint(known * units), dtype=np.intp)


def unit_orders(
    units: int,
    *,
    repeats: int,
    rng: np.random.Generator,
    order: Order = "random",
    activations: NDArray[Any] | None = None,
) -> Orders:
    """Return the orders in which units are ablated.

    Args:
        units: n.
        repeats: R, the number of orders that are drawn.
        rng: Source of what is random.
        order: ``"random"``: permutations. ``"most-similar"`` and ``"least-similar"``: by mean |r| with the
            other units, one order, nothing drawn. ``"similar-to-one"``: by |r| with one unit that is drawn,
            itself first, as the authors' code targets units. A constant unit is uncorrelated.
        activations: (N, n), for the orders by correlation.

    Returns:
        (R, n), or (1, n) where nothing is drawn.

    Raises:
        UsageError: If the order is not known, there is no repeat, or activations are missing.
        MeasurementError: If an activation is not finite.
    """
    if order not in get_args(Order):
        raise UsageError(f"order is one of {', '.join(map(repr, get_args(Order)))}, got {order!r}")
    if repeats < 1:
        raise UsageError(f"at least one repeat is needed, got {repeats}")
    if order == "random":
        return np.stack([rng.permutation(units) for _ in range(repeats)])
    if activations is None or activations.shape[1:] != (units,):
        got = None if activations is None else activations.shape
        raise UsageError(f"order {order!r} needs (N, {units}) activations, got {got}")
    if order == "similar-to-one":
        sizes = np.abs(correlations(activations))
        np.fill_diagonal(sizes, np.inf)
        return np.asarray(np.argsort(-sizes[rng.integers(units, size=repeats)], axis=1, kind="stable"))
    mean = mean_correlation(activations)
    return np.argsort(-mean if order == "most-similar" else mean, kind="stable")[None]


def predictions(logits: NDArray[Any]) -> NDArray[np.int64]:
    """Return (...) predictions from (..., C) logits: the first largest, or the sign of a single output."""
    found = np.sign(logits[..., 0]) if logits.shape[-1] == 1 else logits.argmax(axis=-1)
    return np.asarray(found, dtype=np.int64)


class Readout:
    """Features and the last layer that reads them, checked once.

    Args:
        features: (N, n) of a floating type; may be a memmap.
        weight: (C, n).
        bias: (C,).
        name: What is measured, for errors.

    Raises:
        MeasurementError: If shapes do not fit, or a weight is not finite.
    """

    def __init__(self, features: NDArray[Any], weight: ArrayLike, bias: ArrayLike, name: str) -> None:
        self.features, self.name = features, name
        self.weight = np.asarray(weight, dtype=np.float64)
        self.bias = np.asarray(bias, dtype=np.float64)
        fits = features.ndim == 2 and features.size > 0 and self.bias.ndim == 1 and len(self.bias) > 0
        if not fits or self.weight.shape != (len(self.bias), features.shape[1]):
            raise MeasurementError(
                f"{name}: features {features.shape}, weight {self.weight.shape} and bias {self.bias.shape} "
                f"do not fit; expected (N, n), (C, n) and (C,) with N, n and C at least 1"
            )
        if not (np.isfinite(self.weight).all() and np.isfinite(self.bias).all()):
            raise MeasurementError(f"{name}: a weight or bias of the readout is not finite")

    def blocks(self, rows: int) -> Iterator[Floats]:
        """Yield the features in float64, some rows at a time.

        Raises:
            MeasurementError: If a feature is not finite.
        """
        for start in range(0, len(self.features), rows):
            part = np.asarray(self.features[start : start + rows], dtype=np.float64)
            finite = np.isfinite(part).all(axis=1)
            if not finite.all():
                raise MeasurementError(
                    f"{self.name}: the features of sample {start + int(finite.argmin())} are not finite"
                )
            yield part


def last_layer_scores(
    features: NDArray[Any], weight: ArrayLike, bias: ArrayLike, *, orders: ArrayLike, fractions: ArrayLike
) -> Floats:
    """Return the scores of nested masks of the last hidden layer, without running the network.

    The logits of every prefix of an order come from those of the next longer one, by what the units between
    both add: one product with the readout for each order.

    Args:
        features: (N, n) of a floating type; may be a memmap.
        weight: (C, n) readout weights.
        bias: (C,) readout bias.
        orders: (R, n), each row a permutation of the units.
        fractions: (F,) in [0, 1], increasing.

    Returns:
        (R, F) shares in [0, 1]; 1 where no unit is ablated. With C = 1 the prediction is the sign of the
        output, and an output of 0 is a prediction of its own.

    Raises:
        MeasurementError: If shapes do not fit or a number is not finite.
        UsageError: If an order is not a permutation, or the fractions do not increase within [0, 1].
    """
    readout = Readout(features, weight, bias, "ablation of the last layer")
    samples, units = features.shape
    chosen = np.asarray(orders, dtype=np.intp)
    if chosen.ndim != 2 or (np.sort(chosen, axis=1) != np.arange(units)).any():
        raise UsageError(f"orders are (R, {units}), each row a permutation of 0..{units - 1}")
    sizes = ablated_units(units, fractions)
    steps = list(zip(sizes, [*sizes[1:], units], range(len(sizes)), strict=True))[::-1]
    columns = [readout.weight.T[order] for order in chosen]
    unchanged = np.zeros((len(chosen), len(sizes)), dtype=np.int64)
    for part in readout.blocks(max(1, _BLOCK // units)):
        intact = predictions(part @ readout.weight.T + readout.bias)
        for row, order in enumerate(chosen):
            gathered = np.take(part, order, axis=1)
            logits = np.broadcast_to(readout.bias, (len(part), len(readout.bias)))
            for start, stop, column in steps:
                if stop > start:
                    logits = logits + gathered[:, start:stop] @ columns[row][start:stop]
                unchanged[row, column] += (predictions(logits) == intact).sum()
    unchanged[:, sizes == 0] = samples
    return np.asarray(unchanged / samples)


def last_layer_ablation(
    features: NDArray[Any],
    weight: ArrayLike,
    bias: ArrayLike,
    *,
    steps: int = 7,
    repeats: int = 3,
    rng: np.random.Generator,
    order: Order = "random",
    name: str = "ablation",
) -> Curve:
    """Return the ablation curve of the last hidden layer, without running the network.

    Args:
        features: (N, n) of a floating type; may be a memmap.
        weight: (C, n) readout weights.
        bias: (C,) readout bias.
        steps: F equal steps of the fraction from 0 to 1.
        repeats: R, orders that are drawn.
        rng: Source of the orders.
        order: As in :func:`unit_orders`.
        name: Name of the curve.

    Returns:
        As :func:`ablation_curve`.

    Raises:
        MeasurementError: As :func:`last_layer_scores`.
        UsageError: As :func:`unit_orders` and :func:`fractions_of`.

    Source:
        The paper on robustness and redundancy, section 2 and Fig. 2; Cheney et al. 2017.
    """
    fractions = fractions_of(steps)
    readout = Readout(features, weight, bias, name)
    units = readout.weight.shape[1]
    orders = unit_orders(units, repeats=repeats, rng=rng, order=order, activations=features)
    scores = last_layer_scores(features, weight, bias, orders=orders, fractions=fractions)
    details = {"samples": len(features), "units": units}
    return ablation_curve(scores, fractions, order=order, name=name, details=details)


def ablation_curve(
    scores: ArrayLike,
    fractions: ArrayLike,
    *,
    order: Order = "random",
    name: str = "ablation",
    details: dict[str, Detail] | None = None,
) -> Curve:
    """Return scores of masks as a curve over the ablated fraction.

    Args:
        scores: (R, F) shares of unchanged predictions, a row an order.
        fractions: (F,) in [0, 1], increasing.
        order: How the orders came about, as in :func:`unit_orders`.
        name: Name of the curve.
        details: Further facts for the record.

    Returns:
        The mean over orders with pointwise Student's t intervals, clipped to [0, 1], for this network and
        these samples; without intervals where nothing was drawn.

    Raises:
        MeasurementError: If shapes do not fit, a score is not in [0, 1], or a single order was drawn.
        UsageError: If the fractions do not increase within [0, 1].
    """
    rows, x = np.asarray(scores, dtype=np.float64), np.asarray(fractions, dtype=np.float64)
    ablated_units(0, x)
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != len(x):
        raise MeasurementError(f"{name}: scores {rows.shape} for {len(x)} fractions, expected (R, {len(x)})")
    if not ((rows >= 0) & (rows <= 1)).all():
        raise MeasurementError(f"{name}: scores are shares in [0, 1], got {rows.min()} to {rows.max()}")
    drawn = order in ("random", "similar-to-one")
    if drawn and len(rows) < 2:
        raise MeasurementError(f"{name}: an interval over orders needs at least two of them, got one")
    mean = rows.mean(axis=0)
    half = np.zeros_like(mean)
    if drawn:
        half = t_quantile(0.975, len(rows) - 1) * rows.std(axis=0, ddof=1) / np.sqrt(len(rows))
    return Curve(
        name=name,
        x=x,
        y=mean,
        low=np.maximum(mean - half, 0),
        high=np.minimum(mean + half, 1),
        x_name="ablated units (fraction)",
        y_name="unchanged predictions (fraction)",
        n=len(rows),
        n_of="permutations" if drawn else "fixed order",
        how=f"{order} order, nested"
        + ("; mean over permutations, Student's t interval" if drawn else "")
        + "; for this network and these samples",
        replicates=rows,
        details={"order": order, **(details or {})},
    )


def area(
    curve: Curve, definition: Literal["default", "reference"] = "default", *, name: str = "robustness"
) -> Measurement:
    """Return the area under an ablation curve.

    Args:
        curve: From :func:`ablation_curve`, with its replicates.
        definition: ``"default"``: trapezoids, over the range of the fractions. ``"reference"``: the plain
            mean of the points, as the authors have it.
        name: Name of the measurement.

    Returns:
        A share in [0, 1], which rises with robustness. The interval is over the orders that were drawn; an
        area without one is exact for this network, these samples and this order.

    Raises:
        MeasurementError: If the curve has no replicates, or fewer than two points.
        UsageError: If the definition is not known.
    """
    if definition not in ("default", "reference"):
        raise UsageError(f"{name}: definition is 'default' or 'reference', got {definition!r}")
    if curve.replicates is None or len(curve) < 2:
        raise MeasurementError(f"{name}: a curve with replicates and at least two points is expected")
    weights = np.zeros(len(curve))
    gaps = np.diff(curve.x)
    weights[:-1] += gaps / 2
    weights[1:] += gaps / 2
    weights = weights / weights.sum() if definition == "default" else np.full(len(curve), 1 / len(curve))
    areas = curve.replicates @ weights
    how = f"{'trapezoids' if definition == 'default' else 'mean of the points'}; {curve.how}"
    spread = mean_interval(areas, name=name, n_of=curve.n_of) if curve.n_of == "permutations" else None
    value = float(areas.mean())
    return Measurement(
        name=name,
        value=value,
        low=max(0.0, spread.low) if spread else value,
        high=min(1.0, spread.high) if spread else value,
        standard_error=spread.standard_error if spread else 0.0,
        df=spread.df if spread else float("inf"),
        n=curve.n,
        n_of=curve.n_of,
        how=how,
        definition=definition,
        details=dict(curve.details),
    )
