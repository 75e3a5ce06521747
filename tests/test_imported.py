"""An imported network answers what a trained one answers, from its own weights and data."""

import json
import textwrap

import numpy as np
import pytest
import torch
from torch import nn

from netprops import records
from netprops.errors import MissingDataError, UsageError
from netprops.imported import Importer
from netprops.modeltables import Table, family_of, handed_over

MODELS = """
    import torch
    from torch import nn

    def net(width=16, outputs=3):
        return nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))

    def test_only():
        g = torch.Generator().manual_seed(3)
        x = torch.randn(200, 4, generator=g)
        return x, x[:, :3].argmax(1)

    def both():
        x, y = test_only()
        return {"train": (x[:100], y[:100]), "test": (x[100:], y[100:])}

    def raw():
        x, y = test_only()
        return x.abs() + 3, y
"""


def solved():
    """A network that answers the task of the data above: its first three features are the inputs."""
    network = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
    with torch.no_grad():
        for one in network.parameters():
            one.zero_()
        for i in range(3):
            network[0].weight[i, i] = network[2].weight[i, i] = 1.0
            network[0].weight[3 + i, i], network[2].weight[i, 3 + i] = -1.0, -1.0
    return network


@pytest.fixture
def base(tmp_path):
    (tmp_path / "models.py").write_text(textwrap.dedent(MODELS))
    torch.save(
        {"state_dict": {f"module.{n}": w for n, w in solved().state_dict().items()}}, tmp_path / "last.pt"
    )
    return tmp_path


@pytest.fixture
def importer(tmp_path):
    return Importer(tmp_path / "cache")


def spec_of(base, **facts):
    table = {"build": "models.py:net", "checkpoint": "last.pt", "data": "models.py:test_only", **facts}
    (spec,) = family_of(Table.model_validate(table), base, name=None, scale="mini").specs()
    return spec


def test_it_answers_what_a_subject_answers(base, importer):
    one = importer.subject(spec_of(base))
    assert one is importer.subject(one.spec)
    assert (one.id, one.family, one.width, one.seed, one.variant) == ("net-last", "net", 16, 0, None)
    features = one.features("test")
    assert features.shape == (200, 16)
    assert np.allclose(one.logits("test"), features @ one.readout.weight.T + one.readout.bias, atol=1e-6)
    assert one.error("test") == 0
    assert one.snapshots == ()
    assert one.history == []
    assert np.array_equal(one.rng("x").random(3), one.rng("x").random(3))
    assert one.weights("2.weight").shape == (3, 16)
    assert one.features("test", "0").min() < 0 <= features.min()
    with pytest.raises(UsageError, match="keeps no weights of epoch 3"):
        one.at(3)
    with pytest.raises(MissingDataError, match="net-last was imported: how it was trained is not known"):
        _ = one.recipe
    with pytest.raises(MissingDataError, match="has no training split"):
        one.features("train")
    with pytest.raises(UsageError, match="there is no split 'valid'"):
        one.features("valid")


def test_the_first_line_says_accuracy_and_what_was_done(base, importer):
    line = importer.subject(spec_of(base, data="models.py:both")).sanity()
    assert line == (
        "net-last: accuracy 100.0% on 100 test samples, 100.0% on 100 training samples, 16 features into "
        "'2', 3 outputs; the weights are those of 'state_dict'; stripped 'module.' from its names"
    )


def test_a_network_near_chance_is_warned_of(base, importer):
    line = importer.subject(spec_of(base, checkpoint=(), data="models.py:raw")).sanity()
    assert "WARNING: that is near chance" in line
    assert "were they not normalised as in training?" in line
    assert "no checkpoint was given: the weights are the builder's" in line


def test_the_summary_is_a_record_of_a_subject(base, importer):
    summary = importer.subject(spec_of(base)).summary()
    assert json.loads(json.dumps(summary)) == summary
    records.SubjectRecord.model_validate(summary)
    assert summary["origin"]["how"] == "imported"
    assert summary["origin"]["checkpoint"] == "last.pt"
    assert (summary["train_error"], summary["test_error"], summary["parameters"]) == (None, 0.0, 131)
    assert str(base) not in json.dumps(summary)


def entries(importer):
    return {entry.key for entry in importer._cache.entries()}


def test_features_are_computed_once_and_anew_when_something_changes(base, tmp_path, monkeypatch):
    from netprops import activations

    calls = []
    capture = activations.capture
    monkeypatch.setattr(
        activations, "capture", lambda *given, **how: calls.append(1) or capture(*given, **how)
    )

    def features(**facts):
        return np.array(Importer(tmp_path / "cache").subject(spec_of(base, **facts)).features("test"))

    first = features()
    assert np.array_equal(first, features())
    assert len(calls) == 1
    weights = torch.load(base / "last.pt")["state_dict"]
    weights["module.0.bias"] += 1
    torch.save(weights, base / "last.pt")
    assert not np.array_equal(first, features())
    features(data="models.py:raw")
    changed = (base / "models.py").read_text().replace("nn.ReLU()", "nn.Tanh()")
    (base / "models.py").write_text(changed)
    features()
    assert len(calls) == 4
    assert len(entries(Importer(tmp_path / "cache"))) == 4


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"data": None}, "net-last: no data were named; give --netprops-data"),
        (
            {"kwargs": {"width": 8}},
            r"net-last: .*last.pt: '0.weight' has shape \(16, 4\) in the file and \(8, 4\)",
        ),
        ({"kwargs": {"outputs": 2}, "checkpoint": ()}, "range from 0 to 2, but the network has 2 outputs"),
        ({"readout": "3"}, r"no readout '3'; did you mean|no readout '3'; known: 0, 2"),
    ],
)
def test_what_is_wrong_is_said_with_the_id(base, importer, facts, message):
    with pytest.raises(UsageError, match=message):
        importer.subject(spec_of(base, **facts))


def test_a_module_that_is_handed_over_stays_as_it_is(importer):
    network = solved().train()
    x = torch.randn(50, 4)
    family = handed_over(network, (x, x[:, :3].argmax(1)), scale="mini")
    one = importer.subject(family.specs()[0])
    assert one.id == "sequential-given"
    assert one.error("test") == 0
    assert network.training
    assert network[0].weight.requires_grad


def test_images_of_a_factory_are_normalised_as_its_networks_were(base, importer):
    (base / "pictures.py").write_text(
        "import torch\ndef test():\n    return torch.full((6, 3, 40, 40), 255).byte(), torch.arange(6) % 3\n"
    )
    facts = {"checkpoint": (), "kwargs": {"num_classes": 3}, "data": "pictures.py:test"}
    one = importer.subject(spec_of(base, build="torchvision:mobilenet_v3_small", **facts))
    assert (one.id, one.width) == ("mobilenet-v3-small-as-built", 1024)
    assert float(one.dataset.prepare(one.dataset.test.inputs)[0, 0, 0, 0]) == pytest.approx(
        (1 - 0.485) / 0.229
    )
    with pytest.raises(UsageError, match="does not end in one Linear"):
        importer.subject(spec_of(base, build="torchvision:squeezenet1_1", **facts))
