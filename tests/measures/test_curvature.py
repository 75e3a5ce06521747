import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import LinearOperator, eigsh

from netprops.errors import MeasurementError, UndeterminedError, UsageError
from netprops.measures.curvature import edge, top_eigenvalue


def rng(seed=0):
    return np.random.default_rng(seed)


def hessian_like(size, seed=0):
    """A symmetric matrix of a few large eigenvalues and a bulk on both sides of zero, and its eigenvalues."""
    frame = np.linalg.qr(rng(seed).standard_normal((size, size)))[0]
    values = np.concatenate([[12.0, 7, 6.5, 3, 2], rng(seed).uniform(-0.5, 0.5, size - 5)])
    return (frame * values) @ frame.T, values


@pytest.mark.parametrize("seed", range(4))
def test_it_is_the_largest_eigenvalue_within_its_interval(seed):
    matrix, values = hessian_like(200, seed)
    found = top_eigenvalue(matrix.dot, 200, rng=rng(seed))
    assert found.value == pytest.approx(12, rel=1e-3)
    assert found.low <= values.max() <= found.high
    assert found.high - found.low < 2.1e-3 * 12
    assert found.n == found.details["products"] <= 20


def test_it_needs_fewer_products_than_eigsh_for_the_same():
    matrix, _ = hessian_like(300)
    count = []
    operator = LinearOperator((300, 300), matvec=lambda v: count.append(1) or matrix @ v.ravel(), dtype=float)
    value = eigsh(operator, k=1, which="LA", tol=1e-3, v0=rng().standard_normal(300), ncv=10)[0][0]
    found = top_eigenvalue(matrix.dot, 300, rng=rng())
    assert found.value == pytest.approx(value, rel=1e-5)
    assert found.n <= len(count)


def test_largest_does_not_mean_largest_in_size():
    assert top_eigenvalue(lambda v: v * [-9, -2, 1], 3, rng=rng()).value == pytest.approx(1)
    assert top_eigenvalue(lambda v: v * [-9, -2, -1], 3, rng=rng()).value == pytest.approx(-1)


def test_special_matrices_end_early_and_exactly():
    for matrix, value, products in [
        (np.zeros((50, 50)), 0, 1),
        (3 * np.eye(50), 3, 1),
        (np.ones((50, 50)), 50, 2),
        (-np.ones((50, 50)), 0, 2),
        (np.array([[2.0]]), 2, 1),
    ]:
        found = top_eigenvalue(matrix.dot, len(matrix), rng=rng())
        assert found.value == pytest.approx(value, abs=1e-10)
        assert found.n == products


def test_an_outlier_on_a_multiple_of_the_identity_is_not_missed():
    # The residual of any vector is small here next to the eigenvalue 1.
    size = 100_000
    direction = rng(1).standard_normal(size)
    direction /= np.linalg.norm(direction)
    found = top_eigenvalue(lambda v: v + 0.2 * direction * (direction @ v), size, rng=rng())
    assert found.value == pytest.approx(1.2, rel=1e-6)


def test_float32_products_widen_the_interval_by_their_rounding():
    matrix, values = hessian_like(200)
    small = matrix.astype(np.float32)
    found = top_eigenvalue(lambda v: small @ v.astype(np.float32), 200, rng=rng(), rtol=1e-6)
    assert found.low <= values.max() <= found.high
    assert 12e-7 < found.high - found.low < 1e-3


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.floats(1e-12, 1e12), st.floats(-3, 3))
def test_rotation_scale_and_shift(seed, factor, shift):
    matrix, _ = hessian_like(40, seed)
    turn = np.linalg.qr(rng(seed + 1).standard_normal((40, 40)))[0]
    changed = (turn @ matrix @ turn.T + shift * np.eye(40)) * factor
    found = top_eigenvalue(changed.dot, 40, rng=rng(seed))
    assert found.value == pytest.approx((12 + shift) * factor, rel=1e-4)


def test_a_spectrum_without_a_gap_is_undetermined_after_few_products():
    values = np.linspace(0, 1, 2000)
    with pytest.raises(UndeterminedError, match=r"after 5 products .* more products \(most=5\) would tell"):
        top_eigenvalue(lambda v: values * v, 2000, rng=rng(), most=5)
    found = top_eigenvalue(lambda v: values * v, 2000, rng=rng(), rtol=1e-2)
    assert found.low <= 1 <= found.high


def test_products_that_are_not_of_a_symmetric_matrix_are_refused():
    noise = rng(5)
    matrix, _ = hessian_like(100)
    with pytest.raises(MeasurementError, match="product 2 is not that of a symmetric matrix"):
        top_eigenvalue((matrix + np.triu(matrix)).dot, 100, rng=rng())
    with pytest.raises(MeasurementError, match="dropout or batch statistics"):
        top_eigenvalue(lambda v: matrix @ v + 0.1 * noise.standard_normal(100), 100, rng=rng())


def test_bad_input_is_named():
    with pytest.raises(MeasurementError, match="product 1 is not finite"):
        top_eigenvalue(lambda v: v * math.nan, 3, rng=rng())
    with pytest.raises(MeasurementError, match=r"product 1 has shape \(2,\), expected \(3,\)"):
        top_eigenvalue(lambda v: v[:2], 3, rng=rng())
    for wrong in ({"size": 0}, {"most": 0}, {"rtol": 0.0}, {"rtol": math.nan}):
        with pytest.raises(UsageError, match="must be positive"):
            top_eigenvalue(lambda v: v, **{"size": 3, "rng": rng(), **wrong})


def descend(curvature, lr, momentum, nesterov):
    """Where torch's SGD with momentum has come on a quadratic after some steps, from 1."""
    w, velocity = 1.0, 0.0
    for _ in range(3000):
        slope = curvature * w
        velocity = momentum * velocity + slope
        w -= lr * (slope + momentum * velocity if nesterov else velocity)
        if abs(w) > 1e6:
            break
    return abs(w)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_descent_converges_below_the_edge_and_diverges_above(momentum, nesterov):
    limit = edge(0.1, momentum=momentum, nesterov=nesterov)
    assert descend(0.98 * limit, 0.1, momentum, nesterov) < 1e-3
    assert descend(1.02 * limit, 0.1, momentum, nesterov) > 1e6


def test_an_edge_needs_a_learning_rate_and_a_momentum():
    for lr, momentum in [(0, 0), (math.inf, 0), (-1, 0), (0.1, 1), (0.1, -0.1), (math.nan, 0)]:
        with pytest.raises(UsageError, match="an lr > 0 and a momentum in"):
            edge(lr, momentum=momentum)
