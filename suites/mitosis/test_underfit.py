"""Claim: a network that does not interpolate its training set holds no clones."""

from functools import partial

import pytest

from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import INTERPOLATES, local_slope
from netprops.replicates import pooled_curve
from netprops.statistics import mean_interval, paired_difference

FIG_7 = "Doimo et al. 2022, Fig. 7 and section 3: ResNet50 on ImageNet"


@pytest.mark.netprops(on="family", families="underfit")
def test_networks_that_do_not_interpolate_hold_no_clones(
    family, chunk_errors, errors_of_full_networks, error_of_infinite_width, verdict
):
    """Control: where the training set is not interpolated, chunks fall short of the layer at any size.

    Held against the claim that clones need interpolation: the training error of the widest networks, that of
    chunks of half of their neurons, and the slope of the chunks' test error over the last octave, which is
    steeper than that of clones. What would count against it: a chunk of half of the layer that does as well
    as the layer, or a slope of 1/2 or less.
    """
    widest = family.widest()
    training, infinite = errors_of_full_networks(family, "train"), error_of_infinite_width(family)
    chunks = pooled_curve([chunk_errors(one, "test") for one in widest], rng=widest[0].rng("underfit"))
    of_chunks = pooled_curve([chunk_errors(one, "train") for one in widest], rng=widest[0].rng("underfit"))
    verdict.figure(
        "underfit-training-error",
        [training, of_chunks],
        title="Training error of full networks and of chunks",
        caption="Neither full networks nor chunks of the widest reach the 0.5% at which a training set "
        "counts as interpolated.",
        levels={"0.5%": INTERPOLATES},
        y_scale="log",
    )
    verdict.figure(
        "underfit-test-error",
        [errors_of_full_networks(family, "test"), chunks],
        title="Test error of full networks and of chunks",
        caption="Mean over seeds; chunks are of the widest networks.",
        levels={"error∞": infinite.value},
        y_scale="log",
    )
    own = [one.error("train") for one in widest]
    half = widest[0].width // 2
    halves = [chunk_errors(one, "train").at(half).value for one in widest]
    verdict.expect(
        mean_interval(own, name="training error of the widest networks", n_of="seeds"),
        at_least=INTERPOLATES,
        source=FIG_7,
    )
    verdict.expect(
        paired_difference(
            halves, own, n_of="seeds", name=f"training error of chunks of {half} minus the layer's"
        ),
        at_least=INTERPOLATES,
        source=FIG_7,
    )
    verdict.expect(
        local_slope(chunks, half, 2 * half, rng=widest[0].rng("slope"), asymptote=infinite.value),
        at_least=0.5,
        source=FIG_7,
    )


def an_eighth(subject):
    """Reconstruct the layer from chunks of an eighth of it."""
    return reconstruction_curve(
        subject.features("test"),
        sizes=[subject.width // 8],
        draws=6,
        rng=subject.rng("underfit"),
        surrogate=False,
    )


@pytest.mark.netprops(on="family", families="underfit", needs="widest")
def test_residual_correlation_does_not_fall_where_nothing_is_interpolated(family, verdict):
    """Control: without interpolation, training does not make the residuals of chunks independent.

    The mean residual correlation of chunks of an eighth of the layer is compared between the first kept epoch
    and the last. What would count against the claim: a correlation that training lowers, as it does where
    clones form.
    """
    falls = []
    for one in family.widest():
        first, last = (
            at.measured("reconstruction-6-of-an-eighth", partial(an_eighth, at)).correlation.y[0]
            for at in (one.at(min(epoch for epoch in one.snapshots if epoch)), one)
        )
        falls.append(first - last)
    verdict.expect(
        mean_interval(falls, name="fall of the residual correlation during training", n_of="seeds"),
        at_most=0.0,
        source=FIG_7,
    )
