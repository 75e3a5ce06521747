import io
import logging
import tarfile

import numpy as np
import pytest
from PIL import Image

from netprops.data import load
from netprops.errors import DamagedDataError

CLASSES = ("ant", "bee", "cow")


def picture(seed, mode="RGB", size=(6, 5), kind="PNG"):
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels, mode=None).save(stream, kind)
    return stream.getvalue()


def files(per_class=3, test="test", above="", **picture_changes):
    """Names and contents of an archive's files; the name's digits are the seed."""
    found = {}
    for p, part in enumerate(("train", test)):
        for c, label in enumerate(CLASSES):
            for i in range(per_class - p):
                seed = 100 * p + 10 * c + i
                found[f"{above}{part}/{label}/{seed:03}.png"] = picture(seed, **picture_changes)
    return found


def folder(path, content):
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def tar(path, content, order=list, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name in order(content):
            member = tarfile.TarInfo(name)
            member.size = len(content[name])
            archive.addfile(member, io.BytesIO(content[name]))
    return path


def pixels(data):
    """(C, H, W) as PIL decodes it."""
    return np.moveaxis(np.asarray(Image.open(io.BytesIO(data)).convert("RGB")), 2, 0)


def test_images_come_sorted_by_class_and_path_with_their_labels(tmp_path):
    content = files()
    data = load(f"imagefolder:{folder(tmp_path / 'a', content)}", None)
    assert data.classes == CLASSES
    assert data.outputs == 3
    assert data.input_shape == (3, 5, 6)
    assert data.train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.test.labels.tolist() == [0, 0, 1, 1, 2, 2]
    for part, split in (("train", data.train), ("test", data.test)):
        expected = np.stack([pixels(content[name]) for name in sorted(content) if name.startswith(part)])
        np.testing.assert_array_equal(split.inputs.numpy(), expected)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("order", [sorted, lambda names: sorted(names, reverse=True)])
def test_a_tar_in_any_order_is_the_same_data_as_the_folder(tmp_path, mode, order):
    content = files()
    plain = load("imagefolder:a", folder(tmp_path / "a", content).parent)
    packed = load("imagefolder:a.tar", tar(tmp_path / "a.tar", content, order, mode).parent)
    assert packed.digest == plain.digest


def test_folders_above_other_files_and_a_part_named_val_are_understood(tmp_path):
    plain = load("imagefolder:a", folder(tmp_path / "a", files()).parent)
    content = files(test="val", above="./birds-1.0/")
    content["./birds-1.0/README.md"] = b"about birds"
    content["./birds-1.0/train/ant/._000.png"] = b"what a Mac leaves"
    content["./birds-1.0/train/notes.png"] = b"not in a class"
    odd = load(f"imagefolder:{tar(tmp_path / 'odd.tar', content)}", None)
    assert odd.digest == plain.digest


def test_grey_images_have_one_channel_and_mixed_ones_three(tmp_path):
    grey = files(mode="L")
    data = load(f"imagefolder:{folder(tmp_path / 'grey', grey)}", None)
    assert data.input_shape == (1, 5, 6)
    first = np.asarray(Image.open(io.BytesIO(grey["train/ant/000.png"])))
    np.testing.assert_array_equal(data.train.inputs[0, 0].numpy(), first)
    mixed = {**grey, "test/cow/121.png": picture(121)}
    assert load(f"imagefolder:{folder(tmp_path / 'mixed', mixed)}", None).input_shape == (3, 5, 6)


def damaged(content, tmp_path):
    return f"imagefolder:{tar(tmp_path / 'a.tar', content)}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train/bee/011.png": picture(11)[:60]}, r"a\.tar: train/bee/011\.png cannot be decoded"),
        ({"train/bee/011.png": b""}, r"a\.tar: train/bee/011\.png cannot be decoded"),
        ({"train/bee/011.png": picture(11, size=(7, 5))}, r"bee/011\.png is 7×5 pixels, the first image 6×5"),
        ({"train/dog/1.png": picture(1)}, r"classes \['dog'\] are in only one of train and test"),
    ],
)
def test_images_that_cannot_be_used_are_named(tmp_path, changes, words):
    with pytest.raises(DamagedDataError, match=words):
        load(damaged({**files(), **changes}, tmp_path), None)


def test_16_bit_images_are_refused_and_not_clipped(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.full((5, 6), 40_000, dtype=np.uint16)).save(stream, "PNG")
    with pytest.raises(DamagedDataError, match=r"has mode 'I;16', expected 8 bits a channel"):
        load(damaged({**files(), "train/ant/000.png": stream.getvalue()}, tmp_path), None)


@pytest.mark.parametrize(
    ("lacking", "words"), [("train", "train/<class>"), ("test", "test/<class>/. or val/<class>")]
)
def test_an_archive_without_a_part_says_which(tmp_path, lacking, words):
    content = {name: data for name, data in files().items() if not name.startswith(lacking)}
    with pytest.raises(DamagedDataError, match=f"has no images as {words}"):
        load(damaged(content, tmp_path), None)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.6, 0.7])
def test_a_tar_cut_off_anywhere_is_an_error(tmp_path, mode, share):
    path = tar(tmp_path / "a.tar", files(), mode=mode)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DamagedDataError, match=r"a\.tar .*cut off"):
        load(f"imagefolder:{path}", None)


def test_a_tar_cut_off_between_two_members_is_an_error_too(tmp_path):
    content = files()
    path = tar(tmp_path / "a.tar", content)
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:last])
    with pytest.raises(DamagedDataError, match="has no end-of-archive block"):
        load(f"imagefolder:{path}", None)


def test_what_is_no_tar_is_said(tmp_path):
    (tmp_path / "a.tar").write_text("not found")
    with pytest.raises(DamagedDataError, match="cannot be read as a tar"):
        load("imagefolder:a.tar", tmp_path)


def test_progress_is_told_and_logged(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("netprops.data.images._SHOW_EVERY", 6)
    monkeypatch.setattr("netprops.data.images._SAY_EVERY", -1)
    told = []
    with caplog.at_level(logging.INFO, logger="netprops"):
        load(damaged(files(), tmp_path), None, progress=lambda done, all_: told.append((done, all_)))
    assert told == [(6, 15), (12, 15), (15, 15)]
    assert "a.tar: decoding 15 images" in caplog.text
    assert "a.tar: 15 of 15 images decoded" in caplog.text


def test_cifar10_as_jpeg_must_be_whole(tmp_path):
    tar(tmp_path / "cifar10-jpeg.tar", files())
    with pytest.raises(DamagedDataError, match="9 training and 6 test images of 3 classes, expected 50,000"):
        load("cifar10jpeg", tmp_path)
