"""Measurements that several claims about clones share, each made once a run."""

from functools import cache

import pytest

from netprops.measures.chunks import chunk_error, ensemble_error, sizes
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import critical_width

# A mean over chunks decides w*, on the training set; fits of small excesses need more, on the test set.
DRAWS = {"train": 100, "test": 200}


@pytest.fixture(scope="session")
def chunk_errors():
    """Error of random chunks of a subject on a split: nested draws, four sizes an octave."""
    known = {}

    def measured(subject, split):
        if (subject.id, split) not in known:
            known[subject.id, split] = chunk_error(
                subject.features(split),
                *subject.readout,
                subject.labels(split),
                sizes=sizes(subject.width, per_octave=4),
                draws=DRAWS[split],
                rng=subject.rng("chunks"),
                name=f"{split} error of chunks",
            )
        return known[subject.id, split]

    return measured


@pytest.fixture(scope="session")
def clone_size(chunk_errors):
    """Measure w* of a subject: the smallest chunk whose mean training error is at most 0.5%."""
    return cache(lambda subject: critical_width(chunk_errors(subject, "train")))


@pytest.fixture(scope="session")
def error_of_infinite_width():
    """Measure error∞ of a family: summed logits of the widest networks of every seed."""

    def measured(family):
        widest = family.widest()
        return ensemble_error([one.logits("test") for one in widest], widest[0].labels("test"))

    return measured


@pytest.fixture(scope="session")
def reconstructions():
    """Measure how chunks of a subject reconstruct its whole layer on the test set."""
    known = {}

    def measured(subject):
        if subject.id not in known:
            known[subject.id] = reconstruction_curve(
                subject.features("test"),
                draws=8,
                rng=subject.rng("reconstruction"),
            )
        return known[subject.id]

    return measured
