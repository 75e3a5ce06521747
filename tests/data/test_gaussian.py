"""Gaussian data of any dimension: a teacher that can be written down, balanced classes, refused names."""

import numpy as np
import pytest

from netprops import data
from netprops.errors import UsageError


@pytest.mark.parametrize("dimensions", [1, 10, 300])
def test_samples_are_standard_normal_and_classes_balanced(dimensions):
    found = data.load(f"gaussian:{dimensions}", None)
    assert (found.outputs, found.task, found.input_shape) == (2, "classification", (dimensions,))
    for part in (found.train, found.test):
        assert tuple(part.inputs.shape) == (1000, dimensions)
        values = part.inputs.double().numpy()
        assert abs(values.mean()) < 5 / np.sqrt(values.size)
        assert abs(values.var() - 1) < 5 * np.sqrt(2 / values.size)
        assert 0.4 <= part.labels.double().mean() <= 0.6


def test_the_classes_are_what_a_teacher_of_32_units_says():
    found = data.load("gaussian:3", None)
    rng = np.random.default_rng([0, 3])
    vectors = [rng.standard_normal((1000, 3)) for _ in range(2)]
    np.testing.assert_array_equal(found.test.inputs.numpy(), vectors[1].astype(np.float32))
    for _ in range(100):  # the first teacher whose classes are balanced
        hidden, readout = rng.standard_normal((3, 32)), rng.standard_normal((32, 2))
        outputs = [np.maximum(x @ hidden, 0) @ readout for x in vectors]
        labels = [(y[:, 1] > y[:, 0]).astype(int) for y in outputs]
        if all(0.4 <= one.mean() <= 0.6 for one in labels):
            break
    np.testing.assert_array_equal(found.train.labels.numpy(), labels[0])
    np.testing.assert_array_equal(found.test.labels.numpy(), labels[1])


def test_it_is_the_same_at_every_load_and_another_one_in_other_dimensions():
    assert data.load("gaussian:4", None).digest == data.load("gaussian:4", None).digest
    first, other = (data.load(f"gaussian:{d}", None).train.inputs[:, :4] for d in (4, 5))
    assert not bool((first == other).any())


@pytest.mark.parametrize("argument", ["0", "-3", "ten", "1.5"])
def test_a_name_without_a_number_of_dimensions_is_refused(argument):
    with pytest.raises(UsageError, match=f"'gaussian:{argument}': expected a number of dimensions"):
        data.load(f"gaussian:{argument}", None)
