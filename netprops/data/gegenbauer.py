"""A polynomial of a hidden direction on the sphere: a regression task whose samples never repeat.

Words: K is the *degree* and D the number of *dimensions*; samples x are uniform on the sphere of radius √D;
β is the hidden unit vector; q_K is the Gegenbauer polynomial of degree K that belongs to D dimensions, scaled
to variance 1 over the sphere. The target of x is y = q_K(β·x / √D).

Polynomials of two degrees are uncorrelated over the sphere: what a network of a lower degree has learnt says
nothing of a higher one.

Source: the tasks of "Feature-Learning Networks Are Consistent Across Widths At Realistic Scales", figures 10
and 15.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register
from netprops.data.chunks import refuse_absent
from netprops.durable import canonical, digest_of
from netprops.errors import UsageError

CHUNK, TEST_SAMPLES = 1000, 1000
SEED = 0


@dataclass(frozen=True)
class Gegenbauer:
    """The inexhaustible stream: each chunk is drawn by a generator of its own.

    Args:
        degree: K, at least 1.
        dimensions: D, at least 2.
    """

    degree: int
    dimensions: int

    size = CHUNK
    chunks = None

    @property
    def digest(self) -> str:
        """SHA-256 over what decides the chunks."""
        facts = {"gegenbauer": [SEED, self.degree, self.dimensions], "size": self.size}
        return digest_of(canonical(facts))

    def chunk(self, index: int) -> Split:
        """Return 1,000 samples and their targets, (1000, D) and (1000,) float32.

        Raises:
            UsageError: If the index is negative.
        """
        refuse_absent("gegenbauer", index, self.chunks)
        return self._drawn(self.size, np.random.default_rng([SEED, self.degree, self.dimensions, index]))

    def test(self) -> Split:
        """Return 1,000 samples that no chunk has."""
        rng = np.random.default_rng([SEED, self.degree, self.dimensions, 0, 1])
        return self._drawn(TEST_SAMPLES, rng)

    def _drawn(self, samples: int, rng: np.random.Generator) -> Split:
        vectors = _directions(samples, self.dimensions, rng)
        labels = polynomial(vectors @ direction(self.dimensions), self.degree, self.dimensions)
        inputs = vectors * math.sqrt(self.dimensions)
        return Split.of_arrays(inputs.astype(np.float32), labels.astype(np.float32))


def polynomial(t: NDArray[np.float64], degree: int, dimensions: int) -> NDArray[np.float64]:
    """Return the Gegenbauer polynomial of variance 1 over the sphere.

    Args:
        t: Cosines in [-1, 1], of any shape.
        degree: K, at least 1.
        dimensions: D, at least 2.

    Returns:
        q_K(t) = √N P_K(t), where P_K(1) = 1 and N is the number of harmonics of degree K in D dimensions, for
        1/N is the variance of P_K. For one degree it is √D t.

    >>> polynomial(np.array([0.0, 1.0]), degree=2, dimensions=3).round(4).tolist()
    [-1.118, 2.2361]
    """
    from scipy.special import binom, eval_jacobi

    # Gegenbauer polynomials are those of Jacobi with two equal orders, but for their scale.
    order = (dimensions - 3) / 2
    harmonics = (2 * degree + dimensions - 2) / degree * binom(degree + dimensions - 3, degree - 1)
    scale = math.sqrt(harmonics) / float(eval_jacobi(degree, order, order, 1.0))
    values: NDArray[np.float64] = eval_jacobi(degree, order, order, t)
    return values * scale


def direction(dimensions: int) -> NDArray[np.float64]:
    """Return β, (D,), of length 1: one for all degrees."""
    return _directions(1, dimensions, np.random.default_rng([SEED, dimensions])).ravel()


def _directions(count: int, dimensions: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return unit vectors (count, D) that are uniform on the sphere."""
    drawn = rng.standard_normal((count, dimensions))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)  # type: ignore[no-any-return]


def _stream(request: Request) -> Gegenbauer:
    degree, _, dimensions = request.argument.partition(":")
    known = degree.isdecimal() and dimensions.isdecimal() and int(degree) >= 1 and int(dimensions) >= 2
    if not known:
        raise UsageError(
            f"data set {request.name!r}: expected a degree from 1 and a number of dimensions from 2, such as "
            "gegenbauer:2:10"
        )
    return Gegenbauer(int(degree), int(dimensions))


def _known(request: Request) -> None:
    _stream(request)


@register("gegenbauer", missing=_known, takes_argument=True)
def load_gegenbauer(request: Request) -> Dataset:
    """Return the regression ``gegenbauer:K:D``: a stream of 1,000 samples a chunk, and 1,000 for test.

    Without an online recipe its training part is the first chunk.

    Raises:
        UsageError: If the name has no degree and number of dimensions.
    """
    stream = _stream(request)
    return Dataset(
        name=request.name,
        train=stream.chunk(0),
        test=stream.test(),
        task="regression",
        classes=(),
        stream=stream,
    )
