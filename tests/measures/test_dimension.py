import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from netprops.errors import MeasurementError, UsageError
from netprops.measures.dimension import dimension_curve, intrinsic_dimension

W = 40


def gaussian(rng, samples, d, width=W):
    """A d-dimensional Gaussian, linearly embedded in ``width`` units."""
    frame = np.linalg.qr(rng.standard_normal((width, d)))[0]
    return rng.standard_normal((samples, d)) @ frame.T


def cube(rng, samples, d, width=W):
    frame = np.linalg.qr(rng.standard_normal((width, d)))[0]
    return rng.random((samples, d)) @ frame.T


def by_hand(features):
    """The estimate with neighbours from all distances and the censored likelihood written out."""
    distances = cdist(features, features)
    np.fill_diagonal(distances, np.inf)
    near = np.sort(distances, axis=1)
    logs = np.sort(np.log(near[:, 1] / near[:, 0]))
    kept = int(0.9 * len(logs))
    return (kept - 1) / (logs[:kept].sum() + (len(logs) - kept) * logs[kept - 1])


@pytest.mark.parametrize("planted", [gaussian, cube])
@pytest.mark.parametrize("d", [2, 5, 12])
def test_a_known_dimension_is_covered(planted, d):
    rng = np.random.default_rng(d)
    found = [intrinsic_dimension(planted(rng, 900, d), rng=rng) for _ in range(20)]
    assert sum(one.low <= d <= one.high for one in found) >= 18
    assert np.mean([one.value for one in found]) == pytest.approx(d, rel=0.2)
    assert found[0].n == 900


def test_the_sampling_law_is_that_of_estimates_on_other_samples():
    rng = np.random.default_rng(0)
    found = [intrinsic_dimension(gaussian(rng, 400, 2), rng=rng) for _ in range(60)]
    values = np.array([one.value for one in found])
    law = np.mean([one.standard_error for one in found])
    assert 0.7 < law / values.std(ddof=1) < 1.5
    inside = [one.details["sampling_low"] <= values.mean() <= one.details["sampling_high"] for one in found]
    assert sum(inside) >= 53  # 57 expected, standard deviation 1.7


def test_the_estimate_is_that_of_all_distances():
    features = gaussian(np.random.default_rng(1), 300, 4) + 1e3
    found = intrinsic_dimension(features, rng=np.random.default_rng(0))
    assert found.value == pytest.approx(by_hand(features), rel=1e-6)
    line = intrinsic_dimension(features, rng=np.random.default_rng(0), definition="reference")
    assert line.definition == "reference"
    assert line.value != found.value
    assert line.value == pytest.approx(4, rel=0.25)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-20, 1e20))
def test_rotation_scale_order_and_constant_units_change_nothing(seed, factor):
    rng = np.random.default_rng(seed)
    features = gaussian(rng, 200, 3, width=8)
    turned = features @ np.linalg.qr(rng.standard_normal((8, 8)))[0]
    moved = np.concatenate([rng.permutation(turned) * factor, np.full((200, 2), 7.0 * factor)], axis=1)
    first, second = (intrinsic_dimension(each, rng=rng) for each in (features, moved))
    assert second.value == pytest.approx(first.value, rel=1e-4)


def test_noise_in_all_units_is_not_of_low_dimension():
    rng = np.random.default_rng(2)
    full = intrinsic_dimension(rng.standard_normal((600, W)), rng=rng)
    assert full.low > 15
    assert full.high > W


def test_copies_are_dropped_and_counted():
    rng = np.random.default_rng(3)
    features = gaussian(rng, 300, 3)
    features[:, 0] = 0.0
    twice = np.concatenate([features, features[:120] * [-1 if i == 0 else 1 for i in range(W)]])
    once, both = (intrinsic_dimension(each, rng=rng) for each in (features, twice))
    assert both.value == pytest.approx(once.value)
    assert (both.n, both.details["copies"], both.details["samples"]) == (300, 120, 420)


def test_many_samples_are_thinned_by_the_generator():
    features = gaussian(np.random.default_rng(4), 3000, 2).astype(np.float32)
    first, again, other = (
        intrinsic_dimension(features, rng=np.random.default_rng(seed), samples=400) for seed in (0, 0, 1)
    )
    assert first.n == 400
    assert first.value == again.value != other.value
    assert other.low <= first.value <= other.high


def test_one_unit_has_one_dimension():
    rng = np.random.default_rng(5)
    found = intrinsic_dimension(rng.random((500, 1)), rng=rng)
    assert found.low <= 1 <= found.high
    assert found.value == pytest.approx(1, rel=0.2)


def test_noise_shows_at_the_scale_of_many_samples():
    rng = np.random.default_rng(6)
    plane = gaussian(rng, 2500, 2)
    clean = dimension_curve(plane, rng=rng)
    noisy = dimension_curve(plane + 0.03 * rng.standard_normal(plane.shape), rng=rng)
    assert clean.x.tolist() == [78, 156, 312, 625, 1250, 2500]
    assert clean.low[0] <= clean.y[-1] <= clean.high[0]
    assert noisy.low[-1] > 1.3 * noisy.high[0]
    assert noisy.y[-1] == pytest.approx(
        intrinsic_dimension(plane + 0.03 * rng.standard_normal(plane.shape), rng=rng).value, rel=0.15
    )


def test_bad_features_are_named():
    rng = np.random.default_rng(7)
    features = gaussian(rng, 100, 2)
    with pytest.raises(MeasurementError, match=r"need N >= 1 samples of W >= 1 units, got shape \(100,\)"):
        intrinsic_dimension(features[:, 0], rng=rng)
    with pytest.raises(MeasurementError, match="at least 20 distinct samples are needed, got 19 among 19"):
        intrinsic_dimension(features[:19], rng=rng)
    with pytest.raises(MeasurementError, match="got 1 among 100"):
        intrinsic_dimension(np.ones((100, 3)), rng=rng)
    with pytest.raises(MeasurementError, match="features on a grid"):
        intrinsic_dimension(np.indices((10, 10)).reshape(2, -1).T, rng=rng)
    features[57, 3] = np.nan
    with pytest.raises(MeasurementError, match="features of sample 57 are not finite"):
        intrinsic_dimension(features, rng=rng, samples=20)


def test_unknown_arguments_are_refused():
    features, rng = gaussian(np.random.default_rng(8), 100, 2), np.random.default_rng(0)
    with pytest.raises(UsageError, match="definition is 'default' or 'reference', got 'mine'"):
        intrinsic_dimension(features, rng=rng, definition="mine")
    with pytest.raises(UsageError, match="got samples=10"):
        intrinsic_dimension(features, rng=rng, samples=10)
    with pytest.raises(UsageError, match="got smallest=5"):
        dimension_curve(features, rng=rng, smallest=5)
