"""Claim: a chunk of at least w* neurons reconstructs the whole layer, up to uncorrelated noise."""

import pytest

from netprops.statistics import paired_difference

FIG_4 = "Doimo et al. 2022, Fig. 4 d-f"
R2_SEEN = "benchmarks/calibration.md: at least 0.9986 at w* and 0.9998 at W/2 in 50 networks"


def at_least(curve, size):
    """Return the smallest measured size that is not below a wanted one, or the largest measured."""
    return min((x for x in curve.x if x >= size), default=curve.x[-1])


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer"), uses="train")
def test_chunks_reconstruct_the_layer(subject, reconstructions, clone_size, verdict):
    """A linear map from a chunk of w* neurons gives the other neurons back: R2 approaches 1.

    The map is a ridge regression from the chunk to every neuron outside it, fitted on one half of the test
    set and scored on the other; R2 is weighted by each neuron's variance. What would count against the claim:
    neurons at w* whose variance the chunk does not explain.
    """
    found, w_star = reconstructions(subject), clone_size(subject, verdict)
    verdict.figure(
        "reconstruction",
        [found.r2],
        title="Reconstruction of the layer from a chunk",
        caption=f"R2 of a ridge regression from random chunks to the neurons outside; w* = {w_star}.",
        lines={"w*": w_star.value},
    )
    size = at_least(found.r2, w_star.value)
    verdict.expect(
        found.r2.at(size).named(f"R2 from chunks of {size:.0f}"),
        at_least=0.95,
        source=FIG_4,
        calibration=R2_SEEN,
    )
    verdict.expect(
        found.r2.at(found.r2.x[-1]).named(f"R2 from chunks of {found.r2.x[-1]:.0f}"),
        at_least=0.98,
        source=FIG_4,
        calibration=R2_SEEN,
    )


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer"), uses="train")
def test_residual_correlation_falls_with_chunk_size(subject, reconstructions, clone_size, verdict):
    """The larger the chunk, the less the residuals of different neurons are correlated.

    What would count against the claim: neurons that leave the same residual however many are given.
    """
    found, w_star = reconstructions(subject), clone_size(subject, verdict)
    verdict.figure(
        "residual-correlation",
        [found.correlation, found.floor],
        title="Correlation of the residuals",
        caption="Mean absolute correlation of the residuals outside the chunk, and its floor: the same for a "
        f"surrogate of perfect clones; w* = {w_star}.",
        lines={"w*": w_star.value},
    )
    first, last, draws = found.correlation.x[0], found.correlation.x[-1], found.correlation.replicates
    verdict.expect(
        paired_difference(
            draws[:, 0],
            draws[:, -1],
            n_of="permutations",
            name=f"fall of the residual correlation from {first:.0f} to {last:.0f} neurons",
        ),
        at_least=0.0,
        source=FIG_4,
    )


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer", "planted-residuals"))
def test_residuals_are_as_independent_as_those_of_clones(subject, reconstructions, verdict):
    """What a large chunk leaves unexplained is noise that the neurons do not share.

    The mean absolute correlation of the residuals never reaches 0: residuals of finitely many samples
    correlate by chance, and all of them contain the noise of the same chunk. So it is compared with its
    floor: the same regressions on a surrogate of perfect clones, which has the layer's own signal and
    independent noise of the same variances. What would count against the claim: an excess over the floor.
    """
    found = reconstructions(subject)
    verdict.figure(
        "residual-excess",
        [found.excess],
        title="Correlation of the residuals over its floor",
        caption="Mean absolute correlation of the residuals minus that of a surrogate of perfect clones; "
        "0 is independent noise.",
        levels={"bound": 0.003},
    )
    last = found.excess.x[-1]
    verdict.expect(
        found.excess.at(last).named(f"residual correlation over its floor at {last:.0f} neurons"),
        at_most=0.003,
        source=FIG_4,
        calibration="benchmarks/calibration.md: perfect clones of 16 features stay below 0.0003 at W/4, "
        "clones that share half of their noise come to 0.007",
    )
