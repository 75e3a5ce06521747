import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from netprops.data.whitening import STEP, whitened
from netprops.errors import DamagedDataError


def pixels(n=300, seed=0):
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 12)) * np.linspace(30, 3, 12) @ np.linalg.qr(rng.normal(size=(12, 12)))[0]
    return np.clip(mixed + 128, 0, 255).astype(np.uint8)


def test_components_are_scikit_learns_up_to_sign_and_grid():
    train, test = pixels(), pixels(40, seed=1)
    ours = whitened(train, [train, test], components=4)
    pca = PCA(4, whiten=True, svd_solver="full").fit(train.astype(float))
    for values, part in zip(ours, (train, test), strict=True):
        theirs = pca.transform(part.astype(float))
        signs = np.sign((values * theirs).sum(0))
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, theirs * signs, atol=STEP)


@given(st.permutations(range(12)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_pixels_changes_nothing_not_even_the_sign(order):
    train = pixels()
    np.testing.assert_array_equal(
        whitened(train, [train], 4)[0], whitened(train[:, list(order)], [train[:, list(order)]], 4)[0]
    )


def test_values_lie_on_the_grid_so_that_rounding_cannot_change_the_digest():
    values = whitened(pixels(), [pixels()], 4)[0].astype(np.float64) / STEP
    np.testing.assert_array_equal(values, np.round(values))


def test_large_parts_are_projected_like_small_ones():
    many = pixels(20_500)
    whole = whitened(many[:300], [many], 3)[0]
    np.testing.assert_array_equal(whole[20_100:], whitened(many[:300], [many[20_100:]], 3)[0])


def test_too_few_samples_or_directions_are_refused():
    with pytest.raises(DamagedDataError, match="10 samples of 12 numbers, expected more than 10"):
        whitened(pixels(10), [])
    flat = pixels()
    flat[:, 5:] = 7
    with pytest.raises(DamagedDataError, match="vary in fewer than 10 directions"):
        whitened(flat, [])


def test_the_largest_entry_of_each_component_is_positive():
    train = pixels()
    values = whitened(train, [train], 4)[0].astype(np.float64)
    directions = values.T @ (train - train.mean(0))  # proportional to the components
    assert (directions[range(4), np.abs(directions).argmax(1)] > 0).all()
