"""Claim: no neuron of a layer of clones is special: the size of a chunk counts, not its members."""

import numpy as np
import pytest

from netprops.measurement import Curve
from netprops.measures.chunks import sizes as chunk_sizes
from netprops.measures.scaling import INTERPOLATES
from netprops.measures.worst_chunk import adversarial_chunk, overlap, smallest_interpolating_chunk

SECTION_3 = "Doimo et al. 2022, section 3: any two chunks of w* neurons are copies of the layer"
PARTS = 4


def chosen_chunks(subject):
    """Return the neurons of the smallest chunk found that interpolates each part of the training set."""
    features, labels = np.asarray(subject.features("train")), subject.labels("train")
    order = subject.rng("parts").permutation(len(labels))
    return [
        smallest_interpolating_chunk(features[rows], *subject.readout, labels[rows])[0]
        for rows in np.array_split(order, PARTS)
    ]


def worst_error(subject, size):
    """Return the training error of the worst chunk of a size that a greedy search finds."""
    features, labels = np.asarray(subject.features("train")), subject.labels("train")
    return adversarial_chunk(
        features, *subject.readout, labels, size, draws=2, rng=subject.rng("worst")
    ).error.value


@pytest.mark.netprops(on="widest", families="clones", uses="train")
def test_chosen_chunks_share_no_more_neurons_than_chance(subject, chunk_errors, clone_size, verdict):
    """Small chunks that are chosen to interpolate different samples do not agree on their neurons.

    For each of four parts of the training set, a greedy search chooses few neurons that interpolate it. If
    some neurons carried what others do not, all four would choose them. What would count against the claim:
    chunks that overlap by much more than chunks of their sizes do by chance. The figure shows how far the
    worst chunk of a size, found greedily, is from a random one: exchangeable does not mean that no chunk can
    be bad, for one may pick the copies of few features only.
    """
    w_star = clone_size(subject, verdict)
    if subject.error("train") > INTERPOLATES:
        return
    chosen = subject.measured(f"chosen-chunks-{PARTS}", lambda: chosen_chunks(subject))
    verdict.note(
        f"Chosen neurons: {', '.join(str(len(chunk)) for chunk in chosen)} suffice for a quarter of the "
        f"training set each, where w* = {w_star} random ones do for all of it."
    )
    at = [size for size in chunk_sizes(subject.width) if 4 <= size < subject.width]
    worst = subject.measured("worst-chunks-2", lambda: [worst_error(subject, size) for size in at])
    verdict.figure(
        "worst-chunks",
        [
            chunk_errors(subject, "train"),
            Curve.plain(
                "worst chunk found",
                at,
                worst,
                x_name="chunk size w (neurons)",
                y_name="error (fraction)",
                how="greedy search",
            ),
        ],
        title="Training error of random and of adversarial chunks",
        caption="The mean over random chunks, and the worst chunk of a size that a greedy search finds.",
        lines={"w*": w_star.value},
    )
    shared = subject.measured(
        f"overlap-of-chosen-{PARTS}", lambda: overlap(chosen, subject.width, rng=subject.rng("overlap"))
    )
    verdict.expect(
        shared.named("overlap of chosen chunks beyond chance"),
        at_most=0.1,
        source=SECTION_3,
    )
