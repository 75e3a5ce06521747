"""Similarity of units against numpy.corrcoef and a threshold: time, memory and agreement.

N samples, n units: ReLU of 8 signals, so that correlations of all sizes occur. Promised for n = 8,192 and
N = 10,000: at most 1/3 of the time that passes, the same counts, and a process of at most 1 GB (2^30 bytes),
features and libraries included. Both take turns; the shortest of several rounds counts. The processor's time
stands beside it: the sum over cores, which other processes disturb less.
"""

import argparse
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np

from netprops.measures.correlated import similar_units

PROMISED = 1 / 3
MEMORY = 2**30


def by_numpy(features):
    return (np.abs(np.corrcoef(features, rowvar=False)) >= 0.5).sum(axis=0) - 1


def resident():
    """Return bytes of memory in use now, or the peak so far where the system does not tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Watch:
    """The largest resident memory while the block runs, sampled every few milliseconds."""

    def __enter__(self):
        self.peak, self.done = resident(), threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self):
        while not self.done.wait(0.002):
            self.peak = max(self.peak, resident())

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


class Times:
    """Seconds that passed and that the processor was busy, in the shortest of the blocks."""

    def __init__(self):
        self.passed = self.busy = float("inf")

    def __enter__(self):
        self.start = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.passed = min(self.passed, time.perf_counter() - self.start[0])
        self.busy = min(self.busy, time.process_time() - self.start[1])


def drawn(samples, units):
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((samples, 8), dtype=np.float32)
    weights = rng.standard_normal((8, units), dtype=np.float32)
    features = np.empty((samples, units), dtype=np.float32)
    for rows in np.array_split(np.arange(samples), 200):
        noise = rng.standard_normal((len(rows), units), dtype=np.float32)
        features[rows] = np.maximum(signals[rows] @ weights + noise, 0)
    return features


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2,048 units")
    parser.add_argument("--rounds", type=int, default=3, help="how often both are timed (default: 3)")
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file, too")
    arguments = parser.parse_args()
    samples, units = 10_000, 2_048 if arguments.quick else 8_192
    similar_units(drawn(200, 100))  # loads the libraries
    libraries = resident()
    features = drawn(samples, units)
    best = {"numpy.corrcoef and threshold": Times(), "netprops": Times()}
    theirs, ours = best.values()
    peaks = []
    for _ in range(arguments.rounds):
        with Watch() as memory, ours:
            found = similar_units(features).counts
        peaks.append(memory.peak)
        with theirs:
            expected = by_numpy(features)
    different = int((found != expected).sum())
    peak = peaks[0]  # later ones begin with what numpy's matrices left behind
    kept = ours.passed <= PROMISED * theirs.passed and peak <= MEMORY and not different
    head = (
        "samples", "units", "similar units, mean", *best, "ratio", *(f"{name}, processor" for name in best),
        "ratio", "memory", "libraries alone", "features", "units counted otherwise",
    )  # fmt: skip
    line = (
        samples, units, f"{found.mean():.1f}",
        *(f"{times.passed:.1f} s" for times in best.values()), f"1/{theirs.passed / ours.passed:.1f}",
        *(f"{times.busy:.1f} s" for times in best.values()), f"1/{theirs.busy / ours.busy:.1f}",
        *(f"{size / 2**20:.0f} MiB" for size in (peak, libraries, features.nbytes)), different,
    )  # fmt: skip
    lines = [" | ".join(map(str, row)) for row in (head, ["---:"] * len(head), line)]
    said = "kept" if kept else "not kept"
    promise = (
        f"Promised: at most 1/{1 / PROMISED:.0f}, {MEMORY >> 20} MiB and no unit counted otherwise; {said}."
    )
    table = "\n".join(f"| {line} |" for line in lines)
    print(f"{table}\n\n{promise}")
    if arguments.out:
        heading = (
            "# Similarity of units against numpy.corrcoef\n\nMade by `python benchmarks/similarity.py`.\n\n"
        )
        arguments.out.write_text(f"{heading}{table}\n\n{promise}\n", encoding="utf-8")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
