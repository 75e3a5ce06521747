import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.bias_variance import bias_variance, variance_peak

WIDTHS = [8, 16, 32, 64, 128, 256]
REPEATS = np.repeat(np.arange(4), 5)


def planted(rng, networks=20, samples=200, classes=4, noise=1.0):
    """Logits that scatter about their mean, and labels drawn from the mean's probabilities."""
    mean = 2 * rng.standard_normal((samples, classes))
    labels = np.array([rng.choice(classes, p=row) for row in softmax(mean, axis=1)])
    return mean + noise * rng.standard_normal((networks, samples, classes)), labels


def divergences(logits, labels):
    """Bias and variance as Kullback-Leibler divergences, written out."""
    p = softmax(np.asarray(logits, dtype=np.float64), axis=2)
    mean = np.exp(np.log(p).mean(axis=0))
    mean /= mean.sum(axis=1, keepdims=True)
    bias = -np.log(mean[np.arange(len(labels)), labels])
    return bias.mean(), (mean * np.log(mean / p)).sum(axis=2).mean()


def test_the_plug_in_is_that_of_the_divergences():
    logits, labels = planted(np.random.default_rng(0), networks=6)
    found = bias_variance(logits, labels, definition="reference")
    assert (found.bias.value, found.variance.value) == pytest.approx(divergences(logits, labels))
    by_repeat = bias_variance(logits, labels, groups=[3, 3, 8, 8, 8, 3], definition="reference")
    first, second = divergences(logits[[0, 1, 5]], labels), divergences(logits[2:5], labels)
    assert by_repeat.bias.value == pytest.approx((first[0] + second[0]) / 2)
    assert by_repeat.variance.value == pytest.approx((first[1] + second[1]) / 2)
    assert by_repeat.variance.definition == "reference"


def test_a_table_has_the_variance_that_was_worked_out_by_hand():
    # Two classes, log odds of 0 and 2 a: the mean prediction has log odds a.
    a = 1.5
    logits = np.zeros((4, 2, 2))
    logits[[1, 3], :, 1] = 2 * a
    found = bias_variance(logits, [1, 1], groups=[0, 0, 1, 1], definition="reference")
    assert found.variance.value == pytest.approx(np.log(np.cosh(a) / np.cosh(a / 2) ** 2) / 2)
    assert found.bias.value == pytest.approx(np.log(1 + np.exp(-a)))
    jackknife = bias_variance(logits, [1, 1], groups=[0, 0, 1, 1])
    assert jackknife.variance.value == pytest.approx(2 * found.variance.value)
    assert jackknife.risk.value == pytest.approx(found.risk.value)


@pytest.mark.parametrize("definition", ["default", "reference"])
@pytest.mark.parametrize("groups", [None, REPEATS])
def test_bias_and_variance_add_up_to_the_risk(definition, groups):
    logits, labels = planted(np.random.default_rng(1))
    found = bias_variance(logits.astype(np.float32), labels, groups=groups, definition=definition)
    risk = -log_softmax(logits.astype(np.float32).astype(np.float64), axis=2)
    assert found.risk.value == pytest.approx(risk[:, np.arange(200), labels].mean(), rel=1e-12)
    assert found.bias.value + found.variance.value == pytest.approx(found.risk.value, rel=1e-12)
    assert (found.risk.n, found.risk.n_of) == ((20, "networks") if groups is None else (4, "repeats"))
    assert found.risk.unit == "nats"


def test_few_networks_have_the_variance_of_many():
    rng = np.random.default_rng(2)
    logits, labels = planted(rng, networks=400, samples=600, noise=1.5)
    truth = divergences(logits, labels)[1] * 400 / 399
    found = [
        bias_variance(logits[some], labels, groups=REPEATS)
        for some in rng.permutation(400).reshape(20, 20)  # 20 sets of four repeats
    ]
    jackknife = np.mean([one.variance.value for one in found])
    plug_in = np.mean([one.variance.details["plug_in_variance"] for one in found])
    assert jackknife == pytest.approx(truth, rel=0.02)
    assert plug_in == pytest.approx(truth * (1 - 1 / 5), rel=0.03)
    assert sum(one.variance.low <= truth <= one.variance.high for one in found) >= 18


def test_intervals_hold_for_other_networks_and_other_samples():
    rng = np.random.default_rng(3)
    logits, labels = planted(rng, networks=800, samples=4000)
    truth = bias_variance(logits[:100], labels, groups=np.repeat(np.arange(20), 5))
    hits = np.zeros(3)
    for some in range(40):
        at = rng.choice(4000, 100, replace=False)
        members = logits[20 * some : 20 * (some + 1)][:, at]
        found = bias_variance(members, labels[at], groups=REPEATS)
        hits += [
            getattr(found, part).low <= getattr(truth, part).value <= getattr(found, part).high
            for part in ("bias", "variance", "risk")
        ]
    assert (hits >= 35).all()  # 38 expected, standard deviation 1.4


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(-1e3, 1e3))
def test_the_order_of_networks_and_the_level_of_logits_change_nothing(seed, shift):
    rng = np.random.default_rng(seed)
    logits, labels = planted(rng, networks=6, samples=20)
    groups = np.array([0, 0, 0, 1, 1, 1])
    order = rng.permutation(6)
    first = bias_variance(logits, labels, groups=groups)
    second = bias_variance(logits[order] + shift, labels, groups=groups[order])
    for part in ("bias", "variance", "risk"):
        assert getattr(second, part).value == pytest.approx(getattr(first, part).value, rel=1e-8, abs=1e-10)
        assert getattr(second, part).high == pytest.approx(getattr(first, part).high, rel=1e-8, abs=1e-10)


def test_equal_networks_have_no_variance():
    logits, labels = planted(np.random.default_rng(4), networks=1)
    for groups in (None, REPEATS):
        found = bias_variance(np.repeat(logits, 20, axis=0), labels, groups=groups)
        assert found.variance.value == pytest.approx(0, abs=1e-12)
        assert found.variance.high < 1e-12
        assert found.bias.value == pytest.approx(found.risk.value)
    varied = bias_variance(*planted(np.random.default_rng(4)), groups=REPEATS)
    assert varied.variance.low > 0.1


def test_a_single_output_of_the_squared_hinge_is_a_clipped_probability():
    rng = np.random.default_rng(5)
    outputs = rng.normal(0.3, 1.0, (6, 300, 1))
    labels = rng.choice([-1, 1], 300)
    found = bias_variance(outputs, labels)
    p = (1 + np.clip(outputs[:, :, 0], -1, 1)) / 2
    truth = (labels + 1) / 2
    assert found.kind == "squared"
    assert found.variance.value == pytest.approx(p.var(axis=0, ddof=1).mean())
    assert found.risk.value == pytest.approx(((p - truth) ** 2).mean())
    plug_in = bias_variance(outputs, labels, definition="reference")
    assert plug_in.bias.value == pytest.approx(((p.mean(axis=0) - truth) ** 2).mean())
    beyond = bias_variance(np.where(np.abs(outputs) >= 1, 50 * outputs, outputs), labels)
    assert beyond.variance.value == pytest.approx(found.variance.value)


def test_a_single_output_may_be_log_odds():
    rng = np.random.default_rng(6)
    outputs, labels = rng.standard_normal((6, 50, 1)), rng.choice([-1, 1], 50)
    one = bias_variance(outputs, labels, kind="cross-entropy")
    two = bias_variance(np.concatenate([-outputs / 2, outputs / 2], axis=2), (labels + 1) // 2)
    assert one.kind == "cross-entropy"
    assert one.variance.value == pytest.approx(two.variance.value)
    assert one.bias.high == pytest.approx(two.bias.high)


def test_bad_networks_and_labels_are_named():
    logits, labels = planted(np.random.default_rng(7), networks=4, samples=10)
    with pytest.raises(MeasurementError, match="at least two networks and two samples, got 1 and 10"):
        bias_variance(logits[:1], labels)
    with pytest.raises(MeasurementError, match="do not fit; expected"):
        bias_variance(logits, labels[:9])
    with pytest.raises(MeasurementError, match="do not fit; expected"):
        bias_variance(logits[0], labels)
    with pytest.raises(MeasurementError, match=r"label 4 of sample 3; 4 outputs expect 0\.\.3"):
        bias_variance(logits, np.where(np.arange(10) == 3, 4, labels))
    with pytest.raises(MeasurementError, match=r"label 0 of sample 0; 1 outputs expect -1 or \+1"):
        bias_variance(logits[:, :, :1], np.zeros(10, dtype=int))
    with pytest.raises(MeasurementError, match="network 2 is alone in its repeat 7"):
        bias_variance(logits, labels, groups=[0, 0, 7, 0])
    with pytest.raises(MeasurementError, match="expected one each"):
        bias_variance(logits, labels, groups=[0, 0])
    with pytest.raises(UndeterminedError, match="train a third"):
        bias_variance(logits[:2], labels)
    logits[2, 4, 1] = np.nan
    with pytest.raises(MeasurementError, match="a logit of network 2 is not finite"):
        bias_variance(logits, labels)


def test_unknown_arguments_are_refused():
    logits, labels = planted(np.random.default_rng(8), networks=4, samples=10)
    with pytest.raises(UsageError, match="kind is 'cross-entropy', or 'squared' for a single output"):
        bias_variance(logits, labels, kind="squared")
    with pytest.raises(UsageError, match="definition is 'default' or 'reference', got 'mine'"):
        bias_variance(logits, labels, definition="mine")


def hump(rng, peak, noise=0.02, repeats=4):
    """Variances with one peak over the logarithm of the width; repeats differ in level, too."""
    law = np.exp(-0.5 * (np.log(np.array(WIDTHS) / peak) / 0.9) ** 2)
    level = 0.05 * rng.standard_normal((repeats, 1))
    return law + level + noise * rng.standard_normal((repeats, len(WIDTHS)))


@pytest.mark.parametrize("peak", [24, 40, 50, 100])
def test_a_known_peak_is_covered(peak):
    rng = np.random.default_rng(9)
    found = [variance_peak(WIDTHS, hump(rng, peak), rng=rng) for _ in range(20)]
    assert all(one.low <= peak <= one.high for one in found)
    assert all(one.value in WIDTHS for one in found)
    assert max(one.high / one.low for one in found) <= 8


def test_the_peak_has_no_unit_of_variance():
    variances = hump(np.random.default_rng(10), 64)
    one, other = (
        variance_peak(WIDTHS, factor * variances, rng=np.random.default_rng(0)) for factor in (1, 1e3)
    )
    assert one == other


@pytest.mark.parametrize(("peak", "end"), [(1e4, "256"), (0.5, "8")])
def test_a_variance_without_a_peak_has_no_width(peak, end):
    rng = np.random.default_rng(11)
    missing = "wider" if end == "256" else "narrower"
    with pytest.raises(
        UndeterminedError, match=f"the end of the range, {end}, .* {missing} networks would tell"
    ):
        variance_peak(WIDTHS, np.log(hump(rng, peak, noise=0) + 1), rng=rng)


def test_noise_has_no_peak():
    rng = np.random.default_rng(12)
    refused = 0
    for _ in range(20):
        try:
            variance_peak(WIDTHS, rng.standard_normal((4, 6)), rng=rng, resamples=500)
        except UndeterminedError:
            refused += 1
    assert refused >= 17


def test_bad_widths_and_variances_are_named():
    rng = np.random.default_rng(13)
    good = hump(rng, 64)
    with pytest.raises(MeasurementError, match="do not fit"):
        variance_peak(WIDTHS[:4], good, rng=rng)
    with pytest.raises(MeasurementError, match="three widths and two repeats are needed, got 6 and 1"):
        variance_peak(WIDTHS, good[:1], rng=rng)
    with pytest.raises(MeasurementError, match="got 2 and 4"):
        variance_peak(WIDTHS[:2], good[:, :2], rng=rng)
    with pytest.raises(MeasurementError, match="do not increase"):
        variance_peak(WIDTHS[::-1], good, rng=rng)
    with pytest.raises(MeasurementError, match="a number is not finite"):
        variance_peak(WIDTHS, np.where(good == good.max(), np.nan, good), rng=rng)
