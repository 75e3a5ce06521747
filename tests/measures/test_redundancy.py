import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measurement import Measurement
from netprops.measures.redundancy import compressibility, over_samplings, similarity, spatial_sample


def of_spectrum(eigenvalues, samples, rng):
    """Centred features whose covariance has exactly these eigenvalues, up to a factor."""
    units = len(eigenvalues)
    basis = np.linalg.qr(rng.standard_normal((samples, units)) - 0.0)[0]
    basis = np.linalg.qr(basis - basis.mean(axis=0))[0]
    turn = np.linalg.qr(rng.standard_normal((units, units)))[0]
    return basis * np.sqrt(eigenvalues) @ turn


def components_by_svd(features, share):
    squares = np.linalg.svd(features - features.mean(axis=0), compute_uv=False) ** 2
    return int(np.argmax(np.cumsum(squares) >= share * squares.sum() * (1 - 1e-12))) + 1


@pytest.mark.parametrize(
    ("eigenvalues", "share", "needed"),
    [
        ([90, 5, 3, 2], 0.95, 2),
        ([90, 4, 4, 2], 0.95, 3),
        ([1] * 20, 0.95, 19),
        ([1, 0, 0, 0, 0], 0.95, 1),
        ([1, 1, 1, 1], 0.5, 2),
    ],
)
def test_known_spectra(eigenvalues, share, needed):
    n = len(eigenvalues)
    features = of_spectrum(np.array(eigenvalues, float), 200, np.random.default_rng(0)) + 7
    found = compressibility(features, share=share)
    assert found.value == needed / n
    assert found.low <= found.value <= found.high
    assert found.details["components"] == needed
    # The authors' rule, written out: from the smallest on, until more than the rest is exceeded.
    spectrum = np.sort(eigenvalues) / np.sum(eigenvalues)
    count = int(np.argmax(np.cumsum(spectrum) > 1 - share + 1e-9)) + 1
    reference = compressibility(features, share=share, definition="reference")
    assert (reference.value, reference.definition) == (count / n, "reference")
    assert reference.low <= reference.value <= reference.high


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-6, 1e6))
def test_rotation_order_scale_and_offset_change_no_number_of_components(seed, factor):
    rng = np.random.default_rng(seed)
    features = np.maximum(rng.standard_normal((120, 5)) @ rng.standard_normal((5, 16)), 0)
    turn = np.linalg.qr(rng.standard_normal((16, 16)))[0]
    moved = (features @ turn * factor)[rng.permutation(120)] + rng.standard_normal(16)
    one, other = compressibility(features), compressibility(moved)
    assert one.value == other.value == components_by_svd(features, 0.95) / 16


def test_more_units_than_samples_give_the_same_components():
    rng = np.random.default_rng(1)
    features = rng.standard_normal((60, 8)) * np.arange(1, 9) @ rng.standard_normal((8, 100)) + 3
    found = compressibility(features.astype(np.float32))
    assert found.value == components_by_svd(features, 0.95) / 100
    assert found.low < found.high
    copied = compressibility(np.tile(features, (2, 1)), blocks=5)
    assert copied.value == found.value


def test_both_ways_to_the_spectrum_give_one_interval():
    rng = np.random.default_rng(2)
    features = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 40))
    square, wide = compressibility(features), compressibility(np.hstack([features, np.zeros((40, 1))]))
    assert wide.details["components"] == square.details["components"]
    assert wide.standard_error * 41 == pytest.approx(square.standard_error * 40)


def test_the_interval_covers_the_components_of_many_samples():
    rng = np.random.default_rng(3)
    scale = 0.9 ** np.arange(60)
    truth = np.searchsorted(np.cumsum(scale**2), 0.95 * (scale**2).sum()) + 1
    found = [compressibility(rng.standard_normal((3000, 60)) * scale) for _ in range(20)]
    assert sum(one.low * 60 <= truth <= one.high * 60 for one in found) >= 18
    assert np.mean([one.high - one.low for one in found]) * 60 < 4


def test_copies_and_silent_units_can_be_compressed_and_noise_cannot():
    noise = np.random.default_rng(4).standard_normal((2000, 40))
    plain = compressibility(noise)
    assert plain.value > 0.85
    for wider in (np.tile(noise, 2), np.pad(noise, ((0, 0), (0, 40)))):
        assert compressibility(wider).value == plain.value / 2
        assert compressibility(wider, definition="reference").value > 0.5


def test_similarity_counts_other_units_and_constant_ones_apart():
    noise = np.random.default_rng(5).standard_normal((300, 6))
    layer = np.hstack([noise[:, :1]] * 3 + [noise[:, 1:3], np.full((300, 1), 4.0)])
    found = similarity(layer)
    assert (found.value, found.unit) == (pytest.approx(3 * 2 / 5), "units")
    assert (found.details["constant"], found.details["share"]) == (1, pytest.approx(1.2 / 6))
    reference = similarity(layer, definition="reference")
    assert reference.value == pytest.approx((3 * 2 - 1) / 6)
    assert similarity(noise).value == 0


def test_samplings_are_averaged_and_not_better_known_than_their_samples():
    rng = np.random.default_rng(6)
    features = rng.standard_normal((3000, 12)) @ rng.standard_normal((12, 40)) * 2
    features += rng.standard_normal(features.shape)
    parts = [features[rng.choice(3000, 900, replace=False)] for _ in range(3)]
    pooled = over_samplings([compressibility(part) for part in parts])
    assert (pooled.n, pooled.n_of, pooled.name) == (3, "samplings", "compressibility")
    assert pooled.value == pytest.approx(np.mean([compressibility(part).value for part in parts]))
    assert pooled.standard_error >= max(compressibility(part).standard_error for part in parts)
    same = over_samplings([similarity(part, threshold=0.3) for part in parts])
    values = [similarity(part, threshold=0.3).value for part in parts]
    assert same.value == pytest.approx(np.mean(values))
    assert same.standard_error == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert same.details["samples"] == 900


def test_positions_are_samples_of_channels():
    images = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    rows = spatial_sample(images, rng=np.random.default_rng(0))
    assert rows.shape == (40, 3)
    np.testing.assert_array_equal(rows[7], images[0, :, 1, 2])
    some = spatial_sample(images, count=9, rng=np.random.default_rng(0))
    assert len(np.unique(some[:, 0])) == 9
    assert {tuple(row) for row in some} <= {tuple(row) for row in rows}
    again, other = (spatial_sample(images, count=9, rng=np.random.default_rng(seed)) for seed in (0, 1))
    assert np.array_equal(some, again)
    assert not np.array_equal(some, other)
    words = np.arange(24).reshape(2, 4, 3)
    np.testing.assert_array_equal(spatial_sample(words, rng=np.random.default_rng(0)), words.reshape(8, 3))
    assert spatial_sample(words[0], count=2, rng=np.random.default_rng(0)).shape == (2, 3)


def test_the_activations_are_left_as_they_are():
    for shape in ((60, 4), (30, 50)):
        features = np.random.default_rng(8).standard_normal((shape[0], 3)) @ np.ones((3, shape[1])) + 2
        before = features.copy()
        compressibility(features)
        similarity(features)
        np.testing.assert_array_equal(features, before)


def test_bad_input_is_named():
    rng = np.random.default_rng(7)
    features = rng.standard_normal((100, 5))
    with pytest.raises(MeasurementError, match="compressibility: the layer is constant"):
        compressibility(np.ones((50, 3)))
    with pytest.raises(MeasurementError, match="compressibility: the layer is constant"):
        compressibility(np.full((50, 60), 0.1))
    with pytest.raises(MeasurementError, match="similarity: all 3 units are constant over 50 samples"):
        similarity(np.ones((50, 3)))
    with pytest.raises(MeasurementError, match="10 blocks need at least 20 samples, got 19"):
        compressibility(features[:19])
    with pytest.raises(UndeterminedError, match=r"\d+ components are needed for 95% .* measure at least"):
        compressibility(rng.standard_normal((100, 90)))
    with pytest.raises(MeasurementError, match=r"got shape \(2, 2, 2\); spatial_sample makes rows"):
        similarity(np.ones((2, 2, 2)))
    with pytest.raises(UsageError, match="definition is 'default' or 'reference', got 'x'"):
        compressibility(features, definition="x")
    with pytest.raises(UsageError, match="definition is 'default' or 'reference', got 'x'"):
        similarity(features, definition="x")
    with pytest.raises(UsageError, match=r"0 < share < 1 and blocks >= 2 are expected, got 1\.0"):
        compressibility(features, share=1.0)
    with pytest.raises(UsageError, match=r"got \(5,\) and 3"):
        spatial_sample(features[0], count=3, rng=rng)
    mixed = [similarity(features), compressibility(features)]
    with pytest.raises(MeasurementError, match=r"got compressibility \(default\), similarity \(default\)"):
        over_samplings(mixed)
    with pytest.raises(MeasurementError, match="got none"):
        over_samplings([])
    with pytest.raises(MeasurementError, match="at least two samplings, got 1"):
        over_samplings([Measurement.exact("a", 1, n=1, n_of="samples", how="count")])
    for wide in (1, 40):
        bad = np.tile(features, wide)
        bad[17, 4] = np.inf
        with pytest.raises(MeasurementError, match=r"unit 4 is inf|sample 17, unit 4 is inf"):
            compressibility(bad)
