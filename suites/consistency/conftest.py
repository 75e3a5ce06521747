"""What is recorded of every network of a family over its training, once, and distances between its widths.

Words: S seeds, P widths; a *quantity* is what two networks are compared in; an *epoch* of a stream is one
chunk of it, after some of which weights are kept.
"""

import numpy as np
import pytest

from netprops.measures.agreement import (
    attention_distance,
    cka,
    kernel_distance,
    kernel_of,
    logit_distance,
    preactivation_distance,
)
from netprops.measures.consistency import floor_of, successive, to_widest
from netprops.measures.loss_curves import loss_distance
from netprops.replicates import mean_curve

FIXED = {"mini": 200, "paper": 1000}
"""Test samples whose outputs are recorded: the fixed points."""
SAMPLES = 48
"""Of them, those between which kernels are taken."""
POOL = 5000
"""Preactivations that are recorded of a layer, evenly spread over samples and units."""
SEQUENCES = 4
"""Fixed points whose attention is recorded."""
LAYERS = {
    "mlp": {"preactivations": "hidden.linear2"},
    "resnet18ln": {"preactivations": "stages.1.0.bn1"},
    "tokentransformer": {"preactivations": "layers.1.expand", "attention": "layers.1.attention"},
}
"""Layers of each architecture that are looked at."""
SMOOTH = 25
"""Steps of the running mean over a loss curve."""


def dissimilarity(kernel, reference):
    """Return 1 - CKA."""
    return 1 - cka(kernel, reference)


def curve_distance(losses, reference):
    """Return the distance of two loss curves, without the first window."""
    return loss_distance(losses, reference, window=SMOOTH, start=SMOOTH)


def early_curve_distance(losses, reference):
    """Return the distance of two loss curves in the first quarter of training, without the first window."""
    return loss_distance(losses, reference, window=SMOOTH, start=SMOOTH, stop=len(losses) // 4)


QUANTITIES = {
    "losses": curve_distance,
    "early losses": early_curve_distance,
    "logits": logit_distance,
    "kernel": kernel_distance,
    "hidden kernel": kernel_distance,
    "dissimilarity": dissimilarity,
    "preactivations": preactivation_distance,
    "attention": attention_distance,
}
"""Distance of two networks in each quantity."""
RECORDED = {"dissimilarity": "kernel", "early losses": "losses"}
"""Under which name a quantity is recorded, where it is another."""


def record(subject):
    """Return what a network gives on the fixed points: logits, kernels, preactivations, attention."""
    from netprops.observing import observe

    layers = LAYERS.get(subject.spec.family.architecture, {})
    inputs = subject.dataset.test.inputs[: FIXED[subject.spec.family.scale]]
    found = observe(
        subject.network,
        inputs,
        [subject.features_layer, *layers.values()],
        device=subject.device,
        prepare=subject.dataset.prepare,
    )
    outputs = found[""]
    kept = {
        "logits": outputs[:, -1] if outputs.ndim == 3 else outputs,
        "kernel": kernel_of(found[subject.features_layer][:SAMPLES]),
    }
    if "preactivations" in layers:
        pool = found[layers["preactivations"]].reshape(len(inputs), -1)
        kept["hidden kernel"] = kernel_of(pool[:SAMPLES])
        places = np.linspace(0, pool.size - 1, min(POOL, pool.size)).astype(np.int64)
        kept["preactivations"] = pool.ravel()[places]
    if "attention" in layers:
        kept["attention"] = found[layers["attention"]][:SEQUENCES].mean(axis=1)
    return kept


@pytest.fixture(scope="session")
def recorded():
    """Return what was recorded of a network at the epoch that is meant, or of its whole training."""
    known = {}

    def look(subject, quantity):
        name = RECORDED.get(quantity, quantity)
        if name == "losses":
            return subject.step_losses
        key = (subject.id, subject.epoch)
        if key not in known:
            known[key] = subject.kept("agreement-3", lambda: record(subject))
        if name not in known[key]:
            pytest.skip(f"networks of {subject.family} have no {name} that is recorded")
        return known[key][name]

    return look


@pytest.fixture(scope="session")
def rows(recorded):
    """Return the widths of a family, and a row of recorded arrays for each seed that every width has.

    With ``like``, a variant, they are the widths and seeds that it has, so that both can be paired.
    """

    def found(family, quantity, *, variant=None, epoch=None, like=None):
        family.aligned(variant)
        networks = family.subjects(variant=variant)
        if like is not None:
            model = family.declaration.variant(like)
            networks = [one for one in networks if one.factor in model.widths and one.seed < model.seeds]
        widths = sorted({one.factor for one in networks})
        seeds = sorted(set.intersection(*({n.seed for n in networks if n.factor == w} for w in widths)))
        place = {(one.factor, one.seed): one for one in networks}

        def at(width, seed):
            one = place[width, seed]
            return one if epoch is None else one.at(epoch)

        return np.array(widths), [[recorded(at(w, s), quantity) for w in widths] for s in seeds]

    return found


@pytest.fixture(scope="session")
def distances(rows):
    """Return widths and distances between them in a quantity, (S, P - 1): to the widest, or successive."""
    known = {}

    def measured(family, quantity, against, *, variant=None, epoch=None, like=None):
        key = (family.id, quantity, against, variant, epoch, like)
        family.subjects(variant=variant)  # the record names the networks of every test
        if key not in known:
            widths, found = rows(family, quantity, variant=variant, epoch=epoch, like=like)
            between = {"widest": to_widest, "successive": successive}[against]
            known[key] = (widths[:-1], between(widths, found, QUANTITIES[quantity]))
        return known[key]

    return measured


@pytest.fixture(scope="session")
def floor(rows):
    """Return the mean distance between two seeds of the widest width in a quantity."""

    def measured(family, quantity):
        _, found = rows(family, quantity)
        return floor_of([row[-1] for row in found], QUANTITIES[quantity]).value

    return measured


@pytest.fixture(scope="session")
def epochs():
    """Return the epochs after which weights of a family are kept, without the initialisation."""

    def kept(family, variant=None):
        return [epoch for epoch in family.subjects(variant=variant)[0].snapshots if epoch]

    return kept


@pytest.fixture(scope="session")
def steps_of():
    """Return the step that an epoch of a family ends with."""

    def steps(family, epoch, variant=None):
        one = family.subjects(variant=variant)[0]
        return epoch * len(one.step_losses) // one.recipe.epochs

    return steps


@pytest.fixture(scope="session")
def over_widths():
    """Draw numbers of every seed over widths: rows (S, P) become a curve with an interval over seeds."""

    def drawn(widths, values, *, name, y_name, family):
        return mean_curve(
            name,
            widths,
            values,
            x_name="width factor",
            y_name=y_name,
            n_of="seeds",
            rng=family.subjects()[0].rng(name),
        )

    return drawn
