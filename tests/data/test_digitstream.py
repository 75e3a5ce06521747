import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from netprops.data import Split, load
from netprops.data.digitstream import CONTRAST, DigitStream
from netprops.errors import UsageError


@pytest.fixture(scope="module")
def data():
    return load("digit-stream", None)


def test_it_is_a_data_set_of_images_with_the_untouched_test_digits(data):
    digits = load("digits", None)
    assert torch.equal(data.test.inputs, digits.test.inputs)
    assert torch.equal(data.test.labels, digits.test.labels)
    assert (data.task, data.classes, data.input_shape) == ("classification", digits.classes, (1, 8, 8))
    assert torch.equal(data.train.inputs, data.stream.chunk(0).inputs)
    prepared = data.prepare(data.train.inputs)
    assert prepared.mean() == pytest.approx(0, abs=1e-5)
    assert prepared.std() == pytest.approx(1, abs=1e-3)


def test_no_sample_is_in_two_chunks_or_twice_in_one(data):
    chunks = [data.stream.chunk(index) for index in (0, 1, 2, 10**9)]
    for chunk in chunks:
        assert (len(chunk), chunk.inputs.shape, chunk.inputs.dtype) == (1000, (1000, 1, 8, 8), torch.uint8)
        assert set(chunk.labels.tolist()) == set(range(10))
    assert len(torch.cat([chunk.inputs for chunk in chunks]).flatten(1).unique(dim=0)) == 4000


def test_a_chunk_is_the_same_whenever_it_is_asked_for(data):
    again = DigitStream(load("digits", None).train)
    for index in (5, 0, 5):
        assert again.chunk(index).digest == data.stream.chunk(index).digest
    assert again.digest == data.stream.digest
    assert (again.size, again.chunks) == (1000, None)


def test_it_is_the_same_in_every_process(data):
    names = ("digit-stream", "noisy-labels:0.5:digit-stream", "source-bytes:32:masked")
    code = (
        "from netprops.data import load\n"
        f"for name in {names}:\n"
        "    data = load(name, None)\n"
        "    print(data.digest, data.stream.digest, data.stream.chunk(3).digest)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    ours = [load(name, None) for name in names]
    expected = [f"{one.digest} {one.stream.digest} {one.stream.chunk(3).digest}" for one in ours]
    assert said.splitlines() == expected


def test_only_training_digits_are_drawn():
    digits = load("digits", None).train
    rows = torch.nonzero(digits.labels == 7).flatten()
    chunk = DigitStream(Split(digits.inputs[rows], digits.labels[rows])).chunk(0)
    assert chunk.labels.unique().tolist() == [7]
    other = DigitStream(Split(digits.inputs[:5], digits.labels[:5]))
    assert other.digest != DigitStream(Split(digits.inputs[:4], digits.labels[:4])).digest


def test_an_image_is_its_digit_moved_by_little_and_its_light_is_within_bounds():
    """A single bright pixel in the middle stays within 1.5 pixels, its light in the contrast's bounds."""
    point = np.zeros((1, 1, 8, 8), dtype=np.uint8)
    point[0, 0, 3:5, 3:5] = 255
    images = DigitStream(Split.of_arrays(point, np.zeros(1, dtype=np.int64))).chunk(0).inputs[:, 0].double()
    light = images - images.flatten(1).median(dim=1).values[:, None, None]
    light = light.clamp(min=40)  # what is brighter than the noise
    light = light - 40
    mass = light.sum(dim=(1, 2))
    assert (mass > 0).all()
    places = torch.arange(8, dtype=torch.float64) - 3.5
    for axis in (1, 2):
        moved = (light.sum(dim=axis) * places).sum(dim=1) / mass
        assert moved.abs().max() < 1.5
        assert moved.abs().mean() > 0.3
        assert abs(moved.mean()) < 0.1
    peak = images.flatten(1).max(dim=1).values / 255
    assert peak.max() <= 1
    assert CONTRAST[0] * 0.5 < peak.min()


def test_what_is_learnt_of_the_stream_holds_for_the_untouched_digits(data):
    parts = [data.stream.chunk(index) for index in range(3)]
    inputs = torch.cat([part.inputs for part in parts]).flatten(1).numpy() / 255
    labels = torch.cat([part.labels for part in parts]).numpy()
    learnt = LogisticRegression(C=1.0, max_iter=300, tol=1e-3).fit(inputs, labels)
    accuracy = learnt.score(data.test.inputs.flatten(1).numpy() / 255, data.test.labels.numpy())
    assert accuracy > 0.85


def test_there_is_no_chunk_before_the_first(data):
    with pytest.raises(UsageError, match="digit-stream has no chunk -1"):
        data.stream.chunk(-1)
