import numpy as np
import pytest
import torch
from torchvision.transforms.functional import center_crop

from netprops.data import Dataset, Split
from netprops.data.dataset import channel_statistics
from netprops.errors import DamagedDataError, UsageError


def split(n=10, seed=0, classes=3, shape=(2, 4, 4)):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    return Split.of_arrays(images, rng.integers(0, classes, n))


def dataset(**changes):
    parts = {"train": split(), "test": split(6, seed=1), "classes": ("a", "b", "c"), **changes}
    return Dataset.of_images("random", **parts)


def test_prepared_training_images_have_mean_0_and_variance_1_in_each_channel():
    data = dataset()
    prepared = data.prepare(data.train.inputs)
    assert prepared.dtype == torch.float32
    torch.testing.assert_close(prepared.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(prepared.std((0, 2, 3), correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_the_test_part_is_prepared_by_the_training_parts_statistics():
    data = dataset()
    images = data.test.inputs.double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (data.mean, data.std))
    expected = ((images - mean) / std).float()
    torch.testing.assert_close(data.prepare(data.test.inputs), expected, atol=1e-5, rtol=1e-5)


def test_vectors_are_prepared_as_they_are():
    part = Split(torch.randn(4, 3), torch.tensor([1.0, -1.0, 1.0, 1.0]))
    data = Dataset(name="v", train=part, test=part, task="parity", classes=("even", "odd"))
    assert torch.equal(data.prepare(part.inputs), part.inputs)
    assert data.outputs == 1
    assert data.input_shape == (3,)


@pytest.mark.parametrize(("shape", "top", "left"), [((2, 8, 8), 2, 2), ((2, 9, 13), 2, 4), ((2, 4, 4), 0, 0)])
def test_a_network_is_given_the_view_that_torchvisions_centre_crop_gives(shape, top, left):
    data = dataset(train=split(shape=shape), test=split(6, shape=shape), view=4)
    assert data.input_shape == (2, 4, 4)
    images = data.test.inputs
    torch.testing.assert_close(data.prepare(images), data.prepare(center_crop(images, [4, 4])))
    torch.testing.assert_close(
        data.prepare(images), data.prepare(images[:, :, top : top + 4, left : left + 4].clone())
    )
    assert data.prepare(images[:, :, :3, :3]).shape == (6, 2, 3, 3)


def test_statistics_are_those_of_whole_images_in_any_number_of_blocks(monkeypatch):
    whole = dataset(train=split(shape=(2, 8, 8)), test=split(6, shape=(2, 8, 8)))
    monkeypatch.setattr("netprops.data.dataset._BLOCK", 100)
    viewed = dataset(train=split(shape=(2, 8, 8)), test=split(6, shape=(2, 8, 8)), view=2)
    assert (viewed.mean, viewed.std) == (whole.mean, whole.std)


def test_statistics_are_exact_where_the_sums_need_more_than_64_bits():
    bright = np.full((3000, 1, 256, 64), 255, dtype=np.uint8)
    bright[::2] = 253
    mean, std = channel_statistics(bright)
    assert mean == (254 / 255,)
    assert std == (1 / 255,)


def test_a_constant_channel_is_only_shifted():
    images = np.zeros((3, 2, 2, 2), dtype=np.uint8)
    images[:, 1] = np.arange(4, dtype=np.uint8).reshape(2, 2)
    _, std = channel_statistics(images)
    assert std == (1.0, np.sqrt(1.25) / 255)
    with pytest.raises(DamagedDataError, match="have no mean"):
        channel_statistics(images[:0])


def changed(tensor):
    other = tensor.clone()
    other.view(torch.uint8).reshape(-1)[-1] ^= 1
    return other


def test_the_digest_shows_every_change_and_nothing_else():
    one = dataset()
    assert one.digest == dataset().digest
    assert len(one.digest) == 64
    train, test = one.train, one.test
    others = {
        "a pixel": dataset(train=Split(changed(train.inputs), train.labels)),
        "a test pixel": dataset(test=Split(changed(test.inputs), test.labels)),
        "a label": dataset(train=Split(train.inputs, train.labels.flip(0))),
        "the order": dataset(train=Split(train.inputs.flip(0), train.labels.flip(0))),
        "the shape": dataset(
            train=Split(train.inputs.reshape(10, 2, 2, 8), train.labels),
            test=Split(test.inputs.reshape(6, 2, 2, 8), test.labels),
        ),
        "the parts": dataset(train=test, test=train),
        "a class": dataset(classes=("a", "b", "d")),
        "the view": dataset(view=2),
    }
    digests = {name: other.digest for name, other in others.items()}
    assert len({one.digest, *digests.values()}) == 1 + len(others), digests


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"classes": ("a", "b")}, r"the train part has labels \[0, 1, 2\], expected only \[0, 1\]"),
        ({"test": split(shape=(2, 3, 4))}, r"of the test part have shape \(2, 3, 4\), .* \(2, 4, 4\)"),
        ({"test": Split(split().inputs, split(6).labels)}, "the test part has 10 inputs and 6 labels"),
        ({"test": split(shape=(2, 4, 3)), "view": 2}, r"of the test part have shape \(2, 4, 3\)"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, words):
    with pytest.raises(DamagedDataError, match=words):
        dataset(**changes)


def test_parity_has_labels_of_both_signs_only():
    part = Split(torch.zeros(2, 3), torch.tensor([0.0, 1.0]))
    with pytest.raises(DamagedDataError, match=r"labels \[0.0, 1.0\], expected only \[-1, 1\]"):
        Dataset(name="p", train=part, test=part, task="parity", classes=("even", "odd"))


def test_parts_are_disjoint_of_equal_size_and_the_test_part_stays():
    data = dataset(train=split(50))
    parts = [data.part(index, 3, 2) for index in range(3)]
    assert [len(part.train) for part in parts] == [16] * 3
    rows = [{image.numpy().tobytes() for image in part.train.inputs} for part in parts]
    everything = {image.numpy().tobytes() for image in data.train.inputs}
    assert set.union(*rows) < everything
    assert len(set.union(*rows)) == 48
    labels = dict(
        zip((i.numpy().tobytes() for i in data.train.inputs), data.train.labels.tolist(), strict=True)
    )
    for part in parts:
        assert part.test is data.test
        assert torch.equal(part.prepare(data.test.inputs), data.prepare(data.test.inputs))
        assert part.train.labels.tolist() == [labels[i.numpy().tobytes()] for i in part.train.inputs]
    assert parts[1].name == "random part 2 of 3, partition 2"


def test_a_part_is_the_same_every_time_and_another_one_has_another_digest():
    data = dataset(train=split(50))
    assert data.part(1, 3, 2).digest == dataset(train=split(50)).part(1, 3, 2).digest
    others = [data, *(data.part(*which) for which in ((0, 3, 2), (1, 3, 2), (1, 3, 1), (1, 2, 2)))]
    assert len({one.digest for one in others}) == len(others)
    first, second = ({i.numpy().tobytes() for i in data.part(0, 2, n).train.inputs} for n in (0, 1))
    assert first != second
    assert first & second, "a partition is drawn anew"


def test_parts_that_there_are_not_are_refused():
    data = dataset(train=split(10))
    for index, of, partition in ((3, 3, 0), (-1, 3, 0), (0, 0, 0), (0, 3, -1)):
        with pytest.raises(UsageError, match=f"has no part {index} of {of} in partition {partition}"):
            data.part(index, of, partition)
    with pytest.raises(
        UsageError, match=r"each of 4 parts has 2 of the 10 training samples, .* a class \(3\)"
    ):
        data.part(0, 4)


def regression(labels, **changes):
    part = Split(torch.randn(3, 2), torch.tensor(labels))
    return Dataset(
        **{"name": "r", "train": part, "test": part, "task": "regression", "classes": (), **changes}
    )


def test_a_regression_has_one_output_and_any_finite_targets():
    data = regression([0.0, -3.5, 1e9])
    assert data.outputs == 1
    assert data.part(1, 3).train.labels.shape == (1,)
    with pytest.raises(UsageError, match="each of 4 parts has 0 of the 3"):
        data.part(0, 4)


@pytest.mark.parametrize("labels", [[0, 1, 2], [0.0, float("nan"), 1.0], [[0.0], [1.0], [2.0]]])
def test_targets_that_are_no_real_numbers_are_refused(labels):
    with pytest.raises(DamagedDataError, match=r"targets of the train part are .* expected one finite real"):
        regression(labels)


TOKENS = torch.tensor([[3, 1, 0, 2], [2, 2, 1, 9]])
NEXT = torch.tensor([[1, 0, 2, -100], [-100, 1, -100, 0]])


def sequences(inputs=TOKENS, labels=NEXT, **changes):
    part = Split(inputs, labels)
    return Dataset(
        **{"name": "s", "train": part, "test": part, "task": "tokens", "classes": ("a", "b", "c"), **changes}
    )


def test_sequences_have_labels_where_they_are_asked():
    data = sequences()
    assert (data.outputs, data.input_shape, len(data.train)) == (3, (4,), 2)
    assert data.prepare(TOKENS).dtype == torch.float32
    assert torch.equal(data.prepare(TOKENS).long(), TOKENS)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"labels": torch.where(NEXT < 0, NEXT, NEXT + 3)},
            r"the train part has labels \[3, 4, 5\], expected only \[0, 1, 2\]",
        ),
        ({"labels": torch.where(NEXT == 1, -1, NEXT)}, r"labels \[-1, 0, 2\]"),
        ({"labels": NEXT[:, :3]}, r"int64 inputs of shape \(2, 4\) and labels of shape \(2, 3\)"),
        ({"inputs": TOKENS.float()}, r"the train part has torch.float32 inputs .* expected whole numbers"),
        (
            {"labels": torch.stack([NEXT[0], torch.full((4,), -100)])},
            "sequence 1 of the train part has no position",
        ),
    ],
)
def test_sequences_of_which_no_loss_can_be_taken_are_refused(changes, words):
    with pytest.raises(DamagedDataError, match=words):
        sequences(**changes)


def test_only_sequences_may_leave_labels_out():
    part = Split(torch.zeros(2, 3), torch.tensor([0, -100]))
    with pytest.raises(DamagedDataError, match=r"labels \[-100, 0\], expected only \[0, 1\]"):
        Dataset(name="c", train=part, test=part, task="classification", classes=("a", "b"))


class Rows:
    """Chunks of two rows of zeros each."""

    size, chunks = 2, 2

    def __init__(self, digest):
        self.digest = digest

    def chunk(self, index):
        return Split(torch.zeros(2, 4, dtype=torch.int64), torch.zeros(2, 4, dtype=torch.int64))


def test_the_digest_takes_in_the_stream_and_parts_have_none():
    one = sequences(stream=Rows("1"))
    assert one.digest == sequences(stream=Rows("1")).digest
    assert len({sequences().digest, one.digest, sequences(stream=Rows("2")).digest}) == 3
    assert dataset(train=split(50)).stream is None
    assert regression([1.0, 2.0, 3.0]).part(0, 3).stream is None
    images = Dataset.of_images("i", split(2), split(), classes=("a", "b", "c"), stream=Rows("1"))
    assert images.stream.digest == "1"


def test_a_stream_whose_first_chunk_is_not_the_training_part_is_refused():
    with pytest.raises(DamagedDataError, match="the train part has 3 samples, expected the first chunk"):
        regression([1.0, 2.0, 3.0], stream=Rows("1"))


def test_chunks_are_checked_as_parts_are():
    with pytest.raises(DamagedDataError, match=r"s: chunk 7 has labels \[5\], expected only \[0, 1, 2\]"):
        sequences().check(Split(TOKENS, torch.full((2, 4), 5)), "chunk 7")
