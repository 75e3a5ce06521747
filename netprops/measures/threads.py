"""Many small linear-algebra tasks over the threads of the BLAS, each serial within itself.

A matrix product here lasts about a millisecond: too short to be worth a barrier between threads, which on a
busy machine waits for a time slice; whole tasks share the threads without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_info, threadpool_limits

Place = TypeVar("Place")
Found = TypeVar("Found")


def over_threads(task: Callable[[Place], Found], places: Iterable[Place]) -> list[Found]:
    """Return the results of a task for each place, in order; as many run at once as the BLAS has threads."""
    threads = max(
        (pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), default=1
    )
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, places))
