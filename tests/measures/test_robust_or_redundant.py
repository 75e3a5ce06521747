"""Robustness and redundancy do not imply each other: a small network S, and four wider ones that compute the
same (the paper on robustness and redundancy, section 2)."""

import numpy as np
import pytest

from netprops.measures.ablation import area, fractions_of, last_layer_ablation, last_layer_scores
from netprops.measures.redundancy import compressibility, similarity
from netprops.measures.units import last_layer_census

N, UNITS, CLASSES = 500, 20, 4


@pytest.fixture(scope="module")
def uncorrelated():
    """Forty units of equal variance without any correlation on these samples."""
    drawn = np.random.default_rng(0).standard_normal((N, 2 * UNITS))
    return np.linalg.qr(drawn - drawn.mean(axis=0))[0] * np.sqrt(N)


@pytest.fixture(scope="module")
def small(uncorrelated):
    """Half of these units, and a readout that uses them all."""
    weight = np.random.default_rng(1).standard_normal((CLASSES, UNITS))
    return uncorrelated[:, :UNITS], weight, np.zeros(CLASSES)


def robustness(network, repeats=40):
    return area(last_layer_ablation(*network, repeats=repeats, rng=np.random.default_rng(1)))


def predicted(network):
    features, weight, bias = network
    return (features @ weight.T + bias).argmax(axis=1)


def scores(network, order):
    return last_layer_scores(*network, orders=[order], fractions=fractions_of(UNITS + 1))[0]


def doubled(network, eta=0.0):
    """Each unit twice, with half of its outgoing weight plus and minus eta."""
    features, weight, bias = network
    return np.tile(features, 2), np.hstack([weight / 2 + eta, weight / 2 - eta]), bias


def beside(network, units):
    """The network and further units that the readout does not see."""
    features, weight, bias = network
    return np.hstack([features, units]), np.pad(weight, ((0, 0), (0, units.shape[1]))), bias


def in_turn(order):
    """An order of S's units as one of 2 n units: each followed by its partner."""
    return np.stack([order, order + UNITS], axis=1).ravel()


def test_duplicated_units_are_more_robust_and_more_redundant(small):
    large = doubled(small)
    np.testing.assert_array_equal(predicted(large), predicted(small))
    assert robustness(large).low > robustness(small).high
    assert compressibility(large[0]).value == compressibility(small[0]).value / 2
    assert similarity(large[0]).value == 2 * similarity(small[0]).value + 1
    # Exactly: to lose twins together is to lose the unit; to lose all of one half changes nothing.
    order = np.random.default_rng(2).permutation(UNITS)
    np.testing.assert_array_equal(scores(large, in_turn(order)), scores(small, order))
    assert scores(large, np.r_[order, order + UNITS])[UNITS // 2] == 1
    assert last_layer_census(*large).counts["redundant functional"] == 2 * UNITS


def test_balanced_units_are_more_redundant_and_not_more_robust(small):
    eta = 20 * np.random.default_rng(3).standard_normal((CLASSES, UNITS))
    large = doubled(small, eta)
    np.testing.assert_array_equal(predicted(large), predicted(small))
    assert compressibility(large[0]).value == compressibility(small[0]).value / 2
    assert similarity(large[0]).value == 2 * similarity(small[0]).value + 1
    assert robustness(large).high < robustness(small).low
    assert robustness(doubled(small, eta / 100)).low > robustness(large).high  # the less, the smaller eta
    order = np.random.default_rng(2).permutation(UNITS)
    np.testing.assert_array_equal(scores(large, in_turn(order)), scores(small, order))
    assert last_layer_census(*large).counts["redundant functional"] == 2 * UNITS


def test_silent_units_can_be_compressed_but_are_not_similar_and_not_robust(small):
    large = beside(small, np.zeros((N, UNITS)))
    assert compressibility(large[0]).value == compressibility(small[0]).value / 2
    assert similarity(large[0]).value == similarity(small[0]).value
    assert similarity(large[0], definition="reference").value == (similarity(small[0]).value - 1) / 2
    order = np.random.default_rng(2).permutation(UNITS)
    np.testing.assert_array_equal(scores(large, in_turn(order)), scores(small, order))
    assert robustness(large).value == pytest.approx(robustness(small).value, abs=0.03)
    assert last_layer_census(*large).counts["silent"] == UNITS


def detectors(labels, of_a_class, present):
    """Units that each detect a feature of one class, present in a share of its samples."""
    of = np.arange(CLASSES * of_a_class) % CLASSES
    seen = np.random.default_rng(5).random((N, len(of))) < present
    return ((labels[:, None] == of) & seen).astype(float), np.eye(CLASSES)[:, of], np.zeros(CLASSES)


def test_semantically_redundant_units_are_more_robust_and_not_more_redundant():
    labels = np.random.default_rng(4).integers(CLASSES, size=N)
    holistic, bag = detectors(labels, 1, present=1), detectors(labels, 16, present=0.3)
    assert (predicted(holistic) == labels).all()
    assert (predicted(bag) == labels).mean() > 0.99
    assert robustness(bag).low > robustness(holistic).high + 0.1
    assert similarity(bag[0]).value <= similarity(holistic[0]).value == 0
    assert compressibility(bag[0]).low >= compressibility(holistic[0]).high
    assert last_layer_census(*bag).counts["redundant functional"] == 0


def test_blocked_noise_makes_a_network_neither_robust_nor_redundant(small, uncorrelated):
    large = beside(small, uncorrelated[:, UNITS:])
    assert compressibility(large[0]).value == compressibility(small[0]).value
    assert similarity(large[0]).value == similarity(small[0]).value == 0
    order = np.random.default_rng(2).permutation(UNITS)
    np.testing.assert_array_equal(scores(large, in_turn(order)), scores(small, order))
    assert robustness(large).value == pytest.approx(robustness(small).value, abs=0.03)
    counts = last_layer_census(*large).counts
    assert (counts["blocked"], counts["rest"]) == (UNITS, UNITS)
