"""One draw of R2 and mean residual correlation, from second moments, against scikit-learn on all samples.

N samples, W units, a chunk of w; fitted on one half of the samples, scored on the other, both ways, over
units outside the chunk. The alternative is Ridge, r2_score and a correlation matrix of the N x W residuals.
Promised: at most 1/150 of the time a draw, the same numbers to 1e-6, and less than 200 MB beyond the
features. The moments, computed once for all draws, are timed apart.
"""

import argparse
import resource
import sys
import threading
import time
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from netprops.measures.moments import Moments, residuals

PROMISED = 1 / 150
AGREEMENT = 1e-6
MEMORY = 200e6


def by_scikit_learn(features, halves, chunk):
    outside = np.setdiff1d(np.arange(features.shape[1]), chunk)
    found = []
    for fit, score in (halves, halves[::-1]):
        x, y = features[fit][:, chunk], features[fit][:, outside]
        truth = features[score][:, outside]
        predicted = Ridge(alpha=1e-8).fit(x, y).predict(features[score][:, chunk])
        shares = np.abs(np.corrcoef(truth - predicted, rowvar=False))
        pairs = len(outside) * (len(outside) - 1)
        found.append(
            (
                r2_score(truth, predicted, multioutput="variance_weighted"),
                (shares.sum() - len(outside)) / pairs,
            )
        )
    return np.mean(found, axis=0)


def by_moments(parts, chunk):
    found = [residuals(fit, score, chunk) for fit, score in (parts, parts[::-1])]
    return np.mean([(one.r2, one.correlation) for one in found], axis=0)


def resident():
    """Return bytes of memory in use now, or the peak so far where the system does not tell."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Watch:
    """The largest growth of resident memory while the block runs, sampled every few milliseconds."""

    def __enter__(self):
        self.before, self.peak, self.done = resident(), 0, threading.Event()
        self.thread = threading.Thread(target=self._look)
        self.thread.start()
        return self

    def _look(self):
        while not self.done.wait(0.002):
            self.peak = max(self.peak, resident() - self.before)

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one draw by scikit-learn instead of three")
    repeats = 1 if parser.parse_args().quick else 3
    n, width, size = 50_000, 512, 64
    rng = np.random.default_rng(0)
    signal = np.maximum(rng.standard_normal((n, 24), dtype=np.float32), 0)
    features = signal @ rng.standard_normal((24, width), dtype=np.float32)
    for block in np.array_split(features, 50):
        block += 0.2 * rng.standard_normal(block.shape, dtype=np.float32)
    order = rng.permutation(n)
    halves = (np.sort(order[::2]), np.sort(order[1::2]))
    chunks = [rng.choice(width, size, replace=False) for _ in range(100)]
    residuals(*(Moments.of(features, rows=slice(1000)),) * 2, chunks[0])  # loads the libraries

    with Watch() as memory:
        start = time.perf_counter()
        parts = tuple(Moments.of(features, rows=rows) for rows in halves)
        once = time.perf_counter() - start
        start = time.perf_counter()
        with threadpool_limits(
            1, user_api="blas"
        ):  # as reconstruction_curve has it; one draw after the other
            ours = [by_moments(parts, chunk) for chunk in chunks]
        draw = (time.perf_counter() - start) / len(chunks)

    wide = features.astype(np.float64)
    start = time.perf_counter()
    theirs = [by_scikit_learn(wide, halves, chunk) for chunk in chunks[:repeats]]
    other = (time.perf_counter() - start) / repeats
    apart = float(np.abs(np.array(theirs) - ours[:repeats]).max())

    print(f"N={n}, W={width}, w={size}: R2 {ours[0][0]:.6f}, mean residual correlation {ours[0][1]:.6f}")
    print(f"{'scikit-learn, a draw':<24}{other * 1e3:9.1f} ms")
    print(f"{'netprops, a draw':<24}{draw * 1e3:9.1f} ms")
    print(f"{'netprops, moments once':<24}{once * 1e3:9.1f} ms")
    print(f"{'ratio of a draw':<24}{'1/' + format(other / draw, '.0f'):>9}   promised 1/{1 / PROMISED:.0f}")
    print(f"{'largest difference':<24}{apart:9.1e}   allowed {AGREEMENT:.0e}")
    print(f"{'memory beyond features':<24}{memory.peak / 1e6:6.0f} MB   allowed {MEMORY / 1e6:.0f} MB")
    kept = draw <= PROMISED * other and apart <= AGREEMENT and memory.peak <= MEMORY
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
