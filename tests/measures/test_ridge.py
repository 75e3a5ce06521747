import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Oracle

from netprops.errors import MeasurementError
from netprops.measures import blocks
from netprops.measures.blocks import Table
from netprops.measures.ridge import Ridge

STRENGTHS = (1e-3, 1.0, 300.0)


def planted(rng, n=400, sources=12, targets=7):
    """ReLU features of few hidden ones, some of them dead, copied, or far from zero."""
    hidden = rng.standard_normal((n, 6))
    x = np.maximum(hidden @ rng.standard_normal((6, sources)), 0) + 0.1 * rng.standard_normal((n, sources))
    x[:, 1] = 0.3
    x[:, 2] = x[:, 3]
    x[:, 4] = 1e3 + 1e-2 * x[:, 4]
    y = np.tanh(hidden @ rng.standard_normal((6, targets))) + 2
    return x.astype(np.float32), y.astype(np.float32)


def table(features, what="sources"):
    return Table(features, name="FSE", what=what)


def standardised(x, rows):
    fit = x[rows].astype(np.float64)
    spread = fit.std(axis=0)
    return (x - fit.mean(axis=0)) / np.where(spread > 1e-6, spread, np.inf)


@pytest.mark.parametrize("strength", STRENGTHS)
@pytest.mark.parametrize("block", [60, 1 << 22])
def test_residuals_are_those_of_scikit_learn(strength, block, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    x, y = planted(np.random.default_rng(0))
    fit, others = np.arange(0, 400, 2), np.arange(1, 400, 2)
    ridge = Ridge.fit(table(x), table(y), fit)
    z = standardised(x, fit)
    oracle = Oracle(alpha=strength, solver="svd").fit(z[fit], y[fit].astype(np.float64))
    parts = list(ridge.residuals(table(x), table(y), others, ridge.coefficients(strength)))
    np.testing.assert_array_equal(np.concatenate([rows for rows, _ in parts]), others)
    left = np.concatenate([one for _, one in parts])
    np.testing.assert_allclose(left, y[others] - oracle.predict(z[others]), atol=1e-9)
    assert ridge.live.sum() == 11
    assert ridge.values.sum() == pytest.approx(11 * 200)


def test_losses_from_moments_are_those_of_residuals():
    rng = np.random.default_rng(1)
    x, y = planted(rng)
    fit, others = np.arange(250), np.arange(250, 400)
    ridge = Ridge.fit(table(x), table(y), fit)
    weights = rng.random(7)
    found = ridge.losses(table(x), table(y), others, STRENGTHS, weights)
    for strength, loss in zip(STRENGTHS, found, strict=True):
        ((_, left),) = ridge.residuals(table(x), table(y), others, ridge.coefficients(strength))
        assert loss == pytest.approx((left**2).mean(axis=0) @ weights, rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-2, 1e2), st.floats(-50, 50))
def test_the_unit_and_the_origin_of_regressors_change_nothing(seed, factor, shift):
    rng = np.random.default_rng(seed)
    x, y = (one.astype(np.float64) for one in planted(rng, n=60))
    rows = np.arange(60)
    factors = np.where(np.arange(12) % 2, factor, -1.0)

    def residuals(features):
        ridge = Ridge.fit(table(features), table(y), rows)
        return next(ridge.residuals(table(features), table(y), rows, ridge.coefficients(2.0)))[1]

    np.testing.assert_allclose(residuals(x * factors + shift), residuals(x), atol=1e-6)


def test_the_strength_of_shrinkage_is_that_of_one_regressor_by_hand():
    x = np.array([[-1.0], [1.0], [-1.0], [1.0]])
    ridge = Ridge.fit(table(5 * x + 7), table(3 * x + 1), np.arange(4))
    # Four rows of unit variance: the coefficient shrinks by 4 / (4 + s).
    assert ridge.coefficients(4.0)[0, 0] == pytest.approx(3 / 5 / 2)


def test_regressors_that_do_not_vary_are_refused():
    with pytest.raises(MeasurementError, match="all 3 regressors are constant on the 10 rows to fit on"):
        Ridge.fit(table(np.full((20, 3), 0.1)), table(np.ones((20, 2))), np.arange(10))
