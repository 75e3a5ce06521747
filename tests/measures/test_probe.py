import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binomtest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from netprops.errors import MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.measures import blocks, probe
from netprops.measures.probe import Probe, accuracy_gap, linear_probe, mean_accuracy
from netprops.measures.span import seeds_and_samples


def again(seed=1):
    return np.random.default_rng(seed)


def digits(units=96):
    """Random ReLU features of digits, far more correlated than independent ones."""
    data = load_digits()
    first = np.random.default_rng(0).standard_normal((64, units)) / 4
    features = np.maximum(data.data / 16 @ first, 0).astype(np.float32)
    return features[:1000], data.target[:1000], features[1000:], data.target[1000:]


def clusters(rng, n=300, classes=3, units=8, distance=2.0):
    labels = rng.integers(0, classes, n)
    centres = distance * np.random.default_rng(99).standard_normal((classes, units))
    return (centres[labels] + rng.standard_normal((n, units))).astype(np.float32), labels


def parted(features, labels, train=200):
    return features[:train], labels[:train], features[train:], labels[train:]


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize("strength", [1e-1, 1e-3, 1e-5])
def test_accuracy_is_that_of_scikit_learn(strength, parity):
    x, y, other, truth = digits()
    if parity:
        y, truth = 2 * (y % 2) - 1, 2 * (truth % 2) - 1
    found = linear_probe(x, y, other, truth, strength=strength, rng=again())
    mean, spread = x.mean(axis=0, dtype=float), x.std(axis=0, dtype=float)
    spread[spread == 0] = 1
    oracle = LogisticRegression(C=1 / (strength * len(x)), tol=1e-9, max_iter=10_000)
    oracle.fit((x - mean) / spread, y)
    assert found.accuracy.value == pytest.approx(oracle.score((other - mean) / spread, truth), abs=1e-3)
    assert found.train_accuracy == pytest.approx(oracle.score((x - mean) / spread, y), abs=1e-3)
    assert found.correct.mean() == found.accuracy.value
    assert found.gradient <= 1e-4


def test_two_gaussians_are_told_apart_as_well_as_can_be():
    rng = np.random.default_rng(1)
    labels = rng.choice([-1, 1], 24_000)
    x = rng.standard_normal((24_000, 4)) + 0.5 * labels[:, None]
    found = linear_probe(x[:4000], labels[:4000], x[4000:], labels[4000:], rng=again())
    assert found.accuracy.value == pytest.approx(ndtr(1.0), abs=0.01)
    wilson = binomtest(int(found.correct.sum()), 20_000).proportion_ci(method="wilson")
    assert (found.accuracy.low, found.accuracy.high) == pytest.approx(tuple(wilson))
    assert (found.accuracy.n, found.accuracy.n_of) == (20_000, "test samples")


def test_features_that_know_nothing_perform_at_chance():
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((900, 30)), rng.integers(0, 3, 900)
    found = linear_probe(*parted(x, y, 300), rng=again())
    assert found.accuracy.low < 1 / 3 < found.accuracy.high
    assert found.strength == max(probe.STRENGTHS)
    # Balanced to the last sample: the best weights are zero.
    x, y = np.array([[-1.0], [-1.0], [1.0], [1.0]]), np.array([0, 1, 0, 1])
    assert linear_probe(x, y, x, y, strength=0.1, rng=again()).accuracy.value == 0.5


def test_separable_classes_have_no_error_and_a_wide_interval():
    found = linear_probe(*parted(*clusters(np.random.default_rng(3), distance=8.0)), rng=again())
    assert (found.accuracy.value, found.train_accuracy) == (1, 1)
    assert found.accuracy.low < 0.97
    assert found.accuracy.standard_error > 0


def test_the_strength_is_chosen_on_samples_that_were_held_out():
    rng = np.random.default_rng(4)
    x, y = clusters(rng, n=600, distance=0.7)
    wide = np.concatenate([x, rng.standard_normal((600, 60))], axis=1)  # mostly noise
    chosen = linear_probe(*parted(wide, y, 120), rng=again())
    weakest = linear_probe(*parted(wide, y, 120), strength=1e-5, rng=again())
    assert chosen.strength in (0.1, 1)
    assert chosen.accuracy.value > weakest.accuracy.value + 0.03
    fixed = linear_probe(*parted(wide, y, 120), strength=chosen.strength, rng=again(7))
    assert (fixed.correct != chosen.correct).sum() <= 1  # a sample may lie on the boundary


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-10, 10))
def test_units_order_and_names_change_nothing(seed, factor, shift):
    rng = np.random.default_rng(seed)
    x, y = clusters(rng, n=120, distance=0.8)
    first = linear_probe(*parted(x, y, 80), strength=0.01, rng=again())
    moved = (factor * x.astype(np.float64) + shift)[:, rng.permutation(8)]
    second = linear_probe(*parted(moved, np.array([7, -2, 3])[y], 80), strength=0.01, rng=again())
    assert (first.correct != second.correct).sum() <= 1  # a sample may lie on the boundary


@pytest.mark.parametrize("kept", [0, 1 << 25])
def test_features_in_blocks_and_side_by_side_are_the_same(kept, monkeypatch, tmp_path):
    x, y, other, truth = digits(48)
    once = linear_probe(x, y, other, truth, strength=0.01, rng=again())
    stored = np.memmap(tmp_path / "x", dtype=np.float32, mode="w+", shape=(1000, 30))
    stored[:] = x[:, :30]
    monkeypatch.setattr(blocks, "_BLOCK", 48 * 300)
    monkeypatch.setattr(probe, "_KEPT", kept)
    parts = linear_probe([stored, x[:, 30:]], y, other, truth, strength=0.01, rng=again())
    np.testing.assert_array_equal(parts.correct, once.correct)
    assert parts.train_accuracy == once.train_accuracy


def test_dead_features_are_dropped_and_counted():
    x, y = clusters(np.random.default_rng(5))
    dead = np.concatenate([np.full((300, 2), 0.1, dtype=np.float32), x], axis=1)
    plain, found = (linear_probe(*parted(one, y), strength=0.01, rng=again()) for one in (x, dead))
    assert (plain.dead_features, found.dead_features) == (0, 2)
    assert found.accuracy.details["dead_features"] == 2
    np.testing.assert_array_equal(found.correct, plain.correct)


def test_probes_on_the_same_samples_are_compared_in_pairs():
    rng = np.random.default_rng(6)
    x, y = clusters(rng, n=1200, distance=0.8)
    values, influences = [], []
    for _ in range(3):
        clear, blurred = (
            linear_probe(*parted(x + noise * rng.standard_normal(x.shape), y, 400), rng=again())
            for noise in (0.1, 1.5)
        )
        apart = clear.correct.astype(float) - blurred.correct
        values.append(apart.mean())
        influences.append(apart - apart.mean())
    gap = seeds_and_samples(values, influences, name="FP gap")
    assert 0 < gap.low < gap.value < 0.4


def test_what_cannot_be_probed_is_named(monkeypatch):
    x, y, other, truth = parted(*clusters(np.random.default_rng(7)))
    with pytest.raises(MeasurementError, match=r"labels \(199,\) and test labels \(100,\) do not fit"):
        linear_probe(x, y[1:], other, truth, rng=again())
    with pytest.raises(MeasurementError, match="all 200 training samples are of class 4"):
        linear_probe(x, np.full(200, 4), other, truth, rng=again())
    with pytest.raises(MeasurementError, match=r"test label 9 is none of the training labels \[0, 1, 2\]"):
        linear_probe(x, y, other, np.where(np.arange(100) == 4, 9, truth), rng=again())
    with pytest.raises(MeasurementError, match="all 8 features are constant over the 200 training samples"):
        linear_probe(np.full_like(x, 0.1), y, other, truth, rng=again())
    with pytest.raises(MeasurementError, match="8 features in features and 7 in test features"):
        linear_probe(x, y, other[:, 1:], truth, rng=again())
    with pytest.raises(MeasurementError, match="2 training samples are too few to hold some out"):
        linear_probe(x[:2], [0, 1], other, y[:2].repeat(50) * 0, rng=again())
    with pytest.raises(UsageError, match="the strength of a penalty is a positive number, got 0"):
        linear_probe(x, y, other, truth, strength=0, rng=again())
    other[3, 1] = np.nan
    with pytest.raises(MeasurementError, match="feature 1 of row 203 of the features is nan"):
        linear_probe(x, y, other, truth, rng=again())
    monkeypatch.setattr(probe, "_MOST_ITERATIONS", 2)
    with pytest.raises(MeasurementError, match="did not converge: after 2 steps at strength 1e-05 the norm"):
        linear_probe(x, y, other, truth, strength=1e-5, rng=again())


def probe_of(correct):
    share = float(np.mean(correct))
    return Probe(
        accuracy=Measurement.exact("FP", share, n=len(correct), n_of="samples", how="given"),
        correct=np.array(correct, dtype=np.bool_),
        train_accuracy=share,
        strength=1.0,
        iterations=1,
        gradient=0.0,
        dead_features=0,
    )


def test_a_gap_is_paired_by_probe_and_sample():
    good, bad = probe_of([1, 1, 1, 0] * 50), probe_of([1, 0, 1, 0] * 50)
    gap = accuracy_gap([good, good], [bad, bad], name="gap")
    assert gap.value == pytest.approx(0.25)
    assert 0 < gap.low < gap.high < 0.5
    assert mean_accuracy([good, bad], name="accuracy").value == pytest.approx(0.625)


def test_probes_that_do_not_pair_are_refused():
    one = probe_of([1, 0])
    with pytest.raises(MeasurementError, match="1 and 2 probes cannot be paired"):
        accuracy_gap([one], [one, one], name="gap")
    with pytest.raises(MeasurementError, match="tested on different samples"):
        accuracy_gap([one], [probe_of([1, 0, 1])], name="gap")
    with pytest.raises(MeasurementError, match="expected probes that were tested on the same"):
        mean_accuracy([], name="accuracy")
