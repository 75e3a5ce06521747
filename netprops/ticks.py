"""Where the ticks of an axis are, and what they say: round numbers, and powers of two where the data are."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float) -> str:
    """Return a number for a tick: plain digits, or a power of ten in Unicode where that is shorter.

    >>> number(0.05), number(512), number(1e-6), number(3e7)
    ('0.05', '512', '10⁻⁶', '3·10⁷')
    """
    if value == 0 or 1e-4 <= abs(value) < 1e5:
        return f"{value:.6g}".replace("-", "−")
    mantissa, exponent = f"{value:.3e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPT)
    mantissa = f"{float(mantissa):g}".replace("-", "−")
    return {"1": power, "−1": f"−{power}"}.get(mantissa, f"{mantissa}·{power}")


def ticks(low: float, high: float, scale: str, data: Sequence[float] = ()) -> list[float]:
    """Return at most about seven round positions within ``[low, high]``.

    Args:
        low: Lower end of the axis; positive on a log axis.
        high: Upper end of the axis.
        scale: ``"linear"`` or ``"log"``.
        data: The points' positions. On a log axis whose points are all powers of two (widths, chunk sizes)
            the ticks are powers of two as well; on others decades, with 2 and 5 between where there is room.

    Returns:
        Ascending positions.
    """
    if scale != "log":
        rough = (high - low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        # 2.5 epochs or neurons do not exist: among the ones a step is whole.
        step = unit * next(
            m for m in (1, 2, 2.5, 5, 10) if m * unit >= rough * 0.999 and (m != 2.5 or unit != 1)
        )
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]
    if len(data) == 1:
        return [data[0]]
    if data and all(math.log2(x) == round(math.log2(x)) for x in data):
        exponents = range(math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9) + 1)
        every = -(-len(exponents) // 9)
        return [2.0**k for k in exponents if (k - exponents[-1]) % every == 0]
    lowest, highest = math.floor(math.log10(low)), math.ceil(math.log10(high))
    within = [k for k in range(lowest, highest + 1) if low <= 10.0**k <= high]
    if len(within) > 7:
        every = -(-len(within) // 7)
        return [10.0**k for k in within if k % every == 0]
    for parts in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7)):
        found = [m * 10.0**k for k in range(lowest, highest + 1) for m in parts if low <= m * 10.0**k <= high]
        if len(found) >= 4:
            return found
    return ticks(low, high, "linear")
