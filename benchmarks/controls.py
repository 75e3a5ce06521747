"""False alarms of the claims about one layer over perfect clones, and how often controls are caught.

A run is every claim of suites/mitosis about a planted layer, each with the suite's own measurements and
bounds, judged within one false-alarm budget as the plugin judges a run of these tests. It is an alarm if any
of them fails. A null is a layer of perfect clones, of which every claim holds: alarms among them are false,
and the budget promises at most one run in a hundred. A control is a layer of which some claim does not hold:
an alarm is a detection, and at least 95 of a hundred runs should give one. Nulls and controls vary in tasks,
outputs, noise and seeds; N samples in either split, W neurons. The budget governs p-values alone: the search
for a failing chunk is exact, and how often it finds one among perfect clones depends on W and N.
"""

import argparse
import importlib.util
import inspect
import math
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from netprops.content import content
from netprops.errors import MeasurementError, UndeterminedError
from netprops.planted import Task, clones, correlated, distributed, untrained
from netprops.plugin.expectations import Expectations
from netprops.verdict import Outcome, rejections

ALPHA = 0.01
DETECTED = 0.95
ROLE = "planted-layer"


@dataclass(frozen=True)
class Size:
    """Neurons of a layer and samples of a split."""

    width: int
    samples: int

    def task(self, seed, outputs, **changes):
        """Return a task of four features with that many samples."""
        return Task(
            features=4, outputs=outputs, n_train=self.samples, n_test=self.samples, seed=seed, **changes
        )


def null(size, seed):
    rng = np.random.default_rng(seed)
    noise, outputs = rng.uniform(0.02, 0.05), int(rng.integers(1, 4))
    return clones(size.width, task=size.task(seed, outputs), seed=seed, noise=noise)


CONTROLS = {
    "distributed code: no copies": lambda size, seed, o: distributed(
        size.width, outputs=o, n_train=size.samples, n_test=size.samples, seed=seed
    ),
    "half of the noise shared along W/4 directions": lambda size, seed, o: correlated(
        size.width, task=size.task(seed, o), seed=seed
    ),
    "noise in the weights, seen through 16 inputs": lambda size, seed, o: clones(
        size.width, task=size.task(seed, o, inputs=16), seed=seed, where="weights"
    ),
    "random weights: not trained": lambda size, seed, o: untrained(
        size.width, task=size.task(seed, o), seed=seed
    ),
    "stopped early: no gap at the boundary": lambda size, seed, o: clones(
        size.width,
        task=size.task(seed, o, train_boundary="one-sided", boundary="one-sided"),
        seed=seed,
    ),
    "noisy labels, not interpolated": lambda size, seed, o: clones(
        size.width,
        task=size.task(seed, o, train_boundary="symmetric", boundary="symmetric"),
        seed=seed,
    ),
}


def module_of(path):
    spec = importlib.util.spec_from_file_location(f"mitosis_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def claims():
    """Return the suite's claims about one planted layer, and its fixtures, by name."""
    found = {}
    folder = content("suites") / "mitosis"
    for path in sorted(folder.glob("test_*.py")):
        for name, function in vars(module_of(path)).items():
            for mark in getattr(function, "pytestmark", ()):
                if mark.name == "netprops" and ROLE in np.atleast_1d(mark.kwargs["families"]):
                    found[name] = function
    return found, module_of(folder / "conftest.py")


def call(function, given, fixtures):
    """Call a test or a fixture with what it asks for, as pytest does."""
    for name in inspect.signature(function).parameters:
        if name not in given:
            given[name] = call(inspect.unwrap(getattr(fixtures, name)), given, fixtures)
    return function(**{name: given[name] for name in inspect.signature(function).parameters})


def run(layer):
    """Return the outcome of every claim about a layer, judged within the budget of the run."""
    tests, fixtures = claims()
    given, verdicts, broken = {"subject": layer}, {}, {}
    for name, test in tests.items():
        given["verdict"] = Expectations(layer.id, ALPHA / len(tests), strict=False)
        try:
            call(test, given, fixtures)
        except UndeterminedError:
            broken[name] = "INCONCLUSIVE"
        except MeasurementError:
            broken[name] = "ERROR"
        else:
            verdicts[name] = given["verdict"].judged()
    refuted = rejections([[v.p_value for v in one] for one in verdicts.values()], ALPHA, len(tests))
    for (name, one), decided in zip(verdicts.items(), refuted, strict=True):
        failed = any(
            v.outcome is Outcome.FAIL or (v.outside and by_budget)
            for v, by_budget in zip(one, decided, strict=True)
        )
        held = all(v.outcome is Outcome.PASS for v in one)
        broken[name] = "FAIL" if failed else "PASS" if held else "INCONCLUSIVE"
    return broken


def null_run(size, seed):
    return run(null(size, seed))


def control_run(size, name, seed):
    return run(CONTROLS[name](size, seed, 1 + seed % 3))


def interval(count, of):
    """Return the 95% interval of a share by Clopper and Pearson."""
    from scipy import stats

    low = 0.0 if count == 0 else stats.beta.ppf(0.025, count, of - count + 1)
    high = 1.0 if count == of else stats.beta.ppf(0.975, count + 1, of - count)
    return f"{count / of:.1%} [{low:.1%}, {high:.1%}]"


def row(name, outcomes):
    """Return one line of a table: alarms, and how every claim came out."""
    alarms = sum("FAIL" in one.values() for one in outcomes)
    cells = []
    for claim in claims()[0]:
        counted = Counter(one[claim] for one in outcomes)
        cells.append(", ".join(f"{counted[key]} {key}" for key in sorted(counted)))
    return alarms, f"| {name} | {len(outcomes)} | {interval(alarms, len(outcomes))} | {' | '.join(cells)} |"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nulls", type=int, default=1000, help="perfect clones (default: 1000)")
    parser.add_argument("--each", type=int, default=100, help="layers of each control (default: 100)")
    parser.add_argument("--quick", action="store_true", help="20 nulls and 10 layers of each control")
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("-o", "--out", type=Path, help="write the table to this file as well")
    parser.add_argument("--width", type=int, default=96, help="W, neurons of a layer (default: 96)")
    parser.add_argument("--samples", type=int, default=500, help="N, of either split (default: 500)")
    arguments = parser.parse_args()
    size = Size(arguments.width, arguments.samples)
    nulls, each = (20, 10) if arguments.quick else (arguments.nulls, arguments.each)
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    began = time.monotonic()
    header = " | ".join(name.removeprefix("test_").replace("_", " ") for name in claims()[0])
    lines = [f"| layers | runs | alarms | {header} |", "|---|---:|---:|" + "---|" * len(claims()[0])]
    spawned = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.processes, mp_context=spawned) as pool:
        alarms, line = row(
            "perfect clones", list(pool.map(partial(null_run, size), range(nulls), chunksize=10))
        )
        lines.append(line)
        good = alarms <= ALPHA * nulls
        for name in CONTROLS:
            seeds = range(10_000, 10_000 + each)
            caught, line = row(name, list(pool.map(partial(control_run, size, name), seeds, chunksize=5)))
            lines.append(line)
            good &= caught >= math.ceil(DETECTED * each)
    promise = (
        f"alarms in at most {ALPHA:.0%} of the runs with perfect clones, in at least {DETECTED:.0%} of those"
    )
    said = (
        f"W = {size.width}, N = {size.samples}, {len(claims()[0])} claims a run, budget {ALPHA:.0%}. "
        f"Promised: {promise} with a control."
    )
    table = "\n".join([said, "", *lines])
    print(table)
    seconds, kept = time.monotonic() - began, "kept" if good else "BROKEN"
    print(f"\n{seconds:.0f} s in {arguments.processes} processes: {kept}")
    if arguments.out:
        heading = "# False alarms and detected controls of suites/mitosis\n\nMade by `python "
        heading += "benchmarks/controls.py`; intervals are 95%, by Clopper and Pearson.\n\n"
        arguments.out.write_text(f"{heading}{table}\n", encoding="utf-8")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
