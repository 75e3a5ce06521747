"""The teacher: the same data at every load, classes that all occur, standard normal inputs."""

import numpy as np

from netprops.data import load


def test_shapes_and_types_are_those_of_vectors_and_classes():
    data = load("teacher", None)
    assert tuple(data.train.inputs.shape) == (8000, 30)
    assert len(data.test) == 8000
    assert data.outputs == 10
    assert data.task == "classification"


def test_it_is_the_same_at_every_load():
    assert load("teacher", None).digest == load("teacher", None).digest


def test_classes_are_about_equally_frequent_and_the_parts_alike():
    data = load("teacher", None)
    for part in (data.train, data.test):
        shares = np.bincount(part.labels.numpy(), minlength=10) / len(part)
        assert shares.min() > 0.04
        assert shares.max() < 0.2
        np.testing.assert_allclose(part.inputs.mean(dim=0).numpy(), 0, atol=0.06)
        np.testing.assert_allclose(part.inputs.std(dim=0).numpy(), 1, atol=0.05)
