"""Claim: a network that is stopped when its training error is near its test error holds no clones."""

import numpy as np
import pytest

from netprops.errors import UsageError
from netprops.measures.chunks import chunk_error
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import INTERPOLATES
from netprops.statistics import mean_interval, paired_difference

SECTION_4 = "Doimo et al. 2022, section 4, the impact of training"


def stopped_early(subject):
    """Return the snapshot whose training error is nearest to its test error, relative to both.

    Only snapshots that do not interpolate are eligible; of a network without one, the first is taken.
    """
    early = [subject.at(epoch) for epoch in subject.snapshots if 0 < epoch < subject.recipe.epochs]
    if not early:
        raise UsageError(f"{subject.id} keeps no weights before its last epoch; give its recipe snapshots")
    errors = [(one.error("train"), one.error("test")) for one in early]
    able = [i for i, (train, _) in enumerate(errors) if train > INTERPOLATES] or [0]
    return early[min(able, key=lambda i: abs(errors[i][0] - errors[i][1]) / max(sum(errors[i]), 1e-9))]


def quality(subject, size):
    """Return R2 and residual correlation of chunks of one size, and their training error."""

    def measure():
        found = reconstruction_curve(
            subject.features("test"), sizes=[size], draws=6, rng=subject.rng("stopping"), surrogate=False
        )
        error = chunk_error(
            subject.features("train"),
            *subject.readout,
            subject.labels("train"),
            sizes=[size],
            draws=50,
            rng=subject.rng("stopping"),
        )
        return found.r2.y[0], found.correlation.y[0], error.y[0]

    return subject.measured(f"early-stopping-{size}", measure)


@pytest.fixture(scope="session")
def stopped():
    """Measure the widest networks finished and stopped early: (R2, correlation, training error) of chunks."""
    known = {}

    def measured(family, verdict):
        widest = family.widest()[: family.declaration.seeds]
        size = widest[0].width // 4
        if family.id not in known:
            early = [stopped_early(one) for one in widest]
            said = ", ".join(
                f"epoch {one.epoch} (training error {one.error('train'):.2%}, test {one.error('test'):.2%})"
                for one in early
            )
            before, after = (np.array([quality(one, size) for one in nets]) for nets in (early, widest))
            known[family.id] = before, after, said
        before, after, said = known[family.id]
        verdict.note(f"Stopped at {said}.")
        return before, after, size

    return measured


@pytest.mark.netprops(on="family", families="snapshots", needs="widest")
def test_networks_stopped_early_hold_no_clones(family, stopped, verdict):
    """Control: stopped where training and test error are alike, chunks are no copies of the layer.

    Each of the widest networks is compared with its own snapshot at which the training error is nearest to
    the test error, for chunks of a quarter of the layer. What would count against the claim: chunks of the
    stopped network that interpolate the training set, or that reconstruct the layer as well as those of the
    finished one.
    """
    before, after, size = stopped(family, verdict)
    verdict.expect(
        mean_interval(
            before[:, 2], name=f"training error of chunks of {size} when stopped early", n_of="seeds"
        ),
        at_least=INTERPOLATES,
        source=SECTION_4,
    )
    verdict.expect(
        paired_difference(
            after[:, 0], before[:, 0], n_of="seeds", name=f"R2 finished minus stopped, chunks of {size}"
        ),
        at_least=0.0,
        source=SECTION_4,
    )


@pytest.mark.netprops(on="family", families="snapshots", needs="widest")
def test_residuals_are_more_correlated_when_stopped_early(family, stopped, verdict):
    """Control: stopped early, what chunks do not explain is shared by the neurons to a larger part.

    Compared as above. What would count against the claim: residuals that are no more correlated, or less.
    """
    before, after, size = stopped(family, verdict)
    verdict.expect(
        paired_difference(
            before[:, 1],
            after[:, 1],
            n_of="seeds",
            name=f"residual correlation stopped minus finished, chunks of {size}",
        ),
        at_least=0.0,
        source=SECTION_4,
    )
