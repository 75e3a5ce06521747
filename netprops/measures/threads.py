"""Small linear-algebra tasks, each serial within itself: many over the threads of the BLAS, or one by one.

A matrix product here lasts about a millisecond: too short to be worth a barrier between threads, which on a
busy machine waits for a time slice; whole tasks share the threads without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

Place = TypeVar("Place")
Found = TypeVar("Found")

# Multiplications of a product that lasts some hundredths of a second: below, beside a busy process, a probe
# of 64 features took 13 s with two threads and 0.4 s with one.
_SMALL = 1 << 28


def over_threads(task: Callable[[Place], Found], places: Iterable[Place]) -> list[Found]:
    """Return the results of a task for each place, in order; as many run at once as the BLAS has threads."""
    threads = max(
        (pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1
    )
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, places))


@contextmanager
def serial_if_small(multiplications: int) -> Iterator[None]:
    """Compute with one thread of the BLAS where the largest product is small; other threads come back.

    Args:
        multiplications: Of numbers, in the largest product.
    """
    if multiplications > _SMALL:
        yield
        return
    with threadpool_limits(1, user_api="blas"):
        yield
