"""Claim: losses, predictions and representations of wide networks agree across widths, point by point."""

from itertools import pairwise

import numpy as np
import pytest

from netprops.errors import UndeterminedError
from netprops.measures.consistency import consistent_until, falls, more_consistent
from netprops.replicates import mean_curve
from netprops.statistics import mean_interval

CONSISTENT = (
    "Vyas et al. 2023, section 1: deviations between successive widths fall, and narrow networks approach "
    "the widest"
)
WHERE = {
    "losses": "Fig. 2",
    "logits": "Fig. 3 and 4",
    "kernel": "Fig. 5 a-c and 12",
    "hidden kernel": "Fig. 5 a-c, before the last layer",
    "dissimilarity": "Fig. 5, by CKA",
    "preactivations": "Fig. 5 a and d",
    "attention": "Fig. 1 d and 5 e-f",
}
STANDARD = "Vyas et al. 2023, App. D and E: the standard parameterization is less consistent"
WORDS = {
    "losses": "loss curves",
    "early losses": "early loss curves",
    "logits": "logits on fixed test points",
    "kernel": "the last layer's kernel",
    "hidden kernel": "the kernel of a hidden layer's preactivations",
    "dissimilarity": "1 - CKA of the last layer",
    "preactivations": "the distribution of preactivations",
    "attention": "attention matrices",
}
SEEN = (
    "benchmarks/consistency.md: midway between 0.13, the most of 95% of groups under µP, and 0.40, the least "
    "in standard parameterization"
)
UNTIL = 0.26
"""Difference of logits, in units of their final spread, up to which two widths count as agreeing."""


def show(quantity, widths, found, verdict):
    """Show what is compared, of the first seed at every width, where it is a picture."""
    panels = {f"width {width:g}": one for width, one in zip(widths, found[0], strict=True)}
    if quantity.endswith("kernel"):
        verdict.images(
            f"{quantity.replace(' ', '-')}s",
            {label: kernel / np.trace(kernel) * len(kernel) for label, kernel in panels.items()},
            title=f"{WORDS[quantity][0].upper()}{WORDS[quantity][1:]} at every width",
            caption="Between fixed test points, sorted as they come; each in units of its mean diagonal.",
            value_name="H Hᵀ / W",
            row_name="test point",
            column_name="test point",
        )
    if quantity == "attention":
        verdict.images(
            "attention-maps",
            {label: maps[0] for label, maps in panels.items()},
            title="Attention on the first test sequence at every width",
            caption="Mean over heads; a row is a position, a column what it attends to.",
            value_name="attention",
            row_name="position",
            column_name="position",
        )
    if quantity == "preactivations":
        verdict.histogram(
            "distributions",
            panels,
            title="Preactivations at every width",
            caption="All units of the layer and all fixed test points.",
            x_name="preactivation",
            n_of="preactivations",
        )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
@pytest.mark.parametrize("quantity", WHERE)
def test_widths_agree_more_the_wider_they_are(family, quantity, rows, distances, floor, over_widths, verdict):
    """Distances to the widest network and between neighbouring widths fall with width.

    One test for each quantity that is recorded at the end of training. The level in the figure is the
    distance between two seeds of the widest width: initialisation alone. What would count against the claim:
    a distance, of one kind or the other, that does not fall.

    At mini scale loss curves fall by a factor of 2 for each doubling of the width, to the widest (slopes of
    log2 -0.8, -1.0 and -1.2 for perceptrons, CNNs and transformers), logits by 2^0.2 to 2^0.4, as chance of
    first weights would at most by 2^0.5. Distributions of preactivations and attention do not fall measurably
    among widths this small.
    """
    family.across(4)
    curves = []
    for against in ("widest", "successive"):
        widths, found = distances(family, quantity, against)
        label = "to the widest" if against == "widest" else "between neighbours"
        curves.append(over_widths(widths, found, name=label, y_name="distance", family=family))
        name = f"distance of {WORDS[quantity]}, {label}"
        verdict.expect(
            falls(widths, found, name=name), at_most=0.0, source=f"{CONSISTENT}; {WHERE[quantity]}"
        )
    verdict.figure(
        f"{quantity.replace(' ', '-')}-over-width",
        curves,
        title=f"Distance of {WORDS[quantity]} over width",
        caption="At the width of the narrower of two networks. Geometric slopes are judged.",
        levels={"two seeds": floor(family, quantity)},
        y_scale="log",
    )
    show(quantity, *rows(family, quantity), verdict)


@pytest.mark.netprops(on="family", families="consistency", variant="standard")
@pytest.mark.parametrize("quantity", ["early losses", "logits", "kernel"])
def test_mup_is_more_consistent_than_the_standard_parameterization(
    family, quantity, distances, over_widths, verdict
):
    """Control: in standard parameterization the same widths, with the same seeds, are further apart.

    Loss curves are compared over the first quarter of training: later they come near to 0 in every
    parameterization, and their ratios are those of chance. At mini scale kernels are 1.4 to 2.6 times as far
    apart in standard parameterization; logits of CNNs, 240 steps into training, are not. What would count
    against the claim: distances that are not smaller under µP.
    """
    found, curves = {}, []
    for variant, label in ((None, "µP"), ("standard", "standard")):
        widths, found[label] = distances(family, quantity, "successive", variant=variant, like="standard")
        curves.append(over_widths(widths, found[label], name=label, y_name="distance", family=family))
    verdict.figure(
        f"{quantity.replace(' ', '-')}-by-parameterization",
        curves,
        title=f"Distance of {WORDS[quantity]} between neighbouring widths",
        caption="The same seeds, data and order in both parameterizations.",
        y_scale="log",
    )
    verdict.expect(
        more_consistent(found["µP"], found["standard"], name=f"distance of {WORDS[quantity]}"),
        at_most=0.0,
        source=STANDARD,
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_until_which_step_the_widest_networks_agree(family, rows, epochs, steps_of, verdict):
    """The two widest widths agree from the first steps on, and as a number: until which step.

    Agreement is a difference of logits of at most 26% of the spread that they have at the end. Later, widths
    may deviate (sections 2 and 3); the step is reported with its interval. What would count against the
    claim: a family that does not agree at the first step that is recorded.

    The standard parameterization is told by this bound, networks that share nothing are not: at that step
    logits have moved by a tenth of their final spread, and cannot differ by more.
    """
    kept = epochs(family)
    steps = [steps_of(family, epoch) for epoch in kept]
    recordings = [rows(family, "logits", epoch=epoch) for epoch in kept]
    widths, last = recordings[-1]
    spreads = [np.sqrt(row[-1].var(axis=0).mean()) for row in last]
    apart = np.array(
        [
            [
                [np.sqrt(np.mean((b - a) ** 2)) / spread for a, b in pairwise(row)]
                for row, spread in zip(found, spreads, strict=True)
            ]
            for _, found in recordings
        ]
    )
    rng = family.subjects()[0].rng("until")
    verdict.figure(
        "difference-over-steps",
        [
            mean_curve(
                f"width {width:g} to the next",
                steps,
                apart[:, :, place].T,
                x_name="training step",
                y_name="difference of logits",
                n_of="seeds",
                rng=rng,
            )
            for place, width in enumerate(widths[:-1])
        ],
        title="Difference of logits between neighbouring widths, over training",
        caption="Root mean square, relative to the spread of the widest network's logits at the end.",
        y_scale="log",
        levels={"agreement": UNTIL},
    )
    name = "difference of logits of the two widest widths"
    try:
        until = consistent_until(steps, apart[:, :, -1].T, UNTIL, rng=rng, name=name)
        last = ", the last step that is recorded" if until.details["censored"] else ""
        verdict.note(f"{until.name}: {until}{last}.")
    except UndeterminedError as error:
        verdict.note(f"{error}.")
    verdict.expect(
        mean_interval(apart[0, :, -1], name=f"{name} at step {steps[0]}", n_of="seeds"),
        at_most=UNTIL,
        source="Vyas et al. 2023, section 2: early in training",
        calibration=SEEN,
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_what_single_points_are_told_agrees_over_training(family, rows, epochs, steps_of, verdict):
    """The logit of the right answer on a single test point takes the same course at every width.

    The figure shows one point, the claim is about all: averaged over seeds, the widest two widths are closer
    to each other than the narrowest two at the end. What would count against the claim: they are not.
    """
    kept = epochs(family)
    steps = [steps_of(family, epoch) for epoch in kept]
    recordings = [rows(family, "logits", epoch=epoch) for epoch in kept]
    widths = recordings[0][0]
    answer = int(max(family.subjects()[0].labels("test")[0], 0)) if recordings[0][1][0][0].shape[1] > 1 else 0
    rng = family.subjects()[0].rng("points")
    verdict.figure(
        "one-point-over-steps",
        [
            mean_curve(
                f"width {width:g}",
                steps,
                np.array([[row[place][0, answer] for row in found] for _, found in recordings]).T,
                x_name="training step",
                y_name="logit of the right answer",
                n_of="seeds",
                rng=rng,
            )
            for place, width in enumerate(widths)
        ],
        title="Logit of the right answer on the first test point",
        caption="Mean over seeds at each width.",
    )
    last = recordings[-1][1]
    apart = [[np.sqrt(np.mean((row[k + 1] - row[k]) ** 2)) for k in (0, len(widths) - 2)] for row in last]
    verdict.expect(
        more_consistent(
            np.array(apart)[:, 1],
            np.array(apart)[:, 0],
            name="difference of logits, widest pair against narrowest",
        ),
        at_most=0.0,
        source=f"{CONSISTENT}; Fig. 3 a-c and 4",
    )
