"""How redundant the units of a layer are: the components that hold its variance, and units that are similar.

Words: N samples, n units of a layer; a *component* is a principal direction of the centred activations (their
covariance, not their correlation); k components are *needed* for a share of the variance; a *sampling* is one
choice of samples, where not all are measured; a *position* of a convolution's output is a sample of its
channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.correlated import similar_units
from netprops.measures.moments import Moments
from netprops.statistics import mean_interval, t_quantile

Floats = NDArray[np.float64]
Definition = Literal["default", "reference"]

# Shares of variance that differ by less than this are equal up to rounding.
_ROUNDING = 1e-12
# Numbers that are float64 at a time: 32 MB.
_BLOCK = 1 << 22


def compressibility(
    activations: NDArray[Any],
    *,
    share: float = 0.95,
    definition: Definition = "default",
    blocks: int = 10,
    name: str = "compressibility",
) -> Measurement:
    """Return the share of principal components that a share of the variance needs.

    Args:
        activations: (N, n) of a floating type; may be a memmap, read in blocks of rows. Neighbouring samples
            may depend on each other (positions of one image): they fall into the same block.
        share: Share of the variance, in (0, 1).
        definition: ``"default"``: k / n with the fewest components that hold at least ``share``; it *falls*
            where a layer can be compressed further. ``"reference"``: the authors' count of components from
            the smallest on until more than 1 - ``share`` is exceeded, over n, which *rises* then:
            (n - k + 1) / n.
        blocks: B blocks of consecutive samples, for the interval.
        name: Name of the measurement.

    Returns:
        The share of the n components, in [0, 1]. The interval is a jackknife over the blocks of the number
        of components, continued between whole numbers, and then rounded up as the number is. k is measured on
        N samples, and few samples show fewer components than the layer has. Time: B + 1 times the
        eigenvalues of a matrix of min(N, n) rows.

    Raises:
        MeasurementError: If the layer is constant, an activation is not finite or there are fewer samples
            than two for every block.
        UndeterminedError: If more than N / 2 components are needed: more samples would show more.
        UsageError: If the share, the number of blocks or the definition is not one of those above.

    Source:
        The paper on robustness and redundancy, section 2; its public code for the reference.
    """
    if not 0 < share < 1 or blocks < 2:
        raise UsageError(f"{name}: 0 < share < 1 and blocks >= 2 are expected, got {share} and {blocks}")
    _check(definition, name)
    samples, units = _shape(activations, name)
    if samples < 2 * blocks:
        raise MeasurementError(f"{name}: {blocks} blocks need at least {2 * blocks} samples, got {samples}")
    edges = np.linspace(0, samples, blocks + 1).astype(int)
    parts = [slice(*ends) for ends in pairwise(edges)]
    spectra = (_by_units if units <= samples else _by_samples)(activations, parts)
    needed, *left_out = [_needed(spectrum, share, name) for spectrum in spectra]
    whole = math.ceil(needed - _ROUNDING * units)
    if 2 * whole > samples:
        raise UndeterminedError(
            f"{name}: {whole} components are needed for {share:.0%} of the variance of {samples} samples, "
            f"which show few more; measure at least {2 * whole}"
        )
    error = math.sqrt((blocks - 1) ** 2 / blocks * np.var(left_out, ddof=1))
    half = t_quantile(0.975, blocks - 1) * error
    low, high = math.ceil(needed - half - _ROUNDING * units), math.ceil(needed + half - _ROUNDING * units)
    low, high = max(1, min(low, whole)), min(units, max(high, whole))
    value = whole
    if definition == "reference":
        low, value, high = units - high + 1, units - whole + 1, units - low + 1
    return Measurement(
        name=name,
        value=value / units,
        low=low / units,
        high=high / units,
        standard_error=error / units,
        df=blocks - 1.0,
        n=blocks,
        n_of="blocks of samples",
        how=f"components for {share:.0%} of the variance; jackknife over {blocks} blocks of samples",
        definition=definition,
        details={"components": whole, "units": units, "samples": samples},
    )


def similarity(
    activations: NDArray[Any],
    *,
    threshold: float = 0.5,
    definition: Definition = "default",
    name: str = "similarity",
) -> Measurement:
    """Return the mean number of other units that a unit is similar to.

    Args:
        activations: (N, n) of a floating type; may be a memmap, read in blocks.
        threshold: |r| from which two units are similar, in (0, 1].
        definition: ``"default"``: mean over the units that vary; constant ones are in the details.
            ``"reference"``: mean over all units, where a constant one counts as -1, as the authors' code has
            it.
        name: Name of the measurement.

    Returns:
        A number of units, for these samples, without an interval: :func:`over_samplings` gives one. The
        details hold it as a share of the n units, and the number of constant units.

    Raises:
        MeasurementError: If all units are constant, there are fewer than two samples, or an activation is not
            finite.
        UsageError: If the threshold or the definition is not known.

    Source:
        The paper on robustness and redundancy, sections 2 and B.
    """
    _check(definition, name)
    samples, units = _shape(activations, name)
    found = similar_units(activations, threshold=threshold, name=name)
    constant = int((~found.varies).sum())
    if constant == units:
        raise MeasurementError(f"{name}: all {units} units are constant over {samples} samples; none varies")
    if definition == "reference":
        value = float((found.counts - ~found.varies).mean())
    else:
        value = float(found.counts[found.varies].mean())
    return Measurement(
        name=name,
        value=value,
        low=value,
        high=value,
        n=samples,
        n_of="samples",
        unit="units",
        how=f"mean number of other units with |r| >= {threshold:g}, on these samples",
        definition=definition,
        details={"share": value / units, "constant": constant, "units": units, "samples": samples},
    )


def over_samplings(measured: Sequence[Measurement]) -> Measurement:
    """Return the mean of one measure over several samplings of the same layer.

    Args:
        measured: One measurement a sampling, of one name and definition.

    Returns:
        The mean with Student's t interval over samplings. Where every sampling was measured with a
        standard error, the interval is not narrower than that of a sampling: samplings of the same images
        share what these images have in common. Details that are numbers are averaged.

    Raises:
        MeasurementError: If there are fewer than two samplings, or they are not of one measure.
    """
    first = measured[0] if measured else None
    if first is None or any((one.name, one.definition) != (first.name, first.definition) for one in measured):
        kinds = sorted({f"{one.name} ({one.definition})" for one in measured})
        raise MeasurementError(f"samplings of one measure are expected, got {', '.join(kinds) or 'none'}")
    mean = mean_interval([one.value for one in measured], name=first.name, n_of="samplings", unit=first.unit)
    below = max(mean.value - mean.low, float(np.mean([one.value - one.low for one in measured])))
    above = max(mean.high - mean.value, float(np.mean([one.high - one.value for one in measured])))
    largest = max(measured, key=lambda one: one.standard_error)
    wide = largest.standard_error > mean.standard_error
    return replace(
        mean,
        low=mean.value - below,
        high=mean.value + above,
        standard_error=largest.standard_error if wide else mean.standard_error,
        df=largest.df if wide else mean.df,
        how=f"{first.how}; mean over samplings, Student's t interval",
        definition=first.definition,
        details={
            key: float(np.mean([float(one.details[key] or 0) for one in measured]))
            for key, kept in first.details.items()
            if isinstance(kept, int | float) and all(key in one.details for one in measured)
        },
    )


def spatial_sample(
    activations: NDArray[Any], *, count: int = 50_000, rng: np.random.Generator
) -> NDArray[Any]:
    """Return samples of a layer's units, every position of an image or a sequence being one.

    Args:
        activations: (N, n), (N, T, n) for sequences, or (N, C, H, W) for images, whose units are channels.
        count: Positions at most; all, in order, where there are no more.
        rng: Source of the positions, drawn without replacement.

    Returns:
        (count, n) of the same type; positions of one image or sequence stay together.

    Raises:
        UsageError: If the shape is none of those above, or the count is not positive.
    """
    if activations.ndim not in (2, 3, 4) or count < 1:
        raise UsageError(
            f"activations of shape (N, n), (N, T, n) or (N, C, H, W) and a positive count are expected, got "
            f"{activations.shape} and {count}"
        )
    last = np.moveaxis(activations, 1, -1) if activations.ndim == 4 else activations
    positions = math.prod(last.shape[:-1])
    if positions <= count:
        return last.reshape(positions, last.shape[-1])
    drawn = np.sort(rng.choice(positions, count, replace=False, shuffle=False))
    return np.asarray(last[np.unravel_index(drawn, last.shape[:-1])])


def _check(definition: str, name: str) -> None:
    if definition not in ("default", "reference"):
        raise UsageError(f"{name}: definition is 'default' or 'reference', got {definition!r}")


def _shape(activations: NDArray[Any], name: str) -> tuple[int, int]:
    if activations.ndim != 2 or not activations.size:
        raise MeasurementError(
            f"{name}: expected (N, n) activations, one row a sample, got shape {activations.shape}; "
            f"spatial_sample makes rows of images and sequences"
        )
    return activations.shape[0], activations.shape[1]


def _needed(spectrum: Floats, share: float, name: str) -> float:
    """Return how many of the largest eigenvalues hold a share of their sum, continued linearly."""
    sizes = np.maximum(spectrum[::-1], 0)
    held = np.cumsum(sizes)
    if not held[-1] > 0:
        raise MeasurementError(f"{name}: the layer is constant over the samples; it has no components")
    target = share * held[-1]
    last = int(np.searchsorted(held, target * (1 - _ROUNDING)))
    return last + float((target - (held[last] - sizes[last])) / sizes[last])


def _eigenvalues(matrix: Floats) -> Floats:
    return np.asarray(np.linalg.eigvalsh(matrix), dtype=np.float64)


def _by_units(activations: NDArray[Any], parts: Sequence[slice]) -> Iterator[Floats]:
    """Yield ascending eigenvalues of the second moments of all samples, then without each part."""
    whole = Moments.of(activations)
    yield _eigenvalues(whole.G) if whole.live.any() else np.zeros(1)
    for part in parts:
        without = Moments.of(activations, rows=part)
        n = whole.n - without.n
        apart = (without.mean - whole.mean) * (whole.n / n)
        rest = whole.G - without.G
        rest -= np.outer(apart, apart * (without.n * n / whole.n))
        yield _eigenvalues(rest)


def _by_samples(activations: NDArray[Any], parts: Sequence[slice]) -> Iterator[Floats]:
    """Yield what :func:`_by_units` yields, without zeros, from products between fewer samples than units."""
    samples, units = activations.shape
    products = np.zeros((samples, samples))
    step = max(1, _BLOCK // samples)
    for start in range(0, units, step):
        part = np.asarray(activations[:, start : start + step], dtype=np.float64)
        middle = part.mean(axis=0)
        if not np.isfinite(middle).all():
            row, unit = (int(i[0]) for i in np.nonzero(~np.isfinite(part)))
            raise MeasurementError(
                f"unit {start + unit} is {part[row, unit]} for sample {row}, expected finite activations"
            )
        part = part - middle  # a new array: the activations are the caller's
        part[:, np.abs(part).max(axis=0) <= np.finfo(np.float64).eps * np.abs(middle)] = 0
        products += part @ part.T
    for part_left_out in (None, *parts):
        kept = np.delete(np.arange(samples), part_left_out) if part_left_out else np.arange(samples)
        rest = products[np.ix_(kept, kept)]
        rest -= rest.mean(axis=0)
        rest -= rest.mean(axis=1)[:, None]
        yield _eigenvalues(rest)
