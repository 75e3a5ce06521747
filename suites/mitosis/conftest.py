"""Measurements that several claims about clones share, each made once a run."""

import numpy as np
import pytest

from netprops.measurement import Measurement
from netprops.measures.chunks import chunk_error, ensemble_error, sizes
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import INTERPOLATES, critical_width
from netprops.replicates import mean_curve

# A mean over chunks decides w*, on the training set; fits of small excesses need more, on the test set.
DRAWS = {"train": 100, "test": 200}


@pytest.fixture(scope="session")
def chunk_errors():
    """Error of random chunks of a subject on a split: nested draws, four sizes an octave."""
    known = {}

    def measured(subject, split):
        if (subject.id, split) not in known:
            known[subject.id, split] = subject.measured(
                f"chunk-error-{split}-{DRAWS[split]}",
                lambda: chunk_error(
                    subject.features(split),
                    *subject.readout,
                    subject.labels(split),
                    sizes=sizes(subject.width, per_octave=4),
                    draws=DRAWS[split],
                    rng=subject.rng("chunks"),
                    name=f"{split} error of chunks",
                ),
            )
        return known[subject.id, split]

    return measured


@pytest.fixture(scope="session")
def clone_size(chunk_errors):
    """Measure w* of a subject: the smallest chunk whose mean training error is at most 0.5%.

    A network that does not interpolate its training set has no w*, and no clones: the test fails by an
    expectation that says so, and goes on with the whole layer.
    """
    known = {}

    def measured(subject, verdict):
        if subject.id not in known:
            errors = chunk_errors(subject, "train")
            interpolates = errors.y.min() <= INTERPOLATES
            known[subject.id] = critical_width(errors) if interpolates else None
        if known[subject.id] is not None:
            return known[subject.id]
        samples = len(subject.labels("train"))
        verdict.expect(
            Measurement.exact(
                f"training error of {subject.id}",
                subject.error("train"),
                n=samples,
                n_of="samples",
                how="share",
            ),
            at_most=INTERPOLATES,
            source="Doimo et al. 2022, section 3: a network without interpolation holds no clones",
        )
        return Measurement.exact("w*", subject.width, n=1, n_of="network", how="the whole layer: no chunk")

    return measured


@pytest.fixture(scope="session")
def error_of_infinite_width():
    """Measure error∞ of a family: summed logits of the widest networks of every seed."""

    def measured(family):
        ensemble = family.ensemble()
        return ensemble_error([one.logits("test") for one in ensemble.members], ensemble.labels("test"))

    return measured


@pytest.fixture(scope="session")
def errors_of_full_networks():
    """Measure the mean error of full networks over their width, or width factor where that alone varies."""

    def measured(family, split, variant=None):
        """Return the curve over widths; its replicates are the seeds that every width has."""
        networks = family.subjects(variant=variant)
        factors = sorted({one.factor for one in networks})
        seeds = set.intersection(*({one.seed for one in networks if one.factor == f} for f in factors))
        of_seed = {(one.factor, one.seed): one for one in networks}
        rows = np.array([[of_seed[f, seed].error(split) for f in factors] for seed in sorted(seeds)])
        widths = [of_seed[f, min(seeds)].width for f in factors]
        bottleneck = len(set(widths)) == 1
        return mean_curve(
            f"{split} error of full networks",
            factors if bottleneck else widths,
            rows,
            x_name="width factor" if bottleneck else "width W (neurons)",
            y_name="error (fraction)",
            n_of="seeds",
            rng=networks[0].rng("widths"),
        )

    return measured


@pytest.fixture(scope="session")
def reconstructions():
    """Measure how chunks of a subject reconstruct its whole layer on the test set."""
    known = {}

    def measured(subject):
        if subject.id not in known:
            known[subject.id] = subject.measured(
                "reconstruction-8",
                lambda: reconstruction_curve(
                    subject.features("test"), draws=8, rng=subject.rng("reconstruction")
                ),
            )
        return known[subject.id]

    return measured
