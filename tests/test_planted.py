"""Planted layers against their own theory: what must hold of clones holds, and of no control."""

import math

import numpy as np
import pytest

from netprops.errors import MeasurementError, UsageError
from netprops.measures.chunks import chunk_error, sizes
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import critical_width, power_law
from netprops.planted import Task, clones, correlated, distributed, duplicates, untrained
from netprops.subject import Subject

KINDS = {
    "clones": lambda task: clones(64, task=task),
    "drawn-clones": lambda task: clones(256, task=task, balanced=False),
    "weight-clones": lambda task: clones(64, task=task, where="weights"),
    "correlated": lambda task: correlated(64, task=task),
    "duplicates": lambda task: duplicates(64, task=task, distinct=16),
    "distributed": lambda task: distributed(64, outputs=task.outputs),
    "untrained": lambda task: untrained(64, task=task),
}


def errors(planted, split="train", *, per_octave=4, draws=100):
    return chunk_error(
        planted.features(split),
        *planted.readout,
        planted.labels(split),
        sizes=sizes(planted.width, per_octave=per_octave),
        draws=draws,
        rng=planted.rng("chunks"),
    )


def reconstruction(planted, *chunks, draws=8):
    return reconstruction_curve(
        planted.features("test"), sizes=chunks, draws=draws, rng=planted.rng("reconstruction")
    )


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_planted_layer_answers_as_a_subject_does(kind, outputs):
    planted = KINDS[kind](Task(features=4, outputs=outputs, n_train=200, n_test=100))
    assert planted.id == f"planted-{kind}-w{planted.width}-s0"
    assert planted.id.isascii()
    assert planted.family == f"planted-{kind}"
    for name in ("factor", "variant", "seed", "features_layer"):
        assert hasattr(Subject, name)
        assert hasattr(planted, name)
    features, labels = planted.features("train"), planted.labels("train")
    assert features.dtype == np.float32
    assert features.shape == (len(labels), planted.width)
    assert not features.flags.writeable
    assert planted.readout.weight.shape == (outputs, planted.width)
    assert planted.readout.weight.dtype == planted.readout.bias.dtype == np.float32
    assert labels.dtype == (np.float32 if outputs == 1 else np.int64)
    assert set(labels) == ({-1, 1} if outputs == 1 else set(range(outputs)))
    np.testing.assert_allclose(planted.logits("test"), planted.features("test") @ planted.readout.weight.T)
    assert planted.error("train") == 0 or kind == "untrained"
    assert planted.rng("a").integers(2**60) == planted.rng("a").integers(2**60)
    assert planted.rng("a").integers(2**60) != planted.rng("b").integers(2**60)
    assert repr(planted) == f"<Planted {planted.id}>"


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_bytes(kind):
    first, again = (KINDS[kind](Task(features=4, n_train=200, n_test=100)) for _ in range(2))
    for split in ("train", "test"):
        assert np.array_equal(first.features(split), again.features(split))
        assert np.array_equal(first.labels(split), again.labels(split))
    assert np.array_equal(first.readout.weight, again.readout.weight)


def test_layers_of_one_task_differ_in_their_neurons_alone_and_tasks_in_everything():
    task = Task(features=4)
    first, second = clones(64, task=task), clones(128, task=task, seed=1)
    assert np.array_equal(first.labels("test"), second.labels("test"))
    assert not np.array_equal(first.features("test"), second.features("test")[:, :64])
    other = clones(64, task=Task(features=4, seed=1))
    assert other.id == "planted-clones-t1-w64-s0"
    assert not np.array_equal(first.labels("test"), other.labels("test"))


@pytest.mark.parametrize(("width", "features"), [(128, 4), (512, 8)])
def test_chunks_of_clones_err_as_often_as_theory_says_and_interpolate_from_w_star_on(width, features):
    planted = clones(width, task=Task(features=features, n_train=1000))
    found = errors(planted, draws=200)
    expected = planted.truth.chunk_error("train", found.x.astype(int))
    used = found.x >= 2 * features  # below, the normal approximation is poor
    np.testing.assert_allclose(found.y[used], expected[used], atol=0.004)
    w_star = critical_width(found)
    truth = found.x[np.flatnonzero(expected <= 0.005)[0]]
    assert 0.8 * truth <= w_star.value <= 1.25 * truth
    assert w_star.value < width / 4
    assert found.y[found.x >= w_star.value].max() <= 0.005


@pytest.mark.parametrize("outputs", [1, 3])
def test_chunks_of_clones_give_the_layer_back_up_to_its_noise(outputs):
    planted = clones(256, task=Task(outputs=outputs, n_test=900))
    found = reconstruction(planted, 16, 32, 64, draws=30)
    r2, correlation = planted.truth.reconstruction([16, 32, 64], rng=np.random.default_rng(0))
    np.testing.assert_allclose(found.r2.y[1:], r2[1:], atol=0.004)
    assert found.r2.y[0] == pytest.approx(r2[0], abs=0.03)  # a feature may be missing
    np.testing.assert_allclose(found.correlation.y, correlation, rtol=0.1)
    assert found.r2.y[-1] > 0.98
    assert abs(found.excess.y[-1]) < 0.001


def test_noise_in_the_weights_is_seen_through_few_inputs_and_leaves_correlated_residuals():
    excess = {}
    for inputs in (16, 4096):
        planted = clones(128, task=Task(features=4, inputs=inputs, n_test=900), where="weights")
        assert critical_width(errors(planted)).value < 32
        found = reconstruction(planted, 32)
        assert found.r2.y[0] > 0.98
        excess[inputs] = found.excess.y[0]
    assert excess[16] > 0.004
    assert excess[4096] < 0.003


@pytest.mark.parametrize("outputs", [1, 3])
def test_no_claim_holds_of_a_distributed_code(outputs):
    planted = distributed(256, outputs=outputs, n_train=2000, n_test=900)
    found = errors(planted)
    if outputs == 1:
        expected = np.arccos(np.sqrt(found.x / 256)) / math.pi
        np.testing.assert_allclose(found.y, expected, atol=0.015)
    assert critical_width(found).value > 0.9 * 256
    assert reconstruction(planted, 64).r2.y[0] < 0.05


def test_shared_noise_is_flagged_by_the_residuals_but_for_a_direction_that_all_share():
    flagged = reconstruction(correlated(128, task=Task(features=4)), 32, 64)
    assert flagged.r2.y.min() > 0.98
    assert flagged.excess.low.min() > 0.003
    # One direction that all neurons see is one more feature, and chunks know it as they know features.
    one = reconstruction(correlated(128, task=Task(features=4), directions=1), 64)
    assert one.r2.y[0] > flagged.r2.y[1]
    assert one.excess.y[0] < 0.003
    none = reconstruction(correlated(128, task=Task(features=4), shared=0), 64)
    assert none.excess.y[0] < 0.003


def test_duplicates_are_redundant_without_a_residual_and_without_a_new_measurement():
    task = Task(features=4, boundary="one-sided", n_test=2000, clear=0.3)
    narrow = clones(8, task=task, noise=0.2)
    wide = duplicates(512, task=task, noise=0.2, distinct=8)
    assert len({column.tobytes() for column in wide.features("test").T}) == 8  # others lie at a distance of 0
    np.testing.assert_allclose(wide.logits("test"), narrow.logits("test"), atol=1e-5)
    assert wide.error("test") == pytest.approx(narrow.error("test"), abs=1e-3)
    assert clones(512, task=task, noise=0.2).error("test") < wide.error("test") / 2
    found = reconstruction(wide, 128)
    assert found.r2.y[0] == pytest.approx(1, abs=1e-12)
    assert found.correlation.y[0] == found.excess.y[0] == 0
    assert found.correlation.details["exactly_reconstructed_units"] == 512 - 128


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("boundary", ["one-sided", "symmetric"])
def test_the_labels_at_the_boundary_decide_the_exponent(boundary, outputs):
    planted = clones(512, task=Task(features=4, outputs=outputs, n_test=6000, boundary=boundary))
    found = errors(planted, "test", per_octave=2, draws=100)
    law = power_law(found, rng=planted.rng("law"), full_width=512, above=16)
    assert planted.exponent == {"one-sided": 0.5, "symmetric": 1.0}[boundary]
    assert law.exponent.value == pytest.approx(planted.exponent, abs=0.1 if outputs == 1 else 0.2)
    assert planted.id == f"planted-clones-{boundary}-w512-s0"


def test_a_layer_of_drawn_copies_is_a_sample_of_a_population_without_end():
    """Its own error follows the law of its chunks: straight in 1/w to the last neuron."""
    task = Task(features=4, boundary="one-sided", n_test=1000)
    layers = [clones(128, task=task, seed=seed, balanced=False) for seed in range(60)]
    pooled = np.mean([errors(one, "test", per_octave=1, draws=10).y for one in layers], axis=0)
    slope = np.polyfit(np.log(sizes(128)[3:]), np.log(pooled[3:]), 1)[0]
    assert slope == pytest.approx(-0.5, abs=0.07)
    assert clones(128, task=task).error("test") < pooled[-1] / 3


def test_what_does_not_interpolate_has_no_w_star():
    noisy = clones(128, task=Task(features=4, train_boundary="symmetric"))
    assert 0.05 < noisy.error("train") < 0.3
    for planted in (noisy, untrained(128, task=Task(outputs=5))):
        with pytest.raises(MeasurementError, match="the training set is not interpolated"):
            critical_width(errors(planted))
    assert untrained(128, task=Task(outputs=5)).error("test") == pytest.approx(0.8, abs=0.15)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: Task(features=1), "needs two features and one input, output and sample, got features=1"),
        (lambda: Task(boundary="none"), "a boundary is 'gap', 'one-sided' or 'symmetric', got 'none'"),
        (lambda: Task(clear=0), r"a share of its inputs in \(0, 1\], got clear=0"),
        (lambda: clones(7), "a layer of 7 neurons cannot copy 8 features"),
        (lambda: clones(64, where="bias"), "in 'activation' or 'weights', got 'bias'"),
        (lambda: clones(64, noise=9.0), "planted-clones-w64-s0 does not interpolate its training set: error"),
        (lambda: correlated(64, shared=1.5), "shared lies in 0..1 and directions from 1 on, got 1.5 and 16"),
        (lambda: duplicates(16), "a layer of 16 neurons cannot hold 32 distinct ones"),
        (lambda: clones(64).features("valid"), "there is no split 'valid'; expected 'train' or 'test'"),
        (lambda: clones(64).labels("valid"), "there is no split 'valid'; expected 'train' or 'test'"),
        (lambda: clones(64).features("test", "hidden.1"), "has one layer, 'planted', and no 'hidden.1'"),
        (
            lambda: clones(64, task=Task(outputs=3)).truth.chunk_error("test", [8]),
            "known for one output only",
        ),
    ],
)
def test_bad_input_is_named(build, words):
    with pytest.raises(UsageError, match=words):
        build()
