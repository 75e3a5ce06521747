"""Data of a user's own: what is taken, and an error for each mistake a newcomer makes."""

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from netprops import datafolders, userdata
from netprops.errors import DamagedDataError, MissingDataError, UsageError

X, Y = torch.arange(24.0).reshape(12, 2), torch.arange(12) % 3
HERE = Path()


class Augmented(Dataset):
    """Draws at every access, as a training set with transforms does."""

    def __len__(self):
        return 12

    def __getitem__(self, row):
        return X[row] + torch.rand(2), int(Y[row])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(X, Y, strict=True))


@pytest.mark.parametrize(
    "given",
    [
        (X, Y),
        (X.numpy(), Y.numpy()),
        [X, Y],
        TensorDataset(X, Y),
        DataLoader(TensorDataset(X, Y), batch_size=5),
        DataLoader(TensorDataset(X, Y), batch_size=5, shuffle=True, drop_last=True),
        DataLoader(Stream(), batch_size=5),
        {"test": (X, Y)},
    ],
)
def test_every_form_of_a_test_split_is_the_same_data(given):
    found = userdata.of(given, "mine")
    assert torch.equal(found.test.inputs, X)
    assert torch.equal(found.test.labels, Y)
    assert found.digest == userdata.of((X, Y), "other").digest
    with pytest.raises(
        MissingDataError, match=r"mine has no training split; give both as \{'train': ..., 'test'"
    ):
        _ = found.train


def test_both_splits_and_transforms_that_draw_are_the_same_again():
    one, other = (userdata.of({"train": Augmented(), "test": (X, Y)}, "mine") for _ in range(2))
    assert one.digest == other.digest
    assert one.train.inputs.shape == (12, 2)
    assert one.digest != userdata.of((X, Y), "mine").digest


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"valid": (X, Y)},
            r"splits are called 'train' and 'test', and 'test' must be there; got \['valid'\]",
        ),
        (
            (TensorDataset(X, Y), TensorDataset(X, Y)),
            "got two TensorDatasets; a split is .* and two splits are {'tr",
        ),
        ((X, Y[:5]), r"inputs of shape \(12, 2\) and labels of shape \(5,\) do not fit"),
        ((Y, X), r"inputs of shape \(12,\) and labels of shape \(12, 2\) look exchanged; return \(inputs, l"),
        ((X, ["cat"] * 12), "labels are a list, expected a tensor or array of class numbers"),
        ((X[:0], Y[:0]), "there are no samples"),
        (3, r"got a int, expected \(inputs, labels\), a torch Dataset or a DataLoader"),
        (Stream(), "has no order of its own"),
        (TensorDataset(X, Y, Y), r"a batch is a list of 3, expected \(inputs, labels\)"),
        (DataLoader(TensorDataset(X)), "a batch is a list of 1"),
    ],
)
def test_what_is_no_data(given, message):
    with pytest.raises(UsageError, match=message):
        userdata.of(given, "mine")


@pytest.mark.parametrize(
    ("outputs", "labels", "message"),
    [
        (
            3,
            Y + 1,
            r"the test labels range from 1 to 3, .* for classes 0 to 2; they seem to be counted from 1",
        ),
        (2, Y, "range from 0 to 2, but the network has 2 outputs, for classes 0 to 1; build it with as many"),
        (3, Y - 1, "range from -1 to 1"),
        (3, torch.eye(3)[Y], r"have shape \(12, 3\), expected \(N,\) class numbers; they look one-hot"),
        (3, Y + 0.5, "range from 0.5 to 2.5|are not whole"),
        (4, Y * 0.7, "are not whole numbers"),
        (1, Y, r"are \[0.0, 1.0, 2.0\]; a network with one output needs -1 and 1, or 0 and 1"),
    ],
)
def test_labels_out_of_range(outputs, labels, message):
    with pytest.raises(UsageError, match=message):
        userdata.of((X, labels), "mine").for_outputs(outputs)


def test_labels_become_what_errors_are_counted_with():
    assert userdata.of((X, Y.int()[:, None]), "mine").for_outputs(3).test.labels.dtype == torch.int64
    binary = userdata.of((X, Y.clamp(max=1)), "mine").for_outputs(1)
    assert set(binary.test.labels.tolist()) == {-1.0, 1.0}
    assert binary.notes == ("labels 0 and 1 of the single output became -1 and 1",)


def test_inputs_that_nobody_prepares():
    data = userdata.of((X.to(torch.uint8), Y), "mine")
    with pytest.raises(UsageError, match=r"the test inputs are uint8; .* define `prepare\(inputs\)`"):
        data.check_inputs()
    data.prepared_by(lambda images: images / 255).check_inputs()
    with pytest.raises(UsageError, match="the test inputs hold NaN or infinite"):
        userdata.of((X.clone().fill_(float("nan")), Y), "mine").check_inputs()


def test_data_that_would_fill_the_memory(monkeypatch):
    monkeypatch.setattr("os.sysconf", lambda name: 20)
    with pytest.raises(
        UsageError, match=r"mine takes .* return a part of it, such as torch.utils.data.Subset"
    ):
        userdata.of(DataLoader(TensorDataset(torch.zeros(500, 2), torch.zeros(500))), "mine")


def test_a_function_of_the_users(tmp_path):
    (tmp_path / "mydata.py").write_text(
        textwrap.dedent("""
        import torch
        def splits():
            return {"test": (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))}
        def broken():
            raise FileNotFoundError("val.npz")
        ready = splits()["test"]
    """)
    )
    assert len(userdata.load("mydata.py:splits", tmp_path, root=None).test) == 4
    assert len(userdata.load("mydata.py:ready", tmp_path, root=None).test) == 4
    with pytest.raises(
        UsageError, match=r"the data 'mydata.py:broken' cannot be loaded: FileNotFoundError: val.npz"
    ):
        userdata.load("mydata.py:broken", tmp_path, root=None)
    with pytest.raises(UsageError, match="the data: there is no file"):
        userdata.load("yourdata.py:splits", tmp_path, root=None)


def test_a_registered_data_set_and_a_wrong_name():
    found = userdata.load("digits", HERE, root=None)
    assert found.train.inputs.dtype == torch.uint8
    assert abs(float(found.prepare(found.train.inputs).mean())) < 1e-5
    assert found.notes == ("images are normalised by the mean and deviation of the data set's training part",)
    with pytest.raises(UsageError, match=r"no data set is called 'digit'; did you mean 'digits'\?"):
        userdata.load("digit", HERE, root=None)
    with pytest.raises(MissingDataError, match="cifar10"):
        userdata.load("cifar10", HERE, root=None)


def picture(path, size, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def test_a_folder_of_classes_is_a_test_split(tmp_path):
    for label, value in (("cat", 0), ("dog", 255)):
        for number in range(3):
            picture(tmp_path / "val" / label / f"{number}.png", (6, 5), value)
    found = userdata.load("imagefolder:val", tmp_path, root=None)
    assert found.test.inputs.shape == (6, 3, 5, 6)
    assert found.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    white = found.prepare(found.test.inputs)[5, :, 0, 0]
    assert np.allclose(
        white, [(1 - m) / s for m, s in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)]
    )
    assert "ImageNet's mean and deviation" in found.notes[0]
    assert set(found.splits) == {"test"}
    assert len(userdata.load("imagefolder:val", HERE, root=tmp_path).test) == 6


def test_photographs_of_several_sizes_become_squares(tmp_path):
    picture(tmp_path / "cat" / "0.png", (300, 280), 9)
    picture(tmp_path / "dog" / "0.png", (500, 260), 9)
    found = datafolders.of_split(tmp_path)
    assert found.test.inputs.shape == (2, 3, 224, 224)
    assert "the centre of 224 pixels" in found.notes[1]


def test_a_class_without_images(tmp_path):
    picture(tmp_path / "cat" / "0.png", (3, 3), 9)
    (tmp_path / "dog").mkdir()
    with pytest.raises(DamagedDataError, match="dog"):
        datafolders.of_split(tmp_path)


def test_data_sets_of_torchvision(tmp_path, monkeypatch):
    from torchvision import datasets

    class Tiny:
        def __init__(self, root, train=True, download=False):
            self.train = train

        def __len__(self):
            return 4 if self.train else 2

        def __getitem__(self, row):
            return Image.new("L", (3, 3), 10 * row), row % 2

    monkeypatch.setattr(datasets, "MNIST", Tiny)
    found = userdata.load("torchvision:MNIST", HERE, root=tmp_path)
    assert found.train.inputs.shape == (4, 1, 3, 3)
    assert found.test.labels.tolist() == [0, 1]
    assert abs(float(found.prepare(found.train.inputs).mean())) < 1e-6
    with pytest.raises(UsageError, match=r"no data set 'MNITS' .*did you mean 'MNIST'\?"):
        userdata.load("torchvision:MNITS", HERE, root=tmp_path)
    with pytest.raises(MissingDataError, match="needs a folder: --netprops-data-root"):
        userdata.load("torchvision:MNIST", HERE, root=None)
    with pytest.raises(
        MissingDataError, match=r"torchvision:CIFAR10 is not below .* allow --netprops-download"
    ):
        userdata.load("torchvision:CIFAR10", HERE, root=tmp_path)


def test_a_part_of_the_samples_is_random_the_same_and_said():
    data = userdata.of({"train": (X, Y), "test": (X[:4], Y[:4])}, "mine")
    one, other = data.limited(5), data.limited(5)
    assert torch.equal(one.train.inputs, other.train.inputs)
    assert (len(one.train), len(one.test)) == (5, 4)
    assert torch.equal(one.train.inputs[:, 0] // 2 % 3, one.train.labels.float())
    assert one.notes == ("a random 5 of the 12 train samples",)
    assert data.limited(None).digest == data.digest
