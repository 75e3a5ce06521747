"""Chunk error of all sizes against index-and-multiply: time, ratio and agreement.

N samples, W units, C classes; a draw is one permutation, whose prefixes of 2, 4, ... W units are its chunks.
Promised: at most 1/8 of the time of indexing the chunk's columns and multiplying, draw by draw and size by
size, with the same predictions (errors that differ by at most one sample in 10,000: logits equal up to
rounding).
"""

import argparse
import sys
import time

import numpy as np

from netprops.measures.chunks import chunk_error, sizes

PROMISED = 1 / 8
AGREEMENT = 1.5e-4  # more than one sample of 10,000, less than two


def index_and_multiply(features, weight, bias, labels, wanted, draws, rng):
    errors = np.empty((draws, len(wanted)))
    for draw in range(draws):
        order = rng.permutation(features.shape[1])
        for column, size in enumerate(wanted):
            chosen = order[:size]
            logits = features[:, chosen] @ weight[:, chosen].T + bias
            errors[draw, column] = (logits.argmax(axis=1) != labels).mean()
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20 draws instead of 500, for both sides")
    draws = 20 if parser.parse_args().quick else 500
    n, width, outputs = 10_000, 512, 10
    rng = np.random.default_rng(0)
    signal = rng.standard_normal((n, 16)).astype(np.float32)
    features = np.maximum(signal @ rng.standard_normal((16, width)).astype(np.float32), 0)
    weight = rng.standard_normal((outputs, width)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    labels = (features @ weight.T + bias).argmax(axis=1)
    wanted = sizes(width)

    chunk_error(features, weight, bias, labels, draws=2, rng=np.random.default_rng(1))  # imports torch
    start = time.perf_counter()
    curve = chunk_error(
        features, weight, bias, labels, sizes=wanted, draws=draws, rng=np.random.default_rng(1)
    )
    ours = time.perf_counter() - start
    start = time.perf_counter()
    expected = index_and_multiply(features, weight, bias, labels, wanted, draws, np.random.default_rng(1))
    theirs = time.perf_counter() - start

    apart = float(np.abs(curve.replicates - expected).max())
    print(f"N={n}, W={width}, C={outputs}, sizes {wanted[0]}..{wanted[-1]}, {draws} draws")
    print(f"{'index and multiply':<24}{theirs:9.2f} s")
    print(f"{'netprops':<24}{ours:9.2f} s")
    print(f"{'ratio':<24}{'1/' + format(theirs / ours, '.1f'):>9}   promised 1/{1 / PROMISED:.0f}")
    print(f"{'largest difference':<24}{apart:9.1e}   allowed {AGREEMENT:.1e}")
    return 0 if ours <= PROMISED * theirs and apart <= AGREEMENT else 1


if __name__ == "__main__":
    sys.exit(main())
