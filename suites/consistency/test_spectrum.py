"""Claim: kernels of all widths have one spectrum, but wide ones hold more of the task in their top modes."""

import numpy as np
import pytest

from netprops.measurement import Curve
from netprops.measures.agreement import kernel_distance
from netprops.measures.consistency import falls
from netprops.measures.spectrum import (
    NOISE,
    cumulative_power,
    kernel_gradient_flow,
    modes_holding,
    spectrum,
    spectrum_distance,
    time_to,
)
from netprops.measures.trends import trend
from netprops.statistics import mean_interval

FIG_10 = "Vyas et al. 2023, Fig. 10 b-c and e-f: spectra agree across widths, C(k) does not"
FLOW = "Vyas et al. 2023, Fig. 10 d: after-kernels of wider networks converge faster"
SAMPLES = {"mini": 96, "paper": 1000}
"""Fixed points between which kernels are taken; of sequences a third."""
SKETCHED = 8
"""Random signed sums that stand for more outputs than 10: the expectation of their trace is the outputs'."""
SHARE = 0.9


def looked_at(outputs):
    """Return the outputs whose kernels are summed: at a sequence's last position, and sums of very many."""
    outputs = outputs[:, -1] if outputs.dim() == 3 else outputs
    if outputs.shape[1] <= 10:
        return outputs
    import torch

    signs = np.random.default_rng(0).choice([-1.0, 1.0], (outputs.shape[1], SKETCHED)) / SKETCHED**0.5
    return outputs @ torch.from_numpy(signs).to(outputs)


def tangents(subject):
    """Return the empirical NTK between the first test samples: its trace over outputs."""
    from netprops.models.parameterization import learning_scales
    from netprops.tangents import empirical_ntk

    count = SAMPLES[subject.spec.family.scale]
    inputs = subject.dataset.test.inputs[: count // 3 if subject.dataset.task == "tokens" else count]
    kernel = empirical_ntk(
        subject.network,
        inputs,
        kind="trace",
        scales=learning_scales(subject.network),
        select=looked_at,
        device=subject.device,
        prepare=subject.dataset.prepare,
    )
    return {"kernel": kernel}


@pytest.fixture(scope="session")
def kernels():
    """Measure a family's NTK, averaged over seeds as its ensemble's: widths and (P, N, N), and targets."""
    known = {}

    def measured(family, epoch=None, variant=None):
        key, members = (family.id, epoch, variant), family.subjects(variant=variant)
        if key not in known:
            networks = [one if epoch is None else one.at(epoch) for one in members]
            widths = sorted({one.factor for one in networks})
            found = {
                width: [
                    one.kept("ntk-3", lambda one=one: tangents(one))["kernel"]
                    for one in networks
                    if one.factor == width
                ]
                for width in widths
            }
            labels = networks[0].labels("test")[: len(found[widths[0]][0])]
            outputs = networks[0].dataset.outputs
            targets = labels[:, None] if outputs == 1 else np.eye(outputs)[np.maximum(labels, 0)]
            known[key] = (np.array(widths), found, targets - targets.mean(axis=0))
        return known[key]

    return measured


def by_seed(found, widths, number):
    """Return (S, P) of a number of each kernel."""
    seeds = min(len(found[width]) for width in widths)
    return np.array([[number(found[width][seed]) for width in widths] for seed in range(seeds)])


def expect_equal_spectra(widths, found, verdict):
    """Draw the spectra of all widths, and hold the trend of their distance to the widest to the claim."""
    seeds = min(len(found[width]) for width in widths)
    top = {width: spectrum(np.mean(found[width], axis=0)).eigenvalues for width in widths}
    verdict.figure(
        "spectra",
        [
            Curve.plain(
                f"width {width:g}",
                (np.flatnonzero(values > NOISE * values[0]) + 1).tolist(),
                values[values > NOISE * values[0]].tolist(),
                x_name="k",
                y_name="eigenvalue",
                how="kernel averaged over seeds",
            )
            for width, values in top.items()
        ],
        title="Eigenvalues of the NTK at every width",
        caption="Of the kernel averaged over seeds, between fixed test points.",
        y_scale="log",
    )
    apart = [
        [spectrum_distance(found[width][seed], found[widths[-1]][seed]).value for width in widths[:-1]]
        for seed in range(seeds)
    ]
    verdict.expect(
        falls(widths[:-1], apart, name="distance of log spectra to the widest"), at_most=0.0, source=FIG_10
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_spectra_of_after_kernels_agree_across_widths(family, kernels, verdict):
    """Eigenvalues of the NTK after training are those of the widest network, the more the wider a network is.

    What would count against the claim: a distance of log spectra to the widest that does not fall with width.
    """
    widths, found, _ = kernels(family)
    expect_equal_spectra(widths, found, verdict)


@pytest.mark.netprops(on="family", families="consistency", variant="lazy")
def test_spectra_of_lazy_networks_agree_across_widths(family, kernels, verdict):
    """The same at initialisation, for networks whose features will not move: there the NTK decides all.

    What would count against the claim: a distance of log spectra to the widest that does not fall with width.
    """
    widths, found, _ = kernels(family, 0, "lazy")
    expect_equal_spectra(widths, found, verdict)


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_wide_networks_hold_the_task_in_fewer_modes(family, kernels, verdict):
    """The after-kernel of wider networks needs fewer of its top eigenvectors for 90% of the targets.

    What would count against the claim: a number of modes that does not fall with width.
    """
    widths, found, targets = kernels(family)
    verdict.figure(
        "cumulative-power",
        [
            cumulative_power(np.mean(found[width], axis=0), targets, name=f"width {width:g}")
            for width in widths
        ],
        title="Share of the targets in the top k modes, C(k)",
        caption="After-kernels, averaged over seeds.",
    )
    modes = by_seed(found, widths, lambda kernel: modes_holding(kernel, targets, share=SHARE).value)
    verdict.expect(
        trend(
            widths, np.log2(modes), name=f"slope of log2 of the modes that hold {SHARE:.0%} of the targets"
        ),
        at_most=0.0,
        source=FIG_10,
    )


@pytest.mark.netprops(on="family", families="consistency", uses=("train", "seeds", "snapshots"))
def test_after_kernels_of_wide_networks_converge_faster(family, kernels, verdict):
    """Gradient flow with the after-kernel reduces the squared error sooner, the wider the network is.

    Every weight counts with its own learning rate, so that kernels of all widths are in one unit. What would
    count against the claim: a time to half of the loss that does not fall with width.
    """
    widths, found, targets = kernels(family)
    times = np.geomspace(1e-2, 1e3, 40)
    verdict.figure(
        "kernel-gradient-flow",
        [
            kernel_gradient_flow(np.mean(found[width], axis=0), targets, times, name=f"width {width:g}")
            for width in widths
        ],
        title="Squared error of gradient flow with the after-kernel",
        caption="From the fixed points' targets; a step of the recipe's learning rate lr is a time of lr.",
        y_scale="log",
    )
    needed = by_seed(found, widths, lambda kernel: time_to(kernel, targets, share=0.5).value)
    verdict.expect(
        trend(widths, np.log2(needed), name="slope of log2 of the time to half of the loss"),
        at_most=0.0,
        source=FLOW,
    )


@pytest.mark.netprops(on="family", families="consistency", variant="lazy")
def test_features_of_lazy_networks_stay(family, rows, over_widths, verdict):
    """Control: the features of lazy networks, of which the NTK decides everything, hardly move in training.

    Compared is by how much the last layer's kernel moves, relative to itself, in the same seeds with outputs
    of usual size. What would count against the claim: lazy kernels that move more than half as far.
    """
    moved, curves = {}, []
    for variant, label in ((None, "rich"), ("lazy", "lazy")):
        widths, before = rows(family, "kernel", variant=variant, epoch=0, like="lazy")
        _, after = rows(family, "kernel", variant=variant, like="lazy")
        moved[label] = np.array(
            [
                [kernel_distance(b, a) for a, b in zip(first, last, strict=True)]
                for first, last in zip(before, after, strict=True)
            ]
        )
        curves.append(over_widths(widths, moved[label], name=label, y_name="change of kernel", family=family))
    verdict.figure(
        "kernel-change-over-width",
        curves,
        title="How far the last layer's kernel moves in training",
        caption="Frobenius norm of the change over that of the first kernel.",
        y_scale="log",
    )
    ratio = np.log2(moved["lazy"] / moved["rich"]).mean(axis=1)
    verdict.expect(
        mean_interval(ratio, name="log2 of how far kernels move, lazy over rich", n_of="seeds"),
        at_most=-1.0,
        source="Chizat et al. 2019; Vyas et al. 2023, section 5",
        calibration="benchmarks/consistency.md: -1.35 or less in 95% of groups of lazy networks, at least "
        "-0.19 with outputs of usual size",
    )
