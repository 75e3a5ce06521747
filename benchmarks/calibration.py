"""What the measurements behind the bounds of suites/mitosis come to over many seeds of a cheap fixture.

w* is the critical size, W the width. Each row of the first table is one measurement over the seeds of FC5 of
256 units on digits (mini scale): its smallest value, quantiles and its largest. The bounds of the suite cite
it. The networks come from the cache, or are trained into it (about 3 s each on one core). Further tables are
of layers without a network, where the truth is known: perfect clones of 16 features with independent noise,
the same with half of the noise's variance shared along W / 4 directions, and the growth of the number of
clones over widths of perfect clones.
"""

import argparse
import math
import sys
from pathlib import Path

import numpy as np

from netprops.cache import Cache, default_root
from netprops.companion import spare_cores
from netprops.content import families
from netprops.measures.chunks import chunk_error, error_of, sizes
from netprops.measures.counterexample import search_failing_chunk
from netprops.measures.dimension import intrinsic_dimension
from netprops.measures.margins import predicted_chunk_error
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import critical_width, crossing, growth_exponent, independent_size
from netprops.measures.worst_chunk import overlap, smallest_interpolating_chunk
from netprops.planted import clones
from netprops.zoo import Zoo

WIDTH = 256
FACTORS = (1, 1.5, 2, 3, 4)
QUANTILES = (0, 0.05, 0.5, 0.95, 1)


def measure(subject):
    """Return the row of one network: name of the measurement to its value."""
    weight, bias = subject.readout
    features, labels = subject.features("train"), subject.labels("train")
    training = chunk_error(
        features,
        weight,
        bias,
        labels,
        sizes=sizes(subject.width, per_octave=4),
        draws=100,
        rng=subject.rng("chunks"),
    )
    w_star = critical_width(training).value
    row = {"w*": w_star}
    for factor in FACTORS:
        smallest = min(math.ceil(factor * w_star), subject.width)
        found = search_failing_chunk(
            lambda chunk: error_of(features, weight, bias, labels, chunk),
            width=subject.width,
            smallest=smallest,
            threshold=1.0,
        )
        row[f"largest training error of a chunk of at least {factor:g} w*"] = found.worst
    found = reconstruction_curve(subject.features("test"), draws=25, rng=subject.rng("reconstruction"))
    size = min((x for x in found.r2.x if x >= w_star), default=found.r2.x[-1])
    last = found.r2.x[-1]
    row["R2 from chunks of w*"] = found.r2.at(size).value
    row[f"R2 from chunks of {last:.0f}"] = found.r2.at(last).value
    row[f"residual correlation over its floor at {last:.0f}"] = found.excess.at(last).value
    row[f"fall of the residual correlation to {last:.0f}"] = found.correlation.y[0] - found.correlation.y[-1]
    dimension = intrinsic_dimension(subject.features("test"), rng=subject.rng("dimension"))
    row["intrinsic dimension over w*"] = dimension.value / w_star
    row["error of chunks of 2 w* minus the predicted one"] = beyond_prediction(subject, 2 * w_star)
    order = subject.rng("parts").permutation(len(labels))
    chosen = [
        smallest_interpolating_chunk(np.asarray(features)[rows], weight, bias, labels[rows])[0]
        for rows in np.array_split(order, 4)
    ]
    row["neurons chosen to interpolate a quarter"] = float(np.mean([len(chunk) for chunk in chosen]))
    beyond = overlap(chosen, subject.width, rng=subject.rng("overlap"))
    row["overlap of chosen chunks beyond chance"] = beyond.value
    return row


def beyond_prediction(subject, size):
    """Return how far the test error of chunks of a size is from the one that margins predict."""
    layer = (subject.features("test"), *subject.readout, subject.labels("test"))
    wanted = [int(min(size, subject.width / 2))]
    measured = chunk_error(*layer, sizes=wanted, draws=200, rng=subject.rng("margins"))
    return measured.y[0] - predicted_chunk_error(*layer, sizes=wanted).y[0]


def growth(seed, widths=(64, 128, 256, 512)):
    """Return the growth exponents of the number of perfect clones over widths: as W / w*, and independent."""
    counted = {"growth exponent of W / w*": [], "growth exponent of independent clones": []}
    for width in widths:
        layer = clones(width, seed=seed)
        size = crossing(
            chunk_error(
                layer.features("train"),
                *layer.readout,
                layer.labels("train"),
                sizes=sizes(width, per_octave=4),
                draws=100,
                rng=layer.rng("chunks"),
            )
        )
        for values, per_clone in zip(counted.values(), (size, independent_size(width, size)), strict=True):
            values.append(width / per_clone)
    return {name: growth_exponent(widths, values) for name, values in counted.items()}


def planted(seed, shared, n=900, width=512, features=16, noise=0.1):
    """Return the row of a layer of clones, of whose noise variance a share is common to the neurons."""
    rng = np.random.default_rng(seed)
    signal = np.maximum(rng.standard_normal((n, features)), 0)[:, rng.integers(0, features, width)]
    along = (
        rng.standard_normal((n, width // 4)) @ rng.standard_normal((width // 4, width)) / math.sqrt(width / 4)
    )
    own = rng.standard_normal((n, width))
    layer = signal + noise * (math.sqrt(shared) * along + math.sqrt(1 - shared) * own)
    found = reconstruction_curve(layer.astype(np.float32), draws=8, rng=rng)
    return {
        f"residual correlation over its floor at {size:.0f}": found.excess.at(size).value
        for size in found.excess.x[-3:]
    }


def tabulated(title, rows):
    """Return the lines of one table: a measurement a row, quantiles over networks or layers."""
    lines = [
        f"## {title}",
        "",
        "| measurement | " + " | ".join(f"{q:.0%}" for q in QUANTILES) + " |",
        "|---|" + "---:|" * len(QUANTILES),
    ]
    for name in rows[0]:
        values = np.quantile([row[name] for row in rows], QUANTILES)
        lines.append(f"| {name} | " + " | ".join(f"{value:.4g}" for value in values) + " |")
    return [*lines, ""]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="networks (default: 50)")
    parser.add_argument("--quick", action="store_true", help="2 networks")
    parser.add_argument("-o", "--out", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    count = 2 if arguments.quick else arguments.seeds
    family = next(one for one in families("mini") if one.id == "fc5-pdigits")
    zoo = Zoo(Cache(default_root()), companions=spare_cores())
    lines = []
    specs = [family.spec(WIDTH, seed) for seed in range(count)]
    zoo.ensure(specs)
    rows = [measure(zoo.subject(spec)) for spec in specs]
    lines += tabulated(f"fc5-pdigits-w{WIDTH}, {count} seeds", rows)
    for title, shared in (("perfect clones", 0.0), ("clones that share half of their noise", 0.5)):
        rows = [planted(seed, shared) for seed in range(count)]
        lines += tabulated(f"Planted: {title}, {count} layers", rows)
    rows = [growth(seed) for seed in range(count)]
    lines += tabulated(f"Planted: growth of perfect clones from W = 64 to 512, {count} sets of layers", rows)
    zoo.close()
    table = "\n".join(lines)
    print(table)
    if arguments.out:
        heading = (
            "# Calibration of the bounds of suites/mitosis\n\nMade by `python benchmarks/calibration.py`; "
        )
        arguments.out.write_text(heading + "columns are quantiles over seeds.\n\n" + table, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
