import pytest
import torch

from netprops import data
from netprops.errors import MissingDataError, UsageError


def share_changed(clean, noisy):
    return float((clean.labels != noisy.labels).double().mean())


@pytest.mark.parametrize("share", [0.1, 0.5, 1])
@pytest.mark.parametrize("name", ["digits", "pdigits"])
def test_a_share_of_the_training_labels_is_drawn_from_all_classes_and_nothing_else_changes(name, share):
    clean, noisy = data.load(name, None), data.load(f"noisy-labels:{share}:{name}", None)
    assert noisy.name == f"noisy-labels:{share}:{name}"
    assert (noisy.task, noisy.classes, noisy.mean) == (clean.task, clean.classes, clean.mean)
    assert torch.equal(noisy.train.inputs, clean.train.inputs)
    assert noisy.test.digest == clean.test.digest
    assert noisy.train.labels.dtype == clean.train.labels.dtype
    wrong = share * (1 - 1 / len(clean.classes))
    assert share_changed(clean.train, noisy.train) == pytest.approx(wrong, abs=4 * (wrong / 897) ** 0.5)
    assert share_changed(clean.train, noisy.train) <= share + 1 / 897
    assert set(noisy.train.labels.tolist()) == set(clean.train.labels.tolist())


def test_the_drawn_labels_are_uniform_and_say_nothing_of_the_right_ones():
    clean, noisy = data.load("digits", None).train, data.load("noisy-labels:1:digits", None).train
    counts = torch.stack([noisy.labels[clean.labels == label].bincount(minlength=10) for label in range(10)])
    expected = counts.sum(dim=1, keepdim=True) / 10
    # chi-squared with 90 degrees of freedom: its 0.9999 quantile is 147
    assert ((counts - expected) ** 2 / expected).sum() < 147


def test_they_are_drawn_once_and_for_all_and_the_digest_knows_the_share():
    first, again, other = (data.load(f"noisy-labels:{s}:digits", None) for s in ("0.5", "0.5", "0.6"))
    assert first.digest == again.digest
    assert len({first.digest, other.digest, data.load("digits", None).digest}) == 3


def test_each_chunk_of_a_stream_has_noise_of_its_own():
    clean, noisy = data.load("digit-stream", None), data.load("noisy-labels:0.5:digit-stream", None)
    assert noisy.stream.size == clean.stream.size
    assert noisy.stream.chunks is None
    assert noisy.train.digest == noisy.stream.chunk(0).digest
    assert noisy.test.digest == clean.test.digest
    changed = []
    for index in (0, 1, 7):
        chunk, whole = noisy.stream.chunk(index), clean.stream.chunk(index)
        assert chunk.digest == noisy.stream.chunk(index).digest
        assert torch.equal(chunk.inputs, whole.inputs)
        assert share_changed(whole, chunk) == pytest.approx(0.45, abs=0.07)
        changed.append(chunk.labels != whole.labels)
    assert not torch.equal(changed[0], changed[1])
    assert noisy.stream.digest != clean.stream.digest
    other = data.load("noisy-labels:0.25:digit-stream", None)
    assert other.stream.digest != noisy.stream.digest


@pytest.mark.parametrize(
    "argument",
    ["digits", "0.5", "0.5:", "half:digits", "0:digits", "-0.1:digits", "1.01:digits", "nan:digits"],
)
def test_a_share_and_a_data_set_are_needed(argument):
    with pytest.raises(
        UsageError, match=r"expected a share in \(0, 1\] and a data set, such as noisy-labels:0"
    ):
        data.load(f"noisy-labels:{argument}", None)


def test_the_other_data_set_must_be_there_and_have_classes(tmp_path):
    assert data.check("noisy-labels:0.5:mnist", tmp_path) == data.check("mnist", tmp_path)
    with pytest.raises(MissingDataError, match="mnist needs MNIST, which was not found"):
        data.load("noisy-labels:0.5:mnist", tmp_path)
    with pytest.raises(UsageError, match="did you mean 'digits'"):
        data.load("noisy-labels:0.5:digit", None)
    with pytest.raises(UsageError, match="source-bytes is of the task 'tokens', expected a classification"):
        data.load("noisy-labels:0.5:source-bytes", None)
