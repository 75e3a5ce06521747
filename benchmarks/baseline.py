"""How often an equal network is flagged against a baseline, and from which loss on a worse one is found.

Each run has 100 rows: a mean over n draws with Student's t interval, bound 0.5, truth 0.9, standard deviation
of a draw 0.2. Equal networks differ in their draws alone. The obvious rule is that intervals do not meet; a
tolerance and Holm's correction over all rows, at 1%, are added one after the other. A damaged network has
lost a part of its margin in one row of the 100.
"""

import argparse

import numpy as np

from netprops.baseline import compare
from netprops.plugin.expectations import Expectations
from netprops.records import SubjectRecord, TestRecord, assemble
from netprops.statistics import holm, mean_interval

ROWS, ALPHA, SPREAD, TRUTH, BOUND = 100, 0.01, 0.2, 0.9, 0.5
HEAD = {
    "environment": {
        "netprops": "0",
        "python": "3",
        "platform": "any",
        "processors": 1,
        "device": "cpu",
        "packages": {},
    },
    "options": {"scale": "mini", "strict": False, "alpha": ALPHA},
    "started": "2000-01-01T00:00:00+00:00",
    "missing": [],
}


def record(rng, draws, lost=0.0):
    """A run of 100 rows, the first of which has lost a part of its margin."""
    verdict = Expectations("network", ALPHA, strict=False)
    for row in range(ROWS):
        truth = TRUTH - (lost * (TRUTH - BOUND) if row == 0 else 0)
        values = rng.normal(truth, SPREAD, draws)
        measured = mean_interval(values, name=f"property {'ab'[row % 2] * (row + 1)}", n_of="draws")
        verdict.expect(measured, at_least=BOUND, source="this benchmark")
    return recorded(verdict)


def recorded(verdict):
    """A run of one test with these expectations."""
    test = TestRecord.model_validate(
        {
            **verdict.to_json(),
            **dict.fromkeys(("suite", "file", "name", "claim", "family", "reproduce"), "x"),
            "id": "x::x[network]",
            "subjects": ["network"],
            "outcome": "PASS",
            "seconds": 0,
        }
    )
    return assemble(HEAD, [test], [SubjectRecord(id="network", family="x")], selected=1, seconds=0)


def flagged(baseline, run):
    """Return whether a run is flagged by the intervals, with a tolerance, with Holm too, and by netprops."""
    found = compare(baseline, run)
    rows = [row.difference for row in found.rows]
    apart = np.array([one.apart and one.loss > 0 for one in rows])
    beyond = apart & np.array([one.loss > one.tolerance for one in rows])
    clear = beyond & np.array(holm([one.p_value for one in rows], ALPHA))
    return apart.any(), beyond.any(), clear.any(), found.fails("regression")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=300, help="runs a line of the table")
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    print("| draws | part of the margin lost | intervals do not meet | and tolerance | and Holm | netprops |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    for draws in (5, 20, 100):
        for lost in (0.0, 0.1, 0.2, 0.4, 0.8):
            count = runs if lost == 0 else runs // 8
            shares = np.mean(
                [flagged(record(rng, draws), record(rng, draws, lost)) for _ in range(count)], axis=0
            )
            print(
                f"| {draws} | {lost:g} | " + " | ".join(f"{share:.3f}" for share in shares) + " |", flush=True
            )


if __name__ == "__main__":
    main()
