"""Claim: clones appear in regularised networks only."""

import pytest

from netprops.measures.reconstruction import reconstruction_curve
from netprops.statistics import paired_difference, pooled_curve

FIG_6 = "Doimo et al. 2022, Fig. 6 and S3"


def quality(subject, size):
    """Return R2 and residual correlation of random chunks of one size."""
    found = reconstruction_curve(
        subject.features("test"), sizes=[size], draws=10, rng=subject.rng("decay"), surrogate=False
    )
    return found.r2.y[0], found.correlation.y[0]


def expect_worse_without(family, variant, what, chunk_errors, clone_size, verdict):
    """Compare R2 and residual correlation of networks with and without a regularisation, paired by seed."""
    pairs = family.pairs(variant)
    wanted = max(clone_size(pairs[0][0], verdict).value, 8)
    size = int(min(wanted, pairs[0][0].width // 4))
    curves = [
        pooled_curve([chunk_errors(pair[i], "test") for pair in pairs], rng=pairs[0][0].rng("decay"))
        for i in (0, 1)
    ]
    verdict.figure(
        "chunk-test-error",
        [curves[0], renamed(curves[1], f"without {what}")],
        title=f"Test error of random chunks with and without {what}",
        caption=f"Mean over {len(pairs)} pairs of networks of the same seed.",
        y_scale="log",
    )
    measured = [[quality(one, size) for one in pair] for pair in pairs]
    verdict.expect(
        paired_difference(
            [plain[0] for plain, _ in measured],
            [without[0] for _, without in measured],
            name=f"R2 with minus without {what}, chunks of {size}",
            n_of="seeds",
        ),
        at_least=0.0,
        source=FIG_6,
    )
    verdict.expect(
        paired_difference(
            [without[1] for _, without in measured],
            [plain[1] for plain, _ in measured],
            name=f"residual correlation without minus with {what}, chunks of {size}",
            n_of="seeds",
        ),
        at_least=0.0,
        source=FIG_6,
    )


@pytest.mark.netprops(on="family", families="clones", variant="nodecay")
def test_without_weight_decay_there_are_no_clones(family, chunk_errors, clone_size, verdict):
    """Control: without weight decay, chunks reconstruct the layer less well and leave correlated residuals.

    Networks of the same seed, with and without decay, are compared at the critical size of the first network
    with decay. What would count against the claim: no difference, or one the other way.
    """
    expect_worse_without(family, "nodecay", "weight decay", chunk_errors, clone_size, verdict)


@pytest.mark.netprops(on="family", families="clones", variant="plain")
def test_without_decay_and_augmentation_there_are_no_clones(family, chunk_errors, clone_size, verdict):
    """Control: without weight decay and augmentation, chunks are no copies of the layer either.

    As for weight decay alone. What would count against the claim: no difference, or one the other way.
    """
    expect_worse_without(family, "plain", "decay and augmentation", chunk_errors, clone_size, verdict)


def renamed(curve, name):
    """Return a curve under another name."""
    from dataclasses import replace

    return replace(curve, name=name)
