"""Measurements that several claims about spans share, each made once a run.

Words: H are the networks of the widest factor, L those of a narrow one; α is narrow over wide; *matched*
are widths whose training accuracy is that of H up to a tolerance.
"""

import hashlib

import numpy as np
import pytest

from netprops.errors import UndeterminedError
from netprops.measurement import Curve
from netprops.measures.probe import Probe, linear_probe
from netprops.measures.span import feature_span, residual_features, span_gap
from netprops.statistics import share_interval

TOLERANCE = 0.01
"""Largest difference of training accuracies of networks that are compared: one point."""


def layers(one, split):
    """Return the features of a network, or of each member of a concatenation, as blocks side by side."""
    return one.blocks(split) if hasattr(one, "blocks") else [one.features(split)]


def sides(source, target):
    """Return what measures of spans are given for two networks or concatenations."""
    return {
        "sources": layers(source, "train"),
        "targets": np.concatenate(layers(target, "train"), axis=1),
        "test_sources": layers(source, "test"),
        "test_targets": np.concatenate(layers(target, "test"), axis=1),
    }


def epoch_of(one):
    """Return which weights are meant, of a network or a concatenation."""
    return one.members[0].epoch if hasattr(one, "members") else one.epoch


@pytest.fixture(scope="session")
def span():
    """Measure FSE(source -> target); equal data give equal rows, so that spans can be paired."""
    known = {}

    def measured(source, target, *, shuffled=False):
        key = (source.id, target.id, epoch_of(source), epoch_of(target), shuffled)
        if key not in known:
            known[key] = feature_span(
                **sides(source, target), shuffled=shuffled, rng=np.random.default_rng(0)
            )
        return known[key]

    return measured


@pytest.fixture(scope="session")
def residuals():
    """Return the training and test residuals of a target that a source does not span."""
    known = {}

    def measured(source, target):
        key = (source.id, target.id, epoch_of(source), epoch_of(target))
        if key not in known:
            known[key] = residual_features(**sides(source, target), rng=np.random.default_rng(0))
        return known[key]

    return measured


def names_of(one):
    """Return what tells the weights of a network or a concatenation from all others."""
    members = getattr(one, "members", (one,))
    return [(each.entry.key, each.epoch) for each in members]


@pytest.fixture(scope="session")
def performance():
    """Train a linear probe on blocks of features, once for what it is about, and keep how it performed."""
    known = {}

    def measured(what, sides, blocks):
        """Return the probe.

        Args:
            what: What the blocks are of the sides, in a word.
            sides: The networks or concatenations that the blocks follow from; labels are the first one's.
            blocks: Returns training and test blocks.
        """
        text = repr((what, [names_of(one) for one in sides]))
        name = f"probe-1-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
        if name not in known:
            first = getattr(sides[0], "members", sides)[0]

            def train():
                features, tested = blocks()
                labels = [first.labels(split) for split in ("train", "test")]
                probe = linear_probe(features, labels[0], tested, labels[1], rng=np.random.default_rng(0))
                rest = [probe.train_accuracy, probe.strength, probe.iterations, probe.gradient]
                return {"correct": probe.correct, "rest": np.array([*rest, probe.dead_features])}

            kept = first.kept(name, train)
            accuracy, strength, iterations, gradient, dead = kept["rest"]
            known[name] = Probe(
                accuracy=share_interval(kept["correct"], name="FP", n_of="test samples"),
                correct=kept["correct"],
                train_accuracy=float(accuracy),
                strength=float(strength),
                iterations=int(iterations),
                gradient=float(gradient),
                dead_features=int(dead),
            )
        return known[name]

    return measured


@pytest.fixture(scope="session")
def probed(performance):
    """Measure FP of a network or a concatenation."""

    def measured(one):
        return performance("own", [one], lambda: (layers(one, "train"), layers(one, "test")))

    return measured


@pytest.fixture(scope="session")
def gaps(span):
    """Measure FSG over the narrow widths of a family: trained or at initialisation, forward or reverse."""
    known = {}

    def measured(family, by, *, epoch=None, reverse=False, part="validation", shuffled=False):
        """Return the curve over α, the gap at each narrow width, and its parts by target."""
        key = (family.id, by, epoch, reverse, part, shuffled)
        if key not in known:
            known[key] = {
                width: span_gap(pairs, part=part, name=f"FSG at α = {alpha(family, width):g}")
                for width, pairs in _pairs(family, span, by, epoch, reverse, shuffled).items()
            }
        return known[key]

    return measured


def alpha(family, width):
    """Return α of a narrow width."""
    return width / family.widths[-1]


def _at(one, epoch):
    return one if epoch is None else one.at(epoch)


def _pairs(family, span, by, epoch, reverse, shuffled):
    """Return, for each narrow width, a pair of spans for each target."""
    wide = [_at(one, epoch) for one in family.widest()]
    following = [*wide[1:], wide[0]]
    found = {}
    for width in family.across()[:-1]:
        narrow = [_at(one, epoch) for one in family.concatenations(width, by)]
        if reverse:
            others = [*narrow[1:], narrow[0]]
            if len(narrow) < 2:
                continue  # the reference is another concatenation of the same size
            trios = [(wide[i % len(wide)], one, others[i]) for i, one in enumerate(narrow[: len(wide)])]
        else:
            trios = [(narrow[i % len(narrow)], one, following[i]) for i, one in enumerate(wide)]
        found[width] = [
            (span(source, target, shuffled=shuffled), span(reference, target, shuffled=shuffled))
            for source, target, reference in trios
        ]
    return found


@pytest.fixture(scope="session")
def matched():
    """Return the narrow widths whose training accuracy is that of the widest; say which are not.

    A gap may only reflect that narrow networks are under-trained: where none is matched, a claim about
    trained networks is undecided.
    """

    def measured(family, verdict):
        errors = {
            width: np.mean([one.error("train") for one in family.subjects(width)])
            for width in family.across()
        }
        wide = errors[family.widths[-1]]
        said = ", ".join(f"α = {alpha(family, w):g}: {100 * (1 - e):.2f}%" for w, e in errors.items())
        verdict.note(f"Training accuracy at {said}. Matched is what lies within {100 * TOLERANCE:g} point.")
        close = [w for w in family.widths[:-1] if abs(errors[w] - wide) <= TOLERANCE]
        if not close:
            raise UndeterminedError(
                f"{family.id}: not matched: no narrow width has the training accuracy of the widest up to "
                f"{100 * TOLERANCE:g} point ({said}); a gap would not tell width from training"
            )
        return close

    return measured


@pytest.fixture(scope="session")
def over_alpha():
    """Return measurements at several widths as a curve over α."""

    def curve(name, family, found, y_name, n_of="seeds"):
        places = sorted(found)
        first = found[places[0]]
        return Curve(
            name=name,
            x=[alpha(family, width) for width in places],
            y=[found[width].value for width in places],
            low=[found[width].low for width in places],
            high=[found[width].high for width in places],
            x_name="α (width over that of the widest)",
            y_name=y_name,
            n=first.n,
            n_of=n_of,
            how=first.how,
        )

    return curve
