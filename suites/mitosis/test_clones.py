"""Claim: beyond a critical width, a wider layer holds more clones, not more features."""

import pytest

from netprops.measures.scaling import clones, growth_exponent
from netprops.statistics import mean_interval

INTERPOLATES = 0.005
SECTION_3 = "Doimo et al. 2022, section 3: the number of clones is W / w*"


@pytest.mark.netprops(on="widest", families=("fc5", "wrn28"))
def test_the_layer_holds_several_clones(subject, clone_size, verdict):
    """The critical size w* is smaller than the layer: it holds at least two clones.

    What would count against the claim: a network of which only the whole layer, or nearly the whole of it,
    interpolates the training set.
    """
    verdict.expect(clones(subject.width, clone_size(subject)), at_least=2.0, source=SECTION_3)


@pytest.mark.netprops(on="family", families=("fc5", "wrn28"))
def test_clones_grow_linearly_with_width(family, clone_size, verdict):
    """The number of clones W / w* grows in proportion to the width W.

    For each seed, the slope of log(W / w*) over log W is fitted on the widths at which the network
    interpolates; 1 means that w* does not depend on the width. What would count against the claim: a slope
    below 1, that is a clone that grows with the network.
    """
    able = [one for one in family.subjects() if one.error("train") <= INTERPOLATES]
    exponents = [
        growth_exponent([one.width for one in same], [clones(one.width, clone_size(one)).value for one in same])
        for seed in range(family.declaration.seeds)
        if len(same := [one for one in able if one.seed == seed]) > 1
    ]
    verdict.expect(
        mean_interval(exponents, name="growth exponent of the number of clones", n_of="seeds"),
        at_least=0.75, at_most=1.25, source="Doimo et al. 2022, abstract and section 3: linear growth",
    )
