import io
import logging
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from netprops.data import images, load
from netprops.errors import DamagedDataError, MissingDataError

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


def photographs():
    """The files of an archive whose images have sizes of their own."""
    sizes = [(300, 260), (256, 400), (40, 70), (513, 257)]
    return {name: picture(i, size=sizes[i % 4]) for i, name in enumerate(files())}


def test_photographs_of_any_size_are_the_squares_of_torchvisions_evaluation(tmp_path):
    content = photographs()
    path = folder(tmp_path / "a", content)
    data = load("imagefolder256:a", path.parent, cache_root=tmp_path / "cache")
    assert data.train.inputs.shape == (9, 3, 256, 256)
    assert data.input_shape == (3, 224, 224)
    standard = transforms.Compose(
        [transforms.Resize(256), transforms.CenterCrop(224), transforms.PILToTensor()]
    )
    for split, part in (("train", data.train), ("test", data.test)):
        names = sorted(name for name in content if name.startswith(split))
        expected = torch.stack([standard(Image.open(path / name)) for name in names])
        assert torch.equal(data.prepare(part.inputs), data.prepare(expected))
    again = load("imagefolder256:a", path.parent, cache_root=tmp_path / "cache")
    assert (again.digest, again.view) == (data.digest, 224)


def test_grey_photographs_have_three_channels(tmp_path):
    data = load(f"imagefolder256:{folder(tmp_path / 'grey', files(mode='L'))}", None)
    assert data.train.inputs.shape == (9, 3, 256, 256)


def test_one_archive_has_a_copy_for_each_way_of_decoding_it(tmp_path):
    root = folder(tmp_path / "a", files()).parent
    shapes = [
        load(f"{name}:a", root, cache_root=tmp_path / "cache").input_shape
        for name in ("imagefolder", "imagefolder256", "imagefolder")
    ]
    assert shapes == [(3, 5, 6), (3, 224, 224), (3, 5, 6)]


def test_sizes_that_differ_are_refused_with_the_way_out(tmp_path):
    with pytest.raises(DamagedDataError, match="resize them first or name the data set imagefolder256:PATH"):
        load(damaged(photographs(), tmp_path), None)


def test_imagenet_must_be_whole(tmp_path, monkeypatch):
    folder(tmp_path / "imagenet", files(test="val"))
    with pytest.raises(
        DamagedDataError, match=r"9 training and 6 test images of 3 classes, expected 1,281,167"
    ):
        load("imagenet", tmp_path)
    monkeypatch.setitem(images._COUNTS, "imagenet", (9, 6, 3))
    assert load("imagenet", tmp_path).input_shape == (3, 224, 224)


def test_imagenet_that_is_not_there_is_one_sentence(tmp_path):
    for root, where in ((None, "no data root is set"), (tmp_path, f"looked for {tmp_path / 'imagenet'}")):
        with pytest.raises(MissingDataError) as said:
            load("imagenet", root)
        assert where in str(said.value)
        assert "150 GB, and 262 GB for its decoded copy" in str(said.value)


def test_exif_data_that_is_cut_off_hurts_nobody(tmp_path):
    """PIL warns of it, and here warnings are errors."""
    stream = io.BytesIO()
    cut_off = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01"
    Image.fromarray(np.zeros((5, 6, 3), dtype=np.uint8)).save(stream, "JPEG", exif=cut_off)
    data = stream.getvalue()
    header = data.index(b"\xff\xe0")  # without the JFIF header, PIL looks for the resolution in the EXIF data
    length = int.from_bytes(data[header + 2 : header + 4], "big")
    content = {**files(), "train/ant/000.png": data[:header] + data[header + 2 + length :]}
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        Image.open(io.BytesIO(content["train/ant/000.png"]))
    assert len(load(damaged(content, tmp_path), None).train) == 9
