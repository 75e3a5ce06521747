"""Claim: clones form in two phases, divided by the epoch at which the full network interpolates."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from netprops.errors import UndeterminedError
from netprops.measures.chunks import chunk_error
from netprops.measures.dynamics import change_point, fall_after, fall_before, first_epoch_below
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import INTERPOLATES
from netprops.replicates import mean_curve
from netprops.statistics import paired_difference

FIG_5 = "Doimo et al. 2022, Fig. 5, S1 and S2 d-f"


@pytest.fixture(scope="session")
def dynamics():
    """Measure the widest networks of a family at every epoch whose weights were kept."""
    known = {}

    def over_epochs(name, y_name, rows, epochs, rng):
        return mean_curve(name, epochs, rows, x_name="epoch", y_name=y_name, n_of="seeds", rng=rng)

    def measured(family, variant=None):
        networks = family.widest(variant)[: family.declaration.seeds]  # the record names them in every test
        if (family.id, variant) not in known:
            epochs = [epoch for epoch in networks[0].snapshots if epoch]
            width = networks[0].width
            sizes = [width // 16, width // 8, width // 4]
            found = np.array([[look(one.at(epoch), sizes) for epoch in epochs] for one in networks])
            rng = networks[0].rng("dynamics")
            share = "error (fraction)"
            known[family.id, variant] = SimpleNamespace(
                epochs=epochs,
                size=sizes[1],
                correlation=over_epochs(
                    f"residual correlation, chunks of {sizes[1]}", "mean |r|", found[:, :, 0], epochs, rng
                ),
                train=over_epochs("training error", share, found[:, :, 1], epochs, rng),
                test=over_epochs("test error", share, found[:, :, 2], epochs, rng),
                chunks=[
                    over_epochs(f"chunks of {size}", share, found[:, :, 3 + i], epochs, rng)
                    for i, size in enumerate(sizes)
                ],
            )
        return known[family.id, variant]

    return measured


def look(subject, sizes):
    """Return what :func:`at_epoch` does; it is measured once."""
    return subject.measured(f"dynamics-{'-'.join(map(str, sizes))}", lambda: at_epoch(subject, sizes))


def at_epoch(subject, sizes):
    """Return residual correlation at the middle size, both errors, and the chunks' training errors."""
    rng = subject.rng("dynamics")  # the same chunks at every epoch
    correlation = reconstruction_curve(
        subject.features("test"), sizes=[sizes[1]], draws=3, rng=rng, surrogate=False
    ).correlation.y[0]
    chunks = chunk_error(
        subject.features("train"), *subject.readout, subject.labels("train"), sizes=sizes, draws=30, rng=rng
    )
    return correlation, subject.error("train"), subject.error("test"), *chunks.y


@pytest.mark.netprops(on="family", families="snapshots", needs="widest")
def test_chunks_become_clones_after_the_network_interpolates(family, dynamics, verdict):
    """After the full network interpolates, the training error of chunks goes on falling: the second phase.

    The epoch of interpolation is where the mean training error of the widest networks first falls to 0.5%,
    among the epochs whose weights were kept. What would count against the claim: chunks whose training error
    does not fall after it.
    """
    found = dynamics(family)
    verdict.figure(
        "chunk-training-error-over-epochs",
        [*found.chunks, found.train],
        title="Training error of chunks and of the network",
        caption=f"Mean over {found.train.n} seeds of the widest networks.",
        levels={"0.5%": INTERPOLATES},
        y_scale="log",
    )
    verdict.figure(
        "errors-over-epochs",
        [found.train, found.test],
        title="Training and test error of the full network",
        caption=f"Mean over {found.train.n} seeds of the widest networks.",
        y_scale="log",
    )
    rng = family.widest()[0].rng("phases")
    interpolates = first_epoch_below(found.epochs, found.train, INTERPOLATES, rng=rng)
    verdict.note(f"{interpolates.name[0].upper()}{interpolates.name[1:]}: {interpolates}.")
    for curve in found.chunks:
        verdict.expect(
            fall_after(found.epochs, curve, interpolates.value).named(
                f"fall of the training error of {curve.name} after the network interpolates"
            ),
            at_least=0.0,
            source=FIG_5,
        )


@pytest.mark.netprops(on="family", families="snapshots", needs="widest")
def test_residual_correlation_falls_before_the_network_interpolates(family, dynamics, verdict):
    """The correlation of the residuals falls in the first phase, and hardly after the network interpolates.

    Chunks of an eighth of the layer; the fall until the epoch of interpolation is compared with the fall from
    there to the end. A change point is looked for as well, and noted, where the samples determine one. What
    would count against the claim: a correlation that falls as much in the second phase, or not at all.
    """
    found = dynamics(family)
    rng = family.widest()[0].rng("phases")
    interpolates = first_epoch_below(found.epochs, found.train, INTERPOLATES, rng=rng)
    lines = {"interpolates": interpolates.value}
    try:
        change = change_point(found.epochs, found.correlation, rng=rng)
        lines["change point"] = change.value
        verdict.note(f"Two phases: {change}; the network interpolates at epoch {interpolates}.")
    except UndeterminedError as error:
        verdict.note(f"No change point: {error}.")
    verdict.figure(
        "correlation-over-epochs",
        [found.correlation],
        title="Correlation of the residuals during training",
        caption=f"Mean over {found.train.n} seeds of the widest networks.",
        lines=lines,
    )
    first = fall_before(found.epochs, found.correlation, interpolates.value)
    second = fall_after(found.epochs, found.correlation, interpolates.value)
    verdict.expect(
        first.named("fall of the residual correlation until the network interpolates"),
        at_least=0.0,
        source=FIG_5,
    )
    verdict.note(f"Fall afterwards: {second}.")


@pytest.mark.netprops(on="family", families="snapshots", variant="nodecay", needs="widest")
def test_without_weight_decay_training_lowers_the_correlation_less(family, dynamics, verdict):
    """Control: without weight decay, the residual correlation falls less during training.

    The fall from the first kept epoch to the last is compared between networks of the same seed, at chunks of
    an eighth of the layer. What would
    count against the claim: a fall as large without decay as with it.
    """
    plain, without = dynamics(family), dynamics(family, "nodecay")
    verdict.figure(
        "correlation-without-decay",
        [plain.correlation, replace(without.correlation, name="without weight decay")],
        title="Correlation of the residuals during training, with and without decay",
        caption=f"Mean over {without.train.n} seeds of the widest networks.",
    )
    rows = [one.correlation.replicates[: without.train.n] for one in (plain, without)]
    verdict.expect(
        paired_difference(
            *(row[:, 0] - row[:, -1] for row in rows),
            n_of="seeds",
            name="fall of the residual correlation with minus without decay",
        ),
        at_least=0.0,
        source="Doimo et al. 2022, Fig. 6-b and S3-b",
    )
