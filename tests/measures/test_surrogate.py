import numpy as np
import pytest

from netprops.measures.moments import Moments
from netprops.measures.surrogate import clone_model, surrogates


def layer(rng, n=4000, width=48, features=4, noise=0.2):
    spread = noise * rng.uniform(0.5, 2, width)
    hidden = rng.standard_normal((n, features))
    X = hidden @ rng.standard_normal((features, width)) + spread * rng.standard_normal((n, width))
    return (Moments.of(X, rows=slice(0, None, 2)), Moments.of(X, rows=slice(1, None, 2))), spread


def test_the_noise_of_every_clone_is_found():
    rng = np.random.default_rng(0)
    parts, spread = layer(rng)
    _, noise = clone_model(*parts, rng)
    np.testing.assert_allclose(np.sqrt(noise), spread, rtol=0.12)
    assert np.sqrt(noise / spread**2).mean() == pytest.approx(1, abs=0.02)


def test_a_signal_comes_from_the_other_half_alone():
    rng = np.random.default_rng(1)
    parts, _ = layer(rng)
    signal, _ = clone_model(*parts, rng)
    used = signal != 0
    assert used.sum(axis=0).tolist() == [24] * 48
    assert not (used & used.T.copy()).diagonal().any()
    assert (used == used.T).all()


def test_a_surrogate_has_the_variances_and_the_shared_signal_of_the_layer():
    rng = np.random.default_rng(2)
    parts, _ = layer(rng)
    for pair in surrogates(*parts, count=2, rng=rng):
        for part, double in zip(parts, pair, strict=True):
            assert double.n == part.n
            np.testing.assert_allclose(np.diag(double.G), np.diag(part.G), rtol=0.1)
            np.testing.assert_allclose(double.G, part.G, atol=0.08 * np.diag(part.G).max())


def test_the_noise_has_the_moments_of_generated_samples():
    """Mean and spread of the moments drawn without samples are those of signal plus generated noise."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((30, 4))
    parts = (Moments.of(X), Moments.of(X + 0.1))
    drawn = np.array([pair[0].G for pair in surrogates(*parts, count=400, rng=np.random.default_rng(4))])
    generated = []
    for i in range(400):
        signal, noise = clone_model(parts[i % 2], parts[1 - i % 2], rng)
        Y = X @ signal + np.sqrt(noise) * rng.standard_normal(X.shape)
        generated.append(Moments.of(Y).G)
    generated = np.array(generated)
    np.testing.assert_allclose(drawn.mean(axis=0), generated.mean(axis=0), atol=5 * generated.std() / 20)
    np.testing.assert_allclose(drawn.std(axis=0), generated.std(axis=0), rtol=0.25)


def test_fewer_samples_than_units_are_no_obstacle():
    rng = np.random.default_rng(5)
    parts, _ = layer(rng, n=40, width=30)
    ((first, _),) = surrogates(*parts, count=1, rng=rng)
    assert np.isfinite(first.G).all()
    assert np.linalg.matrix_rank(first.G) <= 19
