import struct

import numpy as np
import pytest
import torch

from netprops.data import check, load, mnist
from netprops.errors import DamagedDataError, MissingDataError


def idx(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """MNIST's layout with 40 and 20 images of noise."""
    monkeypatch.setattr(mnist, "FILES", {"train": 40, "t10k": 20})
    monkeypatch.setattr(mnist, "PMNIST_TRAINING_SAMPLES", 25)
    rng = np.random.default_rng(0)
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for part, n in mnist.FILES.items():
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(rng.integers(0, 256, (n, 28, 28))))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(n) % 10))
    return tmp_path


def test_torchvisions_layout_is_read(small):
    data = load("mnist", small)
    raw = np.frombuffer((small / "MNIST/raw/train-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    np.testing.assert_array_equal(data.train.inputs.numpy().ravel(), raw)
    assert data.input_shape == (1, 28, 28)
    assert data.test.labels.tolist() == [*range(10), *range(10)]


def test_pmnist_divides_the_training_file(small):
    data = load("pmnist", small)
    assert (len(data.train), len(data.test), data.input_shape, data.outputs) == (25, 15, (10,), 1)
    assert data.train.labels[:4].tolist() == [-1, 1, -1, 1]
    covariance = torch.cov(data.train.inputs.T.double())
    torch.testing.assert_close(covariance, torch.eye(10, dtype=torch.float64), atol=2e-3, rtol=0)


@pytest.mark.parametrize("name", ["mnist", "pmnist"])
def test_the_file_that_is_not_there_is_named(small, name):
    (small / "MNIST/raw/train-labels-idx1-ubyte").unlink()
    sentence = check(name, small)
    assert sentence is not None
    assert str(small / "MNIST/raw/train-labels-idx1-ubyte") in sentence
    with pytest.raises(MissingDataError):
        load(name, small)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: data[:1000], "train-images-idx3-ubyte cannot be read .* cut off"),
        (lambda data: b"", "train-images-idx3-ubyte cannot be read"),
        (lambda data: b"<html>not found</html>" * 50, "train-images-idx3-ubyte cannot be read"),
        (lambda data: idx(np.zeros((39, 28, 28))), r"has shape \(39, 28, 28\), expected \(40, 28, 28\)"),
    ],
)
def test_a_file_that_is_not_mnists_is_an_error_and_not_a_skip(small, damage, words):
    file = small / "MNIST/raw/train-images-idx3-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(DamagedDataError, match=words):
        load("mnist", small)


def test_real_mnist_has_its_published_statistics(real):
    data = load("mnist", real)
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    assert data.mean == pytest.approx((0.1307,), abs=5e-5)
    assert data.std == pytest.approx((0.3081,), abs=5e-5)
    assert data.train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_real_pmnist_is_white_where_it_was_fitted(real):
    data = load("pmnist", real)
    assert (len(data.train), len(data.test)) == (10_000, 50_000)
    assert data.train.labels[:5].tolist() == [1, -1, -1, 1, 1]
    x = data.train.inputs.double()
    torch.testing.assert_close(torch.cov(x.T), torch.eye(10, dtype=torch.float64), atol=1e-3, rtol=0)
    assert data.test.inputs.std(0) == pytest.approx(np.ones(10), abs=0.05)
