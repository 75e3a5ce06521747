"""A second process that trains networks of the same plan, one thread each.

Words: a *companion* is a child of the process that wants networks, its *owner*; it takes what nobody has
claimed until nothing is left or its owner is gone. Both meet in the cache and nowhere else, so whatever
becomes of a companion, its owner's results are the same.

A network is trained by one thread, because another number of threads gives other last bits; several cores
are used by several processes. This file is also the program that a companion runs.
"""

from __future__ import annotations

import _thread
import json
import logging
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops.cache import Cache
from netprops.declaration import Family, Spec
from netprops.errors import NetpropsError
from netprops.training.progress import Progress

if TYPE_CHECKING:
    from netprops.zoo import Zoo

log = logging.getLogger("netprops")

_MOST = 7  # companions at most: each holds torch and a data set in memory


def spare_cores() -> int:
    """Return how many companions this machine has room for beside the process that asks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores - 1, _MOST)


class Companion:
    """A running companion.

    Args:
        zoo: Whose networks it trains.
        specs: Which, in order.
    """

    def __init__(self, zoo: Zoo, specs: Sequence[Spec]) -> None:
        families = list({id(spec.family): spec.family for spec in specs}.values())
        job = {
            "root": str(zoo.cache.root),
            "remote": zoo.cache.remote.url if zoo.cache.remote else None,
            "data_root": str(zoo.data_root) if zoo.data_root else None,
            "download": zoo.download,
            "families": [family.model_dump(mode="json") for family in families],
            "specs": [[families.index(spec.family), spec.width, spec.seed, spec.variant] for spec in specs],
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "netprops.companion"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        self._heard: queue.SimpleQueue[Progress] = queue.SimpleQueue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def works(self) -> bool:
        """Return whether it has not come to its end."""
        return self._process.poll() is None

    def heard(self, seconds: float) -> Progress | None:
        """Return the last progress that it told since the last call, or None after waiting for one."""
        try:
            last = self._heard.get(timeout=seconds)
            while not self._heard.empty():
                last = self._heard.get()
        except queue.Empty:
            return None
        return last

    def dismiss(self) -> None:
        """Let it save the state of its training and end; wait for that."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._listener.join()
        self._process.stdout.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if "warning" in told:
                log.warning("%s", told["warning"])
            else:
                self._heard.put(Progress(**told))


class _Teller(logging.Handler):
    """Sends warnings to the owner."""

    def emit(self, record: logging.LogRecord) -> None:
        _tell({"warning": record.getMessage()})


def _tell(what: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _leave_with_the_owner(pipe: int) -> None:
    """End like at Ctrl-C, with the state saved, when the owner closes the pipe or dies."""
    os.read(pipe, 1)
    _thread.interrupt_main(signal.SIGINT)


def _main() -> None:
    from netprops.zoo import Zoo

    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_leave_with_the_owner, args=(sys.stdin.fileno(),), daemon=True).start()
    logging.getLogger("netprops").addHandler(_Teller(logging.WARNING))
    families = [Family.model_validate(family) for family in job["families"]]
    zoo = Zoo(
        Cache(Path(job["root"]), remote=job["remote"]),
        device="cpu",
        download=job["download"],
        data_root=Path(job["data_root"]) if job["data_root"] else None,
        progress=lambda progress: _tell(asdict(progress)),
    )
    for place, width, seed, variant in job["specs"]:
        try:
            zoo.offer(families[place].spec(width, seed, variant))
        except NetpropsError:
            continue  # the owner meets the same error when it wants this network, and says so


if __name__ == "__main__":
    try:
        _main()
    except KeyboardInterrupt:
        sys.exit(130)
