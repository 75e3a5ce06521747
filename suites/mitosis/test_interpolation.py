"""Claim: chunks that are large enough interpolate the training set, as the whole network does."""

import math

import numpy as np
import pytest

from netprops.measures.chunks import error_of
from netprops.measures.counterexample import search_failing_chunk
from netprops.measures.scaling import INTERPOLATES
from netprops.replicates import pooled_curve
from netprops.statistics import mean_interval

FIG_4 = "Doimo et al. 2022, Fig. 4 a-c: training error of at most 0.5% beyond w*"


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer"), uses="train")
def test_random_chunks_interpolate_the_training_set(subject, chunk_errors, clone_size, verdict):
    """Beyond twice the critical size w*, random chunks of the widest network make no training errors.

    w* is where the mean training error of chunks first falls to 0.5%. Twice that size is far enough from the
    threshold for the claim not to hold by definition: if the training error rose again, or stayed at the
    threshold, this test would show it. What would count against it: a mean training error above 0.5% there.
    """
    training, test = chunk_errors(subject, "train"), chunk_errors(subject, "test")
    w_star = clone_size(subject, verdict)
    verdict.figure(
        "chunk-training-error",
        [training, test],
        title="Errors of random chunks",
        caption=f"Mean error of {training.n} random chunks over their size; w* = {w_star}.",
        lines={"w*": w_star.value},
        levels={"0.5%": INTERPOLATES},
        y_scale="log",
    )
    size = min(x for x in training.x if x >= min(2 * w_star.value, subject.width))
    verdict.expect(
        training.at(size).named(f"training error of chunks of {size:.0f}"), at_most=INTERPOLATES, source=FIG_4
    )


@pytest.mark.netprops(on="widest", families=("clones", "planted-layer"), uses="train")
def test_no_chunk_fails_to_interpolate(subject, clone_size, verdict):
    """No chunk of at least four times w* neurons that a search finds makes more than 0.5% training errors.

    Hypothesis proposes 60 subsets of neurons and shrinks a failing one to the smallest chunk that still
    fails; its neurons are in the record. A mean over random chunks could hide a few that fail; this cannot.
    At w* itself, where the mean just reaches 0.5%, single chunks do fail, and the search has no sampling
    error that a budget of false alarms could cover: at 3 w* it still finds a failing chunk in one of some 150
    layers of perfect clones, at 4 w* in none.
    """
    smallest = min(math.ceil(4 * clone_size(subject, verdict).value), subject.width)

    def search():
        training, labels = np.asarray(subject.features("train")), subject.labels("train")
        return search_failing_chunk(
            lambda chunk: error_of(training, *subject.readout, labels, chunk),
            width=subject.width,
            smallest=smallest,
            threshold=INTERPOLATES,
            examples=60,
        )

    found = subject.measured(f"failing-chunk-60-from-{smallest}", search)
    if found.failing:
        verdict.note(
            f"Smallest failing chunk, of {len(found.failing)} neurons with a training error of "
            f"{found.failing_error:.2%}: {', '.join(map(str, found.failing))}."
        )
    verdict.expect(
        found.measurement(f"largest training error of a chunk of at least {smallest}"),
        at_most=INTERPOLATES,
        source=FIG_4,
        calibration="benchmarks/controls.md: layers of perfect clones may fail at 3 w*, not at 4 w*",
    )


@pytest.mark.netprops(on="family", families="clones", uses=("train", "seeds"))
def test_chunks_interpolate_as_networks_of_their_size_do(
    family, chunk_errors, clone_size, errors_of_full_networks, verdict
):
    """Chunks of the widest networks interpolate the training set from w* on, as wide enough networks do.

    What would count against the claim: chunks of twice the largest w* of the widest networks, or full
    networks of the widest layer, whose mean training error is above 0.5%.
    """
    widest = family.widest()[: family.declaration.seeds]
    chunks = pooled_curve([chunk_errors(one, "train") for one in widest], rng=widest[0].rng("interpolate"))
    full = errors_of_full_networks(family, "train")
    w_star = max(clone_size(one, verdict).value for one in widest)
    verdict.figure(
        "training-errors",
        [chunks, full],
        title="Training error of chunks of the widest networks, and of full networks",
        caption="Means over networks; a chunk counts as a clone where its training error is at most 0.5%.",
        lines={"w*": w_star},
        levels={"0.5%": INTERPOLATES},
        y_scale="log",
    )
    size = min(x for x in chunks.x if x >= min(2 * w_star, widest[0].width))
    verdict.expect(
        chunks.at(size).named(f"training error of chunks of {size:.0f}, mean over the widest networks"),
        at_most=INTERPOLATES,
        source=FIG_4,
    )
    verdict.expect(
        mean_interval(
            [one.error("train") for one in widest], name="training error of the widest networks", n_of="seeds"
        ),
        at_most=INTERPOLATES,
        source=FIG_4,
    )
