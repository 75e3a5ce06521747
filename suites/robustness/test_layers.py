"""Claims about single layers, units, and training past convergence."""

import numpy as np
import pytest

from netprops.errors import UndeterminedError
from netprops.measurement import Measurement
from netprops.measures.trends import largest_of, trend
from netprops.measures.units import KINDS
from netprops.replicates import mean_curve
from netprops.statistics import mean_interval, paired_difference

LAYERS = "Robustness and/or redundancy emerge, App. C: trends layer by layer"
CENSUS = "Robustness and/or redundancy emerge, section 2: every unit is of one kind"
LONGER = "Robustness and/or redundancy emerge, Fig. C3: measures stay when training goes on past convergence"


@pytest.mark.netprops(on="family", families="robustness", uses="seeds")
def test_trends_are_those_of_most_layers(family, looked, over_widths, drawn, verdict):
    """Robustness or redundancy grows in most layers by themselves, not in the mean alone.

    For every layer, the most certain of the three slopes counts, corrected for there being three. What would
    count against the claim: growth in less than half of the layers.
    """
    family.across()
    layers = len(looked(family.subjects()[0])["robustness"])
    growing = []
    for layer in range(layers):
        slopes = [
            trend(*over_widths(family, name, layer=layer), name=name)
            for name in ("robustness", "compressible", "similarity")
        ]
        growing.append(largest_of(slopes).low > 0)
    for name in ("robustness", "compressible"):
        verdict.figure(
            f"{name}-by-layer",
            [drawn(family, name, layer=layer) for layer in range(layers)][:6],
            title=f"{name.capitalize()} over width, layer by layer",
            caption="Mean over seeds; the first six layers are shown.",
        )
    verdict.expect(
        Measurement.exact(
            "share of layers in which a measure grows",
            float(np.mean(growing)),
            n=layers,
            n_of="layers",
            how="a layer counts where the interval of its most certain slope lies above 0",
        ),
        at_least=0.5,
        source=LAYERS,
    )


@pytest.mark.netprops(on="family", families="robustness", uses="seeds")
def test_wide_networks_have_more_units_that_can_be_spared(family, counted, verdict):
    """The share of units that are silent, constant, redundant or blocked grows with width.

    What would count against the claim: a share of the other units that is as large in the widest networks as
    in the narrowest.
    """
    networks = family.subjects()
    factors = sorted({one.factor for one in networks})
    seeds = set.intersection(*({one.seed for one in networks if one.factor == f} for f in factors))
    rows = {kind: [] for kind in KINDS}
    if any(np.isnan(counted(one)).all() for one in networks):
        raise UndeterminedError(
            f"{family.id}: more units than half of the test samples: the census cannot "
            "tell which of them others explain"
        )
    for factor in factors:
        shares = [
            np.nanmean(counted(one), axis=0) for one in networks if one.factor == factor and one.seed in seeds
        ]
        for kind, values in zip(KINDS, np.array(shares).T, strict=True):
            rows[kind].append(values)
    stacked = np.zeros((len(seeds), len(factors)))
    curves = []
    for kind in KINDS:
        stacked = stacked + np.array(rows[kind]).T
        curves.append(
            mean_curve(
                f"up to {kind}",
                factors,
                stacked,
                x_name="width factor",
                y_name="share of units",
                n_of="seeds",
                rng=np.random.default_rng(0),
            )
        )
    verdict.figure(
        "unit-census",
        curves,
        title="Kinds of units, one upon the other",
        caption="Each line adds the share of its kind to those before; the last reaches 1.",
    )
    rest = np.array(rows["rest"])
    verdict.expect(
        paired_difference(
            rest[0],
            rest[-1],
            n_of="seeds",
            name="share of units that cannot be spared, narrowest minus widest",
        ),
        at_least=0.0,
        source=CENSUS,
    )


@pytest.mark.netprops(on="family", families="robustness", variant="longer")
def test_measures_stay_past_convergence(family, looked, verdict):
    """Robustness of a network that trains on past convergence hardly changes.

    Compared are the last epoch and the last snapshot before it, seed by seed, at the widest factor. What
    would count against the claim: a change of more than 0.05 of the area under the ablation curve.
    """
    widest = family.widest("longer")
    before = [max(e for e in one.snapshots if e < one.recipe.epochs) for one in widest]
    late = [looked(one)["robustness"].mean() for one in widest]
    early = [looked(one.at(epoch))["robustness"].mean() for one, epoch in zip(widest, before, strict=True)]
    verdict.note(f"Between epochs {sorted(set(before))} and the last; robustness {mean(late)} at the end.")
    verdict.expect(
        paired_difference(late, early, n_of="seeds", name="robustness at the end minus before"),
        at_least=-0.05,
        at_most=0.05,
        source=LONGER,
        calibration="a twentieth of the whole range; trends over all widths are several times as large",
    )


def mean(values):
    """Return the mean of values over seeds as text."""
    return str(mean_interval(values, name="robustness", n_of="seeds"))
