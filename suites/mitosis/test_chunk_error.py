"""Claim: the error of random chunks falls as w^-1/2 beyond w*, and faster below."""

import pytest

from netprops.errors import UndeterminedError
from netprops.measures.scaling import local_slope, power_law
from netprops.replicates import pooled_curve
from netprops.statistics import mean_interval

FIG_3 = "Doimo et al. 2022, Fig. 3: test error - error∞ ∝ w^-1/2 beyond w*"


@pytest.fixture
def pooled(family, chunk_errors, clone_size, verdict):
    """Return the widest networks' mean test error of chunks, and the largest of their w*.

    Those of as many seeds as every width has: an ensemble may have more.
    """
    widest = family.widest()[: family.declaration.seeds]
    errors = pooled_curve([chunk_errors(one, "test") for one in widest], rng=widest[0].rng("pooled"))
    return errors, max(clone_size(one, verdict).value for one in widest)


@pytest.mark.netprops(on="family", families=("clones", "planted-drawn"), uses=("train", "seeds"))
def test_chunk_error_falls_as_inverse_square_root(
    family, pooled, errors_of_full_networks, error_of_infinite_width, verdict
):
    """Beyond w*, the error of chunks above that of an ensemble falls as w^-1/2, on a straight line.

    The exponent alone would pass for the wrong reason: between a steep fall and the error of the network
    itself, which no chunk can undercut, a line through the bend can have any slope. So the curvature in
    log-log has to vanish as well: a tolerance of 0.1 lets the exponent change by 0.14 an octave. What would
    count against the claim: another exponent, or a bent curve. The intervals are over chunks of the given
    networks, with the error of their ensemble as it is.
    """
    (errors, w_star), infinite = pooled, error_of_infinite_width(family)
    law = power_law(errors, rng=family.widest()[0].rng("law"), asymptote=infinite.value, above=w_star)
    verdict.figure(
        "chunk-test-error",
        [errors, errors_of_full_networks(family, "test"), law.line(errors.x)],
        title="Test error of random chunks of the widest layer, and of full networks",
        caption=f"Means over networks, and the power law fitted to chunks from w* on: exponent "
        f"{law.exponent}, curvature {law.curvature}. Shaded: where the papers see w^-1/2.",
        lines={"w*": w_star},
        bands={"beyond w*": (w_star, float(errors.x[-1]))},
        levels={"error∞": infinite.value},
        y_scale="log",
    )
    verdict.note(
        f"error∞ of the ensemble: {infinite}. Straight line against parabola in log-log: {law.comparison}."
    )
    verdict.expect(
        law.exponent.named("exponent of the fall to error∞"), at_least=0.35, at_most=0.65, source=FIG_3
    )
    verdict.expect(
        law.curvature.named("curvature of the fall to error∞"), at_least=-0.1, at_most=0.1, source=FIG_3
    )


@pytest.mark.netprops(on="family", families=("clones", "planted-balanced"), uses="train")
def test_fall_to_the_own_error_is_an_inverse_square_root(family, pooled, verdict):
    """Against the network's own error, too, the error of chunks falls with exponent 1/2.

    A chunk of w out of W neurons differs from the whole layer by a sample of a finite population, whose noise
    goes with 1/w - 1/W. Measured against each network's own error in that variable, a law of independent
    clones is straight up to the last neuron, and needs no ensemble. What would count against the claim: an
    exponent other than 1/2. Noise of variance 1/w that hits right and wrong answers at the boundary alike
    gives 1.
    """
    errors, w_star = pooled
    one = family.widest()[0]
    law = power_law(errors, rng=one.rng("bend"), full_width=one.width, above=w_star)
    verdict.figure(
        "fall-to-own-error",
        [errors, law.line(errors.x)],
        title="Fall of the chunks' error to the network's own",
        caption=f"Mean over the widest networks, and their own error plus a power of 1/w - 1/W with exponent "
        f"{law.exponent}.",
        lines={"w*": w_star},
        levels={"own error": law.asymptote},
    )
    verdict.note(f"Straight line against parabola in log-log: {law.comparison}.")
    verdict.expect(
        law.exponent.named("exponent of the fall to the own error"), at_least=0.35, at_most=0.65, source=FIG_3
    )


@pytest.mark.netprops(on="family", families="clones", uses=("train", "seeds"))
def test_chunk_error_falls_faster_below_the_critical_size(
    family, chunk_errors, clone_size, error_of_infinite_width, verdict
):
    """Below w*, the error of chunks falls more steeply than beyond it.

    For each network, the slope in log-log over the octave below w* is compared with that over the octave
    above. What would count against the claim: the same steepness on both sides, as in a code without a
    critical size.
    """
    infinite, differences = error_of_infinite_width(family), []
    for one in family.widest():
        errors, w_star = chunk_errors(one, "test"), clone_size(one, verdict).value
        below, above = (
            local_slope(errors, first, last, rng=one.rng("slopes"), asymptote=infinite.value)
            for first, last in octaves(errors.x, w_star)
        )
        differences.append(below.value - above.value)
    verdict.expect(
        mean_interval(differences, name="exponent below w* minus exponent above", n_of="seeds"),
        at_least=0.0,
        source="Doimo et al. 2022, Fig. 3: steeper than w^-1/2 below w*",
    )


def octaves(sizes, middle):
    """Return the measured sizes nearest to (middle / 2, middle), and those nearest to (middle, 2 middle)."""
    half, whole, double = (
        min(sizes, key=lambda size: abs(size - wanted)) for wanted in (middle / 2, middle, 2 * middle)
    )
    if not half < whole < double:
        raise UndeterminedError(f"chunks were not measured on both sides of w* = {middle:g}")
    return (half, whole), (whole, double)
