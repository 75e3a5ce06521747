"""What a kernel learns, and how fast: its spectrum, the target's power in it, and its gradient flow.

Words: N samples, C outputs; the *kernel* K is (N, N), the same for every output, or (N C, N C), sample by
sample as ``targets.reshape(N * C)`` is; *targets* y are (N,) or (N, C); *eigenvalues* run from the largest
down, *modes* are their eigenvectors; the *power* of a mode is its share of |y|^2, C(k) that of the first k
modes; eigenvalues below the *noise* are not known: a kernel of float32 products leaves 1e-6 of the largest.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Curve, Measurement

Floats = NDArray[np.float64]
Scaling = Literal["samples", "trace"]

# Rounding of float32 products, as a share of the largest eigenvalue.
NOISE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """Eigenvalues and eigenvectors of a kernel; found once, it stands for the kernel in all that is here.

    Args:
        eigenvalues: (M,) float64, descending, none negative.
        eigenvectors: (M, M) float64, one a column.
    """

    eigenvalues: Floats
    eigenvectors: Floats

    def resolved(self, noise: float = NOISE) -> int:
        """Return how many eigenvalues exceed ``noise`` times the largest."""
        return int((self.eigenvalues > noise * self.eigenvalues[0]).sum())


def spectrum(kernel: ArrayLike | Spectrum, *, noise: float = NOISE, name: str = "kernel") -> Spectrum:
    """Return eigenvalues and eigenvectors of a kernel.

    Args:
        kernel: (M, M) symmetric and without negative eigenvalues, up to ``noise``; or what this function has
            returned.
        noise: As a share of the largest eigenvalue.
        name: Name of the kernel, for messages.

    Returns:
        Negative eigenvalues within the noise are 0.

    Raises:
        MeasurementError: If it is not square, not finite, not symmetric, zero, or has a negative eigenvalue.
    """
    if isinstance(kernel, Spectrum):
        return kernel
    matrix = np.asarray(kernel, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise MeasurementError(f"{name}: a kernel is (M, M), got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise MeasurementError(f"{name}: an entry of the kernel is not finite")
    largest = float(np.abs(matrix).max())
    if not largest:
        raise MeasurementError(f"{name}: the kernel is zero everywhere and has no spectrum")
    apart = float(np.abs(matrix - matrix.T).max())
    if apart > noise * len(matrix) * largest:
        raise MeasurementError(
            f"{name}: the kernel is not symmetric, by {apart / largest:.2g} of its largest entry"
        )
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if -values[0] > noise * values[-1]:
        raise MeasurementError(
            f"{name}: an eigenvalue is {values[0]:.3g} where the largest is {values[-1]:.3g}; a kernel has "
            "no negative ones"
        )
    return Spectrum(np.maximum(values[::-1], 0.0), vectors[:, ::-1])


def cumulative_power(
    kernel: ArrayLike | Spectrum, targets: ArrayLike, *, name: str = "cumulative power"
) -> Curve:
    """Return C(k), the share of the targets that lies in the top k modes.

    Args:
        kernel: As in :func:`spectrum`.
        targets: (N,) or (N, C), not zero; remove their mean first, where a bias learns it.
        name: Name of the curve.

    Returns:
        C(k) over k = 1 ... M, rising to 1. Modes of one eigenvalue share their power equally: their order and
        direction within their space mean nothing. Targets that have nothing to do with the kernel have
        C(k) = k/M on average.

    Raises:
        MeasurementError: If targets do not fit the kernel, are zero or not finite.

    Source:
        Canatar et al. 2021, Nature Communications 12, 2914; width-consistency paper, Fig. 10.
    """
    power = _power(kernel, targets, name)[1]
    return Curve.plain(
        name,
        np.arange(1, len(power) + 1).tolist(),
        np.minimum(np.cumsum(power), 1.0).tolist(),
        x_name="eigenvectors k",
        y_name="share of the target",
        how="squared projections on the eigenvectors of the kernel",
        n=len(np.asarray(targets)),
        n_of="samples",
    )


def modes_holding(
    kernel: ArrayLike | Spectrum, targets: ArrayLike, *, share: float = 0.9, name: str | None = None
) -> Measurement:
    """Return how many of the top modes hold a share of the targets: the smallest k with C(k) >= share.

    Args:
        kernel: As in :func:`spectrum`.
        targets: As in :func:`cumulative_power`.
        share: In (0, 1).
        name: Name of the measurement; None says the share.

    Raises:
        MeasurementError: As :func:`cumulative_power`.
        UsageError: If the share is not within (0, 1).
    """
    _check_share(share)
    name = name or f"eigenvectors that hold {share:.0%} of the target"
    total = np.cumsum(_power(kernel, targets, name)[1])
    k = int(np.searchsorted(total, share * (1 - 1e-12))) + 1
    return Measurement.exact(
        name,
        min(k, len(total)),
        n=len(np.asarray(targets)),
        n_of="samples",
        how="smallest k whose cumulative power reaches the share",
        unit="eigenvectors",
        details={"share_of_all": k / len(total)},
    )


def spectrum_distance(
    first: ArrayLike | Spectrum,
    second: ArrayLike | Spectrum,
    *,
    noise: float = NOISE,
    name: str = "distance of spectra",
) -> Measurement:
    """Return how far two kernels' spectra are apart, eigenvalue by eigenvalue and on a log scale.

    Args:
        first: As in :func:`spectrum`, or (M,) eigenvalues.
        second: Likewise, of as many.
        noise: Eigenvalues at or below this share of the largest, in either, are left out.
        name: Name of the measurement.

    Returns:
        Root mean square of log(a_k / b_k), a and b divided by their sums: 0.1 is a tenth apart, typically.

    Raises:
        MeasurementError: If they differ in number, or as :func:`spectrum`.
    """
    one, two = (_eigenvalues(each, noise, name) for each in (first, second))
    if len(one) != len(two):
        raise MeasurementError(
            f"{name}: {len(one)} and {len(two)} eigenvalues cannot be compared; take the same samples"
        )
    seen = int(min((each > noise * each[0]).sum() for each in (one, two)))
    apart = np.log(one[:seen] / one.sum()) - np.log(two[:seen] / two.sum())
    return Measurement.exact(
        name,
        math.sqrt(float((apart**2).mean())),
        n=seen,
        n_of="eigenvalues",
        how="root mean square log ratio of the eigenvalues above the noise, each spectrum over its sum",
        details={"eigenvalues": len(one), "largest": float(np.abs(apart).max())},
    )


def alignment(
    kernel: ArrayLike | Spectrum, targets: ArrayLike, *, name: str = "kernel alignment"
) -> Measurement:
    """Return the cosine between a kernel and the targets' own: y'Ky / (|y|^2 |K|), Frobenius norms.

    Args:
        kernel: As in :func:`spectrum`.
        targets: As in :func:`cumulative_power`. Several outputs of an (N, N) kernel are compared by Y Y'.
        name: Name of the measurement.

    Returns:
        In [0, 1]; 1 where the kernel is y y'.

    Raises:
        MeasurementError: As :func:`cumulative_power`.

    Source:
        Cristianini et al. 2001, On kernel-target alignment.
    """
    modes, y = _matched(kernel, targets, name)
    projected = modes.eigenvectors.T @ y
    own = float(np.linalg.norm(y.T @ y))
    value = modes.eigenvalues @ (projected**2).sum(axis=1) / (own * np.linalg.norm(modes.eigenvalues))
    return Measurement.exact(
        name,
        float(value),
        n=len(np.asarray(targets)),
        n_of="samples",
        how="cosine between the kernel and that of the targets",
    )


def kernel_gradient_flow(
    kernel: ArrayLike | Spectrum,
    targets: ArrayLike,
    times: ArrayLike,
    *,
    initial: ArrayLike | None = None,
    scaling: Scaling = "samples",
    name: str = "kernel gradient flow",
) -> Curve:
    """Return the squared error of gradient flow with a fixed kernel, exactly, over time.

    The residual y - f is r(t) = exp(-K t / n) r(0).

    Args:
        kernel: As in :func:`spectrum`.
        targets: As in :func:`cumulative_power`.
        times: (T,) increasing, none negative. With ``scaling="samples"``, n = N: time is learning rate times
            steps, on the loss 1/2 |y - f|^2, mean over samples. With ``"trace"``, n is the mean eigenvalue:
            kernels are compared in shape, not in size.
        initial: Outputs at time 0, as the targets; None for 0.
        scaling: ``"samples"`` or ``"trace"``.
        name: Name of the curve.

    Returns:
        1/2 |r(t)|^2 / N over time. The share of the loss at time 0 that is left is it over
        ``details["initial"]``.

    Raises:
        MeasurementError: As :func:`cumulative_power`, or times do not increase from 0 on.
        UsageError: If the scaling is not known.
    """
    left, start, samples = _flow(kernel, targets, initial, scaling, name)
    at = np.asarray(times, dtype=np.float64)
    if at.ndim != 1 or not len(at) or not np.isfinite(at).all() or at[0] < 0 or (np.diff(at) <= 0).any():
        raise MeasurementError(f"{name}: times must increase from 0 on, got {at.tolist()}")
    loss = start * np.array([left(time) for time in at])
    return Curve(
        name=name,
        x=at,
        y=loss,
        low=loss,
        high=loss,
        x_name="time (lr × steps)" if scaling == "samples" else "time (over the mean eigenvalue)",
        y_name="loss",
        n=samples,
        n_of="samples",
        how="exponentials of the kernel's eigenvalues",
        details={"initial": start},
    )


def time_to(
    kernel: ArrayLike | Spectrum,
    targets: ArrayLike,
    *,
    share: float,
    initial: ArrayLike | None = None,
    scaling: Scaling = "samples",
    noise: float = NOISE,
    name: str | None = None,
) -> Measurement:
    """Return when kernel gradient flow has reduced the loss to a share of what it was.

    Args:
        kernel: As in :func:`spectrum`.
        targets: As in :func:`cumulative_power`.
        share: In (0, 1).
        initial: As in :func:`kernel_gradient_flow`.
        scaling: As in :func:`kernel_gradient_flow`.
        noise: Modes whose eigenvalue is no larger than this share of the largest count as not learnt.
        name: Name of the measurement; None says the share.

    Raises:
        UndeterminedError: If more than the share lies in modes below the noise.
        MeasurementError: As :func:`cumulative_power`.
        UsageError: As :func:`kernel_gradient_flow`, or the share is not within (0, 1).
    """
    _check_share(share)
    name = name or f"time to {share:.0%} of the loss"
    left, _, samples = _flow(kernel, targets, initial, scaling, name, noise)
    if left(math.inf) >= share:
        raise UndeterminedError(
            f"{name}: {left(math.inf):.2g} of the loss lies in eigenvectors whose eigenvalues are below the "
            "noise; a larger share can be reached, or a kernel in float64 resolves more"
        )
    late = 1.0
    while left(late) > share:
        late *= 2
    time = optimize.brentq(lambda at: left(at) - share, 0.0, late, xtol=1e-300, rtol=1e-12)
    return Measurement.exact(
        name,
        float(time),
        n=samples,
        n_of="samples",
        how="root of a sum of exponentials of the kernel's eigenvalues",
        unit="lr × steps" if scaling == "samples" else "",
    )


def _flow(
    kernel: ArrayLike | Spectrum,
    targets: ArrayLike,
    initial: ArrayLike | None,
    scaling: str,
    name: str,
    noise: float = 0.0,
) -> tuple[Callable[[float], float], float, int]:
    """Return the share of the loss that is left at a time, the loss at time 0, and N."""
    if scaling not in ("samples", "trace"):
        raise UsageError(f"scaling is 'samples' or 'trace', got {scaling!r}")
    y = np.asarray(targets, dtype=np.float64)
    outputs = np.zeros_like(y) if initial is None else np.asarray(initial, dtype=np.float64)
    if outputs.shape != y.shape:
        raise MeasurementError(f"{name}: outputs {outputs.shape} do not fit targets {y.shape}")
    values, power, size = _power(kernel, y - outputs, name)
    rates = values / (len(y) if scaling == "samples" else values.mean())
    rates = np.where(values > noise * values[0], rates, 0.0)
    never = float(power[rates == 0].sum())

    def left(time: float) -> float:
        return never if math.isinf(time) else float(power @ np.exp(-2 * rates * time))

    return left, 0.5 * size / len(y), len(y)


def _power(kernel: ArrayLike | Spectrum, targets: ArrayLike, name: str) -> tuple[Floats, Floats, float]:
    """Return eigenvalues, the power of each mode, and |y|^2."""
    modes, y = _matched(kernel, targets, name)
    squares = ((modes.eigenvectors.T @ y) ** 2).sum(axis=1)
    values = modes.eigenvalues
    # Equal up to the rounding of the decomposition.
    fresh = np.diff(values, prepend=np.inf) < -len(values) * np.finfo(np.float64).eps * values[0]
    group = np.cumsum(fresh) - 1
    shared = (np.bincount(group, weights=squares) / np.bincount(group))[group]
    return values, shared / shared.sum(), float((y**2).sum())


def _matched(kernel: ArrayLike | Spectrum, targets: ArrayLike, name: str) -> tuple[Spectrum, Floats]:
    """Return the spectrum, and the targets as (M, outputs that share the kernel)."""
    modes = spectrum(kernel, name=name)
    y, rows = np.asarray(targets, dtype=np.float64), len(modes.eigenvalues)
    if y.ndim not in (1, 2) or rows not in (len(y), y.size):
        raise MeasurementError(
            f"{name}: targets {y.shape} do not fit a kernel of {rows} rows; expected (N,) or (N, C) for N or "
            "N C of them"
        )
    if not np.isfinite(y).all() or not y.any():
        raise MeasurementError(f"{name}: targets must be finite and not all zero")
    return modes, y.reshape(rows, -1)


def _eigenvalues(given: ArrayLike | Spectrum, noise: float, name: str) -> Floats:
    """Return (M,) eigenvalues, descending, of a kernel, a spectrum or themselves."""
    if isinstance(given, Spectrum) or np.ndim(given) != 1:
        return spectrum(given, noise=noise, name=name).eigenvalues
    values = np.sort(np.asarray(given, dtype=np.float64))[::-1]
    if not len(values) or not np.isfinite(values).all() or values[0] <= 0:
        raise MeasurementError(f"{name}: eigenvalues must be finite, and the largest positive")
    return values


def _check_share(share: float) -> None:
    if not 0 < share < 1:
        raise UsageError(f"a share lies within (0, 1), got {share:g}")
