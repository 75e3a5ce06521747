import logging
import os
import shutil
import threading

import numpy as np
import pytest
import torch
from filelock import FileLock

from netprops.data import Dataset, Request, Split, decoded
from netprops.data.decoded import FOLDER, fingerprint, kept
from netprops.errors import DamagedDataError, UsageError


def dataset(seed=0):
    rng = np.random.default_rng(seed)
    parts = [
        Split.of_arrays(rng.integers(0, 256, (n, 1, 4, 4), dtype=np.uint8), np.arange(n) % 3) for n in (9, 6)
    ]
    return Dataset.of_images("x", *parts, classes=("a", "b", "c"))


class Decoder:
    """Counts how often it is asked."""

    def __init__(self, seed=0):
        self.times, self.seed = 0, seed

    def __call__(self, place):
        self.times += 1
        return dataset(self.seed)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.tar"
    path.write_bytes(b"anything")
    return path


@pytest.fixture
def request_(tmp_path):
    return Request("imagefolder:a.tar", cache_root=tmp_path / "cache")


def test_a_copy_is_made_once_and_is_the_same_data(archive, request_):
    decode = Decoder()
    first, second = (kept(archive, request_, decode) for _ in range(2))
    assert decode.times == 1
    for data in (first, second):
        assert data.digest == dataset().digest
        assert data.name == "imagefolder:a.tar"
        assert data.classes == ("a", "b", "c")
        assert torch.equal(data.prepare(data.test.inputs), dataset().prepare(dataset().test.inputs))


def test_nothing_is_kept_without_a_cache(archive, tmp_path):
    decode = Decoder()
    for _ in range(2):
        kept(archive, Request("x"), decode)
    assert decode.times == 2
    assert list(tmp_path.iterdir()) == [archive]


def copies(request_):
    return sorted(path for path in (request_.cache_root / FOLDER).iterdir() if path.is_dir())


def test_the_copys_folder_has_nothing_but_hex_in_its_name_and_no_rest_lies_beside(archive, request_):
    kept(archive, request_, Decoder())
    (copy,) = copies(request_)
    assert len(copy.name) == 64
    int(copy.name, 16)


FILES = ["dataset.json", "test-inputs.npy", "test-labels.npy", "train-inputs.npy", "train-labels.npy"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("at", [0, 0.5, 1])
def test_one_flipped_bit_in_any_file_is_noticed_and_mended(archive, request_, name, at, caplog):
    kept(archive, request_, Decoder())
    (copy,) = copies(request_)
    assert sorted(file.name for file in copy.iterdir()) == FILES
    content = bytearray((copy / name).read_bytes())
    content[int(at * (len(content) - 1))] ^= 1
    (copy / name).write_bytes(content)
    decode = Decoder()
    with caplog.at_level(logging.WARNING, logger="netprops"):
        mended = kept(archive, request_, decode)
    assert mended.digest == dataset().digest
    assert decode.times == 1
    assert "is damaged" in caplog.text
    kept(archive, request_, decode)
    assert decode.times == 1


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_or_empty_is_noticed_too(archive, request_, name):
    decode = Decoder()
    kept(archive, request_, decode)
    (copy,) = copies(request_)
    (copy / name).unlink()
    kept(archive, request_, decode)
    (copy / name).write_bytes(b"")
    assert kept(archive, request_, decode).digest == dataset().digest
    assert decode.times == 3


def test_another_archive_of_the_same_name_is_decoded_anew(archive, request_):
    kept(archive, request_, Decoder())
    before = fingerprint(archive)
    archive.write_bytes(b"anything")
    os.utime(archive, ns=(1, 1))
    assert fingerprint(archive) != before
    assert kept(archive, request_, Decoder(seed=1)).digest == dataset(1).digest


def test_a_folders_fingerprint_shows_a_file_added_changed_or_renamed(tmp_path):
    folder = tmp_path / "a"
    (folder / "train").mkdir(parents=True)
    file = folder / "train" / "1.png"
    prints = [fingerprint(folder)]
    file.write_bytes(b"x")
    prints.append(fingerprint(folder))
    file.write_bytes(b"xy")
    prints.append(fingerprint(folder))
    os.utime(file, ns=(5, 5))
    prints.append(fingerprint(folder))
    file.rename(folder / "train" / "2.png")
    prints.append(fingerprint(folder))
    assert len(set(prints)) == 5


def test_what_a_killed_process_left_is_cleared_and_a_failed_decoding_leaves_nothing(archive, request_):
    rest = request_.cache_root / FOLDER / f"{fingerprint(archive)}.123-abc.part"
    rest.mkdir(parents=True)
    (rest / "train-inputs.npy").write_bytes(b"half")

    def fails(place):
        raise DamagedDataError("cut off")

    with pytest.raises(DamagedDataError, match="cut off"):
        kept(archive, request_, fails)
    assert copies(request_) == []
    kept(archive, request_, Decoder())
    assert len(copies(request_)) == 1


def test_a_copy_that_somebody_else_published_meanwhile_is_taken(archive, request_, tmp_path):
    """As where locks do not hold: the other's copy appears while this process decodes."""
    kept(archive, request_, Decoder())
    (copy,) = copies(request_)
    aside = tmp_path / "aside"
    copy.rename(aside)

    def slow(place):
        shutil.copytree(aside, copy)
        return dataset()

    assert kept(archive, request_, slow).digest == dataset().digest
    assert copies(request_) == [copy]


def test_who_waited_for_the_lock_takes_the_copy_made_meanwhile(archive, request_, tmp_path, monkeypatch):
    kept(archive, request_, Decoder())
    (copy,) = copies(request_)
    aside = copy.rename(tmp_path / "aside")
    looked, read = threading.Event(), decoded._read

    def noted(*arguments):
        found = read(*arguments)
        looked.set()
        return found

    monkeypatch.setattr(decoded, "_read", noted)
    decode = Decoder()
    with FileLock(copy.with_name(copy.name + ".lock")):
        waiting = threading.Thread(target=kept, args=(archive, request_, decode))
        waiting.start()
        assert looked.wait(20)
        shutil.copytree(aside, copy)
    waiting.join()
    assert decode.times == 0


class Placer(Decoder):
    """Writes its images where they will be kept, or returns others than it has placed."""

    def __init__(self, *, replaces=False):
        super().__init__()
        self.replaces = replaces

    def __call__(self, place):
        made = super().__call__(place)
        parts = []
        for name, part in ((decoded.TRAIN, made.train), (decoded.TEST, made.test)):
            shape = (len(part), 3, 4, 4) if self.replaces else tuple(part.inputs.shape)
            array = place(name, shape)
            array[:] = part.inputs.numpy()
            parts.append(
                Split.of_arrays(array[:, :1].copy() if self.replaces else array, part.labels.numpy())
            )
        return Dataset.of_images("x", *parts, classes=made.classes, view=2)


@pytest.mark.parametrize("replaces", [False, True])
def test_images_that_were_placed_are_kept_as_they_are(archive, request_, replaces):
    for _ in range(2):
        data = kept(archive, request_, Placer(replaces=replaces))
        assert torch.equal(data.train.inputs, dataset().train.inputs)
        assert torch.equal(data.test.inputs, dataset().test.inputs)
        assert data.view == 2
    assert sorted(file.name for file in copies(request_)[0].iterdir()) == FILES


def test_placed_images_are_written_once(archive, request_, monkeypatch):
    saved, save = [], np.save

    def noted(file, array, **more):
        saved.append(file.stem)
        save(file, array, **more)

    monkeypatch.setattr(decoded.np, "save", noted)
    kept(archive, request_, Placer())
    assert saved == ["train-labels", "test-labels"]


def test_a_disk_without_room_is_said_before_anything_is_decoded(archive, request_, monkeypatch):
    monkeypatch.setattr(decoded.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 100}))
    with pytest.raises(
        UsageError, match=r"has 0 MB free, expected 0 MB for the decoded copy; choose another"
    ):
        kept(archive, request_, Placer())
    assert copies(request_) == []


def test_another_way_of_decoding_has_a_copy_of_its_own(archive, request_):
    for how in ((), (256, 224), (256, 200), ()):
        kept(archive, request_, Decoder(), *how)
    assert len(copies(request_)) == 3
    assert fingerprint(archive) != fingerprint(archive, 256)


def test_the_check_of_a_large_copy_is_announced(archive, request_, monkeypatch, caplog):
    monkeypatch.setattr(decoded, "_LARGE", 0)
    with caplog.at_level(logging.INFO, logger="netprops"):
        kept(archive, request_, Decoder())
    assert "imagefolder:a.tar: checking the 0 GB of its decoded copy" in caplog.text


def test_inputs_of_another_type_without_normalisation_are_kept_as_they_are(archive, request_):
    def decode(place):
        parts = []
        for seed, (name, n) in enumerate(((decoded.TRAIN, 5), (decoded.TEST, 3))):
            states = place(name, (n, 4, 2), np.float16)
            states[:] = np.random.default_rng(seed).standard_normal(states.shape)
            parts.append(Split.of_arrays(states, np.arange(n) % 2))
        return Dataset(name="x", train=parts[0], test=parts[1], task="classification", classes=("a", "b"))

    plain = kept(archive, Request("x"), decode)
    for _ in range(2):
        data = kept(archive, request_, decode, "pairs", 64)
        assert data.train.inputs.dtype == torch.float16
        assert data.mean is None
        assert data.std is None
        assert data.digest == plain.digest
    assert len({fingerprint(archive), fingerprint(archive, "pairs"), fingerprint(archive, "other")}) == 3
