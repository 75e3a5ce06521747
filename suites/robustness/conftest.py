"""What the claims about robustness and redundancy share: every network is looked at once, and kept.

Words: *robustness* is the area under the ablation curve of a layer; *compressible* is the share of principal
components that 95% of its variance do not need; *similarity* the mean number of other units that a unit
correlates with, |r| >= 0.5.
"""

import numpy as np
import pytest

from netprops.ablating import ablate, activation_layers, blocked_units, layer_samples
from netprops.errors import UndeterminedError
from netprops.measures.ablation import area
from netprops.measures.redundancy import compressibility, similarity
from netprops.measures.trends import trend
from netprops.measures.units import KINDS, census
from netprops.replicates import mean_curve

INPUTS = {"mini": 500, "paper": 5000}
"""Test samples on which networks are ablated."""
POSITIONS = {"mini": 4000, "paper": 50_000}
"""Sampled activations of a layer."""
LAYERS = {"mini": 8, "paper": None}
"""Layers of a network that are looked at, evenly spread; None for all. A deeper one is ablated on a fifth of
the samples."""
SAMPLINGS = 3
MEASURES = ("robustness", "compressible", "similarity")


def compressible_noise(rows, units, rng):
    """Return the share of components that as many units of noise do not need, or the most that it can be."""
    try:
        return 1 - compressibility(rng.standard_normal((rows, units), dtype=np.float32)).value
    except UndeterminedError:  # noise needs more components than half of the rows
        return 1 - rows / (2 * units)


def look(subject):
    """Return every measure of every layer of a network, (L,) arrays, and the ablation of all at once."""
    scale = subject.spec.family.scale
    inputs, prepare = subject.dataset.test.inputs[: INPUTS[scale]], subject.dataset.prepare
    known = {"device": subject.device, "prepare": prepare}
    layers = activation_layers(subject.network, inputs, **known)
    if LAYERS[scale] is not None and len(layers) > LAYERS[scale]:
        places = np.linspace(0, len(layers) - 1, LAYERS[scale]).round().astype(int)
        layers = tuple(layers[place] for place in places)
        inputs = inputs[: max(50, len(inputs) // 5)]
    found = {name: [] for name in (*MEASURES, "robustness error", "similar share", "noise")}
    rng = subject.rng("robustness")
    for layer in layers:
        under = area(ablate(subject.network, inputs, layer, rng=rng, **known))
        found["robustness"].append(under.value)
        found["robustness error"].append(under.standard_error)
        samplings = [
            layer_samples(subject.network, inputs, layer, count=POSITIONS[scale], rng=rng, **known)
            for _ in range(SAMPLINGS)
        ]
        alive = [one for one in samplings if np.ptp(one, axis=0).any()]
        needed = [compressibility(one).value for one in alive] or [0.0]
        similar = [similarity(one) for one in alive]
        found["compressible"].append(1 - np.mean(needed))
        found["noise"].append(compressible_noise(*samplings[0].shape, subject.rng("noise")))
        found["similarity"].append(np.mean([one.value for one in similar] or [0.0]))
        found["similar share"].append(np.mean([one.details["share"] for one in similar] or [0.0]))
    curve = ablate(subject.network, inputs, layers, rng=rng, **known)
    return {name: np.array(values, dtype=np.float64) for name, values in found.items()} | {
        "all layers": np.array([area(curve).value]),
        "curve": curve.y,
        "fractions": curve.x,
    }


def take_census(subject):
    """Return the share of units of each kind, (L, kinds); NaN for a layer with too many units to tell."""
    scale = subject.spec.family.scale
    inputs, prepare = subject.dataset.test.inputs[: INPUTS[scale]], subject.dataset.prepare
    known = {"device": subject.device, "prepare": prepare}
    rng, rows = subject.rng("census"), []
    for layer in activation_layers(subject.network, inputs, **known)[: LAYERS[scale]]:
        blocked = blocked_units(subject.network, inputs, layer, **known)
        everything = subject.dataset.test.inputs
        sampled = layer_samples(subject.network, everything, layer, count=POSITIONS[scale], rng=rng, **known)
        try:
            counts = census(sampled, blocked).counts
            rows.append([counts[kind] / len(blocked) for kind in KINDS])
        except UndeterminedError:
            rows.append([np.nan] * len(KINDS))
    return {"census": np.array(rows)}


@pytest.fixture(scope="session")
def counted():
    """Take the census of a network's units once."""
    known = {}

    def measured(subject):
        if subject.id not in known:
            known[subject.id] = subject.kept("unit-census-2", lambda: take_census(subject))["census"]
        return known[subject.id]

    return measured


@pytest.fixture(scope="session")
def looked():
    """Look at a network once."""
    known = {}

    def measured(subject):
        key = (subject.id, subject.epoch)
        if key not in known:
            known[key] = subject.kept("robustness-and-redundancy-5", lambda: look(subject))
        return known[key]

    return measured


@pytest.fixture(scope="session")
def over_widths(looked):
    """Measure a family over its widths: rows are the seeds that every width has."""

    def measured(family, name, variant=None, *, layer=None, epoch=None):
        """Return the width factors and (S, P) values: the mean over layers, or one layer's.

        ``name`` is a measure of :func:`look`, ``"accuracy"``, or ``"training accuracy"``.
        """
        networks = family.subjects(variant=variant)
        factors = sorted({one.factor for one in networks})
        seeds = sorted(
            set.intersection(*({one.seed for one in networks if one.factor == f} for f in factors))
        )
        of = {(one.factor, one.seed): one for one in networks}
        rows = []
        for seed in seeds:
            row = []
            for factor in factors:
                one = of[factor, seed] if epoch is None else of[factor, seed].at(epoch)
                if name in ("accuracy", "training accuracy"):
                    row.append(1 - one.error("test" if name == "accuracy" else "train"))
                else:
                    values = looked(one)[name]
                    row.append(values.mean() if layer is None else values[layer])
            rows.append(row)
        return factors, np.array(rows)

    return measured


@pytest.fixture(scope="session")
def trends(over_widths):
    """Measure the trends of the three measures over width."""

    def measured(family, variant=None):
        return {
            name: trend(*over_widths(family, name, variant), name=f"{name} for each doubling of the width")
            for name in MEASURES
        }

    return measured


@pytest.fixture(scope="session")
def drawn(over_widths):
    """Return a measure over widths as a curve for a figure."""

    def curve(family, name, variant=None, *, layer=None):
        factors, rows = over_widths(family, name, variant, layer=layer)
        label = name if layer is None else f"{name}, layer {layer + 1}"
        return mean_curve(
            label,
            factors,
            rows,
            x_name="width factor",
            y_name=name,
            n_of="seeds",
            rng=family.subjects(variant=variant)[0].rng(label),
        )

    return curve
