import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.measures import ablation
from netprops.measures.ablation import (
    ablated_units,
    ablation_curve,
    area,
    fractions_of,
    last_layer_ablation,
    last_layer_scores,
    unit_orders,
)


def readout(rng, samples=300, units=24, outputs=4):
    features = np.maximum(rng.standard_normal((samples, units)), 0).astype(np.float32)
    return features, rng.standard_normal((outputs, units)), rng.standard_normal(outputs)


def by_hand(features, weight, bias, orders, fractions):
    def predicted(kept):
        logits = kept.astype(np.float64) @ weight.T + bias
        return np.sign(logits[:, 0]) if len(bias) == 1 else logits.argmax(axis=1)

    scores = np.empty((len(orders), len(fractions)))
    for row, order in enumerate(orders):
        for column, fraction in enumerate(fractions):
            kept = features.copy()
            kept[:, order[: round(fraction * len(order))]] = 0
            scores[row, column] = (predicted(kept) == predicted(features)).mean()
    return scores


@pytest.mark.parametrize("outputs", [1, 2, 7])
@pytest.mark.parametrize("units", [1, 4, 25])
def test_scores_are_those_of_features_set_to_zero(outputs, units, monkeypatch):
    monkeypatch.setattr(ablation, "_BLOCK", 1000)
    rng = np.random.default_rng(outputs * units)
    features, weight, bias = readout(rng, units=units, outputs=outputs)
    orders = unit_orders(units, repeats=3, rng=rng)
    for fractions in (fractions_of(7), [0.3, 0.31, 1.0]):
        found = last_layer_scores(features, weight, bias, orders=orders, fractions=fractions)
        np.testing.assert_array_equal(found, by_hand(features, weight, bias, orders, fractions))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_samples_and_units_and_scale_between_layers_change_nothing(seed):
    rng = np.random.default_rng(seed)
    features, weight, bias = readout(rng, samples=60)
    orders = unit_orders(24, repeats=2, rng=rng)
    units, scale = rng.permutation(24), 2.0 ** rng.integers(-5, 5, 24)
    moved = (rng.permutation(features) * scale)[:, units], (weight / scale)[:, units], bias
    place = np.argsort(units)
    one = last_layer_scores(features, weight, bias, orders=orders, fractions=fractions_of(7))
    other = last_layer_scores(*moved, orders=place[orders], fractions=fractions_of(7))
    np.testing.assert_array_equal(one, other)


def test_units_that_the_readout_ignores_change_nothing_and_the_only_useful_one_does():
    rng = np.random.default_rng(1)
    features, weight, bias = readout(rng, units=10)
    weight[:, :9] = 0
    bias[:] = 0
    features[:, 9] += 0.1
    orders = np.array([np.arange(10), np.arange(10)[::-1]])
    scores = last_layer_scores(features, weight, bias, orders=orders, fractions=np.linspace(0, 1, 11))
    assert scores[0].tolist() == [1] * 10 + [scores[0, 10]]
    assert scores[1].tolist() == [1] + [scores[0, 10]] * 10
    assert scores[0, 10] in (0, 1)  # the bias alone predicts one class


def test_a_curve_has_its_orders_and_an_interval_over_them():
    rng = np.random.default_rng(2)
    features, weight, bias = readout(rng)
    curve = last_layer_ablation(features, weight, bias, rng=np.random.default_rng(0))
    again, other = (
        last_layer_ablation(features, weight, bias, rng=np.random.default_rng(seed)) for seed in (0, 1)
    )
    np.testing.assert_allclose(curve.x, np.arange(7) / 6)
    assert curve.replicates.shape == (3, 7)
    assert (curve.y[0], curve.low[0], curve.high[0]) == (1, 1, 1)
    assert (curve.low <= curve.y).all()
    assert (curve.y <= curve.high).all()
    assert (curve.low >= 0).all()
    assert (curve.high <= 1).all()
    np.testing.assert_array_equal(curve.replicates, again.replicates)
    assert not np.array_equal(curve.replicates, other.replicates)
    assert dict(curve.details) == {"order": "random", "samples": 300, "units": 24}


def test_the_interval_over_three_orders_covers_the_mean_over_many():
    rng = np.random.default_rng(3)
    features, weight, bias = readout(rng, samples=200)
    many = area(last_layer_ablation(features, weight, bias, repeats=400, rng=rng))
    few = [area(last_layer_ablation(features, weight, bias, rng=rng)) for _ in range(40)]
    assert sum(one.low <= many.value <= one.high for one in few) >= 34  # 38 expected, deviation 1.4


def test_areas_of_known_curves():
    step = ablation_curve([[1, 1, 0], [1, 1, 0]], [0, 0.5, 1])
    assert area(step).value == pytest.approx(0.75)
    assert area(step, "reference").value == pytest.approx(2 / 3)
    assert area(step, "reference").definition == "reference"
    line = ablation_curve([np.linspace(1, 0, 7), np.ones(7)], fractions_of(7))
    found = area(line)
    assert found.value == pytest.approx(0.75)
    assert (found.low, found.high, found.n, found.n_of) == (0, 1, 2, "permutations")
    assert found.standard_error == pytest.approx(0.25)
    assert area(ablation_curve([[1, 0]] * 2, [0.2, 0.4])).value == pytest.approx(0.5)


def test_targeted_orders_go_by_correlation():
    rng = np.random.default_rng(4)
    base = rng.standard_normal((500, 1))
    noise = rng.standard_normal((500, 5))
    features = np.hstack([noise[:, :2], base + 0.1 * noise[:, 2:], np.ones((500, 1))])
    most = unit_orders(6, order="most-similar", repeats=3, rng=rng, activations=features)
    least = unit_orders(6, order="least-similar", repeats=3, rng=rng, activations=features)
    assert most.shape == least.shape == (1, 6)
    assert set(most[0, :3]) == set(least[0, -3:]) == {2, 3, 4}
    assert (most[0, -1], least[0, 0]) == (5, 5)  # the constant one
    one = unit_orders(6, order="similar-to-one", repeats=20, rng=rng, activations=features)
    assert one.shape == (20, 6)
    assert (np.sort(one) == np.arange(6)).all()
    assert {0, 2, 5} <= set(one[:, 0])
    assert all(set(row[:3]) == {2, 3, 4} for row in one if row[0] in (2, 3, 4))


def test_a_fixed_order_gives_an_exact_area():
    rng = np.random.default_rng(5)
    features, weight, bias = readout(rng)
    curve = last_layer_ablation(features, weight, bias, rng=rng, order="least-similar")
    found = area(curve)
    assert (found.n, found.n_of, found.standard_error) == (1, "fixed order", 0)
    assert found.low == found.value == found.high
    np.testing.assert_array_equal(curve.low, curve.high)


def test_rounding_of_fractions():
    assert ablated_units(4, fractions_of(7)).tolist() == [0, 1, 1, 2, 3, 3, 4]
    assert ablated_units(512, fractions_of(7)).tolist() == [0, 85, 171, 256, 341, 427, 512]


def test_bad_input_is_named():
    rng = np.random.default_rng(6)
    features, weight, bias = readout(rng)
    orders = unit_orders(24, repeats=2, rng=rng)
    with pytest.raises(UsageError, match="needs at least the fractions 0 and 1, got 1 steps"):
        fractions_of(1)
    with pytest.raises(UsageError, match=r"fractions increase within \[0, 1\], got \[0.5, 0.5\]"):
        ablated_units(3, [0.5, 0.5])
    with pytest.raises(UsageError, match=r"order is one of 'random', .*, got 'mine'"):
        unit_orders(24, repeats=2, rng=rng, order="mine")
    with pytest.raises(UsageError, match="at least one repeat is needed, got 0"):
        unit_orders(24, repeats=0, rng=rng)
    with pytest.raises(UsageError, match=r"order 'most-similar' needs \(N, 24\) activations, got None"):
        unit_orders(24, repeats=2, rng=rng, order="most-similar")
    with pytest.raises(UsageError, match=r"orders are \(R, 24\), each row a permutation"):
        last_layer_scores(features, weight, bias, orders=orders % 23, fractions=[0, 1])
    with pytest.raises(MeasurementError, match=r"weight \(4, 23\) and bias \(4,\) do not fit"):
        last_layer_scores(features, weight[:, 1:], bias, orders=orders, fractions=[0, 1])
    with pytest.raises(MeasurementError, match="a weight or bias of the readout is not finite"):
        last_layer_ablation(features, weight * np.nan, bias, rng=rng)
    with pytest.raises(MeasurementError, match="at least two of them, got one"):
        last_layer_ablation(features, weight, bias, rng=rng, repeats=1)
    with pytest.raises(MeasurementError, match=r"scores \(2, 3\) for 2 fractions"):
        ablation_curve(np.ones((2, 3)), [0, 1])
    with pytest.raises(MeasurementError, match=r"shares in \[0, 1\], got 1.0 to 2.0"):
        ablation_curve([[1, 2], [1, 1]], [0, 1])
    curve = ablation_curve([[1, 0], [1, 1]], [0, 1])
    with pytest.raises(UsageError, match="got 'mine'"):
        area(curve, "mine")
    with pytest.raises(MeasurementError, match="a curve with replicates"):
        area(type(curve).from_json(curve.to_json()))
    features[11, 3] = np.inf
    with pytest.raises(MeasurementError, match="features of sample 11 are not finite"):
        last_layer_ablation(features, weight, bias, rng=rng)
