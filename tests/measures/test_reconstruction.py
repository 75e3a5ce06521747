import numpy as np
import pytest

from netprops.errors import MeasurementError, UsageError
from netprops.measures.reconstruction import reconstruction_curve


def planted(rng, *, n=3000, width=96, features=6, noise=0.3, shared=0.0, directions=24):
    """Clones: mixtures of a few features, each with its own noise, of which a share has few directions."""
    hidden = np.maximum(rng.standard_normal((n, features)), 0)
    signal = hidden @ rng.standard_normal((features, width))
    own = rng.standard_normal((n, width))
    common = (
        rng.standard_normal((n, directions)) @ rng.standard_normal((directions, width)) / np.sqrt(directions)
    )
    return (signal + noise * (np.sqrt(1 - shared) * own + np.sqrt(shared) * common)).astype(np.float32)


def test_perfect_clones_are_reconstructed_and_sit_on_the_floor():
    rng = np.random.default_rng(0)
    found = reconstruction_curve(planted(rng), draws=20, rng=rng)
    assert found.r2.x.tolist() == [3, 6, 12, 24, 48]
    assert found.r2.y[-1] > 0.9
    assert (np.diff(found.r2.y) > 0).all()
    assert found.correlation.y[-1] < 0.5 * found.correlation.y[0]
    np.testing.assert_allclose(found.excess.y[-2:], 0, atol=0.003)
    np.testing.assert_allclose(found.excess.replicates, found.correlation.replicates - found.floor.replicates)


def test_correlated_noise_rises_above_the_floor():
    rng = np.random.default_rng(1)
    found = reconstruction_curve(planted(rng, shared=0.5), draws=20, rng=rng)
    assert found.r2.y[-1] > 0.9
    assert (found.excess.low[-2:] > 0.006).all()


def test_unrelated_units_are_not_reconstructed_and_their_correlation_is_sampling_noise():
    rng = np.random.default_rng(2)
    found = reconstruction_curve(rng.standard_normal((2000, 64)).astype(np.float32), draws=10, rng=rng)
    assert found.r2.y.max() < 0
    assert found.correlation.y == pytest.approx(np.sqrt(2 / (np.pi * 1000)), rel=0.1)
    np.testing.assert_allclose(found.excess.y, 0, atol=0.002)


def test_scoring_the_fitted_samples_and_the_chunk_itself_flatters():
    rng = np.random.default_rng(3)
    features = rng.standard_normal((200, 32)).astype(np.float32)
    reference = reconstruction_curve(features, sizes=[16, 32], draws=5, rng=rng, definition="reference")
    default = reconstruction_curve(features, sizes=[16], draws=5, rng=rng)
    assert default.r2.y[0] < 0 < 0.5 < reference.r2.y[0]
    assert reference.r2.y[1] == pytest.approx(1, abs=1e-9)
    assert reference.r2.definition == "reference"
    assert reference.floor is None
    assert reference.excess is None


def test_dead_units_are_dropped_and_counted():
    rng = np.random.default_rng(4)
    features = planted(rng, n=400, width=40)
    features[:, [0, 7, 8]] = 0.1
    found = reconstruction_curve(features, draws=4, rng=rng)
    assert found.dead_units == 3
    assert found.r2.details["dead_units"] == 3
    assert found.r2.x.tolist() == [2, 5, 10, 20]
    assert reconstruction_curve(features, draws=2, rng=rng, definition="reference").dead_units == 3


def test_exact_copies_reconstruct_each_other_without_residuals():
    rng = np.random.default_rng(5)
    features = np.tile(rng.standard_normal((300, 2)).astype(np.float32), 16)
    found = reconstruction_curve(features, sizes=[16], draws=3, rng=rng)
    assert found.r2.y[0] == pytest.approx(1, abs=1e-6)
    assert (found.correlation.y[0], found.excess.y[0]) == (0, 0)
    assert found.r2.details["exactly_reconstructed_units"] == 16


def test_the_same_seed_gives_the_same_curves_and_the_surrogate_is_optional():
    features = planted(np.random.default_rng(6), n=300, width=24)
    first, second = (reconstruction_curve(features, draws=4, rng=np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(first.excess.replicates, second.excess.replicates)
    assert (
        reconstruction_curve(features, draws=4, rng=np.random.default_rng(1), surrogate=False).floor is None
    )


def test_chunks_with_too_few_samples_are_refused_and_not_measured_by_default():
    rng = np.random.default_rng(7)
    features = planted(rng, n=40, width=64)
    with pytest.raises(MeasurementError, match="two are needed for every unit of a chunk of 16"):
        reconstruction_curve(features, sizes=[4, 16], draws=2, rng=rng)
    assert reconstruction_curve(features, draws=2, rng=rng).r2.x.tolist() == [2, 4, 8]


@pytest.mark.parametrize(
    ("features", "words"),
    [
        (np.ones((100, 8), dtype=np.float32), "at least four live units, got 0 of 8"),
        (np.ones((1, 8), dtype=np.float32), "fewer samples than the fit needs: 1"),
        (np.ones((0, 8), dtype=np.float32), "fewer samples than the fit needs: 0"),
        (np.full((100, 8), np.inf, dtype=np.float32), "sample .*, unit 0 is inf"),
    ],
)
def test_features_without_a_reconstruction_are_named(features, words):
    with pytest.raises(MeasurementError, match=words):
        reconstruction_curve(features, draws=2, rng=np.random.default_rng(0))


def test_unknown_sizes_and_definitions_are_refused():
    features = planted(np.random.default_rng(8), n=100, width=8)
    with pytest.raises(UsageError, match=r"8 live units of 8 lie in 1..6, got \[7\]"):
        reconstruction_curve(features, sizes=[7], draws=2, rng=np.random.default_rng(0))
    with pytest.raises(UsageError, match="'default' or 'reference', got 'theirs'"):
        reconstruction_curve(features, draws=2, rng=np.random.default_rng(0), definition="theirs")
