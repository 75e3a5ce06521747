"""Claim: beyond a critical width, a wider layer holds more clones, not more features."""

import pytest

from netprops.measurement import Measurement
from netprops.measures.scaling import clones, growth_exponent
from netprops.statistics import mean_interval

INTERPOLATES = 0.005
SECTION_3 = "Doimo et al. 2022, section 3: the number of clones is W / w*"


@pytest.mark.netprops(on="widest", families="clones")
def test_the_layer_holds_several_clones(subject, clone_size, verdict):
    """The critical size w* is smaller than the layer: it holds at least two clones.

    What would count against the claim: a network of which only the whole layer, or nearly the whole of it,
    interpolates the training set, or one that does not interpolate it at all.
    """
    training = subject.error("train")
    verdict.expect(
        Measurement.exact(
            "training error of the network",
            training,
            n=len(subject.labels("train")),
            n_of="samples",
            how="share",
        ),
        at_most=INTERPOLATES,
        source=SECTION_3,
    )
    if training > INTERPOLATES:
        return
    verdict.expect(clones(subject.width, clone_size(subject)), at_least=2.0, source=SECTION_3)


@pytest.mark.netprops(on="family", families="clones")
def test_clones_grow_linearly_with_width(family, clone_size, verdict):
    """The number of clones W / w* grows in proportion to the width W.

    For each seed, the slope of log(W / w*) over log W is fitted on the widths at which every network
    interpolates; 1 means that w* does not depend on the width. The tolerance of 0.1 lets w* drift by 7% an
    octave of width. What would count against the claim: a slope below 1, a clone that grows with the network.
    """
    able = [
        width
        for width in family.widths
        if all(one.error("train") <= INTERPOLATES for one in family.subjects(width))
    ]
    exponents = []
    for seed in range(family.declaration.seeds):
        same = [one for width in able for one in family.subjects(width) if one.seed == seed]
        exponents.append(
            growth_exponent(
                [one.width for one in same], [clones(one.width, clone_size(one)).value for one in same]
            )
        )
    verdict.note(f"Fitted over the width factors {', '.join(f'{width:g}' for width in able)}.")
    verdict.expect(
        mean_interval(exponents, name="growth exponent of the number of clones", n_of="seeds"),
        at_least=0.9,
        at_most=1.1,
        source="Doimo et al. 2022, abstract and section 3: linear growth",
    )
