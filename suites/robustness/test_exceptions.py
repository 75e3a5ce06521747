"""Claims about robustness and redundancy coming apart: initial weights of high variance."""

import pytest

FIG_C5 = (
    "Robustness and/or redundancy emerge, Fig. 5 and C5: high variance gives redundancy without robustness"
)
FIG_C6 = "Robustness and/or redundancy emerge, Fig. C6: in many dimensions and at high variance neither grows"
HARDLY = 0.01
"""What "does not grow" allows, for each doubling of the width: a hundredth of the whole range."""


@pytest.mark.netprops(on="family", families="mlp1", variant="sigma1")
def test_robustness_does_not_grow_at_high_variance(family, trends, drawn, verdict):
    """With first weights of high variance, robustness of a perceptron does not grow with width.

    It is the exception in 10,000 dimensions, where redundancy does not grow either. What would count against
    the claim: robustness that grows by more than a hundredth for each doubling.
    """
    found = trends(family, "sigma1")
    verdict.figure(
        "robustness-over-width",
        [drawn(family, "robustness", "sigma1"), drawn(family, "compressible", "sigma1")],
        title="Robustness and compressibility at high initial variance",
        caption="Mean over seeds at each width factor.",
    )
    verdict.note(f"Similarity: {found['similarity']}.")
    verdict.expect(found["robustness"], at_most=HARDLY, source=FIG_C5)


@pytest.mark.netprops(on="family", families="mlp1", variant="sigma1")
def test_redundancy_at_high_variance_depends_on_the_dimension(family, trends, verdict):
    """At high initial variance redundancy grows in few dimensions, and does not in 10,000.

    What would count against the claim: the other way round.
    """
    found = trends(family, "sigma1")["compressible"]
    if family.id.endswith("10000"):
        verdict.expect(found, at_most=HARDLY, source=FIG_C6)
    else:
        verdict.expect(found, at_least=0.0, source=FIG_C5)
