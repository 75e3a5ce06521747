"""Claim: clones appear in regularised networks only."""

from dataclasses import replace

import numpy as np
import pytest

from netprops.measures.reconstruction import reconstruction_curve
from netprops.replicates import pooled_curve
from netprops.statistics import paired_difference

FIG_6 = "Doimo et al. 2022, Fig. 6 and S3"


def quality(subject, size):
    """Return R2 and residual correlation of random chunks of one size."""
    found = subject.measured(
        f"reconstruction-10-of-{size}",
        lambda: reconstruction_curve(
            subject.features("test"), sizes=[size], draws=10, rng=subject.rng("decay"), surrogate=False
        ),
    )
    return found.r2.y[0], found.correlation.y[0]


@pytest.fixture(scope="session")
def compared(chunk_errors, clone_size):
    """Measure R2 and correlation of pairs with and without a regularisation, at one chunk size."""
    known = {}

    def measured(family, variant, verdict):
        pairs = family.pairs(variant)
        size = int(min(max(clone_size(pairs[0][0], verdict).value, 8), pairs[0][0].width // 4))
        if (family.id, variant) not in known:
            known[family.id, variant] = np.array([[quality(one, size) for one in pair] for pair in pairs])
        curves = [
            pooled_curve([chunk_errors(pair[i], "test") for pair in pairs], rng=pairs[0][0].rng("decay"))
            for i in (0, 1)
        ]
        verdict.figure(
            "chunk-test-error",
            [curves[0], replace(curves[1], name=f"the same, {variant}")],
            title="Test error of random chunks with and without regularisation",
            caption=f"Mean over {len(pairs)} pairs of networks of the same seed.",
            y_scale="log",
        )
        return known[family.id, variant], size

    return measured


def expect_lower_r2(measured, size, what, verdict):
    """Expect R2 to be lower without a regularisation, paired by seed."""
    verdict.expect(
        paired_difference(
            measured[:, 0, 0],
            measured[:, 1, 0],
            name=f"R2 with minus without {what}, chunks of {size}",
            n_of="seeds",
        ),
        at_least=0.0,
        source=FIG_6,
    )


@pytest.mark.netprops(on="family", families="clones", variant="nodecay")
def test_without_weight_decay_there_are_no_clones(family, compared, verdict):
    """Control: without weight decay, chunks reconstruct the layer less well.

    Networks of the same seed, with and without decay, are compared at the critical size of the first network
    with decay. What would count against the claim: no difference, or one the other way.
    """
    measured, size = compared(family, "nodecay", verdict)
    expect_lower_r2(measured, size, "weight decay", verdict)


@pytest.mark.netprops(on="family", families="clones", variant="nodecay")
def test_without_weight_decay_residuals_are_more_correlated(family, compared, verdict):
    """Control: without weight decay, what chunks do not explain is shared by the neurons to a larger part.

    Compared as above. What would count against the claim: residuals that are no more correlated, or less.
    """
    measured, size = compared(family, "nodecay", verdict)
    verdict.expect(
        paired_difference(
            measured[:, 1, 1],
            measured[:, 0, 1],
            name=f"residual correlation without minus with weight decay, chunks of {size}",
            n_of="seeds",
        ),
        at_least=0.0,
        source="Doimo et al. 2022, Fig. 6-b and S3-b",
    )


@pytest.mark.netprops(on="family", families="clones", variant="plain")
def test_without_decay_and_augmentation_there_are_no_clones(family, compared, verdict):
    """Control: without weight decay and augmentation, chunks reconstruct the layer less well.

    As for weight decay alone. What would count against the claim: no difference, or one the other way.
    """
    measured, size = compared(family, "plain", verdict)
    expect_lower_r2(measured, size, "decay and augmentation", verdict)
