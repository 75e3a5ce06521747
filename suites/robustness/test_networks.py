"""Claims about single networks, whoever trained them: they can lose units, and hold more than they need."""

import numpy as np
import pytest

from netprops.measurement import Measurement

ABLATION = "Robustness and/or redundancy emerge, section 2: the area under the ablation curve"
COMPONENTS = "Robustness and/or redundancy emerge, section 2: components for 95% of the variance"


@pytest.mark.netprops(on="widest", families="robustness")
def test_predictions_survive_the_loss_of_units(subject, looked, verdict):
    """As units are set to zero, a network keeps its predictions longer than guessing would.

    The area under the ablation curve, averaged over layers, is held against the share of predictions that
    stay by chance. What would count against the claim: an area like that of guessing.
    """
    found = looked(subject)
    areas, errors = found["robustness"], found["robustness error"]
    error = float(np.sqrt((errors**2).sum()) / len(errors))
    # Trapezoids: over the first of six steps from 1 to the share of guesses that stay.
    classes = max(2, len(subject.readout.bias))
    guessing = 1 / 12 + 11 / 12 / classes
    verdict.note(
        f"{len(areas)} layers are looked at, evenly spread; at mini scale eight at most, deep networks on "
        "a hundred samples."
    )
    verdict.note(f"Layer by layer: {np.round(areas, 3).tolist()}; all at once: {found['all layers'][0]:.3f}.")
    verdict.expect(
        Measurement(
            name="robustness, mean over layers",
            value=areas.mean(),
            low=areas.mean() - 1.96 * error,
            high=areas.mean() + 1.96 * error,
            standard_error=error,
            n=3,
            n_of="permutations",
            how="area under the ablation curve of each layer; for this network and these samples",
        ),
        at_least=guessing,
        source=ABLATION,
    )


@pytest.mark.netprops(on="widest", families="robustness")
def test_layers_are_more_compressible_than_noise(subject, looked, verdict):
    """The layers of a network need fewer components than noise of equal variance in every direction.

    The noise has as many samples and units as each layer, for few samples show fewer components. What would
    count against the claim: layers that need as many.
    """
    found = looked(subject)
    verdict.note(
        f"Layer by layer: {np.round(found['compressible'], 3).tolist()}; units similar to a unit: "
        f"{np.round(found['similarity'], 2).tolist()}."
    )
    verdict.expect(
        Measurement.exact(
            "components that noise needs and the layers do not, mean share over layers",
            (found["compressible"] - found["noise"]).mean(),
            n=len(found["compressible"]),
            n_of="layers",
            how="principal components for 95% of the variance, mean over three samplings",
        ),
        at_least=0.05,
        source=COMPONENTS,
    )
