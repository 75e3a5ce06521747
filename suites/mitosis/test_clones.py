"""Claim: beyond a critical width, a wider layer holds more clones, not more features."""

import pytest

from netprops.measures.scaling import INTERPOLATES, clones, crossing, growth_exponent, independent_size
from netprops.statistics import mean_interval

SECTION_3 = "Doimo et al. 2022, section 3: the number of clones is W / w*"


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer"), uses="train")
def test_the_layer_holds_several_clones(subject, clone_size, verdict):
    """The critical size w* is smaller than the layer: it holds at least two clones.

    What would count against the claim: a network of which only the whole layer, or nearly the whole of it,
    interpolates the training set, or one that does not interpolate it at all.
    """
    verdict.expect(clones(subject.width, clone_size(subject, verdict)), at_least=2.0, source=SECTION_3)


@pytest.mark.netprops(on="family", families=("clones", "planted-growth"), uses=("train", "seeds"))
def test_clones_grow_linearly_with_width(family, chunk_errors, clone_size, verdict):
    """The number of clones grows in proportion to the width W.

    Perfect clones of one size do not give W / w* in proportion to W: a chunk of w* of W neurons is a sample
    of a finite population, so that W / w* is one more than the number of independent clones. That number is
    what is counted here, with w* interpolated between measured sizes. For each seed, the slope of its
    logarithm over log W is fitted on the widths at which every network interpolates; 1 means that the size of
    a clone does not depend on the width. The tolerance of 0.1 lets that size drift by 7% an octave of width.
    What would count against the claim: a slope below 1, a clone that grows with the network.
    """
    counted = {}
    for one in family.subjects():
        if one.error("train") <= INTERPOLATES:
            size = crossing(chunk_errors(one, "train"))
            if size < one.width:
                counted.setdefault(one.factor, {})[one.seed] = one.width / independent_size(one.width, size)
    seeds = range(family.declaration.seeds)
    able = [width for width, of_seed in counted.items() if set(seeds) <= set(of_seed)]
    if len(able) < 2:
        widest = family.widest()[0]
        verdict.note("Fewer than two widths hold chunks that interpolate.")
        verdict.expect(clones(widest.width, clone_size(widest, verdict)), at_least=2.0, source=SECTION_3)
        return
    units = {one.factor: one.width for one in family.subjects()}
    exponents = [
        growth_exponent([units[width] for width in able], [counted[width][seed] for width in able])
        for seed in seeds
    ]
    verdict.note(f"Fitted over the width factors {', '.join(f'{width:g}' for width in able)}.")
    verdict.expect(
        mean_interval(exponents, name="growth exponent of the number of clones", n_of="seeds"),
        at_least=0.9,
        at_most=1.1,
        source="Doimo et al. 2022, abstract and section 3: linear growth",
        calibration="benchmarks/calibration.md: 50 sets of perfect clones give 0.89 to 1.11, median 1.005",
    )
