"""How well a chunk of neurons reconstructs the others, and how correlated what it misses is.

Words: X (N, W) features of N samples and W units; a *chunk* is w of the units; the *fit* is a ridge
regression with intercept from the chunk to the other units; *residuals* are what it leaves of them. G (W, W)
are the centred second moments, G = sum over samples of (x - mean)(x - mean)'. *Dead* units are constant. The
*floor* is the residual correlation that perfect clones would show: a *surrogate*, the signal that two halves
of the layer see in each other plus independent noise.

Everything follows from G of a part of the samples to fit on and a part to score on: no draw touches the
samples, whatever N is. With R2 near 1 the residual moments are small differences of large ones, so all is
float64.

Source: Doimo et al. 2022, Fig. 4 d-i, for R2 and mean correlation; the surrogate is ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Curve
from netprops.measures.chunks import sizes as chunk_sizes
from netprops.measures.moments import Moments, Residuals, residuals
from netprops.measures.surrogate import surrogates
from netprops.measures.threads import over_threads
from netprops.replicates import mean_bands

Floats = NDArray[np.float64]

# Independent surrogates that the draws take turns with, so that the floor's interval holds their spread too.
_SURROGATES = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reconstruction:
    """R2 and residual correlation over chunk sizes, and the floor of the correlation.

    Args:
        r2: Variance-weighted R2.
        correlation: Mean absolute correlation of residuals.
        floor: The same of the surrogate's residuals, for the same chunks; None without a surrogate.
        excess: Correlation minus floor, paired by draw; None without a surrogate.
        dead_units: Constant units, which were dropped.
    """

    r2: Curve
    correlation: Curve
    floor: Curve | None
    excess: Curve | None
    dead_units: int


def reconstruction_curve(
    features: NDArray[np.float32],
    *,
    sizes: Sequence[int] | None = None,
    draws: int = 100,
    rng: np.random.Generator,
    ridge: float = 1e-8,
    definition: Literal["default", "reference"] = "default",
    surrogate: bool = True,
) -> Reconstruction:
    """Return R2 and mean residual correlation of random chunks over their size.

    The default fits on one random half of the samples and scores on the other, both ways, and only units
    outside the chunk count. The reference fits and scores all units on all samples, as the authors do. Units
    that a chunk reconstructs up to rounding (exact copies) leave no residual to correlate: the default
    leaves them out of the mean correlation, which is 0 where fewer than two units remain.

    Args:
        features: (N, W) float32, may be a memmap; it is read in blocks of rows.
        sizes: Chunk sizes; None for W // powers of two from 2: those up to W / 2 (reference: W) that leave
            enough live units outside and have two samples a unit to fit on.
        draws: Permutations of the units; chunks are their prefixes.
        rng: Source of halves, permutations, surrogates and intervals.
        ridge: Strength of the regression, in the unit of G.
        definition: ``"default"`` or ``"reference"``.
        surrogate: Whether to measure the floor; the reference definition has none.

    Returns:
        Curves over w whose replicates are (draws, sizes), for this network and these samples.

    Raises:
        MeasurementError: If there are fewer samples than the fit needs (two for every unit of the chunk),
            fewer than two draws, fewer than four live units, or a feature is not finite.
        UsageError: If a size or the definition is not known.

    Source:
        Doimo et al. 2022, Fig. 4; halves, outside units and floor are ours: scoring the fitted samples
        and the chunk's own units flatters a large chunk.
    """
    if definition not in ("default", "reference"):
        raise UsageError(f"definition is 'default' or 'reference', got {definition!r}")
    if features.ndim != 2 or draws < 2:
        raise MeasurementError(
            f"reconstruction needs (N, W) features and two draws, got {features.shape}, {draws}"
        )
    if len(features) < 8:
        raise MeasurementError(
            f"reconstruction: fewer samples than the fit needs: {len(features)}, at least 8 are needed"
        )
    if definition == "reference":
        whole = Moments.of(features)
        alive = whole.live
        pairs = [(whole, whole)]
    else:
        half = rng.permutation(len(features))
        parts = [Moments.of(features, rows=np.sort(half[start::2])) for start in (0, 1)]
        alive = parts[0].live & parts[1].live
        first, second = (part.take(np.flatnonzero(alive)) for part in parts)
        pairs = [(first, second), (second, first)]
    width, live = len(alive), int(alive.sum())
    wanted = _checked(sizes, width, live, min(fit.n for fit, _ in pairs), definition)
    order = [rng.permutation(len(pairs[0][0].mean)) for _ in range(draws)]
    doubles = surrogates(*pairs[0], count=_SURROGATES, rng=rng) if surrogate and len(pairs) == 2 else []

    def measure(place: tuple[int, ...]) -> tuple[float, float, float, int]:
        draw, column = place
        chunk = order[draw][: wanted[column]]
        found = [residuals(*pair, chunk, ridge=ridge, definition=definition) for pair in pairs]
        below = 0.0
        if doubles:
            a, b = doubles[draw % len(doubles)]
            below = (
                residuals(a, b, chunk, ridge=ridge).correlation
                + residuals(b, a, chunk, ridge=ridge).correlation
            ) / 2
        return (
            _pooled_r2(found),
            sum(one.correlation for one in found) / len(found),
            below,
            max(one.exact for one in found),
        )

    measured = np.array(over_threads(measure, np.ndindex(draws, len(wanted))))
    r2, correlation, floor, exact = measured.reshape(draws, len(wanted), 4).transpose(2, 0, 1)
    details = {
        "samples": len(features),
        "width": width,
        "dead_units": width - live,
        "ridge": ridge,
        "exactly_reconstructed_units": int(exact.max()),
    }

    def curve(name: str, values: Floats, how: str) -> Curve:
        low, high = mean_bands(values, rng)
        return Curve(
            name=name,
            x=np.array(wanted, dtype=np.float64),
            y=values.mean(axis=0),
            low=low,
            high=high,
            x_name="chunk size w (neurons)",
            y_name=name,
            n=draws,
            n_of="permutations",
            definition=definition,
            replicates=values,
            details=details,
            how=f"{how}, percentile bootstrap over whole permutations; for this network and these samples",
        )

    where = (
        "units outside the chunk, fitted on half of the samples and scored on the other, both ways"
        if definition == "default"
        else "all units, fitted and scored on the same samples"
    )
    return Reconstruction(
        r2=curve("R2", r2, f"variance-weighted over {where}"),
        correlation=curve("mean residual correlation", correlation, f"mean |r| over pairs of {where}"),
        floor=curve("floor of residual correlation", floor, "the same of surrogate clones")
        if doubles
        else None,
        excess=curve(
            "excess residual correlation",
            correlation - floor,
            "mean |r| minus that of surrogate clones, paired by chunk",
        )
        if doubles
        else None,
        dead_units=width - live,
    )


def _pooled_r2(found: Sequence[Residuals]) -> float:
    """Return R2 over both ways of the halves, weighted by variance."""
    return 1 - sum(float(one.squares.sum()) for one in found) / sum(float(one.total.sum()) for one in found)


def _checked(
    wanted: Sequence[int] | None, width: int, live: int, samples: int, definition: str
) -> tuple[int, ...]:
    """Return ascending chunk sizes that the units and the samples of a fit allow."""
    if live < 4:
        raise MeasurementError(f"reconstruction needs at least four live units, got {live} of {width}")
    reference = definition == "reference"
    enough = samples // 2
    if wanted is None:
        # At least half as many units outside as inside, even where many are dead.
        most = width if reference else min(width // 2, 2 * live // 3)
        ordered = tuple(w for w in chunk_sizes(width) if w <= min(most, enough))
    else:
        ordered = tuple(sorted({int(w) for w in wanted}))
        most = width if reference else live - 2
        if not ordered or ordered[0] < 1 or ordered[-1] > most:
            raise UsageError(
                f"chunk sizes of {live} live units of {width} lie in 1..{most}, got {list(wanted)}"
            )
    if not ordered or ordered[-1] > enough:
        raise MeasurementError(
            f"reconstruction: fewer samples than the fit needs: {samples} to fit on, two are needed for "
            f"every unit of a chunk of {ordered[-1] if ordered else 2}; use smaller chunks or more samples"
        )
    return ordered
