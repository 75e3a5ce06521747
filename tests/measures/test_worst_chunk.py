from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.measures.chunks import chunk_error, error_of
from netprops.measures.scaling import critical_width
from netprops.measures.worst_chunk import adversarial_chunk, overlap, smallest_interpolating_chunk
from netprops.planted import Task, clones, distributed


def given_by(planted):
    return planted.features("train"), *planted.readout, planted.labels("train")


def layer(seed=0, n=200, width=12, outputs=1):
    """A small layer whose labels are its own answers."""
    rng = np.random.default_rng(seed)
    features = np.tanh(rng.standard_normal((n, 5)) @ rng.standard_normal((5, width))).astype(np.float32)
    weight = rng.standard_normal((outputs, width)).astype(np.float32)
    bias = 0.3 * rng.standard_normal(outputs).astype(np.float32)
    logits = features @ weight.T + bias
    labels = logits.argmax(axis=1) if outputs > 1 else np.where(logits[:, 0] > 0, 1, -1)
    return features, weight, bias, labels


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_chunk_found_is_nearly_the_worst_of_all(seed, outputs):
    given = layer(seed, outputs=outputs)
    for size in (3, 6, 9):
        every = [error_of(*given, chunk) for chunk in combinations(range(12), size)]
        found = adversarial_chunk(*given, size, draws=20, rng=np.random.default_rng(0))
        assert max(every) >= found.error.value >= 0.85 * max(every)
        assert found.error.value >= np.quantile(every, 0.96)


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_hardly_fewer_neurons_interpolate_than_those_found(seed, outputs):
    given = layer(seed, outputs=outputs)
    least = next(
        size
        for size in range(1, 13)
        if min(error_of(*given, chunk) for chunk in combinations(range(12), size)) <= 0.05
    )
    neurons, count = smallest_interpolating_chunk(*given, threshold=0.05)
    assert least <= len(neurons) == count.value <= least + 2
    assert error_of(*given, neurons) == count.details["error"] <= 0.05
    assert count.details["neurons"] == " ".join(map(str, neurons))


def test_of_perfect_clones_one_copy_of_each_feature_suffices_and_a_choice_of_half_of_them_fails():
    """Random chunks hold some copies of every feature; chosen ones hold one, or lack some of them."""
    planted = clones(128, task=Task(features=4, outputs=5, n_train=500))
    of = planted.truth.of
    neurons, count = smallest_interpolating_chunk(*given_by(planted))
    assert sorted(of[list(neurons)]) == [0, 1, 2, 3]
    random = chunk_error(*given_by(planted), draws=50, rng=np.random.default_rng(0))
    assert count.value < critical_width(random).value
    found = adversarial_chunk(*given_by(planted), 64, rng=np.random.default_rng(0))
    assert found.random.value < 0.005
    assert found.error.value > 0.3
    assert np.bincount(of[list(found.neurons)], minlength=4).max() == 32
    assert found.difference.low > 0.3
    assert found.error.details["largest_of_random_chunks"] < 0.05


def test_of_a_distributed_code_nearly_all_neurons_are_needed_even_if_chosen():
    planted = distributed(64, n_train=600)
    neurons, _ = smallest_interpolating_chunk(*given_by(planted))
    assert len(neurons) > 48


@pytest.mark.parametrize("size", [1, 20, 40])
def test_the_difference_is_to_random_chunks_of_the_same_size(size):
    given = layer(width=40, outputs=4)
    found = adversarial_chunk(*given, size, draws=50, rng=np.random.default_rng(3))
    random = chunk_error(*given, sizes=[size], draws=50, rng=np.random.default_rng(3)).at(size)
    assert len(found.neurons) == size
    assert (found.random.value, found.random.low) == (random.value, random.low)
    assert found.error.value == error_of(*given, found.neurons)
    assert found.difference.value == pytest.approx(found.error.value - random.value)
    assert found.difference.low == pytest.approx(found.error.value - random.high)
    assert found.difference.value >= 0
    assert found.difference.standard_error == random.standard_error
    if size == 40:
        assert found.difference.value == 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([1, 3]), st.floats(0.01, 100))
def test_order_of_units_and_samples_and_the_scale_of_the_readout_do_not_matter(seed, outputs, scale):
    features, weight, bias, labels = layer(seed, outputs=outputs)
    rng = np.random.default_rng(seed)
    units, samples = rng.permutation(12), rng.permutation(200)
    plain = adversarial_chunk(features, weight, bias, labels, 5, rng=np.random.default_rng(0))
    moved = adversarial_chunk(
        features[samples][:, units],
        np.float32(scale) * weight[:, units],
        np.float32(scale) * bias,
        labels[samples],
        5,
        rng=np.random.default_rng(0),
    )
    assert sorted(units[list(moved.neurons)]) == list(plain.neurons)
    assert moved.error.value == plain.error.value


def test_what_does_not_interpolate_has_no_smallest_chunk():
    features, weight, bias, labels = layer()
    with pytest.raises(
        MeasurementError, match=r"none was found with an error of at most 0\.005; the layer's"
    ):
        smallest_interpolating_chunk(features, weight, bias, -labels)


def test_a_dead_layer_is_measured():
    features, _, bias, labels = layer()
    found = adversarial_chunk(features, np.zeros((1, 12)), bias * 0, labels, 3, rng=np.random.default_rng(0))
    assert found.error.value == 1  # an output of 0 is wrong
    assert found.difference.value == 0


@pytest.mark.parametrize("sizes", [(5, 5, 5), (3, 17, 30), (28, 29)])
def test_chance_overlaps_as_much_as_expected(sizes):
    rng = np.random.default_rng(0)
    found = [
        overlap([rng.choice(30, size, replace=False) for size in sizes], 30, rng=rng, draws=100)
        for _ in range(100)
    ]
    assert sum(one.details["p_value"] <= 0.05 for one in found) <= 11  # 5 expected, deviation 2.2
    assert sum(one.low <= 0 <= one.high for one in found) >= 88
    mean = np.mean([one.value for one in found])
    assert abs(mean) < 4 * found[0].standard_error / 10


def test_the_expectation_is_that_of_all_chunks():
    every = list(combinations(range(6), 2))
    jaccard = np.mean([len({*a, *b}) and len({*a} & {*b}) / len({*a, *b}) for a in every for b in every])
    found = overlap([[0, 1], [4, 2]], 6, rng=np.random.default_rng(0))
    assert found.details["expected"] == pytest.approx(jaccard)
    assert found.details["jaccard"] == 0


def test_the_same_neurons_overlap_and_avoided_ones_do_not():
    rng = np.random.default_rng(0)
    same = overlap([range(20), range(2, 22), range(1, 21)], 200, rng=rng)
    assert same.low > 0.5
    assert same.details["p_value"] < 0.01
    apart = overlap([range(50), range(50, 100)], 100, rng=rng)
    assert apart.high < -0.2
    assert apart.details["p_value"] < 0.01


def test_bad_input_is_named():
    rng = np.random.default_rng(0)
    given = layer()
    with pytest.raises(UsageError, match=r"12 units has 1\.\.12 neurons, got size=13"):
        adversarial_chunk(*given, 13, rng=rng)
    with pytest.raises(MeasurementError, match="a logit is not finite"):
        adversarial_chunk(np.full_like(given[0], np.nan), *given[1:], 3, rng=rng)
    with pytest.raises(MeasurementError, match="label 7 of sample 0"):
        smallest_interpolating_chunk(*given[:3], np.full(200, 7))
    with pytest.raises(MeasurementError, match="features need N >= 1 samples"):
        smallest_interpolating_chunk(np.ones(3), *given[1:])
    with pytest.raises(
        MeasurementError, match=r"at least two chunks with a neuron each are needed, got sizes"
    ):
        overlap([[1, 2]], 10, rng=rng)
    with pytest.raises(MeasurementError, match=r"got sizes \[1, 0\]"):
        overlap([[1], []], 10, rng=rng)
    for wrong in ([1, 1], [10], [-1]):
        with pytest.raises(UsageError, match=r"distinct units of 0\.\.9"):
            overlap([[0], wrong], 10, rng=rng)
