"""How far two networks are apart: in logits, kernels, preactivations and attention.

Words: N samples, C outputs, W units of a layer, T positions of a sequence; the *reference* is the network
that the other one is compared with, such as the widest; a *kernel* is H Hᵀ / W of features H, (N, N), which
does not depend on the order of the units and has one size at all widths. Every distance is a plain number
without a unit, relative to the reference where that says something; ``consistency`` judges how it changes
with width.

Networks of different widths or seeds share neither units nor, in general, heads. So features are compared by
their kernels and preactivations by their distribution. In the limit of infinite width at a fixed number of
heads all heads of a layer agree; at finite width attention is compared head by head or, by the mean over the
axis of heads, whatever their order.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netprops.errors import MeasurementError

Floats = NDArray[np.float64]

# Rows of attention in float16 add up to 1 within 1e-3.
_ROUNDING = 5e-3


def logit_distance(logits: ArrayLike, reference: ArrayLike) -> float:
    """Return the root mean squared difference of logits over the spread of the reference's.

    The spread is the standard deviation over samples of each output of the reference, as a root mean square
    over outputs: a network that always gives the reference's mean has distance 1, and two that share nothing
    but mean and spread have the square root of 2.

    Args:
        logits: (N, C) outputs of one network on N samples.
        reference: (N, C) outputs of the other on the same samples.

    Returns:
        A number without a unit, 0 for equal logits.

    Raises:
        MeasurementError: If shapes do not fit, a logit is not finite, or the reference's outputs are
            constant.

    Source:
        Vyas et al. 2023, Feature-learning networks are consistent across widths, Fig. 3 d-f and 4; the
        denominator is ours.

    Example:
        >>> logit_distance([[2.0], [0.0]], [[1.0], [-1.0]])
        1.0
    """
    outputs, other = _pair("logit distance", logits, reference, 2)
    spread = float(np.sqrt(other.var(axis=0).mean()))
    if not spread > 1e-12 * float(np.abs(other).max()):
        raise MeasurementError(
            f"logit distance: the reference's logits do not differ among its {len(other)} samples, so that "
            "they have no spread to compare with"
        )
    return float(np.sqrt(((outputs - other) ** 2).mean())) / spread


def kernel_of(features: ArrayLike) -> Floats:
    """Return the kernel H Hᵀ / W of features, (N, N) float64.

    Args:
        features: (N, W) features of one layer.

    Raises:
        MeasurementError: If the features are no matrix, or one is not finite.

    Source:
        Vyas et al. 2023, Fig. 5 c; its appendix G.1.
    """
    H = np.asarray(features, dtype=np.float64)
    if H.ndim != 2 or not H.size or not np.isfinite(H).all():
        raise MeasurementError(f"kernel: expected (N, W) finite features, got shape {H.shape}")
    K: Floats = H @ H.T / H.shape[1]
    return K


def kernel_distance(kernel: ArrayLike, reference: ArrayLike) -> float:
    """Return the Frobenius norm of the difference of two kernels over the reference's.

    Args:
        kernel: (N, N), as :func:`kernel_of` gives it.
        reference: (N, N) of the other network on the same samples.

    Raises:
        MeasurementError: If shapes do not fit, a number is not finite, or the reference is 0.

    Source:
        Vyas et al. 2023, Fig. 5 (distance of kernels to the widest's).

    Example:
        >>> kernel_distance([[3.0]], [[2.0]])
        0.5
    """
    K, other = _kernels("kernel distance", kernel, reference)
    size = float(np.linalg.norm(other))
    if not size > 0:
        raise MeasurementError("kernel distance: the reference kernel is 0; the layer is silent")
    return float(np.linalg.norm(K - other)) / size


def cka(kernel: ArrayLike, reference: ArrayLike) -> float:
    """Return the linear centred kernel alignment of two networks, 1 for kernels equal up to scale and mean.

    Where kernels approach each other, 1 - CKA falls as the square of their distance: an exponent of it over
    width is twice that of :func:`kernel_distance`.

    Args:
        kernel: (N, N), as :func:`kernel_of` gives it.
        reference: (N, N) of the other network on the same samples.

    Returns:
        A number from 0 to 1 for kernels of features.

    Raises:
        MeasurementError: If shapes do not fit, a number is not finite, or a kernel is 0 once centred.

    Source:
        Kornblith et al. 2019, Similarity of neural network representations revisited, section 3.
    """
    pair = []
    for K in _kernels("CKA", kernel, reference):
        centred = K - K.mean(axis=0) - K.mean(axis=1)[:, None] + K.mean()
        size = float(np.linalg.norm(centred))
        if not size > 1e-12 * float(np.linalg.norm(K)):
            raise MeasurementError(
                f"CKA: a kernel of {len(K)} samples is constant; they all have one feature"
            )
        pair.append(centred / size)
    return float((pair[0] * pair[1]).sum())


def preactivation_distance(preactivations: ArrayLike, reference: ArrayLike) -> float:
    """Return the Wasserstein distance of two pooled distributions over the reference's standard deviation.

    The distance of order 1 in one dimension: the mean absolute difference of the quantiles. Two samples of
    one distribution are not at distance 0: the fewer units there are, the farther they scatter, so that the
    floor between two seeds belongs beside it.

    Args:
        preactivations: Of any shape: one layer, all units and samples in one pool.
        reference: The other network's; another number of units is fine.

    Returns:
        A number without a unit: 1 where one distribution is the other moved by its standard deviation.

    Raises:
        MeasurementError: If there is none, one is not finite, or the reference is constant.

    Source:
        Vyas et al. 2023, Fig. 5 (preactivation distributions); the measure is ours.

    Example:
        >>> preactivation_distance([2.0, 0.0], [[1.0, -1.0]])
        1.0
    """
    from scipy import stats  # slow to import, and at a pytest start nothing is compared

    pool, other = (np.asarray(one, dtype=np.float64).ravel() for one in (preactivations, reference))
    if not (pool.size and other.size and np.isfinite(pool).all() and np.isfinite(other).all()):
        raise MeasurementError(
            f"preactivation distance: expected finite numbers, got {pool.size} and {other.size} "
            "preactivations, or some that are not finite"
        )
    spread = float(other.std())
    if not spread > 1e-12 * float(np.abs(other).max()):
        raise MeasurementError("preactivation distance: the reference's preactivations are all alike")
    return float(stats.wasserstein_distance(pool, other)) / spread


def attention_distance(attention: ArrayLike, reference: ArrayLike) -> float:
    """Return the total variation distance of two networks' attention, as a mean over all rows.

    Args:
        attention: (..., T, T) weights, each row a distribution over the positions that it attends to.
        reference: The other network's on the same sequences, of the same shape.

    Returns:
        A number from 0 to 1: the share of its attention that a position pays elsewhere.

    Raises:
        MeasurementError: If shapes do not fit, or a row is no distribution.

    Source:
        Vyas et al. 2023, Fig. 1 d and 5 d-f (attention matrices across widths); the measure is ours.

    Example:
        >>> attention_distance([[1.0, 0.0], [0.5, 0.5]], [[1.0, 0.0], [1.0, 0.0]])
        0.25
    """
    weights, other = _pair("attention distance", attention, reference, None)
    for one in (weights, other):
        if (
            one.ndim < 2
            or one.shape[-1] != one.shape[-2]
            or (one < 0).any()
            or (np.abs(one.sum(axis=-1) - 1) > _ROUNDING).any()
        ):
            raise MeasurementError(
                f"attention distance: expected (..., T, T) weights after the softmax, rows that are not "
                f"negative and add up to 1; got shape {one.shape} or other rows"
            )
    return float(np.abs(weights - other).sum(axis=-1).mean()) / 2


def _pair(name: str, first: ArrayLike, second: ArrayLike, dimensions: int | None) -> tuple[Floats, Floats]:
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or not a.size or (dimensions is not None and a.ndim != dimensions):
        raise MeasurementError(
            f"{name}: shapes {a.shape} and {b.shape} do not fit; expected "
            f"{'one' if dimensions is None else f'one of {dimensions} axes'} for both: the same samples and "
            "outputs"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise MeasurementError(f"{name}: a number is not finite; did one of the networks diverge?")
    return a, b


def _kernels(name: str, first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    a, b = _pair(name, first, second, 2)
    if a.shape[0] != a.shape[1]:
        raise MeasurementError(
            f"{name}: expected kernels (N, N), got {a.shape}; kernel_of(features) gives them"
        )
    return a, b
