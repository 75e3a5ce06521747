"""Claim: probes on many narrow networks' features do not perform as well as one on a wide network's."""

import pytest

from netprops.errors import UndeterminedError
from netprops.measures.probe import accuracy_gap, mean_accuracy

FINDING_2 = "Duzgun et al. 2024, empirical finding 3.2 and Fig. 3"


def paired(family, width, by, probed):
    """Return the probes of every wide network and of the concatenation that it is compared with."""
    wide, narrow = family.widest(), family.concatenations(width, by)
    return [probed(one) for one in wide], [probed(narrow[i % len(narrow)]) for i in range(len(wide))]


@pytest.mark.netprops(on="family", families="features", uses=("train", "seeds"))
@pytest.mark.parametrize("by", ["features", "parameters"])
def test_narrow_networks_do_not_perform_as_a_wide_one(family, by, probed, matched, verdict):
    """A linear probe on a wide network's features is more accurate than one on many narrow networks'.

    As many narrow networks stand side by side as have the features, or the parameters, of the wide one, at
    the narrowest width that is trained as well. What would count against the claim: a probe on narrow
    features that is as accurate.
    """
    narrowest = min(matched(family, verdict))
    found = {}
    for width in family.across()[:-1]:
        wide, narrow = paired(family, width, by, probed)
        found[width] = (mean_accuracy(narrow, name="FP"), accuracy_gap(wide, narrow, name="FP gap"))
    own = mean_accuracy(wide, name="FP of the wide network")
    verdict.bars(
        "performance",
        {f"W = {width:g} side by side": one for width, (one, _) in found.items()}
        | {f"W = {family.widths[-1]:g}, wide": own},
        title=f"Feature performance, counted by {by}",
        caption="Accuracy of linear probes on test samples; the interval is over seeds and samples.",
        value_name="test accuracy of the probe",
    )
    verdict.expect(
        found[narrowest][1].named("FP of the wide minus FP of the narrowest networks"),
        at_least=0.0,
        source=FINDING_2,
    )


@pytest.mark.netprops(on="family", families="features", uses=("train", "seeds"))
def test_performance_falls_as_networks_get_narrower(family, probed, matched, verdict):
    """The narrower the networks, the less accurate is a probe on as many features.

    What would count against the claim: no difference between the widest and the narrowest of the narrow
    widths that are trained as well as the wide one, or one the other way.
    """
    close = matched(family, verdict)
    if len(close) < 2:
        raise UndeterminedError(f"{family.id}: not matched: only one narrow width is as well trained")
    few, many = (paired(family, width, "features", probed)[1] for width in (max(close), min(close)))
    verdict.expect(
        accuracy_gap(few, many, name="FP of the widest minus FP of the narrowest of the narrow"),
        at_least=0.0,
        source=FINDING_2,
    )
