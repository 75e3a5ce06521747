"""An inexhaustible stream of handwritten digits: the training digits of ``digits``, each time drawn anew.

Words: a *source* is one of the 897 training digits; its *pose* is a rotation, scale, shear and shift, its
*light* a contrast, a brightness and noise. Images stay 8×8: the test part is the untouched digits, and
networks of the smallest cost are what the stream is for.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from netprops.data import Dataset, Request, Split, register
from netprops.data.chunks import generator, refuse_absent
from netprops.data.digits import load_digits_images
from netprops.durable import canonical, digest_of

SIZE = 1000
SHIFT = 1.0
"""Largest shift in pixels, in either direction and along either axis."""
ROTATION = np.pi / 12
SCALE = 1.15
"""Largest factor by which a digit is enlarged or made smaller, both axes alike."""
SHEAR = 0.2
"""Largest shift of a row, in pixels for each pixel of its distance from the middle."""
CONTRAST, BRIGHTNESS = (0.6, 1.0), (0.0, 0.15)
"""Between which numbers lie the factor of the pixels, of 0 … 1, and what is added to them."""
NOISE = 0.04
"""Standard deviation of what is added to every pixel by itself; ten levels of uint8."""
_SIDE = 8


class DigitStream:
    """Chunks of 1,000 digits in random pose and light, without end.

    A chunk is drawn by a generator of its own, from numbers of 53 bits and with noise on all 64 pixels: no
    two samples are equal.

    Args:
        sources: The digits that are drawn, (N, 1, 8, 8) uint8, and their classes.
    """

    size = SIZE
    chunks = None

    def __init__(self, sources: Split) -> None:
        pixels = sources.inputs.numpy()[:, 0] / np.float64(255)
        self._padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1)))
        self._labels: NDArray[np.int64] = sources.labels.numpy()
        self.digest = digest_of(canonical(["digit-stream", SIZE, sources.digest, self.chunk(0).digest]))

    def chunk(self, index: int) -> Split:
        """Return 1,000 samples: (1000, 1, 8, 8) uint8 and their classes, always the same for an index.

        Raises:
            UsageError: If the index is negative.
        """
        refuse_absent("digit-stream", index, self.chunks)
        rng = generator("digit-stream", index)
        rows = rng.integers(0, len(self._labels), SIZE)
        y, x = _looked_up(rng)
        images = _between(self._padded, rows, y, x)
        contrast, brightness = (rng.uniform(*bounds, (SIZE, 1)) for bounds in (CONTRAST, BRIGHTNESS))
        images = images * contrast + brightness + NOISE * rng.standard_normal(images.shape)
        levels = np.round(255 * images.clip(0, 1)).astype(np.uint8)
        return Split.of_arrays(levels.reshape(SIZE, 1, _SIDE, _SIDE), self._labels[rows])


@register("digit-stream")
def load_digit_stream(request: Request) -> Dataset:
    """Return the stream of training digits in random pose and light, and the 900 untouched test digits.

    The training part is the stream's first chunk; mean and standard deviation are that chunk's. A pose is a
    rotation by up to 15 degrees, a scale of up to 1.15, a shear of up to 0.2 and a shift of up to one pixel,
    each uniform.
    """
    digits = load_digits_images(Request("digits"))
    stream = DigitStream(digits.train)
    return Dataset.of_images(
        request.name, stream.chunk(0), digits.test, classes=digits.classes, stream=stream
    )


def _looked_up(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where in the sources the pixels of one chunk's images lie: rows and columns, (SIZE, 64) each."""
    angle = rng.uniform(-ROTATION, ROTATION, (SIZE, 1))
    scale = np.exp(rng.uniform(-np.log(SCALE), np.log(SCALE), (SIZE, 1)))
    shear = rng.uniform(-SHEAR, SHEAR, (SIZE, 1))
    shift = rng.uniform(-SHIFT, SHIFT, (2, SIZE, 1))
    middle = (_SIDE - 1) / 2
    down, right = (axis.ravel() - middle for axis in np.mgrid[:_SIDE, :_SIDE])
    right = right + shear * down
    y = scale * (np.cos(angle) * down - np.sin(angle) * right) + shift[0] + middle
    x = scale * (np.sin(angle) * down + np.cos(angle) * right) + shift[1] + middle
    return y, x


def _between(
    padded: NDArray[np.float64], rows: NDArray[np.int64], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return images bilinearly between the pixels of their sources, which have a border of one zero pixel."""
    y, x = (np.clip(axis + 1, 0, _SIDE + 1) for axis in (y, x))
    top, left = (np.minimum(axis.astype(np.int64), _SIDE) for axis in (y, x))
    down, right = y - top, x - left
    width = padded.shape[2]
    flat, first = padded.ravel(), rows[:, None] * width**2 + top * width + left
    above = (1 - right) * flat[first] + right * flat[first + 1]
    below = (1 - right) * flat[first + width] + right * flat[first + width + 1]
    between: NDArray[np.float64] = (1 - down) * above + down * below
    return between
