import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.measures import chunks
from netprops.measures.chunks import chunk_error, ensemble_error, error_of, sizes

torch.set_num_threads(1)


def layer(seed=0, n=300, width=24, outputs=4):
    """Features, readout and labels that the whole layer predicts, but for some noise."""
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.standard_normal((n, 6)) @ rng.standard_normal((6, width)), 0).astype(np.float32)
    weight = rng.standard_normal((outputs, width)).astype(np.float32)
    bias = rng.standard_normal(outputs).astype(np.float32)
    logits = features.astype(np.float64) @ weight.T + bias
    labels = logits.argmax(axis=1) if outputs > 1 else np.where(logits[:, 0] > 0, 1, -1)
    return features, weight, bias, labels


def slowly(features, weight, bias, labels, neurons):
    """Error of a chunk in float64, one by one; and the share of samples whose logits are too near to tell."""
    wrong, close = 0, 0
    for x, y in zip(features.astype(np.float64), labels, strict=True):
        logits = [sum(float(w[i]) * x[i] for i in neurons) + b for w, b in zip(weight, bias, strict=True)]
        if len(logits) == 1:
            wrong += logits[0] * y <= 0
            close += abs(logits[0]) < 1e-4
        else:
            ordered = sorted(logits)
            wrong += int(np.argmax(logits)) != y
            close += ordered[-1] - ordered[-2] < 1e-4
    return wrong / len(labels), close / len(labels)


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_every_draw_is_index_and_multiply(outputs):
    given = layer(outputs=outputs)
    wanted = (1, 3, 7, 12, 24)
    curve = chunk_error(*given, sizes=wanted, draws=6, rng=np.random.default_rng(5))
    rng = np.random.default_rng(5)
    for row in curve.replicates:
        order = rng.permutation(24)
        for value, size in zip(row, wanted, strict=True):
            expected, close = slowly(*given, order[:size])
            assert value == pytest.approx(expected, abs=close + 1e-12)


def test_batches_and_tiles_do_not_change_the_numbers(monkeypatch):
    given = layer()
    whole = chunk_error(*given, draws=20, rng=np.random.default_rng(1))
    monkeypatch.setattr(chunks, "_TILE", 1)
    monkeypatch.setattr(chunks, "_GATHERED", 24 * 3)
    tiny = chunk_error(*given, draws=20, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(whole.replicates, tiny.replicates)


def test_threads_do_not_change_the_numbers_and_keep_their_setting():
    given = layer(n=2000)
    alone = chunk_error(*given, draws=20, rng=np.random.default_rng(1))
    torch.set_num_threads(3)
    try:
        together = chunk_error(*given, draws=20, rng=np.random.default_rng(1))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(1)
    np.testing.assert_array_equal(alone.replicates, together.replicates)


def test_ties_go_to_the_first_class_as_argmax_has_it():
    features = np.zeros((6, 4), dtype=np.float32)  # every logit is the bias
    weight = np.ones((3, 4), dtype=np.float32)
    bias = np.array([1.0, 2.0, 2.0], dtype=np.float32)
    labels = np.array([0, 0, 1, 1, 1, 2])
    curve = chunk_error(features, weight, bias, labels, sizes=(2, 4), draws=3, rng=np.random.default_rng(0))
    assert curve.y.tolist() == [0.5, 0.5]
    assert error_of(features, weight, bias, labels, [0, 1]) == 0.5


def test_an_output_of_zero_is_an_error_for_signs():
    features = np.zeros((4, 3), dtype=np.float32)
    given = (features, np.ones((1, 3)), np.zeros(1), np.array([1, -1, 1, -1]))
    assert chunk_error(*given, sizes=(1, 3), draws=2, rng=np.random.default_rng(0)).y.tolist() == [1.0, 1.0]
    assert error_of(*given, [0]) == 1.0


def test_copies_of_a_perfect_neuron_never_err_and_noise_errs_by_chance():
    rng = np.random.default_rng(3)
    labels = np.where(rng.random(400) < 0.5, 1, -1)
    clones = np.repeat(labels[:, None], 16, axis=1).astype(np.float32)
    noise = rng.standard_normal((400, 16)).astype(np.float32)
    readout = (np.ones((1, 16)), np.zeros(1), labels)
    assert chunk_error(clones, *readout, draws=10, rng=rng).y.max() == 0
    assert chunk_error(noise, *readout, draws=50, rng=rng).y == pytest.approx(0.5, abs=0.08)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_units_and_samples_have_no_order(seed):
    features, weight, bias, labels = layer(seed, n=60, width=10)
    rng = np.random.default_rng(seed)
    units, samples = rng.permutation(10), rng.permutation(60)
    neurons = rng.choice(10, 4, replace=False)
    moved = np.argsort(units)[neurons]
    plain = error_of(features, weight, bias, labels, neurons)
    assert error_of(
        features[samples][:, units], weight[:, units], bias, labels[samples], moved
    ) == pytest.approx(plain, abs=1e-12)


def test_the_whole_layer_is_one_number_and_the_intervals_enclose_the_mean():
    given = layer()
    curve = chunk_error(*given, draws=40, rng=np.random.default_rng(0))
    assert curve.replicates[:, -1].std() == 0
    assert curve.y[-1] == pytest.approx(error_of(*given, np.arange(24)))
    assert (curve.low <= curve.y).all()
    assert (curve.y <= curve.high).all()
    assert curve.at(6).df == 39


def test_a_memmap_is_read_as_an_array(tmp_path):
    features, *rest = layer()
    stored = np.lib.format.open_memmap(tmp_path / "f.npy", mode="w+", dtype=np.float32, shape=features.shape)
    stored[:] = features
    curves = [chunk_error(each, *rest, draws=5, rng=np.random.default_rng(0)) for each in (features, stored)]
    np.testing.assert_array_equal(curves[0].replicates, curves[1].replicates)


def test_sizes_halve_and_hold_the_whole_layer():
    assert sizes(512) == (2, 4, 8, 16, 32, 64, 128, 256, 512)
    assert sizes(88, smallest=3) == (5, 11, 22, 44, 88)
    assert sizes(64, per_octave=2, smallest=16) == (16, 23, 32, 45, 64)
    with pytest.raises(UsageError, match="smallest=5, width=4"):
        sizes(4, smallest=5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.full((300, 24), np.nan, dtype=np.float32)}, "features of sample .* not finite"),
        ({"weight": np.ones((4, 23))}, r"do not fit; expected \(N, W\)"),
        ({"weight": np.full((4, 24), np.inf)}, "weight or bias of the readout is not finite"),
        ({"labels": np.full(300, 4)}, r"label 4 of sample 0; a readout of 4 outputs expects 0..3"),
        ({"features": np.empty((0, 24), dtype=np.float32), "labels": np.empty(0)}, "N >= 1 samples"),
        ({"draws": 1}, "at least two draws, got 1"),
    ],
)
def test_bad_input_is_named(change, words):
    fields = dict(zip(("features", "weight", "bias", "labels"), layer(), strict=True))
    with pytest.raises(MeasurementError, match=words):
        chunk_error(**({"rng": np.random.default_rng(0)} | fields | change))


def test_zeros_and_ones_are_not_signs():
    features, weight, bias, labels = layer(outputs=1)
    with pytest.raises(MeasurementError, match=r"expects -1 or \+1"):
        chunk_error(features, weight, bias, labels > 0, rng=np.random.default_rng(0))


def test_chunks_that_do_not_exist_are_refused():
    given = layer()
    with pytest.raises(UsageError, match=r"1..24, the units of the layer; got \[2, 25\]"):
        chunk_error(*given, sizes=[2, 25], rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match=r"distinct units of 0..23, got \[1, 1\]"):
        error_of(*given, [1, 1])
    with pytest.raises(MeasurementError, match="logit is not finite"):
        error_of(np.full((300, 24), np.inf, dtype=np.float32), *given[1:], [0])


def test_an_ensemble_averages_independent_mistakes_away():
    rng = np.random.default_rng(8)
    labels = rng.integers(0, 3, 500)
    truth = np.eye(3)[labels]
    members = [truth + rng.standard_normal((500, 3)) for _ in range(20)]
    single = np.mean([(one.argmax(axis=1) != labels).mean() for one in members])
    found = ensemble_error(members, labels)
    assert found.value == (sum(members).argmax(axis=1) != labels).mean()
    assert found.value < 0.05 < 0.3 < single
    assert found.low <= found.value <= found.high
    shared = ensemble_error([members[0]] * 5, labels)
    assert shared.value == pytest.approx((members[0].argmax(axis=1) != labels).mean())
    assert shared.standard_error == 0


def test_an_ensemble_of_one_is_refused():
    with pytest.raises(MeasurementError, match="at least two networks, got 1"):
        ensemble_error([np.zeros((3, 2))], [0, 1, 0])
    with pytest.raises(MeasurementError, match=r"shape \(3, 4\), expected \(3, 2\)"):
        ensemble_error([np.zeros((3, 2)), np.zeros((3, 4))], [0, 1, 0])
