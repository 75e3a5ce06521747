import numpy as np
import pytest
import torch

from netprops.data import Request, windows
from netprops.data.chunks import generator
from netprops.data.windows import Settings, Windows, cut, settings_of, tokens_of
from netprops.errors import DamagedDataError, UsageError


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(windows, "SIZE", 8)
    monkeypatch.setattr(windows, "TEST_WINDOWS", 5)


def counted(length=341):
    """A text whose tokens say where they stand."""
    return np.arange(length, dtype=np.int32)


def all_chunks(stream):
    return [stream.chunk(index) for index in range(stream.chunks)]


def test_no_token_is_in_two_windows_and_every_label_is_the_next_token():
    stream = Windows("text", counted(), 10, None)
    assert (stream.size, stream.chunks) == (8, 4)
    chunks = all_chunks(stream)
    inputs = torch.cat([chunk.inputs for chunk in chunks])
    labels = torch.cat([chunk.labels for chunk in chunks])
    assert (inputs.dtype, labels.dtype) == (torch.int32, torch.int64)
    assert inputs.shape == labels.shape == (32, 10)
    assert torch.equal(labels, inputs.long() + 1)
    assert len(inputs.unique()) == 320
    assert torch.equal(inputs[:, 0] % 10, torch.zeros(32))


def test_all_windows_are_used_if_the_chunks_are_full():
    stream = Windows("text", counted(321), 10, None)
    inputs = torch.cat([chunk.inputs for chunk in all_chunks(stream)])
    assert sorted(inputs.flatten().tolist()) == list(range(320))


def test_the_order_is_random_and_fixed():
    first, again = (Windows("text", counted(), 10, None) for _ in range(2))
    starts = torch.cat([chunk.inputs[:, 0] for chunk in all_chunks(first)])
    assert not torch.equal(starts, starts.sort().values)
    for index in (2, 0, 2):
        assert first.chunk(index).digest == again.chunk(index).digest


def test_the_digest_knows_text_window_and_mask():
    text = counted()
    other = text.copy()
    other[-1] = 0
    streams = [(text, 10, None), (other, 10, None), (text, 11, None), (text, 10, 500), (text, 10, 501)]
    assert len({Windows("text", *stream).digest for stream in streams}) == 5
    assert Windows("text", text, 10, None).digest == Windows("renamed", text.copy(), 10, None).digest


@pytest.mark.parametrize(("length", "asked"), [(2, 1), (10, 2), (40, 6), (64, 10)])
def test_a_mask_hides_15_percent_of_each_window_and_nothing_else_is_asked(length, asked):
    numbers = np.arange(30)
    chunk = cut(counted(30 * length), numbers, length, 9999, generator("x", 0))
    hidden = chunk.inputs == 9999
    assert (hidden.sum(dim=1) == asked).all()
    assert hidden[:, -1].all()
    places = torch.arange(30 * length).reshape(30, length)
    assert torch.equal(chunk.labels, torch.where(hidden, places, -100))
    assert torch.equal(chunk.inputs[~hidden].long(), places[~hidden])


def test_every_position_is_asked_as_often_but_for_the_last():
    chunk = cut(counted(40 * 4000), np.arange(4000), 40, 10**6, generator("x", 0))
    counts = (chunk.labels >= 0).sum(dim=0)[:-1].double()
    expected = 4000 * 5 / 39
    # chi-squared with 38 degrees of freedom: its 0.9999 quantile is 79
    assert ((counts - expected) ** 2 / expected).sum() < 79


def test_chunks_mask_other_positions():
    stream = Windows("text", counted(), 10, 9999)
    first, second = (stream.chunk(index).labels >= 0 for index in (0, 1))
    assert not torch.equal(first, second)


def test_the_data_set_has_the_first_chunk_and_some_windows_of_the_other_text():
    text = counted(321) % 7
    data = tokens_of(Request("text"), text, counted(101) % 7, Settings(length=10), tuple("abcdefg"))
    assert (data.task, data.outputs, data.input_shape) == ("tokens", 7, (10,))
    assert data.train.digest == data.stream.chunk(0).digest
    assert len(data.test) == 5
    assert data.test.labels.min() >= 0
    masked = tokens_of(
        Request("text"), text, counted(101) % 7, Settings(length=10, masked=True), tuple("abcdefg")
    )
    assert masked.classes == (*"abcdefg", "<mask>")
    assert masked.outputs == 8
    for part in (masked.train, masked.test):
        assert (part.inputs == 7).sum() == 2 * len(part)
        assert (part.labels < 7).all()
        assert (part.labels[:, -1] >= 0).all()
    assert masked.digest != data.digest


@pytest.mark.parametrize("mask", [None, 9])
def test_a_stream_runs_dry(mask):
    stream = Windows("text", counted(), 10, mask)
    with pytest.raises(UsageError, match="text runs dry: chunk 4 was asked for"):
        stream.chunk(4)
    with pytest.raises(UsageError, match="text has no chunk -1"):
        stream.chunk(-1)


def test_a_text_that_is_too_short_is_said():
    with pytest.raises(UsageError, match="text has 7 windows of 10 tokens, expected at least one chunk of 8"):
        Windows("text", counted(80), 10, None)
    assert Windows("text", counted(80), 10, 99).chunks == 1
    assert Windows("text", counted(81), 10, None).chunks == 1
    with pytest.raises(DamagedDataError, match="the test text has 10 tokens, expected more than a window"):
        tokens_of(Request("text"), counted(), counted(10), Settings(length=10), ("a",))


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("", Settings()),
        ("128", Settings(length=128)),
        ("masked", Settings(masked=True)),
        ("top1000:masked:32", Settings(32, True, 1000)),
        ("32:masked:top1000", Settings(32, True, 1000)),
    ],
)
def test_settings_stand_after_the_colon_in_any_order(argument, expected):
    assert settings_of(Request(f"text:{argument}", argument), words=True) == expected


@pytest.mark.parametrize(
    "argument", ["mask", "1", "-5", "64:32", "masked:masked", "top", "top1", "64:", "6.4"]
)
def test_settings_that_are_not_known_or_stand_twice_are_refused(argument):
    with pytest.raises(UsageError, match=r"cannot stand there; expected, each at most once, the tokens of"):
        settings_of(Request(f"text:{argument}", argument), words=True)


def test_only_a_text_of_words_has_a_vocabulary_to_cut():
    with pytest.raises(UsageError, match="'top100' cannot stand there"):
        settings_of(Request("text:top100", "top100"), words=False)
