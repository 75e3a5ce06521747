import hashlib
import pickle

import numpy as np
import pytest
from torchvision import datasets

from netprops.data import check, load
from netprops.errors import DamagedDataError, MissingDataError


def write(folder, name, content):
    folder.mkdir(exist_ok=True)
    data = pickle.dumps(content, protocol=2)
    (folder / name).write_bytes(data)
    return [name, hashlib.md5(data, usedforsecurity=False).hexdigest()]


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Both layouts with a few images of noise, and torchvision told of their MD5s."""
    rng = np.random.default_rng(0)

    def batch(key, n, classes):
        images = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        return {"data": images, key: rng.integers(0, classes, n).tolist()}

    ten, hundred = tmp_path / "cifar-10-batches-py", tmp_path / "cifar-100-python"
    lists = {
        datasets.CIFAR10: (
            [write(ten, f"data_batch_{i}", batch("labels", 4, 10)) for i in range(1, 6)],
            [write(ten, "test_batch", batch("labels", 3, 10))],
            ("label_names", write(ten, "batches.meta", {"label_names": [f"c{i}" for i in range(10)]})),
        ),
        datasets.CIFAR100: (
            [write(hundred, "train", batch("fine_labels", 7, 100))],
            [write(hundred, "test", batch("fine_labels", 3, 100))],
            ("fine_label_names", write(hundred, "meta", {"fine_label_names": [f"f{i}" for i in range(100)]})),
        ),
    }
    for reader, (train, test, (key, (name, md5))) in lists.items():
        monkeypatch.setattr(reader, "train_list", train)
        monkeypatch.setattr(reader, "test_list", test)
        monkeypatch.setattr(reader, "meta", {"filename": name, "key": key, "md5": md5})
    return tmp_path


def test_the_batches_of_cifar10_are_read_in_order(small):
    data = load("cifar10", small)
    assert (len(data.train), len(data.test), data.input_shape, data.outputs) == (20, 3, (3, 32, 32), 10)
    second = pickle.loads((small / "cifar-10-batches-py" / "data_batch_2").read_bytes())
    np.testing.assert_array_equal(data.train.inputs[4:8].numpy().reshape(4, 3072), second["data"])
    assert data.train.labels[4:8].tolist() == second["labels"]
    assert data.classes == tuple(f"c{i}" for i in range(10))


def test_cifar100_has_its_fine_labels(small):
    data = load("cifar100", small)
    assert (len(data.train), len(data.test), data.outputs) == (7, 3, 100)
    assert data.classes[99] == "f99"


def test_a_pickle_that_is_not_the_published_one_is_never_opened(small):
    opened = small / "opened"

    class Bomb:
        def __reduce__(self):
            return (opened.touch, ())

    write(small / "cifar-10-batches-py", "data_batch_3", Bomb())
    with pytest.raises(DamagedDataError, match=r"not the published one .* remove cifar-10-batches-py"):
        load("cifar10", small)
    assert not opened.exists()


def test_cifar10_names_the_jpeg_version_that_lies_there(tmp_path):
    assert "cifar10jpeg" not in str(check("cifar10", tmp_path))
    (tmp_path / "cifar10-jpeg.tar").touch()
    assert "or use the data set cifar10jpeg" in str(check("cifar10", tmp_path))
    assert "cifar10jpeg" not in str(check("cifar100", tmp_path))


def test_the_first_file_that_is_not_there_is_named(small):
    (small / "cifar-100-python" / "meta").unlink()
    with pytest.raises(MissingDataError, match=r"looked for .*cifar-100-python/meta"):
        load("cifar100", small)
