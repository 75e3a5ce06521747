"""What the statistics behind the bounds of suites/consistency come to, under their claims and their controls.

Words: S seeds, w a width; a *group* is as many seeds as the suite has, drawn from many, at every width; a
*subject* is a group for which the claim should hold, a *control* one for which it should not; the *share* of
a test is its part of the false-alarm budget of a run of the suite at mini scale.

Every row is one expectation of a property test, called as pytest calls it, with the suite's own measurement
and bound, on groups of perceptrons of the family ``mlp`` at mini scale. Its recipes are followed step by step
by a training of all seeds at once, which the engine's own training of one of them is held against. *Planted*
groups are not trained, or trained and then changed, so that the truth is known.
"""

import argparse
import inspect
import sys
import time
from pathlib import Path

import numpy as np
import torch
from consistency_networks import FAMILY, Kept, declared, deviation, module
from consistency_planted import (
    OTHERS,
    biased,
    growing,
    independent,
    mixed,
    of,
    periodic,
    quadratic,
    spread,
    unrelated,
)

from netprops.cache import default_root
from netprops.errors import MeasurementError
from netprops.plugin.expectations import Expectations
from netprops.verdict import Outcome

TESTS = 92
"""Tests of suites/consistency at mini scale, which share the budget."""
ALPHA = 0.01
QUANTILES = (0.05, 0.5, 0.95)


class Quiet(Expectations):
    """Expectations without figures, which cost time and decide nothing."""

    def figure(self, *arguments, **named):
        """Draw nothing."""

    images = histogram = figure


def named(test):
    """Return the file of a test, the test and its parameter."""
    file, _, name = test.partition("::")
    name, _, quantity = name.removesuffix("]").partition("[")
    return module(file), getattr(module(file), name), quantity


def judged(test, group):
    """Return, by name, value, bound and verdict of each expectation of a test on a group."""
    (home, function, quantity), conftest = named(test), module("conftest")
    verdict = Quiet(FAMILY, ALPHA / TESTS, strict=False)
    given = {"family": group, "verdict": verdict, "quantity": quantity}
    given["over_widths"] = lambda *arguments, **named: None

    def call(function):
        for name in inspect.signature(function).parameters:
            if name not in given:
                given[name] = call(inspect.unwrap(getattr(home, name, None) or getattr(conftest, name)))
        return function(**{name: given[name] for name in inspect.signature(function).parameters})

    try:
        call(function)
    except MeasurementError:
        return {}
    return {
        measured.name: (measured.value, bound, result)
        for (measured, bound), result in zip(verdict._expected, verdict.judged(), strict=True)
    }


MUP, SP = "µP", "standard parameterization"
CASES = (
    (
        "test_coordinates::test_coordinates_keep_their_size_under_mup",
        {MUP: of(plain="plain")},
        {SP: of(plain="standard"), "planted: all grow as the root of the width": of(growing, plain="plain")},
    ),
    (
        "test_coordinates::test_coordinates_grow_in_standard_parameterization",
        {SP: of(plain="plain", standard="standard")},
        {"µP against µP": of(plain="plain", standard="plain" + OTHERS)},
    ),
    (
        "test_agreement::test_until_which_step_the_widest_networks_agree",
        {MUP: of(plain="plain")},
        {SP: of(plain="standard"), "planted: unrelated logits": of(unrelated, plain="plain")},
    ),
    *(
        (
            f"test_agreement::test_widths_agree_more_the_wider_they_are[{quantity}]",
            {MUP: of(plain="plain")},
            {"planted: widths at random": of(mixed, plain="plain")},
        )
        for quantity in ("losses", "logits", "kernel", "dissimilarity")
    ),
    *(
        (
            f"test_agreement::test_mup_is_more_consistent_than_the_standard_parameterization[{quantity}]",
            {MUP: of(plain="plain", standard="standard")},
            {"µP against µP": of(plain="plain", standard="plain" + OTHERS)},
        )
        for quantity in ("early losses", "logits", "kernel")
    ),
    (
        "test_losses::test_wider_networks_have_lower_losses",
        {MUP: of(plain="plain")},
        {"planted: widths at random": of(mixed, plain="plain")},
    ),
    (
        "test_losses::test_fluctuations_agree_batch_by_batch",
        {MUP: of(turbulent="turbulent")},
        {
            SP: of(turbulent="turbulentstandard"),
            "planted: independent fluctuations": of(independent, turbulent="turbulent"),
            "planted: fluctuations that return": of(periodic, turbulent="turbulent"),
        },
    ),
    (
        "test_losses::test_fluctuations_agree_less_in_the_standard_parameterization",
        {SP: of(turbulent="turbulent", turbulentstandard="turbulentstandard")},
        {"µP against µP": of(turbulent="turbulent", turbulentstandard="turbulent" + OTHERS)},
    ),
    (
        "test_losses::test_final_loss_is_a_power_law_of_width",
        {MUP: of(plain="plain")},
        {"planted: widths at random": of(mixed, plain="plain")},
    ),
    (
        "test_ensembles::test_variance_over_initialisations_falls_as_one_over_width",
        {MUP: of(plain="plain"), "planted: exponent -1": of(spread(1.0), plain="plain")},
        {
            SP: of(plain="standard"),
            "planted: exponent 0": of(spread(0.0), plain="plain"),
            "planted: exponent -2": of(spread(2.0), plain="plain"),
        },
    ),
    (
        "test_ensembles::test_small_ensembles_suffice",
        {MUP: of(plain="plain"), "planted: variance a tenth of the bias": of(biased(0.1), plain="plain")},
        {
            "planted: as much variance as bias": of(biased(1.0), plain="plain"),
            "planted: no bias": of(biased(np.inf), plain="plain"),
        },
    ),
    (
        "test_sharpness::test_sharpness_agrees_across_widths",
        {MUP: of(edge="edge"), "planted: one sharpness": of(quadratic(), edge="edge")},
        {
            SP: of(edge="edgestandard"),
            "planted: it doubles with the width": of(quadratic(width=1.0), edge="edge"),
        },
    ),
    (
        "test_sharpness::test_sharpness_rises_to_a_plateau",
        {MUP: of(edge="edge"), "planted: at the edge": of(quadratic(), edge="edge")},
        {
            SP: of(edge="edgestandard"),
            "planted: it doubles at the end": of(quadratic(late=1.0), edge="edge"),
            "planted: four times the edge": of(quadratic(high=2.0), edge="edge"),
        },
    ),
    (
        "test_spectrum::test_features_of_lazy_networks_stay",
        {"lazy": of(plain="plain", lazy="lazy")},
        {"outputs of usual size": of(plain="plain", lazy="plain" + OTHERS)},
    ),
)
"""Test, what makes subjects, and what makes controls."""


def seeds_of(test):
    """Return how many seeds the suite has of what a test is about, at mini scale."""
    mark = next(m for m in named(test)[1].pytestmark if m.name == "netprops")
    variant = mark.kwargs.get("variant")
    return declared().variants[variant].seeds if variant else declared().seeds


def row(name, bound, found, made, control, apart):
    """Return one line of a table."""
    values = np.quantile([value for value, _ in found], QUANTILES)
    outcomes = [verdict for _, verdict in found]
    shares = (
        np.mean([verdict.outcome is Outcome.PASS for verdict in outcomes]),
        np.mean([verdict.outside for verdict in outcomes]),
        np.mean([verdict.outcome is Outcome.FAIL for verdict in outcomes]),
    )
    cells = [name.replace("|", "\\|"), str(bound), f"{'control: ' if control else ''}{made}"]
    cells += [f"{value:.3g}" for value in values] + [f"{share:.0%}" for share in shares]
    return f"| {' | '.join([*cells, apart])} |"


def table(case, kept, groups, size):
    """Return the lines of one test: an expectation and a kind of group a row."""
    test, subjects, controls = case
    lines, reached = [f"### {test}", "", *HEAD], {}
    for made, make in (*subjects.items(), *controls.items()):
        rng = np.random.default_rng(0)
        found, undetermined = {}, 0
        for _ in range(groups):
            drawn = rng.permutation(kept.seeds)[: size or seeds_of(test)]
            results = judged(test, make(kept, drawn, rng))
            undetermined += not results
            for name, (value, bound, verdict) in results.items():
                found.setdefault((name, str(bound)), []).append((value, verdict))
        for (name, bound), pairs in found.items():
            low, high = np.quantile([value for value, _ in pairs], [QUANTILES[0], QUANTILES[-1]])
            apart = ""
            if made in controls:
                a, b = reached.get(name, (low, high))
                apart = "apart" if low > b or high < a else "overlap"
            elif name not in reached:
                reached[name] = (low, high)
            lines.append(row(name, bound, pairs, made, made in controls, apart))
        if undetermined:
            lines.append(f"| (not measured) | | {made} | | | | | {undetermined / groups:.0%} | | |")
    return [*lines, ""]


HEAD = (
    "| measured | bound | groups | " + " | ".join(f"{q:.0%}" for q in QUANTILES) + " | holds | outside | "
    "FAIL | |",
    "|---|---|---|" + "---:|" * (len(QUANTILES) + 3) + "---|",
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50, help="networks at every width (default: 50)")
    parser.add_argument("--groups", type=int, default=100, help="groups drawn from them (default: 100)")
    parser.add_argument("--size", type=int, help="seeds in a group (default: as many as the suite has)")
    parser.add_argument("--quick", action="store_true", help="8 networks and 3 groups")
    parser.add_argument("-k", default="", help="only tests whose name has this in it")
    parser.add_argument("--kept", type=Path, help="folder where recordings are kept (default: the cache's)")
    parser.add_argument("-o", "--out", type=Path, help="write the table to this file as well")
    arguments = parser.parse_args()
    seeds, groups = (8, 3) if arguments.quick else (arguments.seeds, arguments.groups)
    torch.set_num_threads(1)
    kept = Kept(arguments.kept or default_root() / "consistency", seeds)
    lines = [
        f"{seeds} seeds, {groups} groups a row. Losses of the stacked training differ from those of "
        f"the engine's own by {deviation(kept):.1g} at most, relative, in 100 steps.",
        "",
    ]
    for case in CASES:
        if arguments.k in case[0]:
            began = time.monotonic()
            lines += table(case, kept, groups, arguments.size)
            print(f"{case[0]}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.write_text(HEADING + "\n".join(lines), encoding="utf-8")
    return 0


HEADING = """# Calibration of the bounds of suites/consistency

Made by `python benchmarks/consistency.py`. A row is one expectation of a property test over groups of as many
seeds as the suite has: quantiles of the statistic; then the share of groups whose 95% interval lies wholly
within the bound (holds) and wholly outside of it, and the share of FAIL in a run of the whole suite, where
the p-value must be within the test's share of the budget as well. For controls the last column says whether
the range from the first to the last quantile is apart from that of the first row of the same measurement.

A bound that lies between the two ranges is kept. One that does not is put midway between them. Where they
overlap it stays a choice. A bound of 0 is the sign of an effect; its controls should hold in 2.5%.

"""

if __name__ == "__main__":
    sys.exit(main())
