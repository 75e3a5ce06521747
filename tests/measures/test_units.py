import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.units import KINDS, census, last_layer_blocked, last_layer_census


def layer(rng, samples=400):
    """Features and a readout of three classes with two units of every kind, in the order of KINDS."""
    useful = np.maximum(rng.standard_normal((samples, 2)), 0)
    noise = rng.standard_normal((samples, 4))
    features = np.hstack(
        [
            np.zeros((samples, 2)),  # silent
            np.full((samples, 2), [0.3, -2]),  # constant
            useful[:, :1] * [1, 2],  # each the other's copy, and used
            noise[:, :1] * [1, -1] + 3,  # each the other's mirror image, and not used
            noise[:, 1:3],  # noise that is not used
            noise[:, 3:] * [1.5],
            useful[:, 1:],  # the rest
        ]
    )
    weight = np.zeros((3, 12))
    weight[:, :4] = rng.standard_normal((3, 4)) * 1e-9
    weight[:, 4] = weight[:, 5] = 1, -1, 0
    weight[:, 10:] = rng.standard_normal((3, 2)) * 3
    return features, weight, np.array([0.0, 0.1, 0.2])


def test_every_kind_is_recognised_and_they_add_up():
    features, weight, bias = layer(np.random.default_rng(0))
    found = last_layer_census(features, weight, bias)
    assert [KINDS[kind] for kind in found.kinds] == [kind for kind in KINDS for _ in range(2)]
    assert found.counts == dict.fromkeys(KINDS, 2)
    assert sum(found.counts.values()) == 12
    share = found.share("redundant blocked")
    assert (share.value, share.low, share.high, share.n) == (2 / 12, 2 / 12, 2 / 12, 400)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000))
def test_order_of_units_and_scale_between_layers_change_nothing(seed):
    rng = np.random.default_rng(seed)
    features, weight, bias = layer(rng)
    units, scale = rng.permutation(12), 2.0 ** rng.integers(-8, 8, 12)
    one = last_layer_census(features, weight, bias)
    other = last_layer_census((features * scale)[:, units], (weight / scale)[:, units], bias)
    np.testing.assert_array_equal(other.kinds, one.kinds[units])


def test_redundancy_is_that_of_a_regression_on_the_other_units():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((300, 5)) @ rng.standard_normal((5, 8))
    features += 0.4 * rng.standard_normal(features.shape)
    shares = []
    for unit in range(8):
        others = np.column_stack([np.delete(features, unit, axis=1), np.ones(300)])
        left = features[:, unit] - others @ np.linalg.lstsq(others, features[:, unit], rcond=None)[0]
        shares.append(1 - left.var() / features[:, unit].var() * 299 / 292)
    blocked = np.zeros(8, dtype=bool)
    for explained in np.sort(shares)[1:-1]:
        for off in (-1e-6, 1e-6):
            found = census(features, blocked, explained=explained + off).counts["redundant functional"]
            assert found == sum(share >= explained + off for share in shares)


def test_a_combination_of_several_units_is_redundant_and_noise_of_many_units_is_not():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((400, 150)).astype(np.float32)
    blocked = np.zeros(150, dtype=bool)
    assert census(noise, blocked).counts["rest"] == 150
    noise[:, 0] = noise[:, 1:6].sum(axis=1)
    assert census(noise, blocked).kinds[:8].tolist() == [2] * 6 + [5] * 2


def test_blocked_units_are_those_whose_ablation_changes_nothing():
    rng = np.random.default_rng(3)
    features = np.maximum(rng.standard_normal((60, 30)), 0).astype(np.float32)
    for outputs in (1, 4):
        weight = rng.standard_normal((outputs, 30)) * np.geomspace(1e-3, 1, 30)
        bias = rng.standard_normal(outputs)
        predicted = np.sign if outputs == 1 else lambda logits: logits.argmax(axis=1)[:, None]
        intact = predicted(features @ weight.T + bias)
        expected = []
        for unit in range(30):
            left = features.copy()
            left[:, unit] = 0
            expected.append((predicted(left @ weight.T + bias) == intact).all())
        found = last_layer_blocked(features, weight, bias)
        assert found.tolist() == expected
        assert 0 < sum(expected) < 30


def test_bad_input_is_named():
    features, weight, bias = layer(np.random.default_rng(4))
    blocked = np.zeros(12, dtype=bool)
    with pytest.raises(MeasurementError, match=r"activations \(400, 12\) and blocked \(3,\) do not fit"):
        census(features, blocked[:3])
    with pytest.raises(MeasurementError, match="blocked is int64, expected bool"):
        census(features, blocked.astype(np.int64))
    with pytest.raises(UndeterminedError, match="15 samples for 8 units that vary; at least 16"):
        census(features[:15], blocked)
    with pytest.raises(UsageError, match=r"share of variance in \(0, 1\], got 0"):
        census(features, blocked, explained=0)
    with pytest.raises(MeasurementError, match=r"weight \(3, 11\) .* do not fit"):
        last_layer_blocked(features, weight[:, :11], bias)
    with pytest.raises(UsageError, match="'dead' is no kind of unit; there are 'silent', 'constant'"):
        last_layer_census(features, weight, bias).share("dead")
    features[7, 3] = np.nan
    with pytest.raises(MeasurementError, match="features of sample 7 are not finite"):
        last_layer_census(features, weight, bias)
    dead = census(np.zeros((5, 3)), np.ones(3, dtype=bool))
    assert dead.counts["silent"] == 3
