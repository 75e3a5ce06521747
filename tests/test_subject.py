from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from netprops import building, data, models
from netprops.cache import Cache
from netprops.declaration import Family
from netprops.errors import DamagedEntryError, MeasurementError, UsageError
from netprops.measurement import Measurement
from netprops.subject import error_share
from netprops.training.recipe import Recipe
from netprops.zoo import Zoo

FC5 = Family(
    name="fc5",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(8,),
    seeds=2,
    source="none",
    recipe=Recipe(
        epochs=3,
        batch=64,
        optimizer="adam",
        lr=1e-2,
        weight_decay=1e-3,
        loss="squared-hinge",
        snapshots=(0, 1),
    ),
)
WRN = Family(
    name="wrn28",
    architecture="wrn28",
    data="digits",
    scale="mini",
    widths=(0.25,),
    seeds=1,
    source="none",
    recipe=Recipe(epochs=1, batch=128, optimizer="sgd", lr=0.1, momentum=0.9, weight_decay=5e-4),
)


@pytest.fixture(scope="module")
def zoo(tmp_path_factory) -> Zoo:
    return Zoo(Cache(tmp_path_factory.mktemp("cache")), device="cpu")


@pytest.fixture(scope="module")
def fc5(zoo):
    return zoo.subject(FC5.spec(8, 0))


@pytest.fixture(scope="module", params=["fc5", "wrn28"])
def subject(request, zoo):
    return zoo.subject({"fc5": FC5, "wrn28": WRN}[request.param].specs()[0])


def own_outputs(subject, split: str) -> np.ndarray:
    samples = getattr(subject.dataset, split)
    with torch.no_grad():
        return subject.network(subject.dataset.prepare(samples.inputs)).numpy()


def test_logits_from_features_and_readout_are_the_network_s_own(subject):
    for split in ("train", "test"):
        own = own_outputs(subject, split)
        assert np.abs(subject.logits(split) - own).max() < 1e-5 * max(1, np.abs(own).max())


def test_the_error_is_that_of_the_network_s_own_outputs_and_of_the_manifest(subject):
    for split in ("train", "test"):
        own, labels = own_outputs(subject, split), subject.labels(split)
        wrong = labels * own[:, 0] <= 0 if own.shape[1] == 1 else own.argmax(1) != labels
        assert subject.error(split) == wrong.mean() == subject.summary()[f"{split}_error"]


def test_features_are_mapped_read_only_and_found_again(subject, zoo):
    features = subject.features("test")
    assert isinstance(features, np.memmap)
    assert features.shape == (900, subject.width)
    assert features.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        features[0, 0] = 1
    assert subject.features("test", subject.features_layer) is features
    again = Zoo(Cache(zoo.cache.root), device="cpu").subject(subject.spec)
    again.__dict__["network"] = None  # cached features need no network
    assert np.array_equal(again.features("test"), features)


def test_features_of_another_layer(fc5):
    first = fc5.features("train", "hidden.linear1")
    layer = fc5.network.hidden.linear1
    with torch.no_grad():
        expected = layer(fc5.dataset.train.inputs).numpy()
    np.testing.assert_allclose(first, expected, atol=1e-5)
    with pytest.raises(UsageError, match="the network has no layer 'hiden'"):
        fc5.features("train", "hiden")


def test_width_factor_and_identity(subject):
    assert subject.width == subject.readout.weight.shape[1] == subject.features("test").shape[1]
    assert subject.id == subject.spec.id
    assert (subject.family, subject.factor, subject.seed) == (subject.spec.family.id, subject.spec.width, 0)
    assert not subject.network.training
    assert str(subject.id) in repr(subject)


def test_the_readout_is_read_without_building_the_network(zoo, fc5):
    fresh = Zoo(zoo.cache, device="cpu").subject(fc5.spec)
    readout = fresh.readout
    assert "network" not in fresh.__dict__
    assert np.array_equal(readout.weight, fc5.network.readout.weight.detach().numpy())
    assert np.array_equal(readout.bias, fc5.network.readout.bias.detach().numpy())


def test_snapshots_are_other_networks_of_the_same_name(fc5):
    assert fc5.snapshots == (0, 1, 3)
    start = fc5.at(0)
    assert start.id == fc5.id
    assert not np.array_equal(start.features("test"), fc5.features("test"))
    assert np.array_equal(fc5.at(3).features("test"), fc5.features("test"))
    assert start.error("train") != fc5.error("train")
    assert "at epoch 0" in repr(start)
    with pytest.raises(UsageError, match=r"keeps no weights of epoch 2; it keeps \[0, 1, 3\]"):
        fc5.at(2)


def test_snapshot_0_is_what_the_seed_draws_and_seeds_differ(zoo, fc5):
    other = zoo.subject(FC5.spec(8, 1))
    drawn = [one.at(0).readout.weight for one in (fc5, other)]
    assert not np.array_equal(*drawn)
    expected = building.initialised(fc5.spec, fc5.dataset).readout
    assert np.array_equal(drawn[0], expected.weight.detach().numpy())


def test_generators_depend_on_id_and_purpose_alone(zoo, fc5):
    draw = fc5.rng("chunks").integers(0, 2**60)
    assert draw == fc5.rng("chunks").integers(0, 2**60) == fc5.at(0).rng("chunks").integers(0, 2**60)
    assert draw != fc5.rng("halves").integers(0, 2**60)
    assert draw != zoo.subject(FC5.spec(8, 1)).rng("chunks").integers(0, 2**60)
    assert np.random.default_rng(0).integers(9) == np.random.default_rng(0).integers(9)


def test_labels(subject):
    labels = subject.labels("test")
    assert labels.shape == (900,)
    assert set(labels) == ({-1.0, 1.0} if subject.family.startswith("fc5") else set(range(10)))
    with pytest.raises(UsageError, match="there is no split 'valid'; expected 'train' or 'test'"):
        subject.labels("valid")


def test_the_summary_is_json_and_tells_what_a_record_needs(subject):
    import json

    summary = subject.summary()
    assert json.loads(json.dumps(summary)) == summary
    assert set(summary) == {
        "id",
        "family",
        "architecture",
        "data",
        "scale",
        "variant",
        "width",
        "factor",
        "seed",
        "key",
        "parameters",
        "recipe",
        "origin",
        "train_error",
        "test_error",
        "history",
    }
    assert len(summary["history"]) == subject.recipe.epochs == len(subject.history)


def test_activations_that_are_not_finite_are_an_error_that_names_network_split_and_layer(zoo, fc5):
    broken = Zoo(zoo.cache, device="cpu").subject(fc5.spec).at(1)
    with torch.no_grad():
        broken.network.hidden.linear2.bias[3] = float("nan")
    with pytest.raises(MeasurementError, match="fc5-pdigits-w8-s0, train: layer 'hidden': unit"):
        broken.features("train")
    assert broken.entry.derived("features/train-hidden@1.npy") is None, "what was half written is not kept"


def test_an_empty_split_is_an_error(zoo, fc5):
    import dataclasses

    data = fc5.dataset
    empty = dataclasses.replace(data.test, inputs=data.test.inputs[:0], labels=data.test.labels[:0])
    cut = type(fc5)(
        fc5.spec, fc5.entry, lambda: dataclasses.replace(data, test=empty), device=fc5.device, epoch=0
    )
    with pytest.raises(MeasurementError, match="fc5-pdigits-w8-s0: the test split of pdigits is empty"):
        cut.features("test", "hidden.linear2")


def test_a_cache_that_cannot_be_written_costs_the_cache_only(fc5, monkeypatch, caplog):
    def refused(*arguments):
        raise OSError(30, "Read-only file system")

    expected = np.array(fc5.at(1).features("test"))
    subject = fc5.at(1)
    monkeypatch.setattr(type(fc5.entry), "derived", lambda entry, name: None)
    monkeypatch.setattr(os, "mkdir", refused)
    monkeypatch.setattr(type(fc5.entry), "derive", refused)
    assert np.array_equal(subject.features("test"), expected)
    assert "stay in memory, for they cannot be cached" in caplog.text


def test_weights_are_read_by_name_and_an_unknown_name_gets_the_nearest(fc5):
    weight = fc5.weights("readout.weight")
    np.testing.assert_array_equal(weight, fc5.readout.weight)
    with pytest.raises(UsageError, match=r"no weights 'readout\.wieght'.*readout\.weight"):
        fc5.weights("readout.wieght")


def test_what_is_kept_is_measured_once_for_each_snapshot(fc5):
    asked = []

    def measure():
        asked.append(1)
        return {"area": np.array([0.5, 0.25]), "count": np.array(3)}

    for _ in range(2):
        found = fc5.kept("a-test", measure)
        np.testing.assert_array_equal(found["area"], [0.5, 0.25])
        assert int(found["count"]) == 3
    assert len(asked) == 1
    fc5.at(fc5.snapshots[0]).kept("a-test", measure)
    assert len(asked) == 2


def test_a_result_is_measured_once_for_each_version_of_the_measures(fc5, monkeypatch):
    asked = []

    def measure():
        asked.append(1)
        return Measurement.exact("w*", 3.0, n=1, n_of="network", how="counted")

    for expected in (1, 1):
        assert fc5.measured("a-result", measure).value == 3
        assert len(asked) == expected
    monkeypatch.setattr("netprops.keeping.code", lambda measure: "0" * 12)
    fc5.measured("a-result", measure)
    assert len(asked) == 2


ONLINE = Family(
    name="fc5",
    architecture="fc5",
    data="gegenbauer:1:4",
    scale="mini",
    widths=(8,),
    seeds=1,
    source="none",
    recipe=Recipe(
        epochs=3, batch=300, optimizer="adam", lr=1e-2, loss="squared", online=True, snapshots=(0,)
    ),
)


def test_step_losses_of_an_online_network_are_found_in_its_entry(zoo):
    subject = zoo.subject(ONLINE.specs()[0])
    losses = subject.step_losses
    assert losses.shape == (3 * 4,)
    assert losses.dtype == np.float32
    sizes = np.array([300, 300, 300, 100])
    means = (losses.reshape(3, 4) * sizes).sum(1) / 1000
    assert [line.loss for line in subject.history] == pytest.approx(means.tolist())
    again = Zoo(Cache(zoo.cache.root), device="cpu").subject(subject.spec)
    np.testing.assert_array_equal(again.step_losses, losses)
    np.testing.assert_array_equal(again.at(0).step_losses, losses)
    assert subject.error("test") == subject.summary()["test_error"]
    start = subject.at(0)
    errors = [np.mean((one.logits("test")[:, 0] - one.labels("test")) ** 2) for one in (start, subject)]
    assert errors[1] < errors[0]


def test_damaged_step_losses_are_noticed(tmp_path):
    zoo = Zoo(Cache(tmp_path), device="cpu")
    subject = zoo.subject(ONLINE.specs()[0])
    path = subject.entry.path / "losses.safetensors"
    found = bytearray(path.read_bytes())
    found[-1] ^= 1
    path.write_bytes(found)
    with pytest.raises(DamagedEntryError, match=r"losses\.safetensors does not have the digest"):
        subject.step_losses  # noqa: B018


def test_a_network_without_step_losses_says_so(fc5):
    with pytest.raises(UsageError, match="fc5-pdigits-w8-s0 keeps no losses of its steps; a recipe that is"):
        fc5.step_losses  # noqa: B018


class Scaled(nn.Linear):
    """Reads a quarter of its features, as readouts under muP read a part of theirs."""

    scale = 0.25

    def forward(self, x):
        return functional.linear(self.scale * x, self.weight, self.bias)


class Reader(nn.Module):
    """Answers at every position of a sequence by the mean of what it has read; its features are the last."""

    features_layer, readout_layer = "last", "readout"

    def __init__(self, *, width, inputs, outputs):
        super().__init__()
        self.embedding, self.last = nn.Embedding(outputs, int(width)), nn.Identity()
        self.readout, self.feature_width = Scaled(int(width), outputs), int(width)

    def forward(self, tokens):
        embedded = self.embedding(tokens.long())
        stream = embedded.cumsum(1) / torch.arange(1, tokens.shape[1] + 1, device=tokens.device)[:, None]
        self.last(stream[:, -1])
        return self.readout(stream)


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A network of sequences, every third of which asks for nothing at its last position."""
    tokens = torch.randint(0, 3, (60, 4), generator=torch.Generator().manual_seed(0))
    labels = (tokens + 1) % 3
    labels[::3, 3] = -100
    part = data.Split(tokens, labels)
    whole = data.Dataset(name="said", train=part, test=part, task="tokens", classes=("a", "b", "c"))
    monkeypatch.setitem(models._REGISTRY, "reader", Reader)
    monkeypatch.setitem(data._REGISTRY, "said", data.Source(lambda request: whole, lambda request: None))
    family = Family(
        name="reader",
        architecture="reader",
        data="said",
        scale="mini",
        widths=(8,),
        seeds=1,
        source="none",
        recipe=Recipe(epochs=3, batch=20, optimizer="adam", lr=0.1),
    )
    return Zoo(Cache(tmp_path), device="cpu").subject(family.specs()[0])


def test_of_sequences_a_subject_answers_for_the_last_position(reader):
    own = own_outputs(reader, "test")
    assert own.shape == (60, 4, 3)
    np.testing.assert_allclose(reader.logits("test"), own[:, -1], atol=1e-5)
    last = reader.dataset.test.labels[:, -1].numpy()
    np.testing.assert_array_equal(reader.labels("test"), last)
    assert reader.error("test") == np.mean((own[:, -1].argmax(1) != last)[last >= 0])
    everywhere = reader.dataset.test.labels.numpy()
    wrong = (own.argmax(2) != everywhere)[everywhere >= 0].mean()
    assert reader.summary()["test_error"] == pytest.approx(wrong)
    assert 0 < wrong < 1


def test_the_readout_is_scaled_as_its_layer_scales(reader):
    assert reader.entry.manifest["readout_scale"] == 0.25
    np.testing.assert_array_equal(reader.readout.weight, 0.25 * reader.weights("readout.weight"))
    del reader.entry.manifest["readout_scale"], reader.__dict__["readout"]
    np.testing.assert_array_equal(reader.readout.weight, reader.weights("readout.weight"))


def test_an_error_of_nothing_asked_is_no_number():
    with pytest.raises(MeasurementError, match="no sample has a label that is asked for"):
        error_share(np.zeros((2, 3)), np.array([-100, -100]))
