"""The groups of benchmarks/consistency.py: trained networks, and such that the truth is known.

Words: as there; every function here that takes networks and a generator returns changed networks.
"""

from dataclasses import replace

import numpy as np
from consistency_networks import Group, module

from netprops.measures.curvature import edge, top_eigenvalue
from netprops.measures.loss_curves import smooth

OTHERS = " of other seeds"
ALL = (16, 32, 64, 128, 256)
EDGES, PAIR = (16, 32, 64), (64, 128)
WIDTHS = {
    "lazy": ALL[:3],
    "turbulent": PAIR,
    "turbulentstandard": PAIR,
    "edge": EDGES,
    "edgestandard": EDGES,
}
"""Widths of a variant that are trained here, where they are not all."""


def of(changed=lambda networks, rng: networks, **variants):
    """Return what makes a group of variants; ``plain`` is the plain family, values name what is trained."""

    def group(kept, drawn, rng):
        members = {}
        for name, source in variants.items():
            known = None if source == "plain" else source
            seeds = drawn
            if source.endswith(OTHERS):
                known, seeds = source.removesuffix(OTHERS), (drawn + kept.seeds // 2) % kept.seeds
                known = None if known == "plain" else known
            networks = kept.networks(known, WIDTHS.get(known, ALL), seeds)
            members[None if name == "plain" else name] = [
                replace(one, variant=name) for one in changed(networks, rng)
            ]
        least = set.intersection(*({one.factor for one in found} for found in members.values()))
        return Group({name: [n for n in found if n.factor in least] for name, found in members.items()})

    return group


def with_recordings(network, **changes):
    """Return a network of which some recordings are others: functions of an epoch and what was recorded."""
    return replace(
        network,
        recordings={
            epoch: {name: changes.get(name, lambda e, x: x)(epoch, x) for name, x in known.items()}
            for epoch, known in network.recordings.items()
        },
    )


def growing(networks, rng):
    """All numbers grow as the root of the width."""

    def grow(network):
        factor = (network.factor / ALL[0]) ** 0.5
        return with_recordings(
            network, logits=lambda e, x: factor * x, preactivations=lambda e, x: factor * x
        )

    return [grow(one) for one in networks]


def mixed(networks, rng):
    """Each seed's networks under widths at random."""
    widths = sorted({one.factor for one in networks})
    place = {seed: dict(zip(widths, rng.permutation(widths), strict=True)) for seed in range(50)}
    return [replace(one, factor=float(place[one.seed][one.factor])) for one in networks]


def unrelated(networks, rng):
    """Each network's logits belong to other points."""

    def moved(network):
        order = rng.permutation(len(network.recordings[0]["logits"]))
        return with_recordings(network, logits=lambda e, x: x[order])

    return [moved(one) for one in networks]


def independent(networks, rng):
    """Each network's fluctuations about its trend belong to other steps."""

    def moved(network):
        trend = smooth(network.step_losses, module("test_losses").WINDOW)
        return replace(network, step_losses=trend * rng.permutation(network.step_losses / trend))

    return [moved(one) for one in networks]


def periodic(networks, rng):
    """All losses swing with the number of steps by which the null moves them."""
    tests = module("test_losses")

    def swung(network):
        trend = smooth(network.step_losses, tests.WINDOW)
        size = 2 * (network.step_losses / trend).std()
        swing = np.exp(size * np.sin(2 * np.pi * np.arange(len(trend)) / tests.MOVED))
        return replace(network, step_losses=network.step_losses * swing)

    return [swung(one) for one in networks]


def spread(exponent):
    """Return what gives the networks one function and a variance that falls with this exponent of width."""

    def changed(networks, rng):
        widest = [one for one in networks if one.factor == ALL[-1]]
        last = widest[0].snapshots[-1]
        common = np.mean([one.recordings[last]["logits"] for one in widest], axis=0)

        def drawn(network):
            size = 0.3 * (network.factor / ALL[0]) ** (-exponent / 2)
            return with_recordings(network, logits=lambda e, x: common + size * rng.standard_normal(x.shape))

        return [drawn(one) for one in networks]

    return changed


def biased(ratio):
    """Return what gives the networks a common error, and a variance of their own with this ratio to it."""

    def changed(networks, rng):
        points = networks[0].recordings[0]["logits"].shape
        truth = networks[0].labels("test")[: points[0], None]
        common = 0.3 * (rng.standard_normal(points) if np.isfinite(ratio) else np.zeros(points))
        own = 0.3 * np.sqrt(ratio if np.isfinite(ratio) else 1.0)

        def drawn(network):
            return with_recordings(
                network, logits=lambda e, x: truth + common + own * rng.standard_normal(x.shape)
            )

        return [drawn(one) for one in networks]

    return changed


def quadratic(width=0.0, late=0.0, high=0.0):
    """Return what gives the networks the sharpness of quadratic problems, known but for a twentieth of log2.

    Args:
        width: By how much log2 of it grows with each doubling of the width.
        late: By how much it grows at the end, in log2.
        high: How far above the edge it ends, in log2.
    """

    def changed(networks, rng):
        def drawn(network):
            last = network.snapshots[-1]

            def measured(epoch, x):
                log = high + width * np.log2(network.factor / ALL[0]) + 0.05 * rng.standard_normal()
                log += late * (epoch == last) - (epoch == 0)
                top = edge(network.recipe.lr) * 2**log
                turn = np.linalg.qr(rng.standard_normal((30, 30)))[0]
                hessian = turn * np.append(top, top * rng.uniform(0, 0.9, 29)) @ turn.T
                return np.array([top_eigenvalue(lambda v: hessian @ v, 30, rng=rng).value])

            return with_recordings(network, sharpness=measured)

        return [drawn(one) for one in networks]

    return changed
