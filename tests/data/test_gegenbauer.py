"""Gegenbauer targets: variance and orthogonality by quadrature, chunks that never repeat, refused names."""

import itertools

import numpy as np
import pytest
from scipy.special import roots_jacobi

from netprops import data
from netprops.data.gegenbauer import Gegenbauer, direction, polynomial
from netprops.errors import UsageError


def sphere(dimensions):
    """Return nodes and weights of the mean over the sphere of a function of one cosine."""
    order = (dimensions - 3) / 2
    nodes, weights = roots_jacobi(40, order, order)
    return nodes, weights / weights.sum()


@pytest.mark.parametrize("dimensions", [2, 3, 5, 30])
def test_polynomials_are_orthonormal_over_the_sphere(dimensions):
    nodes, weights = sphere(dimensions)
    values = np.stack([np.ones(40), *(polynomial(nodes, degree, dimensions) for degree in range(1, 6))])
    np.testing.assert_allclose((values * weights) @ values.T, np.eye(6), atol=1e-10)


def test_polynomials_have_their_known_forms():
    t = np.linspace(-1, 1, 9)
    np.testing.assert_allclose(polynomial(t, 1, 7), np.sqrt(7) * t)
    np.testing.assert_allclose(polynomial(t, 2, 3), np.sqrt(5) * (3 * t**2 - 1) / 2, atol=1e-12)
    np.testing.assert_allclose(polynomial(t, 4, 2), np.sqrt(2) * np.cos(4 * np.arccos(t)), atol=1e-12)


@pytest.mark.parametrize("name", ["gegenbauer:1:4", "gegenbauer:3:10"])
def test_samples_lie_on_the_sphere_and_targets_follow_from_the_hidden_direction(name):
    found = data.load(name, None)
    degree, D = (int(part) for part in name.split(":")[1:])
    assert (found.task, found.outputs, found.input_shape, found.classes) == ("regression", 1, (D,), ())
    for part in (found.train, found.test):
        x = part.inputs.double().numpy()
        assert x.shape == (1000, D)
        np.testing.assert_allclose((x**2).sum(1), D, rtol=1e-5)
        expected = polynomial(x @ direction(D) / np.sqrt(D), degree, D)
        np.testing.assert_allclose(part.labels.numpy(), expected, rtol=1e-4, atol=1e-4)
        assert abs(x.mean(0)).max() < 5 / np.sqrt(1000)
        covariance = x.T @ x / 1000
        assert np.abs(covariance - np.eye(D)).max() < 5 * np.sqrt(2 / 1000)


def test_targets_have_mean_0_and_variance_1_and_degrees_are_uncorrelated():
    stream = Gegenbauer(2, 8)
    chunks = [stream.chunk(index) for index in range(20)]
    y = np.concatenate([chunk.labels.double().numpy() for chunk in chunks])
    x = np.concatenate([chunk.inputs.double().numpy() for chunk in chunks])
    cubic = polynomial(np.clip(x @ direction(8) / np.sqrt(8), -1, 1), 3, 8)
    spread = 5 / np.sqrt(len(y))
    assert abs(y.mean()) < spread
    assert abs((y**2).mean() - 1) < spread * (y**2).std()
    assert abs((y * cubic).mean()) < spread * (y * cubic).std()


def test_chunks_are_always_the_same_and_no_sample_comes_twice():
    stream = data.load("gegenbauer:2:3", None).stream
    assert (stream.size, stream.chunks) == (1000, None)
    assert stream.chunk(7).digest == data.load("gegenbauer:2:3", None).stream.chunk(7).digest
    parts = [*(stream.chunk(index) for index in (0, 1, 2, 10**9)), data.load("gegenbauer:2:3", None).test]
    samples = [{row.tobytes() for row in part.inputs.numpy()} for part in parts]
    assert [len(part) for part in samples] == [1000] * 5
    assert all(not one & other for one, other in itertools.combinations(samples, 2))


def test_the_training_part_is_the_first_chunk_and_another_task_has_another_digest():
    found = data.load("gegenbauer:2:3", None)
    assert found.train.digest == found.stream.chunk(0).digest
    names = ["gegenbauer:2:3", "gegenbauer:3:3", "gegenbauer:2:4"]
    assert len({data.load(name, None).digest for name in names}) == 3
    assert len({data.load(name, None).stream.digest for name in names}) == 3


@pytest.mark.parametrize("argument", ["2", "0:5", "2:1", "two:5", "2:5:1", "-1:5", "2:"])
def test_a_name_without_degree_and_dimensions_is_refused(argument):
    with pytest.raises(
        UsageError, match=rf"'gegenbauer:{argument}': expected a degree from 1 and a number of"
    ):
        data.check(f"gegenbauer:{argument}", None)


def test_a_chunk_before_the_first_is_refused():
    with pytest.raises(UsageError, match="gegenbauer has no chunk -1"):
        Gegenbauer(1, 2).chunk(-1)
