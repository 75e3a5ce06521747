"""Cores that workers share: each computes with as many threads as are its own.

Words: a *share* is the cores of the machine over the workers, at least one. Beside a busy process, two
threads of a small matrix product wait for each other's time slices: a linear probe took 30 times as long.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

_NUMBERS_OF_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def keep_to_share(workers: int) -> Callable[[], None]:
    """Limit this process to its share of the cores, for libraries that are loaded and for those to come.

    Args:
        workers: Processes that share the machine.

    Returns:
        What lifts the limit. A number that the user's environment sets stays as it is.
    """
    from threadpoolctl import threadpool_limits

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, cores // workers)
    ours = [name for name in _NUMBERS_OF_THREADS if name not in os.environ]
    if "OMP_NUM_THREADS" not in ours:
        return lambda: None
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    os.environ.update(dict.fromkeys(ours, str(share)))
    limits = threadpool_limits(share)
    if torch is not None:
        torch.set_num_threads(share)

    def lift() -> None:
        for name in ours:
            os.environ.pop(name, None)
        limits.restore_original_limits()
        if torch is not None:
            torch.set_num_threads(before)

    return lift
