import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UsageError
from netprops.measures import correlated, panels
from netprops.measures.correlated import correlations, mean_correlation, similar_units


def by_numpy(activations, threshold=0.5):
    with np.errstate(invalid="ignore", divide="ignore"):
        sizes = np.abs(np.corrcoef(activations.astype(np.float64), rowvar=False))
    np.fill_diagonal(sizes, 0)
    return (sizes >= threshold - 1e-12).sum(axis=0)


def relu_features(rng, samples, units, d=6):
    features = rng.standard_normal((samples, d)) @ rng.standard_normal((d, units))
    return np.maximum(features, 0).astype(np.float32)


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"])
def half(request, monkeypatch):
    monkeypatch.setattr(panels, "half_is_fast", lambda: request.param)
    return request.param


@pytest.mark.parametrize("threshold", [1e-6, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("many", [0.0, 1.0], ids=["tiles", "pairs"])
def test_counts_are_those_of_the_whole_correlation_matrix(half, many, threshold, monkeypatch):
    monkeypatch.setattr(panels, "_MANY", many)
    monkeypatch.setattr(correlated, "_UNITS", 40)
    monkeypatch.setattr(panels, "PART", 16)
    features = relu_features(np.random.default_rng(0), 500, 150)
    found = similar_units(features, threshold=threshold)
    np.testing.assert_array_equal(found.counts, by_numpy(features, threshold))
    assert 0 < found.counts.sum() <= 150 * 149


def test_a_correlation_of_exactly_the_threshold_counts_whatever_rounding_says(half):
    # 4 signs of 8 agree or disagree: r = +-1/2 exactly between every pair of rows of these.
    base = np.array([1, 1, 1, 1, -1, -1, -1, -1.0])
    other = np.array([1, 1, 1, -1, -1, -1, -1, 1.0])
    pair = np.tile(np.stack([base, other, -other], axis=1), (7, 1)) * [0.1, 3e4, 1e-3] + [1e3, 0, 0.7]
    assert np.allclose(np.abs(correlations(pair)), [[1, 0.5, 0.5], [0.5, 1, 1], [0.5, 1, 1]], atol=1e-12)
    assert similar_units(pair).counts.tolist() == [2, 2, 2]
    assert similar_units(pair, threshold=1.0).counts.tolist() == [0, 1, 1]
    assert similar_units(pair, threshold=0.5 + 1e-9).counts.tolist() == [0, 1, 1]


def test_pairs_that_single_precision_cannot_tell_are_decided_in_double(half):
    rng = np.random.default_rng(1)
    first, second = np.linalg.qr(rng.standard_normal((400, 3)) - 0)[0][:, :2].T
    first, second = first - first.mean(), second - second.mean()
    first /= np.linalg.norm(first)
    second -= first * (first @ second)
    second /= np.linalg.norm(second)
    for shift, counted in ((1e-9, 1), (-1e-9, 0)):
        r = 0.5 + shift
        pair = np.stack([first, r * first + np.sqrt(1 - r * r) * second], axis=1)
        assert similar_units(pair).counts.tolist() == [counted, counted]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.sampled_from([np.float32, np.float64]))
def test_order_scale_sign_and_offset_change_nothing(seed, dtype):
    rng = np.random.default_rng(seed)
    features = relu_features(rng, 80, 30).astype(np.float64)
    units = rng.permutation(30)
    signs = rng.choice([-1, 1], 30) * np.exp(rng.normal(size=30))
    moved = (rng.permutation(features)[:, units] * signs + rng.normal(size=30)).astype(dtype)
    np.testing.assert_array_equal(similar_units(moved).counts, similar_units(features).counts[units])


def test_rounding_stays_below_what_is_decided_again(half):
    rng = np.random.default_rng(9)
    signals = rng.standard_normal((20_000, 3)) @ rng.standard_normal((3, 24)) + rng.standard_normal(
        (20_000, 24)
    )
    for features in (np.exp(1.5 * signals), (signals > 1) * 1.0, signals + 1e3):
        units = panels.Units(features.astype(np.float32), "x")
        panel = units.panel(0, 24)
        exact = np.abs(correlations(units.activations))
        for threshold in (0.2, 0.5):
            tile, _ = panels.screened(panel, panel, threshold, 1, units.rounding)
            close = np.triu(np.abs(exact - threshold) < 0.002, 1)  # within what bfloat16 leaves undecided
            assert np.abs(tile - exact)[close].max(initial=0) < units.rounding / 2
            assert ((tile >= threshold) == (exact >= threshold))[
                np.abs(exact - threshold) > units.rounding
            ].all()


def test_independent_units_are_similar_to_none_and_copies_to_their_copies():
    rng = np.random.default_rng(2)
    noise = rng.standard_normal((400, 20))
    assert not similar_units(noise).counts.any()
    copies = np.concatenate([noise, -2 * noise, noise + 5], axis=1)
    assert (similar_units(copies).counts == 2).all()


def test_constant_units_are_similar_to_none():
    features = np.random.default_rng(3).standard_normal((50, 4)).astype(np.float32)
    features[:, [1, 2]] = 0.1, 0
    found = similar_units(np.concatenate([features, features], axis=1))
    assert found.varies.tolist() == [True, False, False, True] * 2
    assert found.counts.tolist() == [1, 0, 0, 1] * 2


def test_a_memmap_is_read_and_left_as_it_is(tmp_path):
    features = relu_features(np.random.default_rng(4), 200, 40)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    np.testing.assert_array_equal(similar_units(mapped).counts, by_numpy(features))


def test_mean_correlation_is_that_of_numpy_without_the_unit_itself():
    features = relu_features(np.random.default_rng(5), 300, 12)
    sizes = np.abs(np.corrcoef(features, rowvar=False))
    expected = (sizes.sum(axis=0) - 1) / 11
    np.testing.assert_allclose(mean_correlation(features), expected, atol=1e-9)
    features[:, 3] = 2
    assert mean_correlation(features)[3] == 0
    assert mean_correlation(features[:, 3:4]).tolist() == [0]


def test_bad_input_is_named():
    features = np.ones((5, 3))
    with pytest.raises(UsageError, match=r"threshold of \|r\| lies in \(0, 1\], got 0"):
        similar_units(features, threshold=0)
    with pytest.raises(MeasurementError, match=r"at least 2 samples and 1 unit, got shape \(1, 3\)"):
        similar_units(features[:1])
    features[3, 2] = np.nan
    with pytest.raises(MeasurementError, match="unit 2 is nan for sample 3"):
        similar_units(features)


def test_the_activations_are_left_as_they_are():
    features = np.random.default_rng(6).standard_normal((30, 4)) + 3
    before = features.copy()
    similar_units(features)
    mean_correlation(features)
    np.testing.assert_array_equal(features, before)


def test_numbers_that_bfloat16_rounds_by_the_most_are_not_counted_as_more_alike():
    # Of 16,256 samples each is +-1/127.5 of norm 1, halfway between two numbers of bfloat16: 0.4% too large
    # or too small in every sample, and 0.8% in every product.
    samples, unlike = 16_256, 820
    base = np.tile([1.0, -1.0], samples // 2)
    other = base.copy()
    other[:unlike] *= -1
    pair = np.stack([base, other], axis=1).astype(np.float32)
    r = 1 - 2 * unlike / samples
    for threshold, counted in ((r + 1e-4, 0), (r - 1e-4, 1), (r + 5e-3, 0), (r + 7e-3, 0), (r - 7e-3, 1)):
        assert similar_units(pair, threshold=threshold).counts.tolist() == [counted, counted]
