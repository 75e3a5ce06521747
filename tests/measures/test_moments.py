import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score

from netprops.errors import MeasurementError
from netprops.measures.moments import Moments, residuals, solve


def halves(features):
    return Moments.of(features, rows=slice(0, None, 2)), Moments.of(features, rows=slice(1, None, 2))


def slowly(features, chunk, ridge=1e-8):
    """R2 per unit and mean residual correlation of units outside the chunk, from N x W residuals in float64.

    The ridge is solved as a least-squares problem over the samples, never through second moments.
    """
    X = np.asarray(features, dtype=np.float64)
    fit, score = X[::2], X[1::2]
    outside = np.setdiff1d(np.arange(X.shape[1]), chunk)
    centre = fit.mean(axis=0)
    x = fit[:, chunk] - centre[chunk]
    scale = np.sqrt((x**2).sum(axis=0) + ridge)
    stacked = np.vstack([x, np.sqrt(ridge) * np.eye(len(chunk))]) / scale
    wanted = np.vstack([fit[:, outside] - centre[outside], np.zeros((len(chunk), len(outside)))])
    A = np.linalg.lstsq(stacked, wanted, rcond=1e-11)[0] / scale[:, None]
    left = score[:, outside] - centre[outside] - (score[:, chunk] - centre[chunk]) @ A
    total = ((score[:, outside] - score[:, outside].mean(axis=0)) ** 2).sum(axis=0)
    kept = left.var(axis=0) * len(left) > 1e-10 * total
    shares = np.abs(np.corrcoef(left[:, kept], rowvar=False))
    mean = (shares.sum() - kept.sum()) / (kept.sum() * (kept.sum() - 1))
    squares = (left**2).sum(axis=0)
    return 1 - np.where(total > 0, squares, 1) / np.where(total > 0, total, 1), mean


def mixed(rng, n=600, width=20, rank=5, noise=0.1):
    return (
        rng.standard_normal((n, rank)) @ rng.standard_normal((rank, width))
        + noise * rng.standard_normal((n, width))
        + 3
    )


@given(st.integers(1, 50), st.integers(1, 20), st.integers(0, 100))
@settings(max_examples=25, deadline=None)
def test_moments_are_those_of_the_samples_however_they_are_blocked(n, block, seed):
    X = np.random.default_rng(seed).normal(100, 1, (n, 4))
    found = Moments.of(X, block=block)
    assert found.n == n
    np.testing.assert_allclose(found.mean, X.mean(axis=0))
    centred = X - X.mean(axis=0)
    np.testing.assert_allclose(found.G, centred.T @ centred, atol=1e-9)


def test_moments_of_parts_add_up():
    X = np.random.default_rng(0).normal(1e3, 1, (100, 5)).astype(np.float32)
    whole = Moments.of(X)
    total = Moments.of(X, rows=slice(30)) + Moments.of(X, rows=np.arange(30, 100))
    assert total.n == whole.n
    np.testing.assert_allclose(total.mean, whole.mean)
    np.testing.assert_allclose(total.G, whole.G, rtol=1e-9, atol=1e-9)


def test_a_large_mean_does_not_cancel():
    x = np.random.default_rng(0).standard_normal((5000, 3))
    np.testing.assert_allclose(Moments.of(x + 1e6).G, Moments.of(x).G, rtol=1e-6, atol=1e-4)


def test_dead_units_are_those_that_do_not_vary():
    X = np.random.default_rng(0).standard_normal((9000, 4)).astype(np.float32)
    X[:, 1], X[:, 2] = 0.1, 0
    X[7, 3], X[:7, 3], X[8:, 3] = np.nextafter(np.float32(0.1), np.float32(1)), 0.1, 0.1
    assert Moments.of(X).live.tolist() == [True, False, False, True]


def test_bad_features_are_named():
    X = np.ones((50, 3), dtype=np.float32)
    X[33, 2] = np.nan
    with pytest.raises(MeasurementError, match="sample 33, unit 2 is nan"):
        Moments.of(X, rows=slice(1, None, 2), block=10)
    with pytest.raises(MeasurementError, match="at least one sample, got none"):
        Moments.of(X[:0])


def test_residuals_are_those_of_scikit_learn():
    X = mixed(np.random.default_rng(1))
    chunk = np.array([3, 0, 11, 7])
    found = residuals(*halves(X), chunk)
    outside = np.setdiff1d(np.arange(20), chunk)
    predicted = Ridge(alpha=1e-8).fit(X[::2][:, chunk], X[::2][:, outside]).predict(X[1::2][:, chunk])
    truth = X[1::2][:, outside]
    assert found.r2 == pytest.approx(r2_score(truth, predicted, multioutput="variance_weighted"), abs=1e-9)
    np.testing.assert_allclose(found.unit_r2, r2_score(truth, predicted, multioutput="raw_values"), atol=1e-9)
    shares = np.abs(np.corrcoef(truth - predicted, rowvar=False))
    assert found.correlation == pytest.approx((shares.sum() - 16) / (16 * 15), abs=1e-9)
    assert found.units.tolist() == outside.tolist()


def test_the_reference_definition_is_the_authors():
    X = mixed(np.random.default_rng(2))
    whole, chunk = Moments.of(X), np.arange(6)
    found = residuals(whole, whole, chunk, definition="reference")
    left = X - Ridge(alpha=1e-8).fit(X[:, chunk], X).predict(X[:, chunk])
    covariance = left.T @ left / len(left)
    spread = np.sqrt(np.diag(covariance))
    shares = np.abs(covariance / (np.outer(spread, spread) + 1e-8))
    assert found.r2 == pytest.approx(1 - (left**2).sum() / ((X - X.mean(axis=0)) ** 2).sum(), abs=1e-9)
    assert found.correlation == pytest.approx((shares.sum() - np.trace(shares)) / (20 * 19), abs=1e-6)


def ill_conditioned(kind, rng):
    X = mixed(rng, width=24, noise=1e-3 if kind == "exact fit" else 0.1)
    if kind == "dead units":
        X[:, [1, 9, 20]] = 0
    elif kind == "duplicated units":
        X[:, [2, 3, 15]] = X[:, [0, 0, 1]]
    elif kind == "nearly duplicated units":
        X[:, 2] = X[:, 0] + 1e-7 * rng.standard_normal(len(X))
    elif kind == "scales":
        X = X * np.geomspace(1e-3, 1e3, 24)[rng.permutation(24)]
    elif kind == "fewer dimensions than units":
        X = mixed(rng, width=24, rank=4, noise=0)
        X[:, 12:] += 0.1 * rng.standard_normal((len(X), 12))
    return X


@pytest.mark.parametrize(
    "kind",
    [
        "exact fit",
        "dead units",
        "duplicated units",
        "nearly duplicated units",
        "scales",
        "fewer dimensions than units",
    ],
)
def test_ill_conditioned_features_agree_with_all_samples_in_float64(kind):
    X = ill_conditioned(kind, np.random.default_rng(3))
    chunk = np.arange(10)
    found = residuals(*halves(X), chunk)
    r2, correlation = slowly(X, chunk)
    np.testing.assert_allclose(found.unit_r2, r2, atol=1e-6)
    assert found.correlation == pytest.approx(correlation, abs=1e-6)


def test_exact_copies_leave_no_residual_to_correlate():
    X = mixed(np.random.default_rng(4), width=8)
    doubled = np.hstack([X, X])
    found = residuals(*halves(doubled), np.arange(8))
    assert found.r2 == pytest.approx(1, abs=1e-9)
    assert (found.correlation, found.exact) == (0, 8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_units_have_no_order_and_each_may_have_its_own_scale(seed):
    rng = np.random.default_rng(seed)
    X = mixed(rng, n=120, width=9)
    chunk, order = rng.choice(9, 3, replace=False), rng.permutation(9)
    plain = residuals(*halves(X), chunk, ridge=0.0)
    scaled = X[:, order] * rng.uniform(0.1, 10, 9) + rng.standard_normal(9)
    moved = residuals(*halves(scaled), np.argsort(order)[chunk], ridge=0.0)
    np.testing.assert_allclose(
        moved.unit_r2, plain.unit_r2[np.searchsorted(plain.units, order[moved.units])], atol=1e-8
    )
    assert moved.correlation == pytest.approx(plain.correlation, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_rotation_within_the_chunk_changes_nothing_outside_it(seed):
    rng = np.random.default_rng(seed)
    X = mixed(rng, n=120, width=9)
    turned = X.copy()
    turned[:, :4] = X[:, :4] @ np.linalg.qr(rng.standard_normal((4, 4)))[0]
    plain, other = (residuals(*halves(each), np.arange(4)) for each in (X, turned))
    np.testing.assert_allclose(other.unit_r2, plain.unit_r2, atol=1e-8)
    assert other.correlation == pytest.approx(plain.correlation, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_a_rotation_outside_the_chunk_keeps_r2(seed):
    rng = np.random.default_rng(seed)
    X = mixed(rng, n=120, width=9)
    turned = X.copy()
    turned[:, 4:] = X[:, 4:] @ np.linalg.qr(rng.standard_normal((5, 5)))[0]
    assert residuals(*halves(turned), np.arange(4)).r2 == pytest.approx(
        residuals(*halves(X), np.arange(4)).r2
    )


def test_a_singular_system_has_the_solution_of_least_norm():
    gram = np.array([[2.0, 2.0, 0.0], [2.0, 2.0, 0.0], [0.0, 0.0, 0.0]])
    solution = solve(gram, np.array([[4.0], [4.0], [0.0]]), 0.0)
    np.testing.assert_allclose(solution, [[1.0], [1.0], [0.0]], atol=1e-12)


def test_a_well_conditioned_system_is_solved():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((50, 6)) * np.geomspace(1e-3, 1e3, 6)
    gram, right = x.T @ x, rng.standard_normal((6, 2))
    np.testing.assert_allclose((gram + 0.5 * np.eye(6)) @ solve(gram, right, 0.5), right, atol=1e-9)


@pytest.mark.parametrize("copies", [1, 6])
def test_a_singular_fit_predicts_as_all_samples_do(copies):
    """Of one copy among 12 units Cholesky sometimes succeeds: its last pivot is rounding. Of six it fails."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((60, 12))
        x[:, 12 - copies :] = x[:, :6] @ rng.standard_normal((6, copies))
        target = rng.standard_normal((60, 2))
        expected = np.linalg.lstsq(x, target, rcond=1e-10)[0]
        np.testing.assert_allclose(x @ solve(x.T @ x, x.T @ target, 0.0), x @ expected, atol=1e-8)
