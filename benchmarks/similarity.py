"""Similarity of units against numpy.corrcoef and a threshold: time, memory and agreement.

N samples, n units: ReLU of 8 signals, so that correlations of all sizes occur. Promised for n = 8,192 and
N = 10,000: at most 1/3 of the time, the same counts, and a process of at most 1 GB (2^30 bytes), features and
libraries included. Times are those of the processor, which other processes disturb less.
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
    parser.add_argument("--out", type=Path, help="write the table as Markdown to this file, too")
    arguments = parser.parse_args()
    samples, units = 10_000, 2_048 if arguments.quick else 8_192
    similar_units(drawn(200, 100))  # loads the libraries
    libraries = resident()
    features = drawn(samples, units)
    with Watch() as memory:
        start = time.process_time()
        found = similar_units(features).counts
        ours = time.process_time() - start
    start = time.process_time()
    expected = by_numpy(features)
    theirs = time.process_time() - start
    different = int((found != expected).sum())
    kept = ours <= PROMISED * theirs and memory.peak <= MEMORY and not different
    head = (
        "samples", "units", "similar units, mean", "numpy.corrcoef and threshold", "netprops", "ratio",
        "process", "libraries alone", "features", "units counted otherwise",
    )  # fmt: skip
    line = (
        samples, units, f"{found.mean():.1f}", f"{theirs:.1f} s", f"{ours:.1f} s", f"1/{theirs / ours:.1f}",
        *(f"{size / 2**20:.0f} MiB" for size in (memory.peak, libraries, features.nbytes)), different,
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
