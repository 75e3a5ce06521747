import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures import margins
from netprops.measures.chunks import chunk_error, error_of
from netprops.measures.margins import margin_density, predicted_chunk_error
from netprops.measures.scaling import power_law
from netprops.planted import Task, clones, distributed

SIZES = (16, 32, 64, 128, 256)


def given_by(planted, split="test"):
    return planted.features(split), *planted.readout, planted.labels(split)


def layer(seed=0, n=200, width=32, outputs=4):
    """A layer whose biases matter, and whose labels its logits give but for some noise."""
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.standard_normal((n, 6)) @ rng.standard_normal((6, width)), 0).astype(np.float32)
    weight = rng.standard_normal((outputs, width))
    bias = 2 * rng.standard_normal(outputs)
    logits = features @ weight.T + bias
    logits += 0.3 * logits.std() * rng.standard_normal(logits.shape)
    labels = logits.argmax(axis=1) if outputs > 1 else np.where(logits[:, 0] > 0, 1, -1)
    return features, weight, bias, labels


@pytest.mark.parametrize("outputs", [1, 2, 5, 16])
@pytest.mark.parametrize("boundary", ["one-sided", "symmetric", "gap"])
def test_margins_predict_the_error_of_chunks(boundary, outputs):
    task = Task(features=max(8, outputs), outputs=outputs, boundary=boundary, n_test=1000)
    planted = clones(256, task=task)
    measured = chunk_error(*given_by(planted), sizes=SIZES, draws=100, rng=planted.rng("chunks"))
    predicted = predicted_chunk_error(*given_by(planted), sizes=SIZES)
    noise = 3 * measured.replicates.std(axis=0) / 10
    assert (np.abs(predicted.y - measured.y) <= 0.004 + 0.02 * measured.y + noise).all()
    assert predicted.y[-1] == pytest.approx(planted.error("test"), abs=1e-12)


def test_they_predict_it_where_nothing_is_copied_and_where_biases_shift_the_answers():
    planted = distributed(256, n_test=1000)
    predicted = predicted_chunk_error(*given_by(planted), sizes=SIZES)
    np.testing.assert_allclose(predicted.y, np.arccos(np.sqrt(np.array(SIZES) / 256)) / math.pi, atol=0.02)
    for outputs in (1, 4):
        shifted = layer(outputs=outputs, n=2000, width=128)
        measured = chunk_error(*shifted, sizes=SIZES[:-1], draws=200, rng=np.random.default_rng(0))
        np.testing.assert_allclose(
            predicted_chunk_error(*shifted, sizes=SIZES[:-1]).y, measured.y, atol=0.015, rtol=0.03
        )


def slowly(features, weight, labels, size):
    """Chance of a wrong answer of each sample without bias, from all contributions in turn."""
    chances = []
    for x, y in zip(features.astype(np.float64), labels, strict=True):
        contributions = y * weight[0] * x
        mean = size * contributions.mean()
        finite = (len(x) - size) / len(x)
        chances.append(stats.norm.cdf(0, mean, math.sqrt(size * finite * contributions.var(ddof=1))))
    return np.mean(chances)


def test_the_moments_are_those_of_a_sample_without_replacement():
    features, weight, _, labels = layer(outputs=1)
    curve = predicted_chunk_error(features, weight, np.zeros(1), labels, sizes=(4, 9, 31))
    for size, value in zip((4, 9, 31), curve.y, strict=True):
        assert value == pytest.approx(slowly(features, weight, labels, size), abs=1e-9)


@pytest.mark.parametrize("rivals", [2, 5, 9])
def test_several_leads_are_integrated_as_scipy_does(rivals):
    rng = np.random.default_rng(rivals)
    factor = rng.standard_normal((4, rivals, rivals))
    S = factor @ factor.mT + 0.1 * np.eye(rivals)
    mean = rng.uniform(-0.5, 2.5, (4, 1, rivals))
    found = margins._all_positive(mean, S)[:, 0]
    expected = [
        stats.multivariate_normal(-m[0], s).cdf(np.zeros(rivals)) for m, s in zip(mean, S, strict=True)
    ]
    np.testing.assert_allclose(found, expected, atol=0.02)


def test_blocks_of_samples_do_not_change_the_numbers(monkeypatch):
    whole = predicted_chunk_error(*layer())
    monkeypatch.setattr(margins, "_BLOCK", 7)
    np.testing.assert_allclose(predicted_chunk_error(*layer()).y, whole.y, rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 4]), st.floats(0.01, 100))
def test_order_of_units_and_samples_and_the_scale_of_the_readout_do_not_matter(seed, outputs, scale):
    features, weight, bias, labels = layer(seed, n=60, width=16, outputs=outputs)
    rng = np.random.default_rng(seed)
    units, samples = rng.permutation(16), rng.permutation(60)
    plain = margin_density(features, weight, bias, labels, bandwidth=2.0)
    moved = margin_density(
        features[samples][:, units], scale * weight[:, units], scale * bias, labels[samples], bandwidth=2.0
    )
    np.testing.assert_allclose(moved.predicted.y, plain.predicted.y, atol=1e-5)
    np.testing.assert_allclose(moved.margin, plain.margin[samples], rtol=1e-4, atol=1e-5)
    assert moved.right.value == pytest.approx(plain.right.value, abs=0.01)
    assert moved.exponent.value == pytest.approx(plain.exponent.value, abs=0.01)


@pytest.mark.parametrize("outputs", [1, 3])
def test_one_sided_margins_give_an_exponent_of_one_half_and_symmetric_ones_of_one(outputs):
    found = {}
    for boundary in ("one-sided", "symmetric"):
        task = Task(features=4, outputs=outputs, boundary=boundary, n_test=6000)
        planted = clones(512, task=task, noise=0.01)
        found[boundary] = margin_density(*given_by(planted))
        measured = chunk_error(*given_by(planted), sizes=(*SIZES[1:], 512), draws=150, rng=planted.rng("c"))
        law = power_law(measured, rng=planted.rng("law"), full_width=512)
        exponent = found[boundary].exponent
        assert exponent.low <= planted.exponent <= exponent.high or outputs > 1
        assert law.exponent.low - 0.03 <= exponent.value <= law.exponent.high + 0.03
    one, both = found["one-sided"], found["symmetric"]
    assert one.asymmetry.low > 0.8
    assert one.wrong.value < 0.1 * one.right.value
    assert both.asymmetry.low <= 0 <= both.asymmetry.high
    assert both.asymmetry.high < 0.5
    assert one.bandwidth == pytest.approx(math.sqrt(3 / 512))


def test_the_densities_are_those_of_the_margins():
    """A layer whose t is normal: its density at 0 is known on both sides, and the first order follows."""
    rng = np.random.default_rng(0)
    n, width = 20_000, 64
    wanted = rng.normal(0.2, 0.5, n)
    noise = rng.standard_normal((n, width))
    noise -= noise.mean(axis=1, keepdims=True)
    noise /= noise.std(axis=1, ddof=1, keepdims=True)
    features = (noise + wanted[:, None]).astype(np.float32)  # sum W t, S = 1
    found = margin_density(features, np.ones((1, width)), np.zeros(1), np.ones(n), bandwidth=0.2)
    np.testing.assert_allclose(found.margin, wanted, atol=1e-5)
    density = stats.norm(0.2, 0.5).pdf(0)
    for side in (found.right, found.wrong):
        assert side.low <= density <= side.high
        assert side.high - side.low < 0.3
    assert found.asymmetry.low <= 0 <= found.asymmetry.high
    spread = np.hypot(0.5, np.sqrt(1 / found.predicted.x - 1 / width))
    np.testing.assert_allclose(found.predicted.y, stats.norm(0.2, spread).cdf(0), atol=0.01)


def test_intervals_over_samples_are_honest():
    rng = np.random.default_rng(1)
    truth = special.ndtr(0)
    hits = {"right": 0, "asymmetry": 0}
    for _ in range(100):
        t = np.abs(rng.normal(0, 0.5, 800)) * np.where(rng.random(800) < 0.75, 1, -1)
        noise = rng.standard_normal((800, 16))
        noise -= noise.mean(axis=1, keepdims=True)
        features = (noise / noise.std(axis=1, ddof=1, keepdims=True) + t[:, None]).astype(np.float32)
        found = margin_density(features, np.ones((1, 16)), np.zeros(1), np.ones(800), bandwidth=0.3)
        hits["right"] += found.right.low <= 0.75 * 2 * stats.norm(0, 0.5).pdf(0) <= found.right.high
        hits["asymmetry"] += found.asymmetry.low <= truth <= found.asymmetry.high
    assert min(hits.values()) >= 88  # 95 expected, standard deviation 2.2


def test_a_layer_without_margins_near_the_boundary_is_undetermined():
    planted = clones(256, task=Task(features=4, clear=0.1))
    with pytest.raises(UndeterminedError, match=r"too few of 600 samples lie within 0\.001 of"):
        margin_density(*given_by(planted), bandwidth=0.001)
    with pytest.raises(UndeterminedError, match="0 of 2 chunk sizes have a predicted error above that"):
        margin_density(*given_by(planted), sizes=[128, 256], bandwidth=3.0)


def test_the_whole_layer_is_predicted_exactly():
    for outputs in (1, 4):
        shifted = layer(outputs=outputs)
        assert predicted_chunk_error(*shifted, sizes=[32]).y[0] == error_of(*shifted, np.arange(32))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.full((200, 32), np.nan, dtype=np.float32)}, "a logit is not finite"),
        ({"features": np.ones(200, dtype=np.float32)}, "features need N >= 1 samples"),
        ({"weight": np.ones((4, 31))}, r"do not fit; expected \(N, W\)"),
        ({"labels": np.full(200, 4)}, "label 4 of sample 0"),
    ],
)
def test_bad_input_is_named(change, words):
    fields = dict(zip(("features", "weight", "bias", "labels"), layer(), strict=True)) | change
    for measure in (margin_density, predicted_chunk_error):
        with pytest.raises(MeasurementError, match=words):
            measure(**fields)


def test_sizes_and_bandwidths_that_do_not_exist_are_refused():
    with pytest.raises(UsageError, match=r"1..32, the units of the layer; got \[2, 33\]"):
        predicted_chunk_error(*layer(), sizes=[2, 33])
    with pytest.raises(UsageError, match="the bandwidth of margins is positive, got 0"):
        margin_density(*layer(), bandwidth=0.0)
    with pytest.raises(MeasurementError, match="a layer of 2 units has too few chunks"):
        margin_density(*layer(width=2))
