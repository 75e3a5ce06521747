import math

import pytest
import torch
from torch import nn

from netprops.errors import UsageError
from netprops.models import build
from netprops.models.initialisation import NAMES, initialise

VARIANCES = {  # of a 5x5 convolution from 12 to 80 channels and of a linear layer from 300 to 100 units
    "glorot-normal": (2 / (25 * 92), 2 / 400),
    "glorot-uniform": (2 / (25 * 92), 2 / 400),
    "lecun-normal": (1 / 300, 1 / 300),
    "lecun-uniform": (1 / 300, 1 / 300),
    "he-normal": (2 / 300, 2 / 300),
    "he-uniform": (2 / 300, 2 / 300),
    "normal:0.25": (1 / 16, 1 / 16),
}
KURTOSIS = {"normal": 3.0, "uniform": 1.8}


def drawn(init: str, default: str = "he-normal") -> nn.Sequential:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(12, 80, 5), nn.BatchNorm2d(80), nn.Linear(300, 100))
    for parameter in network.parameters():
        nn.init.constant_(parameter, 7.0)
    initialise(network, init, default=default, name="x")
    return network


def test_every_name_is_tested():
    assert {name.replace("SIGMA", "0.25") for name in NAMES} == set(VARIANCES)


@pytest.mark.parametrize("init", VARIANCES)
def test_mean_variance_and_form_are_those_of_the_name(init):
    network = drawn(init)
    form = "normal" if init.startswith("normal:") else init.rpartition("-")[2]
    for layer, variance in zip((network[0], network[2]), VARIANCES[init], strict=True):
        weights = layer.weight.detach().double()
        assert abs(float(weights.mean())) < 4 * math.sqrt(variance / weights.numel())
        assert float(weights.var()) == pytest.approx(variance, rel=0.04)
        assert float((weights**4).mean()) / variance**2 == pytest.approx(KURTOSIS[form], rel=0.1)
        if form == "uniform":
            assert float(weights.abs().max()) <= math.sqrt(3 * variance)


def test_biases_and_norms_stay():
    network = drawn("he-normal")
    for parameter in (network[0].bias, network[1].weight, network[1].bias, network[2].bias):
        assert set(parameter.tolist()) == {7.0}


def test_the_default_is_the_architecture_s():
    for one, other in zip(
        drawn("default", "lecun-uniform").parameters(), drawn("lecun-uniform").parameters(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "init", ["", "he", "He-normal", "normal", "normal:", "normal:0", "normal:-1", "normal:nan", "normal:x"]
)
def test_another_name_is_refused(init):
    with pytest.raises(UsageError, match=r"x: init is .*, expected 'default', 'glorot-normal', .*SIGMA"):
        drawn(init)


@pytest.mark.parametrize(
    ("name", "inputs", "width", "own"),
    [
        ("mlp1", (50,), 4, "normal:0.01"),
        ("alexnetsmall", (1, 8, 8), 0.25, "glorot-normal"),
        ("resnet56", (1, 8, 8), 0.25, "glorot-normal"),
        ("resnet18", (1, 8, 8), 1 / 16, "he-normal"),
    ],
)
def test_the_default_of_each_architecture(name, inputs, width, own):
    def weights(**kwargs):
        torch.manual_seed(3)
        network = build(name, width=width, inputs=inputs, outputs=3, **kwargs)
        layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
        return [layer.weight.detach() for layer in layers]

    plain, named, other = weights(), weights(init=own), weights(init="lecun-uniform")
    for deviation, same, changed in zip(plain, named, other, strict=True):
        assert float(same.std()) == pytest.approx(float(deviation.std()), rel=0.5)
        assert not torch.equal(same, changed)
