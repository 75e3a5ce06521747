"""Claim: under µP nothing that a network computes grows or shrinks with its width; otherwise it does."""

import numpy as np
import pytest

from netprops.measures.trends import trend

MUP = "Yang et al. 2021, Tensor Programs V, App. D.1: coordinates keep their size at every width"
CONTROL = "Vyas et al. 2023, App. C and D: in standard parameterization they do not"
EARLY = 1
"""Epochs after which changes are measured: later, networks have learnt and their sizes are the task's."""
STEEP = {"preactivations": 0.15, "logits": 0.2}
"""Slope of log2 for each doubling of the width that still counts as none."""
SEEN = {
    "preactivations": "benchmarks/consistency.md: at most 0.03 under µP, at least 0.25 in standard "
    "parameterization after the first chunk",
    "logits": "benchmarks/consistency.md: midway between 0.16, the steepest of 90% of groups under µP, and "
    "0.24, the flattest in standard parameterization",
}


def sizes(rows, quantity, family, variant=None, like=None):
    """Return widths and (S, P) log2 of the root mean square change of a quantity over the first epoch."""
    widths, before = rows(family, quantity, variant=variant, epoch=0, like=like)
    _, after = rows(family, quantity, variant=variant, epoch=EARLY, like=like)
    changes = [
        [np.sqrt(np.mean((np.asarray(b) - a) ** 2)) for a, b in zip(first, second, strict=True)]
        for first, second in zip(before, after, strict=True)
    ]
    return widths, np.log2(changes)


def roots(rows, family, epoch, variant=None):
    """Return widths and (S, P) log2 of the root mean square of preactivations."""
    widths, found = rows(family, "preactivations", variant=variant, epoch=epoch)
    return widths, np.log2([[np.sqrt(np.mean(np.square(one))) for one in row] for row in found])


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_coordinates_keep_their_size_under_mup(family, rows, over_widths, verdict):
    """Preactivations, and how far logits move in the first steps, have one size at every width.

    This check comes before all others: a family that does not pass it is not in µP. What would count against
    the claim: a size that grows or falls by more than a tenth (logits: 15%) for each doubling of the width.

    The standard parameterization is told by what the first chunk changes: at initialisation its
    preactivations are those of µP.
    """
    family.across(3)
    found = {
        "preactivations at initialisation": roots(rows, family, 0),
        "preactivations after the first chunk": roots(rows, family, EARLY),
        "change of logits in the first chunk": sizes(rows, "logits", family),
    }
    verdict.figure(
        "coordinates-over-width",
        [
            over_widths(w, 2**v, name=n, y_name="root mean square", family=family)
            for n, (w, v) in found.items()
        ],
        title="Size of what networks compute, over their width",
        caption="Flat lines are maximal update parameterization.",
        y_scale="log",
    )
    for name, (widths, values) in found.items():
        moved = "logits" if "logits" in name else "preactivations"
        verdict.expect(
            trend(widths, values, name=f"slope of log2 of {name}"),
            at_least=-STEEP[moved],
            at_most=STEEP[moved],
            source=MUP,
            calibration=SEEN[moved],
        )


def change_against_mup(family, quantity, variant, rows, over_widths, verdict):
    """Draw the change of a quantity over width, in a variant and in the same seeds under µP.

    Returns:
        The trend of log2 of their ratio over width.
    """
    widths, values = sizes(rows, quantity, family, variant)
    _, mup = sizes(rows, quantity, family, like=variant)
    verdict.figure(
        "change-over-width",
        [
            over_widths(widths, 2**v, name=n, y_name=f"change of the {quantity}", family=family)
            for n, v in ((variant, values), ("µP", mup))
        ],
        title=f"Change of the {quantity} in the first chunk",
        caption="Root mean square on fixed test points.",
        y_scale="log",
    )
    return trend(
        widths, values - mup, name=f"slope of log2 of the change of the {quantity}, {variant} minus µP"
    )


@pytest.mark.netprops(on="family", families="consistency", variant="standard")
def test_coordinates_grow_in_standard_parameterization(family, rows, over_widths, verdict):
    """Control: in standard parameterization, wider networks' logits move further in the first steps.

    Judged against the same seeds under µP. What would count against the claim: a slope over width that is not
    larger than µP's.
    """
    slope = change_against_mup(family, "logits", "standard", rows, over_widths, verdict)
    verdict.expect(slope, at_least=0.0, source=CONTROL)


@pytest.mark.netprops(on="family", families="consistency", variant="ntk")
def test_features_of_wide_networks_move_less_in_the_ntk_parameterization(family, rows, over_widths, verdict):
    """Control: in the NTK parameterization, the wider a network is, the less its kernel of features moves.

    What would count against the claim: a slope over width that is not below that of the same seeds under µP.
    """
    slope = change_against_mup(family, "kernel", "ntk", rows, over_widths, verdict)
    verdict.expect(slope, at_most=0.0, source=CONTROL)
