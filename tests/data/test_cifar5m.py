import numpy as np
import pytest
import torch

from netprops.data import check, cifar5m, load
from netprops.errors import DamagedDataError, MissingDataError, UsageError

PER_PART = 14


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Six parts of 14 images, stored and compressed by turns; chunks of 10 images."""
    monkeypatch.setattr(cifar5m, "SIZE", 10)
    monkeypatch.setattr(cifar5m, "TEST_SAMPLES", 9)
    monkeypatch.setattr(cifar5m, "SUBSETS", {"cifar200k": 40, "cifar50k": 30})
    (tmp_path / "cifar5m").mkdir()
    for index, file in enumerate(cifar5m.FILES):
        save = np.savez_compressed if index % 2 else np.savez
        save(tmp_path / "cifar5m" / file, **dict(zip("XY", arrays(index), strict=True)))
    return tmp_path


def arrays(index):
    rng = np.random.default_rng(index)
    images = rng.integers(0, 256, (PER_PART, 32, 32, 3), dtype=np.uint8)
    return images, rng.integers(0, 10, PER_PART)


def whole():
    images, labels = zip(*(arrays(index) for index in range(6)), strict=True)
    return torch.from_numpy(np.concatenate(images)).permute(0, 3, 1, 2), torch.from_numpy(
        np.concatenate(labels)
    )


@pytest.mark.parametrize("cached", [False, True])
def test_chunks_are_the_images_of_the_first_five_files_in_their_order(root, cached):
    data = load("cifar5m", root, cache_root=root / "cache" if cached else None)
    images, labels = whole()
    stream = data.stream
    assert (stream.size, stream.chunks) == (10, 7)
    for index in (0, 6, 1, 3, 1):
        chunk = stream.chunk(index)
        assert torch.equal(chunk.inputs, images[10 * index : 10 * index + 10])
        assert torch.equal(chunk.labels, labels[10 * index : 10 * index + 10])
    assert data.train.digest == stream.chunk(0).digest
    assert torch.equal(data.test.inputs, images[5 * PER_PART : 5 * PER_PART + 9])
    assert torch.equal(data.test.labels, labels[5 * PER_PART : 5 * PER_PART + 9])
    assert (data.task, data.outputs, data.input_shape) == ("classification", 10, (3, 32, 32))
    assert data.classes[3] == "cat"
    prepared = data.prepare(data.train.inputs)
    torch.testing.assert_close(prepared.mean(dim=(0, 2, 3)), torch.zeros(3), atol=1e-4, rtol=0)


def test_a_chunk_can_be_written_without_changing_the_file(root):
    data = load("cifar5m", root)
    before = data.stream.chunk(2).digest
    data.stream.chunk(2).inputs.zero_()
    data.test.inputs.zero_()
    assert data.stream.chunk(2).digest == before


def test_it_runs_dry(root):
    with pytest.raises(
        UsageError, match="cifar5m runs dry: chunk 7 was asked for, and the last one is chunk 6"
    ):
        load("cifar5m", root).stream.chunk(7)


def test_the_digest_knows_every_file(root):
    first, again = load("cifar5m", root), load("cifar5m", root)
    assert first.digest == again.digest
    images, labels = arrays(4)
    images[-1, 0, 0, 0] ^= 1
    np.savez(root / "cifar5m" / "part4.npz", X=images, Y=labels)
    changed = load("cifar5m", root)
    assert changed.train.digest == first.train.digest
    assert changed.digest != first.digest


@pytest.mark.parametrize(("name", "count"), [("cifar200k", 40), ("cifar50k", 30), ("cifar50k-noisy", 30)])
def test_subsets_are_fixed_random_images_of_the_training_files_each_once(root, name, count):
    images, labels = whole()
    data = load(name, root)
    assert data.stream is None
    assert len(data.train) == count
    known = {image.numpy().tobytes(): number for number, image in enumerate(images.contiguous())}
    numbers = [known[image.numpy().tobytes()] for image in data.train.inputs]
    assert numbers == sorted(set(numbers))
    assert max(numbers) < 5 * PER_PART
    assert numbers != list(range(count))
    right = data.train.labels == labels[numbers]
    assert right.all() if "noisy" not in name else 15 <= right.sum() <= 22
    assert data.test.digest == load("cifar5m", root).test.digest
    cached = [load(name, root, cache_root=root / "cache") for _ in range(2)]
    assert {data.digest, *(one.digest for one in cached)} == {data.digest}
    assert {one.name for one in cached} == {name}


def test_a_subset_of_too_few_images_is_refused(root, monkeypatch):
    monkeypatch.setattr(cifar5m, "SUBSETS", {"cifar200k": 71, "cifar50k": 70})
    with pytest.raises(DamagedDataError, match="the first five files have 70 images, expected at least 71"):
        load("cifar200k", root)
    assert len(load("cifar50k", root).train) == 70
    monkeypatch.setattr(cifar5m, "SIZE", 71)
    with pytest.raises(
        UsageError, match="its 5 training files have 70 images, expected at least a chunk of 71"
    ):
        load("cifar5m", root)


@pytest.mark.parametrize("name", ["cifar5m", "cifar200k", "cifar50k", "cifar50k-noisy"])
def test_a_part_that_is_not_there_is_named_with_its_size(root, name):
    (root / "cifar5m" / "part3.npz").unlink()
    sentence = check(name, root)
    for words in (name, str(root / "cifar5m" / "part3.npz"), "18.4 GB", cifar5m.URL, "NETPROPS_DATA"):
        assert words in sentence
    with pytest.raises(MissingDataError, match=r"part3\.npz"):
        load(name, root)


def test_a_part_that_is_cut_off_is_named(root):
    path = root / "cifar5m" / "part1.npz"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DamagedDataError, match=r"part1\.npz cannot be read"):
        load("cifar5m", root)


def test_only_parts_that_are_not_there_are_downloaded_and_none_is_left_half(root, monkeypatch):
    from torchvision.datasets import utils

    asked = []

    def fails(url, folder, filename):
        asked.append(url)
        (folder / filename).write_bytes(b"half")
        raise OSError("connection lost")

    (root / "cifar5m" / "part2.npz").unlink()
    monkeypatch.setattr(utils, "download_url", fails)
    with pytest.raises(MissingDataError, match=r"CIFAR-5m could not be downloaded into .*: connection lost"):
        load("cifar5m", root, download=True)
    assert asked == [f"{cifar5m.URL}part2.npz"]
    assert check("cifar5m", root) is not None

    def works(url, folder, filename):
        X, Y = arrays(2)
        with (folder / filename).open("wb") as file:
            np.savez(file, X=X, Y=Y)

    monkeypatch.setattr(utils, "download_url", works)
    assert torch.equal(load("cifar5m", root, download=True).stream.chunk(3).inputs, whole()[0][30:40])
