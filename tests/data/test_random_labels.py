"""Labels drawn at random: the inputs of the data set that is named, and nothing that tells their classes."""

from collections import Counter

import pytest
import torch

from netprops import data
from netprops.errors import MissingDataError, UsageError


@pytest.mark.parametrize("name", ["digits", "pdigits", "gaussian:10"])
def test_inputs_stay_and_labels_are_drawn_from_the_same_classes(name):
    whole, drawn = data.load(name, None), data.load(f"random-labels:{name}", None)
    assert drawn.name == f"random-labels:{name}"
    assert (drawn.task, drawn.classes, drawn.mean) == (whole.task, whole.classes, whole.mean)
    for ours, theirs in ((drawn.train, whole.train), (drawn.test, whole.test)):
        assert torch.equal(ours.inputs, theirs.inputs)
        assert ours.labels.dtype == theirs.labels.dtype
        count, classes = len(ours), len(whole.classes)
        kept = float((ours.labels == theirs.labels).double().mean())
        assert kept == pytest.approx(1 / classes, abs=4 / (count**0.5 * classes**0.5))
        for label, times in Counter(ours.labels.tolist()).items():
            assert label in theirs.labels.tolist()
            assert times == pytest.approx(count / classes, abs=4 * (count / classes) ** 0.5)
    assert not torch.equal(drawn.train.labels[:800], drawn.test.labels[:800])


def test_they_are_drawn_once_and_for_all():
    first, again = (data.load("random-labels:digits", None) for _ in range(2))
    assert first.digest == again.digest
    assert first.digest != data.load("digits", None).digest


def test_what_is_missing_is_said_by_the_data_set_that_is_named(tmp_path):
    assert data.check("random-labels:mnist", tmp_path) == data.check("mnist", tmp_path)
    with pytest.raises(MissingDataError, match="mnist needs MNIST, which was not found"):
        data.load("random-labels:mnist", tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("random-labels", "needs an argument after a colon: random-labels:ARGUMENT"),
        ("random-labels:digit", "did you mean 'digits'"),
        ("random-labels:gaussian", "'gaussian' needs an argument"),
    ],
)
def test_there_must_be_such_a_data_set(name, words):
    with pytest.raises(UsageError, match=words):
        data.load(name, None)


def test_a_stream_would_have_the_true_labels_and_is_dropped():
    assert data.load("digit-stream", None).stream is not None
    assert data.load("random-labels:digit-stream", None).stream is None
