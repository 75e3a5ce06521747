"""Claim: sharpness takes one course at all widths: it rises to a plateau that the learning rate sets."""

from functools import partial

import numpy as np
import pytest

from netprops.measures.consistency import falls
from netprops.measures.curvature import edge
from netprops.replicates import mean_curve
from netprops.statistics import mean_interval

FIG_6 = (
    "Vyas et al. 2023, Fig. 6 a: sharpness grows to a value that it then fluctuates around, at every width"
)
ONE = (
    "half of a doubling is a choice of this suite. benchmarks/consistency.md: groups under µP reach 0.62 and "
    "those in standard parameterization begin at 0.54; 63% of the former are undecided, none is outside"
)
STEADY = (
    "benchmarks/consistency.md: at most 0.17 in 95% of groups under µP, 0.96 or more where sharpness doubles"
)
EDGE = (
    "benchmarks/consistency.md: at most -0.1 in 95% of groups under µP, 1.97 or more at four times the edge"
)
SAMPLES = {"mini": 500, "paper": 1000}
"""Training samples over which the loss is taken."""


def sharpnesses(subject):
    """Return the sharpness of the training loss, and the steps' scale of each weight taken into account."""
    from netprops.curving import sharpness
    from netprops.models.parameterization import learning_scales
    from netprops.training.optimizers import loss_of

    recipe, part = subject.recipe, subject.dataset.train
    count = SAMPLES[subject.spec.family.scale]
    found = sharpness(
        subject.network,
        part.inputs[:count],
        part.labels[:count],
        lambda outputs, labels: loss_of(outputs, labels, recipe),
        scales=learning_scales(subject.network),
        rng=subject.rng("sharpness"),
        device=subject.device,
        prepare=subject.dataset.prepare,
    )
    return {"sharpness": np.array([found.value])}


@pytest.fixture(scope="session")
def sharpened():
    """Measure the sharpness of a network at every epoch whose weights were kept, (T,)."""

    def measured(subject):
        networks = [subject.at(epoch) for epoch in subject.snapshots]
        return [one.kept("sharpness-1", partial(sharpnesses, one))["sharpness"].item() for one in networks]

    return measured


@pytest.fixture(scope="session")
def courses(sharpened):
    """Measure a family's sharpness: widths, epochs, and (S, P, T) values."""

    def measured(family, variant):
        family.aligned(variant)
        networks = family.subjects(variant=variant)
        widths = sorted({one.factor for one in networks})
        seeds = sorted({one.seed for one in networks})
        place = {(one.factor, one.seed): one for one in networks}
        values = [[sharpened(place[width, seed]) for width in widths] for seed in seeds]
        return np.array(widths), np.array(networks[0].snapshots), np.array(values)

    return measured


def drawn(courses, family, variant, verdict):
    """Draw sharpness over epochs at every width; return what was measured and the edge of stability."""
    widths, epochs, values = courses(family, variant)
    one = family.subjects(variant=variant)[0]
    limit = edge(one.recipe.lr, momentum=one.recipe.momentum)
    verdict.figure(
        "sharpness-over-steps",
        [
            mean_curve(
                f"width {width:g}",
                epochs[1:],
                values[:, place, 1:],
                x_name="epoch (chunks of the stream)",
                y_name="sharpness",
                n_of="seeds",
                rng=one.rng("sharpness"),
            )
            for place, width in enumerate(widths)
        ],
        title="Sharpness over training",
        caption="Top eigenvalue of the Hessian of the training loss, each weight in units of its own steps.",
        levels={"edge of stability": limit},
        y_scale="log",
    )
    return widths, values, limit


@pytest.mark.netprops(on="family", families="consistency", variant="edge")
def test_sharpness_agrees_across_widths(family, courses, verdict):
    """At a large batch, sharpness has the same course at every width.

    Compared is the mean difference of its logarithm over training. What would count against the claim: a
    difference of the widest two widths of more than half of a doubling.

    Groups of three seeds under µP and in standard parameterization overlap in it: the bound tells a sharpness
    that doubles with the width, and of the standard parameterization one group in eight.
    """
    widths, values, _ = drawn(courses, family, "edge", verdict)
    apart = np.abs(np.diff(np.log2(values[:, :, 1:]), axis=1)).mean(axis=2)
    verdict.expect(
        mean_interval(
            apart[:, -1], name="mean |log2 ratio| of the sharpness of the two widest widths", n_of="seeds"
        ),
        at_most=0.5,
        source=FIG_6,
        calibration=ONE,
    )
    verdict.note(
        f"Over widths: {falls(widths[:-1], apart, name='log ratio of sharpness of neighbouring widths')}."
    )


@pytest.mark.netprops(on="family", families="consistency", variant="edge")
def test_sharpness_rises_to_a_plateau(family, courses, verdict):
    """Sharpness rises early in training, and then stays where the learning rate allows it.

    What would count against the claim: a sharpness that ends where it started, that keeps growing between the
    last two recordings, or that lies above twice the edge of stability.
    """
    _, values, limit = drawn(courses, family, "edge", verdict)
    logs = np.log2(values).mean(axis=1)
    verdict.expect(
        mean_interval(logs[:, -1] - logs[:, 0], name="log2 of final over initial sharpness", n_of="seeds"),
        at_least=0.0,
        source=FIG_6,
    )
    verdict.expect(
        mean_interval(logs[:, -1] - logs[:, -2], name="log2 of final over preceding sharpness", n_of="seeds"),
        at_least=-0.5,
        at_most=0.5,
        source=FIG_6,
        calibration=STEADY,
    )
    verdict.expect(
        mean_interval(
            logs[:, -1] - np.log2(limit), name="log2 of final sharpness over the edge", n_of="seeds"
        ),
        at_most=1.0,
        source="Cohen et al. 2021: sharpness hovers about 2/lr",
        calibration=EDGE,
    )
