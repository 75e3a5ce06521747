import numpy as np
import torch
from sklearn.datasets import load_digits

from netprops.data import load
from netprops.data.digits import stratified


def test_images_are_scikit_learns_own_each_once():
    data = load("digits", None)
    assert (len(data.train), len(data.test)) == (897, 900)
    assert data.input_shape == (1, 8, 8)
    assert data.outputs == 10
    assert data.task == "classification"
    raw, digits = load_digits(return_X_y=True)
    known = sorted(map(tuple, np.column_stack([np.round(raw * 255 / 16), digits]).astype(int).tolist()))
    inputs = torch.cat([data.train.inputs, data.test.inputs]).flatten(1)
    labels = torch.cat([data.train.labels, data.test.labels])
    assert inputs.dtype == torch.uint8
    assert labels.dtype == torch.int64
    assert sorted(map(tuple, torch.column_stack([inputs.long(), labels]).tolist())) == known


def test_the_division_is_stratified_and_always_the_same():
    data = load("digits", None)
    per_class = torch.stack([part.labels.bincount() for part in (data.train, data.test)])
    assert ((per_class[0] - per_class[1]).abs() <= 2).all()
    assert data.digest == load("digits", None).digest
    assert data.train.labels[:30].bincount().tolist() == [3] * 10


def test_stratified_parts_are_disjoint_and_depend_on_the_generator():
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    first, rest = stratified(labels, 50, np.random.default_rng(1))
    assert sorted([*first, *rest]) == list(range(100))
    assert np.bincount(labels[first]).tolist() == [30, 15, 5]
    other, _ = stratified(labels, 50, np.random.default_rng(2))
    assert sorted(first) != sorted(other)


def test_pdigits_are_the_same_samples_whitened_with_the_parity_of_the_digit():
    images, vectors = load("digits", None), load("pdigits", None)
    assert vectors.outputs == 1
    assert vectors.task == "parity"
    assert vectors.input_shape == (10,)
    for part in ("train", "test"):
        labels = getattr(vectors, part).labels
        assert labels.dtype == torch.float32
        assert torch.equal(labels, torch.where(getattr(images, part).labels % 2 == 1, 1.0, -1.0))
    x = vectors.train.inputs.double()
    torch.testing.assert_close(x.T @ x / (len(x) - 1), torch.eye(10, dtype=torch.float64), atol=1e-3, rtol=0)
    test = vectors.test.inputs.double()
    assert 0.01 < (test.T @ test / len(test) - torch.eye(10)).abs().max() < 0.5  # it was not fitted there
