"""Claim: the intrinsic dimension of the last layer is a lower bound of the critical size w*."""

import pytest

from netprops.measures.dimension import intrinsic_dimension


@pytest.mark.netprops(on="widest", families="clones", uses="train")
def test_the_dimension_is_below_the_critical_size(subject, clone_size, verdict):
    """The last layer's intrinsic dimension is at most w*: a clone has to give every coordinate of the data.

    TwoNN estimates the dimension from the distances to the two nearest neighbours. What would count against
    the claim: chunks with fewer neurons than dimensions that interpolate the training set.
    """
    w_star = clone_size(subject, verdict)
    dimension = subject.measured(
        "intrinsic-dimension",
        lambda: intrinsic_dimension(subject.features("test"), rng=subject.rng("dimension")),
    )
    verdict.note(f"w* = {w_star}. The papers found 2 on pMNIST, 12 on CIFAR10 and 14 on CIFAR100.")
    verdict.expect(
        dimension.named("intrinsic dimension of the last layer"),
        at_most=w_star.value,
        source="Doimo et al. 2022, section 3, after Facco et al. 2017 (TwoNN)",
    )
