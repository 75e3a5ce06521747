"""Signals in first layers: known answers, invariances, nothing in silent layers, bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netprops.errors import MeasurementError
from netprops.measures.signals import signals_of

V = np.eye(5, 8)


def test_an_active_neuron_counts_for_its_direction_whatever_its_sign():
    weights = np.array(
        [[3.0, 0, 0, 0, 0, 4.0, 0, 0], [0, -2.0, 0, 0, 0, 0, 0, 0], [0, 0.4, 0, 0, 0, 0, 0, 0]]
    )
    found = signals_of(weights, V, threshold=0.5)
    assert found.active.tolist() == [1, 1, 0, 0, 0]
    np.testing.assert_allclose(found.correlation, [0.6, 1.0, 0, 0, 0])
    assert found.learnt(above=0.7).tolist() == [False, True, False, False, False]


def test_a_neuron_below_the_threshold_knows_nothing_however_aligned():
    assert not signals_of(V * 0.5, V, threshold=0.5).correlation.any()


@given(seed=st.integers(0, 10_000))
def test_neither_the_order_of_neurons_nor_a_rotation_of_the_space_matters(seed):
    rng = np.random.default_rng(seed)
    weights, turn = rng.standard_normal((40, 8)), np.linalg.qr(rng.standard_normal((8, 8)))[0]
    plain = signals_of(weights, V, threshold=1.0)
    moved = signals_of(rng.permutation(weights) @ turn, V @ turn, threshold=1.0)
    np.testing.assert_allclose(moved.correlation, plain.correlation, atol=1e-9)
    assert moved.active.tolist() == plain.active.tolist()


def test_networks_one_below_the_other_know_what_one_of_them_knows():
    first, second = np.eye(8)[[0]], np.eye(8)[[3]]
    both = signals_of(np.concatenate([first, second]), V, threshold=0.5)
    assert both.learnt(above=0.9).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize(
    ("weights", "signals", "said"),
    [
        (np.ones((3, 4)), V, "cannot be looked for"),
        (np.ones((0, 8)), V, "cannot be looked for"),
        (np.full((3, 8), np.nan), V, "not a finite number"),
        (np.ones((3, 8)), 2 * V, "not orthonormal"),
    ],
)
def test_bad_input_is_refused(weights, signals, said):
    with pytest.raises(MeasurementError, match=said):
        signals_of(weights, signals, threshold=0.1)
