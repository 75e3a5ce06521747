"""The top eigenvalue of a symmetric matrix known by its products with vectors, and the edge of stability.

Words: P numbers of a vector; a *product* is the matrix A times a vector; after m products, Lanczos' method
has an orthonormal *basis* (m, P) of what they reach, and a tridiagonal (m, m) matrix on it, whose eigenvalues
are *Ritz values*; the *residual* of the largest, theta, with its vector y, is |A y - theta y|.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement

Floats = NDArray[np.float64]
Product = Callable[[Floats], NDArray[Any]]

# Products that differ from those of a symmetric matrix by this share of its norm are not rounded but wrong.
_ASYMMETRY = 0.01


def top_eigenvalue(
    product: Product,
    size: int,
    *,
    rng: np.random.Generator,
    rtol: float = 1e-3,
    most: int = 60,
    name: str = "top eigenvalue",
) -> Measurement:
    """Return the largest eigenvalue (not the largest in size) of a symmetric matrix.

    Lanczos' method with full reorthogonalisation, which stops at the first product after which the residual
    is small enough. scipy's ``eigsh`` looks only where it restarts: it took 11 to 31 products where this took
    8 to 22 (``benchmarks/curvature.md``).

    Args:
        product: Gives A v, (P,) of any float type, for v, (P,) float64 of length 1.
        size: P.
        rng: Source of the first vector.
        rtol: The residual that is good enough, as a share of the eigenvalue, and of the range of all Ritz
            values: that of a matrix near a multiple of the identity is small for any vector.
        most: Products at most.
        name: Name of the measurement.

    Returns:
        theta, which no eigenvalue but the largest exceeds; the interval reaches up by the residual, within
        which an eigenvalue lies, and to both sides by how far the products were seen to be from those of a
        symmetric matrix (rounding). The error is commonly far smaller: of the order of the squared residual
        over the gap to the next eigenvalue. n is the number of products.

    Raises:
        UndeterminedError: If the residual is not small enough after ``most`` products.
        MeasurementError: If a product has another shape, is not finite or is not that of a symmetric matrix.
        UsageError: If size, ``rtol`` or ``most`` is not positive.

    Source:
        Lanczos 1950; Parlett, The Symmetric Eigenvalue Problem, sections 4.5 (the residual) and 13.

    Example:
        >>> found = top_eigenvalue(lambda v: v * [1, 2, 3], 3, rng=np.random.default_rng(0))
        >>> round(found.value, 6), found.n
        (3.0, 3)
    """
    if size < 1 or most < 1 or not rtol > 0:
        raise UsageError(
            f"{name}: size, most and rtol must be positive, got size={size}, most={most}, rtol={rtol:g}"
        )
    steps = min(most, size)
    basis: list[Floats] = []
    vector = rng.standard_normal(size)
    vector /= np.linalg.norm(vector)
    diagonal: list[float] = []
    beside: list[float] = []
    stray = 0.0
    for step in range(steps):
        basis.append(vector)
        image, eps = _checked(product(vector), size, step, name)
        along = np.array([one @ image for one in basis])
        diagonal.append(float(along[step]))
        if step:  # what a symmetric matrix gives here is known from the products before
            stray = max(stray, float(np.linalg.norm(along[:step] - [*[0.0] * (step - 1), beside[-1]])))
        left = image
        for one in basis * 2:  # the second time takes away what rounding has left
            left -= (one @ left) * one
        length = float(np.linalg.norm(left))
        values, vectors = linalg.eigh_tridiagonal(diagonal, beside)
        theta, norm = float(values[-1]), float(np.abs(values).max())
        if stray > _ASYMMETRY * norm:
            raise MeasurementError(
                f"{name}: product {step + 1} is not that of a symmetric matrix, by {stray:.2g} of "
                f"{norm:.2g}; dropout or batch statistics change from product to product"
            )
        residual = length * abs(float(vectors[-1, -1]))
        rounding = 10 * eps * norm
        if residual <= max(rtol * min(abs(theta), theta - float(values[0])), rounding):
            slack = max(stray, rounding)
            return Measurement(
                name=name,
                value=theta,
                low=theta - slack,
                high=theta + residual + slack,
                n=step + 1,
                n_of="products",
                how="Lanczos on products with vectors; upward by the residual",
                details={"products": step + 1, "residual": residual, "asymmetry": stray, "numbers": size},
            )
        if step + 1 < steps:
            beside.append(length)
            vector = left / length
    raise UndeterminedError(
        f"{name}: after {steps} products the largest eigenvalue is {theta:.4g} or more, with a residual of "
        f"{residual:.2g} where {rtol:g} of it was asked for; more products (most={steps}) would tell"
    )


def edge(lr: float, *, momentum: float = 0.0, nesterov: bool = False) -> float:
    """Return the sharpness above which gradient descent diverges on a quadratic: the edge of stability.

    Args:
        lr: Learning rate.
        momentum: Share of the velocity that a step keeps, as ``torch.optim.SGD`` has it.
        nesterov: Whether the momentum is Nesterov's.

    Returns:
        2/lr without momentum, 2 (1 + m)/lr with it, 2 (1 + m)/(1 + 2m)/lr with Nesterov's.

    Raises:
        UsageError: If the lr is not positive or the momentum not in [0, 1).

    Source:
        Cohen et al. 2021, Gradient descent on neural networks typically occurs at the edge of stability,
        section 2 and appendix B.

    Example:
        >>> edge(0.1), edge(0.1, momentum=0.5)
        (20.0, 30.0)
    """
    if not (lr > 0 and math.isfinite(lr)) or not 0 <= momentum < 1:
        raise UsageError(f"an lr > 0 and a momentum in [0, 1) are expected, got {lr:g} and {momentum:g}")
    return 2 * (1 + momentum) / ((1 + 2 * momentum) if nesterov else 1) / lr


def _checked(image: NDArray[Any], size: int, step: int, name: str) -> tuple[Floats, float]:
    """Return a product as float64, and the rounding unit of the type that it came in."""
    given = np.asarray(image)
    if given.shape != (size,):
        raise MeasurementError(
            f"{name}: product {step + 1} has shape {given.shape}, expected ({size},) as the vector has"
        )
    if not np.isfinite(given).all():
        raise MeasurementError(f"{name}: product {step + 1} is not finite; the training has diverged")
    eps = np.finfo(given.dtype).eps if np.issubdtype(given.dtype, np.floating) else np.finfo(np.float64).eps
    return given.astype(np.float64), float(eps)
