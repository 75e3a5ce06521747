"""Bias and variance over initialisations: planted parts, invariances, equal networks, bad input."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.initialisations import (
    initialisation_bias_variance,
    logit_variance,
    sample_losses,
    variance_slope,
    wide_beats_ensemble,
)

WIDTHS = (32, 64, 128, 256)
PARTS = ("single", "ensemble", "variance", "bias")


def regression(rng, *, networks=5, samples=200, bias=0.4, spread=0.6):
    """Outputs y + 0.3 + bias + chance of narrow networks, y + 0.3 + a quarter of both of wide ones."""
    labels = rng.standard_normal(samples)
    narrow, wide = (
        labels + 0.3 + share * (bias + spread * rng.standard_normal((networks, samples)))
        for share in (1.0, 0.25)
    )
    return narrow[:, :, None], wide[:, :, None], labels


def classes(rng, *, networks=5, samples=300, spread=1.0):
    """Logits of networks that scatter about planted log odds, with labels drawn from these."""
    truth = 2 * rng.standard_normal((samples, 4))
    chances = special.softmax(truth, axis=1)
    labels = (chances.cumsum(axis=1) > rng.random((samples, 1))).argmax(axis=1)
    return truth + spread * rng.standard_normal((networks, samples, 4)), labels, truth


def test_planted_bias_and_variance_are_covered_as_often_as_the_interval_says():
    rng, hits = np.random.default_rng(0), dict.fromkeys(PARTS, 0)
    truth = {
        "variance": 0.6**2 / 2,
        "ensemble": 0.7**2 / 2,
        "bias": (0.7**2 - 0.4**2) / 2,
        "single": (0.7**2 + 0.6**2) / 2,
    }
    sums = dict.fromkeys(PARTS, 0.0)
    for _ in range(100):
        narrow, wide, labels = regression(rng)
        found = initialisation_bias_variance(narrow, labels, wide, kind="squared")
        for part in PARTS:
            one = getattr(found, part)
            hits[part] += one.low <= truth[part] <= one.high
            sums[part] += one.value / 100
    assert sums == pytest.approx(truth, rel=0.03)
    assert min(hits.values()) >= 88  # 95 expected, standard deviation 2.2


def test_the_parts_add_up_to_the_loss_under_both_definitions():
    rng = np.random.default_rng(1)
    narrow, labels, _ = classes(rng)
    wide = narrow.mean(axis=0) + 0.2 * rng.standard_normal((4, 300, 4))
    for definition in ("default", "reference"):
        found = initialisation_bias_variance(narrow, labels, wide, definition=definition)
        best = initialisation_bias_variance(wide, labels, narrow, definition=definition).ensemble
        assert found.single.value == pytest.approx(sample_losses(narrow, labels).mean())
        assert found.variance.value + found.bias.value + best.value == pytest.approx(found.single.value)
        assert found.variance.definition == definition
    assert found.ensemble.value == pytest.approx(sample_losses(narrow.mean(axis=0), labels).mean())
    assert found.variance.unit == "nats"


def test_the_jackknife_is_rid_of_the_variance_of_few_networks():
    """Cross-entropy: the ensemble of very many networks has the planted log odds."""
    rng = np.random.default_rng(2)
    jackknife, plugged, truth = [], [], []
    for _ in range(15):
        logits, labels, odds = classes(rng, networks=4, spread=1.5)
        jackknife.append(initialisation_bias_variance(logits, labels, logits).ensemble.value)
        plugged.append(
            initialisation_bias_variance(logits, labels, logits, definition="reference").ensemble.value
        )
        truth.append(sample_losses(odds, labels).mean())
    assert abs(np.mean(jackknife) - np.mean(truth)) < 0.2 * (np.mean(plugged) - np.mean(truth))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-5, 5))
def test_neither_order_nor_a_constant_of_all_logits_matters(seed, shift):
    rng = np.random.default_rng(seed)
    logits, labels, _ = classes(rng, samples=30)
    wide = rng.standard_normal((3, 30, 4))
    order, kept = rng.permutation(30), rng.permutation(5)
    plain = initialisation_bias_variance(logits, labels, wide)
    moved = initialisation_bias_variance(
        logits[kept][:, order] + shift, labels[order], wide[:, order] - shift
    )
    for part in PARTS:
        assert getattr(moved, part).value == pytest.approx(getattr(plain, part).value)
        assert getattr(moved, part).high == pytest.approx(getattr(plain, part).high)


def test_equal_networks_have_no_variance_and_widths_alike_no_bias():
    rng = np.random.default_rng(3)
    logits, labels, _ = classes(rng)
    same = initialisation_bias_variance(np.repeat(logits[:1], 4, axis=0), labels, logits)
    assert same.variance.value == pytest.approx(0, abs=1e-12)
    assert same.variance.high < 1e-12
    assert logit_variance(np.repeat(logits[:1], 4, axis=0)).value == pytest.approx(0, abs=1e-12)
    covered = 0
    for _ in range(50):
        narrow, labels, odds = classes(rng, samples=100)
        wide = odds + rng.standard_normal(narrow.shape)
        found = initialisation_bias_variance(narrow, labels, wide).bias
        covered += found.low <= 0 <= found.high
    assert covered >= 42  # 47.5 expected, standard deviation 1.5


def test_a_wide_network_beats_a_narrow_ensemble_by_the_planted_difference():
    rng, hits = np.random.default_rng(4), 0
    truth = (0.4**2 + 0.15**2 - 0.7**2) / 2
    for _ in range(100):
        narrow, wide, labels = regression(rng)
        found = wide_beats_ensemble(wide, narrow, labels, kind="squared")
        hits += found.low <= truth <= found.high
    assert found.high < 0
    assert hits >= 88
    narrow, wide, labels = regression(rng, bias=0.0, samples=4000)
    assert wide_beats_ensemble(wide, narrow, labels, kind="squared").low > 0  # nothing but chance: it loses
    singles = ((wide[:, :, 0] - labels) ** 2).mean() / 2
    ensemble = ((narrow[:, :, 0].mean(axis=0) - labels) ** 2).mean() / 2
    plugged = wide_beats_ensemble(wide, narrow, labels, kind="squared", definition="reference")
    assert plugged.value == pytest.approx(singles - ensemble)


def test_the_variance_of_logits_is_the_unbiased_one():
    rng = np.random.default_rng(5)
    logits = rng.standard_normal((5, 40, 3))
    found = logit_variance(logits)
    assert found.value == pytest.approx(logits.var(axis=0, ddof=1).mean())
    without = [np.delete(logits, one, axis=0).var(axis=0, ddof=1).mean() for one in range(5)]
    pseudo = 5 * found.value - 4 * np.array(without)
    assert found.standard_error == pytest.approx(pseudo.std(ddof=1) / 5**0.5)


def test_a_variance_of_one_over_the_width_has_the_exponent_minus_one():
    """Networks are chance along a few directions, so that their variances scatter."""
    rng, hits = np.random.default_rng(6), 0
    for _ in range(100):
        directions = rng.standard_normal((20, 60 * 2))
        variances = [
            logit_variance((rng.standard_normal((5, 20)) @ directions).reshape(5, 60, 2) / width**0.5)
            for width in WIDTHS
        ]
        found = variance_slope(WIDTHS, variances)
        hits += found.low <= -1 <= found.high
    assert hits >= 90
    assert found.high < 0
    flat = variance_slope(WIDTHS, variances[:1] * 4)
    assert flat.value == pytest.approx(0)


def test_losses_are_those_of_the_loss_function():
    rng = np.random.default_rng(7)
    logits, labels = 50 * rng.standard_normal((2, 30, 4)), rng.integers(0, 4, 30)
    expected = -np.take_along_axis(special.log_softmax(logits, axis=2), labels[None, :, None], axis=2)[..., 0]
    np.testing.assert_allclose(sample_losses(logits, labels), expected)


GOOD = np.random.default_rng(8).standard_normal((3, 10, 2))
LABELS = np.zeros(10, dtype=np.int64)


@pytest.mark.parametrize(
    ("logits", "labels", "known", "error", "said"),
    [
        (GOOD[0], LABELS, {}, MeasurementError, r"expected \(R, N, C\)"),
        (GOOD, LABELS[:5], {}, MeasurementError, "do not fit"),
        (GOOD, LABELS + 2, {}, MeasurementError, "labels 0..1"),
        (GOOD, LABELS + 0.5, {}, MeasurementError, "labels 0..1"),
        (GOOD[:, :, :1], LABELS, {}, MeasurementError, "at least two"),
        (GOOD, LABELS, {"kind": "squared"}, MeasurementError, "single output, got 2"),
        (GOOD, LABELS, {"kind": "hinge"}, UsageError, "got 'hinge'"),
        (GOOD, LABELS, {"definition": "mine"}, UsageError, "got 'mine'"),
        (GOOD[:2], LABELS, {}, UndeterminedError, "2 networks give no interval"),
        (GOOD * [[[1.0]], [[np.nan]], [[1.0]]], LABELS, {}, MeasurementError, "network 1 is not finite"),
        (GOOD[:, :1], LABELS[:1], {}, MeasurementError, "at least two samples"),
    ],
)
def test_what_has_no_bias_and_variance_is_refused(logits, labels, known, error, said):
    with pytest.raises(error, match=said):
        initialisation_bias_variance(logits, labels, logits, **known)


def test_variances_that_have_no_slope_are_refused():
    one = Measurement(
        name="v", value=1.0, low=-1.0, high=3.0, standard_error=0.9, df=3.0, n=4, n_of="networks", how="given"
    )
    with pytest.raises(UndeterminedError, match="within two standard errors"):
        variance_slope([1, 2], [one, one])
    with pytest.raises(MeasurementError, match="1 variances at 2 widths"):
        variance_slope([1, 2], [one])
    with pytest.raises(UsageError, match="ascend"):
        variance_slope([2, 1], [one, one])
    exact = replace(one, standard_error=0.0, df=float("inf"))
    assert variance_slope([1, 2], [exact, replace(exact, value=0.5)]).value == pytest.approx(-1)
    with pytest.raises(UndeterminedError, match="at least 2 do"):
        wide_beats_ensemble(GOOD[:1], GOOD, LABELS)
