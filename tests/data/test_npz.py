import zipfile

import numpy as np
import pytest

from netprops.data import Request
from netprops.data.npz import Part
from netprops.errors import DamagedDataError


def drawn(n=6, shape=(4, 4, 3)):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), rng.integers(0, 3, n)


def opened(path, cache=None):
    return Part(path, Request("x", cache_root=cache), sample=(4, 4, 3), classes=3)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("cached", [False, True])
def test_images_and_labels_are_those_that_were_saved(tmp_path, save, order, cached):
    X, Y = drawn()
    save(tmp_path / "part.npz", Y=Y.astype(np.uint8), X=np.asarray(X, order=order))
    for _ in range(2):
        part = opened(tmp_path / "part.npz", tmp_path / "cache" if cached else None)
        np.testing.assert_array_equal(part.images, X)
        np.testing.assert_array_equal(part.labels, Y)
        assert part.labels.dtype == np.int64


def test_a_stored_file_is_mapped_where_it_lies_and_a_compressed_one_from_its_copy(tmp_path):
    X, Y = drawn()
    np.savez(tmp_path / "stored.npz", X=X, Y=Y)
    np.savez_compressed(tmp_path / "packed.npz", X=X, Y=Y)
    cache = tmp_path / "cache"
    stored = opened(tmp_path / "stored.npz", cache).images
    assert isinstance(stored, np.memmap)
    assert stored.filename == tmp_path / "stored.npz"
    assert not cache.exists()
    packed = opened(tmp_path / "packed.npz", cache).images
    assert isinstance(packed.base, np.memmap)
    assert len(list(cache.glob("arrays/*/images.npy"))) == 1


def test_checksums_tell_files_apart_without_reading_images(tmp_path):
    X, Y = drawn()
    other = X.copy()
    other[-1, -1, -1, -1] ^= 1
    sums = []
    for name, arrays in (("a", (X, Y)), ("b", (X, Y)), ("c", (other, Y)), ("d", (X, Y[::-1]))):
        np.savez(tmp_path / f"{name}.npz", X=arrays[0], Y=arrays[1])
        sums.append(str(opened(tmp_path / f"{name}.npz").checksums))
    assert sums[0] == sums[1]
    assert len(set(sums)) == 3


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("kept", [0, 0.3, 0.99])
def test_a_file_that_is_cut_off_is_named(tmp_path, save, kept):
    path = tmp_path / "part.npz"
    X, Y = drawn()
    save(path, X=X, Y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(
        DamagedDataError, match=r"part\.npz cannot be read .*: it is cut off or not an npz file"
    ):
        opened(path)


def test_a_flipped_bit_of_a_compressed_file_is_noticed(tmp_path):
    path = tmp_path / "part.npz"
    X, Y = drawn(200)
    np.savez_compressed(path, X=X, Y=Y)
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedDataError, match=r"part\.npz cannot be read"):
        opened(path).images  # noqa: B018


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"X": drawn()[0]}, r"has the members X\.npy, expected X\.npy and Y\.npy"),
        ({"images": drawn()[0], "Y": drawn()[1]}, r"has the members Y\.npy, images\.npy, expected"),
        (
            {"X": drawn()[0].astype(np.float32), "Y": drawn()[1]},
            r"has images of type float32 and shape \(6, 4, 4, 3\), expected uint8 \(N, 4, 4, 3\)",
        ),
        ({"X": drawn()[0][:, :3], "Y": drawn()[1]}, r"type uint8 and shape \(6, 3, 4, 3\), expected"),
        ({"X": drawn()[0], "Y": drawn()[1][:5]}, r"labels of type int64 and shape \(5,\) for 6 images"),
        ({"X": drawn()[0], "Y": drawn()[1] / 2}, r"labels of type float64 and shape \(6,\) for 6 images"),
        ({"X": drawn()[0], "Y": drawn()[1] + 1}, r"labels from \d to 3, expected 0 to 2"),
        ({"X": drawn()[0], "Y": drawn()[1] - 1}, r"labels from -1 to \d, expected 0 to 2"),
    ],
)
def test_other_content_is_said(tmp_path, arrays, words):
    np.savez(tmp_path / "part.npz", **arrays)
    with pytest.raises(DamagedDataError, match=words):
        opened(tmp_path / "part.npz")


def test_nothing_is_unpickled(tmp_path):
    touched = tmp_path / "touched"

    class Bomb:
        def __reduce__(self):
            return (touched.touch, ())

    bombs = np.array([Bomb()] * 6, dtype=object)
    np.savez(tmp_path / "images.npz", X=bombs, Y=drawn()[1])
    np.savez(tmp_path / "labels.npz", X=drawn()[0], Y=bombs)
    with pytest.raises(DamagedDataError, match="images of type object"):
        opened(tmp_path / "images.npz")
    with pytest.raises(
        DamagedDataError, match=r"labels\.npz cannot be read \(Object arrays cannot be loaded"
    ):
        opened(tmp_path / "labels.npz")
    assert not touched.exists()


def test_a_file_that_is_no_archive_and_a_member_that_is_no_array_are_said(tmp_path):
    (tmp_path / "part.npz").write_text("<html>not found</html>")
    with pytest.raises(DamagedDataError, match=r"cannot be read \(File is not a zip file\)"):
        opened(tmp_path / "part.npz")
    with zipfile.ZipFile(tmp_path / "part.npz", "w") as archive:
        archive.writestr("X.npy", b"no array")
        archive.writestr("Y.npy", b"no array")
    with pytest.raises(DamagedDataError, match=r"cannot be read \(.*magic"):
        opened(tmp_path / "part.npz")
