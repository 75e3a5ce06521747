"""Claim: what narrow networks do not span of a wide one is what makes the wide one better."""

import pytest

from netprops.measures.probe import accuracy_gap, mean_accuracy

FIG_4 = "Duzgun et al. 2024, Fig. 4 and 10: residuals appended to the other side's features"
TABLE_3 = "Duzgun et al. 2024, table 3: residuals alone against random features"
HARDLY = 0.005
"""What "does not help" allows: half a point of accuracy."""


def joined(network, left):
    """Return training and test blocks of a network's features, with residuals beside them."""
    return [[network.features(split), beside] for split, beside in zip(("train", "test"), left, strict=True)]


@pytest.fixture(scope="session")
def contributions(probed, residuals, performance):
    """Measure, with each side's residuals appended to the other side's features, what is gained."""
    known = {}

    def measured(family, width):
        """Return probes: each side's own, with residuals appended, and on the residuals alone."""
        if (family.id, width) not in known:
            wide, narrow = family.widest(), family.concatenations(width, "features")
            rows = {"narrow": [], "narrow+": [], "wide": [], "wide+": [], "of wide": [], "of narrow": []}
            for i, one in enumerate(wide):
                side = narrow[i % len(narrow)]
                rows["wide"].append(probed(one))
                rows["narrow"].append(probed(side))
                for mine, theirs in ((one, side), (side, one)):
                    name, other = ("wide", "narrow") if mine is one else ("narrow", "wide")
                    rows[f"{name}+"].append(
                        performance(
                            "with residuals",
                            [mine, theirs],
                            lambda mine=mine, theirs=theirs: joined(mine, residuals(mine, theirs)),
                        )
                    )
                    rows[f"of {other}"].append(
                        performance(
                            "residuals alone",
                            [theirs, mine],
                            lambda mine=mine, theirs=theirs: [[one] for one in residuals(mine, theirs)],
                        )
                    )
            known[family.id, width] = rows
        return known[family.id, width]

    return measured


@pytest.mark.netprops(on="family", families="features", uses=("train", "seeds"))
def test_residuals_of_the_wide_network_help_the_narrow_ones(
    family, contributions, matched, over_alpha, verdict
):
    """What narrow networks do not span of a wide one makes a probe on them more accurate.

    The residuals of the wide network's features are appended to the narrow ones' at the narrowest width that
    is trained as well. What would count against the claim: no gain.
    """
    narrowest = min(matched(family, verdict))
    curves = {"residuals of the wide appended to the narrow": {}, "of the narrow appended to the wide": {}}
    for width in family.across()[:-1]:
        rows = contributions(family, width)
        for name, mine in zip(curves, ("narrow", "wide"), strict=True):
            curves[name][width] = accuracy_gap(rows[f"{mine}+"], rows[mine], name="gain in accuracy")
    verdict.figure(
        "contribution-of-residuals",
        [over_alpha(name, family, found, "gain in test accuracy") for name, found in curves.items()],
        title="What residuals of one side add to the other",
        caption="Gain of a linear probe; the interval is over seeds and test samples.",
        levels={"no gain": 0.0},
    )
    gained = next(iter(curves.values()))[narrowest]
    verdict.expect(
        gained.named("gain of the narrow from the wide one's residuals"), at_least=0.0, source=FIG_4
    )


@pytest.mark.netprops(on="family", families="features", uses=("train", "seeds"))
def test_residuals_of_narrow_networks_do_not_help_the_wide_one(family, contributions, matched, verdict):
    """What a wide network does not span of narrow ones makes a probe on it no more accurate.

    What would count against the claim: a gain of more than half a point.
    """
    rows = contributions(family, min(matched(family, verdict)))
    verdict.expect(
        accuracy_gap(rows["wide+"], rows["wide"], name="gain of the wide from the narrow ones' residuals"),
        at_most=HARDLY,
        source=FIG_4,
        calibration="half a point: the smallest difference that the papers' figures show",
    )


@pytest.mark.netprops(on="family", families="features", uses=("train", "seeds", "snapshots"))
def test_residuals_of_the_wide_network_beat_random_features(family, contributions, probed, matched, verdict):
    """Residuals of the wide network alone perform better than as many features of an untrained one.

    What would count against the claim: a probe on random features that is as accurate.
    """
    rows = contributions(family, min(matched(family, verdict)))
    random = [probed(one.at(0)) for one in family.widest()]
    narrow = family.concatenations(min(matched(family, verdict)), "features")
    chance = [probed(narrow[i % len(narrow)].at(0)) for i in range(len(random))]
    verdict.note(
        f"Residuals of the narrow: {mean_accuracy(rows['of narrow'], name='FP')}, random narrow features: "
        f"{mean_accuracy(chance, name='FP')}."
    )
    verdict.expect(
        accuracy_gap(
            rows["of wide"], random, name="FP of the wide one's residuals minus FP of random features"
        ),
        at_least=0.0,
        source=TABLE_3,
    )
