"""Claim: with accuracy not falling, robustness or redundancy or both grow with the width of a network.

Every row of the papers' table is a test here: the plain recipe, random labels (families of their own),
initialisations, regularisers, learning rate and batch together, optimizers, training past convergence.
"""

import pytest

from netprops.measures.trends import largest_of, trend

CLAIM = "Robustness and/or redundancy emerge, section 4: robustness or redundancy or both grow with width"
ACCURACY = "Robustness and/or redundancy emerge, Fig. 4: accuracy grows with width or stays"
STAYS = 0.005
"""What "does not fall" allows: half a point of accuracy for each doubling of the width."""


@pytest.mark.netprops(on="family", families="robustness", uses="seeds")
def test_accuracy_does_not_fall_with_width(family, over_widths, drawn, verdict):
    """Wider networks are as accurate as narrow ones, or more.

    Where labels were drawn at random, accuracy is that on the training set: nothing else can be learnt. What
    would count against the claim: accuracy that falls by more than half a point for each doubling.
    """
    name = "training accuracy" if "random-labels" in family.id else "accuracy"
    family.across()
    verdict.figure(
        "accuracy-over-width",
        [drawn(family, "training accuracy"), drawn(family, "accuracy")],
        title="Accuracy over width",
        caption="Mean over seeds at each width factor.",
    )
    verdict.expect(
        trend(*over_widths(family, name), name=f"{name} for each doubling of the width"),
        at_least=-STAYS,
        source=ACCURACY,
    )


def expect_growth(family, trends, drawn, verdict, variant=None):
    """Hold the most certain of three trends to the claim, and show all."""
    found = trends(family, variant)
    for name in found:
        verdict.figure(
            f"{name}-over-width",
            drawn(family, name, variant),
            title=f"{name.capitalize()} over width",
            caption="Mean over layers and seeds at each width factor.",
        )
    grown = [name for name, one in found.items() if one.low > 0]
    verdict.note(f"Each: {'; '.join(f'{name} {one}' for name, one in found.items())}.")
    verdict.note(f"Growing by themselves: {', '.join(grown) or 'none'}.")
    verdict.expect(largest_of(list(found.values())), at_least=0.0, source=CLAIM)


@pytest.mark.netprops(on="family", families="robustness", uses="seeds")
def test_robustness_or_redundancy_grows_with_width(family, trends, drawn, verdict):
    """At least one of three grows with width: robustness, compressibility, similarity of units.

    Each is averaged over layers. What would count against the claim: none of the three slopes is positive,
    corrected for there being three.
    """
    family.across()
    expect_growth(family, trends, drawn, verdict)


VARIANTS = {
    "glorot-uniform": "weights drawn as Glorot, uniform",
    "lecun-normal": "weights drawn as LeCun, normal",
    "lecun-uniform": "weights drawn as LeCun, uniform",
    "he-normal": "weights drawn as He, normal",
    "he-uniform": "weights drawn as He, uniform",
    "sigma0.001": "first weights of deviation 0.001",
    "sigma0.1": "first weights of deviation 0.1",
    "augmentation": "data augmentation",
    "dropout": "dropout",
    "decay": "weight decay",
    "all": "all regularisers",
    "quarter": "a quarter of learning rate and batch",
    "fourfold": "four times the learning rate and batch",
    "sgd": "SGD without momentum",
    "adam": "Adam",
}


def _with(variant, words):
    """Return the claim about one variant of the recipe as a test of its own, which ``-k`` finds."""

    @pytest.mark.netprops(on="family", families="robustness", variant=variant)
    def test(family, trends, drawn, verdict):
        expect_growth(family, trends, drawn, verdict, variant)

    test.__name__ = f"test_it_grows_with_{variant.replace('-', '_').replace('.', '_')}"
    test.__doc__ = (
        f"At least one of three grows with width: {words}.\n\n    As for the plain recipe. What would count "
        "against the claim: none of the three slopes is positive."
    )
    return test


for _variant, _words in VARIANTS.items():
    _test = _with(_variant, _words)
    globals()[_test.__name__] = _test
