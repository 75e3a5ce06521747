"""Claim: loss curves are one at large widths, down to fluctuations, and fall as a power law of width."""

import numpy as np
import pytest

from netprops.measurement import Curve
from netprops.measures.loss_curves import fluctuation_correlation, smooth
from netprops.measures.width_law import width_law
from netprops.statistics import mean_interval, paired_difference

FIG_2 = "Vyas et al. 2023, Fig. 1 and 2"
FIG_6 = "Vyas et al. 2023, Fig. 6 b and 15 a-b: fluctuations agree batch by batch"
FIG_16 = "Vyas et al. 2023, Fig. 15 c and 16: in standard parameterization they do not"
ALIKE = (
    "benchmarks/consistency.md: 0.50 or more in 95% of groups under µP, at most 0.45 in as many in standard "
    "parameterization, 0.04 where fluctuations are independent"
)
NULL = (
    "benchmarks/consistency.md: at most 0.06 from 0 in 90% of groups, 0.4 or more where fluctuations return"
)
WINDOW, MOVED = 25, 31
"""Steps of the running mean that fluctuations are taken from, and by how many the null is moved."""
SHOWN = 120
"""Points of a loss curve in a figure."""


def shown(losses, window, name):
    """Return smoothed losses of every step, thinned out evenly in the logarithm of the step."""
    steps = np.unique(np.geomspace(1, len(losses), SHOWN).round().astype(int))
    level = smooth(losses, window)[steps - 1]
    return Curve(
        name=name,
        x=steps,
        y=level,
        low=level,
        high=level,
        x_name="training step",
        y_name="training loss",
        n=1,
        n_of="seeds",
        how=f"running mean over {window} steps",
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds"))
def test_wider_networks_have_lower_losses(family, rows, verdict):
    """At the end of training the loss of a wider network is not above that of a narrower one.

    All loss curves are in one picture. What would count against the claim: a widest width whose final loss,
    over the same samples, is larger than the narrowest's.
    """
    widths, found = rows(family, "losses")
    window = max(1, len(found[0][0]) // 40)
    verdict.figure(
        "loss-curves",
        [shown(row, window, f"width {width:g}") for width, row in zip(widths, found[0], strict=True)],
        title="Training loss at every width",
        caption=f"First seed, running mean over {window} steps; all widths see the same samples.",
        y_scale="log",
    )
    last = np.array([[np.log2(np.mean(one[-window:])) for one in row] for row in found])
    verdict.expect(
        mean_interval(
            last[:, -1] - last[:, 0],
            name="log2 of the widest's final loss over the narrowest's",
            n_of="seeds",
        ),
        at_most=0.0,
        source=FIG_2,
    )


@pytest.mark.netprops(on="family", families="consistency", variant="turbulent")
def test_fluctuations_agree_batch_by_batch(family, rows, verdict):
    """At a large learning rate and a small batch, the losses of two wide networks go up and down together.

    Correlated are the deviations from the trend. A null is the same with one curve moved by some steps. What
    would count against the claim: a correlation below one half, or one that the null has as well.
    """
    widths, found = rows(family, "losses", variant="turbulent")

    pairs = [(row[-2], row[-1]) for row in found]
    aligned = [fluctuation_correlation(a, b, window=WINDOW).value for a, b in pairs]
    moved = [fluctuation_correlation(a, b, window=WINDOW, shift=MOVED).value for a, b in pairs]
    steps = np.arange(len(found[0][0]) // 2, len(found[0][0]) // 2 + 60)
    verdict.figure(
        "fluctuations",
        [
            Curve(
                name=f"width {width:g}",
                x=steps + 1,
                y=one[steps],
                low=one[steps],
                high=one[steps],
                x_name="training step",
                y_name="loss of the batch",
                n=1,
                n_of="seeds",
                how="raw",
            )
            for width, one in list(zip(widths, found[0], strict=True))[-3:]
        ],
        title="Losses batch by batch, from the middle of training",
        caption="First seed, the three widest widths, nothing smoothed.",
        x_scale="linear",
        y_scale="log",
    )
    verdict.expect(
        mean_interval(aligned, name="correlation of fluctuations of the two widest widths", n_of="seeds"),
        at_least=0.5,
        source=FIG_6,
        calibration=ALIKE,
    )
    verdict.expect(
        mean_interval(moved, name=f"the same, one curve moved by {MOVED} steps", n_of="seeds"),
        at_least=-0.2,
        at_most=0.2,
        source="batches are independent: a null of this test",
        calibration=NULL,
    )


@pytest.mark.netprops(on="family", families="consistency", variant="turbulentstandard")
def test_fluctuations_agree_less_in_the_standard_parameterization(family, rows, verdict):
    """Control: in standard parameterization, batches move the losses of two wide networks less alike.

    What would count against the claim: a correlation, in the same seeds, that is not below that under µP.
    """
    found = {}
    for variant in ("turbulent", "turbulentstandard"):
        _, losses = rows(family, "losses", variant=variant, like="turbulentstandard")
        found[variant] = [fluctuation_correlation(row[-2], row[-1], window=WINDOW).value for row in losses]
    verdict.expect(
        paired_difference(
            found["turbulent"],
            found["turbulentstandard"],
            name="correlation of fluctuations, µP minus standard",
            n_of="seeds",
        ),
        at_least=0.0,
        source=FIG_16,
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds"))
def test_final_loss_is_a_power_law_of_width(family, rows, over_widths, verdict):
    """The final loss falls as a + b N^-c with width N, and the fit explains nearly all of it.

    The exponent depends on the task and is reported. What would count against the claim: a fit that explains
    less than 99% of the variance of the mean losses over widths. The bound is the paper's. At mini scale
    it does not hold for perceptrons: with 50 seeds R² is 0.91, as from 16 to 32 units their loss falls faster
    than any such law has it. Of groups of four seeds 15% lie wholly below the bound, the rest are undecided
    (``benchmarks/consistency.md``).
    """
    widths, found = rows(family, "losses")
    window = max(1, len(found[0][0]) // 10)
    losses = np.array([[np.mean(one[-window:]) for one in row] for row in found])
    law = width_law(widths, losses, rng=family.subjects()[0].rng("width law"))
    verdict.figure(
        "final-loss-over-width",
        [over_widths(widths, losses, name="final loss", y_name="loss", family=family), law.line()],
        title="Final loss over width",
        caption=f"Mean over the last {window} steps; the law has exponent {law.exponent}, R² {law.r2}.",
        y_scale="log",
    )
    verdict.note(f"Exponent: {law.exponent}; loss at infinite width: {law.limit}.")
    verdict.expect(law.r2, at_least=0.99, source="Vyas et al. 2023, Fig. 9 and section 4: R² above 0.99")
