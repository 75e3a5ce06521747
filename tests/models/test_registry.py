import subprocess
import sys

import pytest
import torch
from torch import nn

from netprops import models
from netprops.errors import UsageError


def test_names_are_sorted_and_import_no_torch():
    code = "import sys, netprops.models as m; print(m.names(), 'torch' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    known = (
        "alexnetsmall",
        "densenet40",
        "fc5",
        "inceptionv3",
        "mlp",
        "mlp1",
        "resnet18",
        "resnet18ln",
        "resnet50",
        "resnet56",
        "signals",
        "smallcnn",
        "tokentransformer",
        "transformer",
        "vgg16",
        "wrn28",
    )
    assert said.strip() == f"{known} False"


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setattr(models, "_REGISTRY", dict(models._REGISTRY))

    @models.register("tiny")
    class Tiny(nn.Module):
        def __init__(self, *, width, inputs, outputs, bias=True):
            super().__init__()
            self.readout = nn.Linear(inputs[0], outputs, bias=bias)

    return Tiny


def test_an_architecture_of_the_users_own_is_listed_and_built(registered):
    assert "tiny" in models.names()
    network = models.build("tiny", width=1, inputs=(3,), outputs=2, bias=False)
    assert isinstance(network, registered)
    assert network.readout.bias is None


@pytest.mark.parametrize("name", ["tiny", "fc5"])
def test_a_name_is_given_once(registered, name):
    with pytest.raises(UsageError, match=f"architecture '{name}' is registered already"):
        models.register(name)(registered)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("fc6", {}, "architecture 'fc6' is not known; did you mean 'fc5'"),
        ("zzz", {}, "architecture 'zzz' is not known; it is one of alexnetsmall, densenet40, fc5, "),
        ("fc5", {"width": 0}, "the width is 0, expected a positive finite number"),
        ("fc5", {"width": float("nan")}, "the width is nan"),
        ("fc5", {"width": 3.5}, "3.5 units, expected a whole number"),
        ("fc5", {"width": 0.5}, "0.5 units, expected a whole number"),
        ("fc5", {"outputs": 0}, "0 outputs, expected at least 1"),
        ("fc5", {"inputs": ()}, r"samples of shape \(\)"),
        ("fc5", {"depth": 3}, "unexpected keyword argument 'depth'; it takes"),
        ("wrn28", {"width": 1 / 32}, "gives 0.5 channels in the first group"),
        ("wrn28", {"width": 0.3}, "gives 4.8 channels in the first group"),
        ("wrn28", {"width": 1}, r"samples of shape \(10,\), expected images"),
        ("wrn28", {"width": 1, "inputs": (2, 8, 8)}, "1 or 3 channels"),
        ("wrn28", {"width": 1, "inputs": (1, 8, 7)}, "at least 8×8 pixels"),
        ("wrn28", {"width": 1, "inputs": (1, 8, 8), "widened": "none"}, "'none', expected 'all' or 'last'"),
        ("wrn28", {"width": 1 / 128, "inputs": (1, 8, 8), "widened": "last"}, "channels in the last block"),
        ("densenet40", {"width": 3}, "the width is 3 channels, expected an even number of at least 2"),
        ("densenet40", {"width": 0.5}, "expected an even number"),
        ("densenet40", {"width": 8, "inputs": (3, 7, 8)}, "densenet40: samples of shape"),
        ("densenet40", {"width": 8, "inputs": (3, 8, 8), "bottleneck": -1}, "a bottleneck of -1 channels"),
        ("resnet50", {"width": 0.3, "inputs": (3, 64, 64)}, "gives 19.2 channels in the first group"),
        ("resnet50", {"width": 1, "inputs": (3, 31, 64)}, "at least 32×32 pixels"),
        ("vgg16", {"width": 1 / 128, "inputs": (3, 32, 32)}, "gives 0.5 channels in the first layer"),
        ("vgg16", {"width": 0.3, "inputs": (3, 32, 32)}, "gives 19.2 channels .* a multiple of 1/64"),
        ("vgg16", {"width": 1, "inputs": (3, 31, 32)}, "at least 32×32 pixels, because five pools"),
        ("vgg16", {"width": 1, "inputs": (2, 32, 32)}, "1 or 3 channels"),
        (
            "vgg16",
            {"width": 1, "inputs": (3, 32, 32), "norm": "layer"},
            "'layer', expected 'none' or 'batch'",
        ),
        (
            "vgg16",
            {"width": 1, "inputs": (3, 32, 32), "dropout": 1},
            r"dropout is 1, expected a share in \[0, 1",
        ),
        ("resnet18", {"width": 1 / 128, "inputs": (3, 32, 32)}, "gives 0.5 channels in the first layer"),
        ("resnet18", {"width": 1, "inputs": (3, 7, 32)}, "resnet18: samples of shape .* at least 8×8 pixels"),
        (
            "resnet18",
            {"width": 1, "inputs": (3, 8, 8), "norm": "none"},
            "'none', expected 'batch' or 'layer'",
        ),
        ("resnet18", {"width": 1, "inputs": (3, 31, 40), "stem": "imagenet"}, "at least 32×32 for the stem"),
        ("resnet18", {"width": 1, "inputs": (3, 8, 8), "stem": "x"}, "'x', expected 'cifar' or 'imagenet'"),
        ("resnet18", {"width": 1, "inputs": (3, 8, 8), "init": "x"}, "resnet18: init is 'x', expected"),
        ("alexnetsmall", {"width": 1 / 7, "inputs": (3, 8, 8)}, r"makes 13.7143 of 96 channels, .* of 1/96"),
        ("alexnetsmall", {"width": 1 / 96, "inputs": (3, 8, 8)}, "of 256 channels, expected a whole number"),
        (
            "alexnetsmall",
            {"width": 1, "inputs": (3, 8, 8), "units": (384, 0)},
            "makes 0 of 0 units, expected a whole number of at least 1",
        ),
        ("alexnetsmall", {"width": 1, "inputs": (3, 8, 7)}, "alexnetsmall: samples of shape .* 8×8 pixels"),
        ("alexnetsmall", {"width": 1, "inputs": (3, 8, 8), "dropout": 1}, r"expected a share in \[0, 1\)"),
        ("resnet56", {"width": 1 / 32, "inputs": (3, 8, 8)}, "makes 0.5 of 16 channels, .* multiple of 1/16"),
        ("resnet56", {"width": 1, "inputs": (3, 8, 8), "depth": 9}, r"depth of 9 layers, expected 6n \+ 2"),
        ("resnet56", {"width": 1, "inputs": (3, 8, 8), "depth": 2}, "depth of 2 layers"),
        ("resnet56", {"width": 1, "inputs": (3, 8, 8), "shortcut": "C"}, "'C', expected 'A' or 'B'"),
        ("resnet56", {"width": 1}, "resnet56: samples of shape"),
        ("inceptionv3", {"width": 1 / 32, "inputs": (3, 75, 75)}, "makes 0.5 of 16 channels"),
        ("inceptionv3", {"width": 1, "inputs": (3, 75, 74)}, "at least 75×75 pixels"),
        (
            "inceptionv3",
            {"width": 1, "inputs": (3, 75, 75), "widened": "last"},
            "'last', expected 'all' or 'last35'",
        ),
        ("mlp1", {"width": 1 / 3}, "makes 42.6667 of 128 units, expected a whole number"),
        ("mlp1", {"width": 1, "dropout": -0.1}, r"mlp1: dropout is -0.1, expected a share in \[0, 1\)"),
        ("smallcnn", {"width": 3, "inputs": (1, 8, 8)}, "3 channels, .* expected an even number"),
        ("smallcnn", {"width": 0.5, "inputs": (1, 8, 8)}, "smallcnn: the width is 0.5 channels"),
        ("smallcnn", {"width": 4, "inputs": (64,)}, r"smallcnn: samples of shape \(64,\)"),
        ("transformer", {"width": 1}, r"samples of shape \(10,\), expected token states \(T, d\)"),
        (
            "transformer",
            {"width": 1 / 64, "inputs": (5, 8)},
            "gives 2 hidden units, .* multiple of its 4 heads",
        ),
        (
            "transformer",
            {"width": 1 / 256, "inputs": (5, 8), "heads": 1},
            "0.5 hidden units, expected a whole",
        ),
        ("transformer", {"width": 0.5, "inputs": (5, 8), "mlp": 1}, "0.5 hidden units in the perceptrons"),
        (
            "transformer",
            {"width": 1, "inputs": (5, 8), "depth": 0},
            "0 layers of 4 heads, expected at least one",
        ),
    ],
)
def test_what_cannot_be_built_is_said(name, changes, words):
    with pytest.raises(UsageError, match=words):
        models.build(name, **{"width": 8, "inputs": (10,), "outputs": 1, **changes})


EACH = [
    ("fc5", 8, (10,)),
    ("wrn28", 0.25, (1, 8, 8)),
    ("densenet40", 4, (1, 8, 8)),
    ("resnet50", 1 / 16, (3, 32, 32)),
    ("vgg16", 1 / 16, (3, 32, 32)),
    ("resnet18", 1 / 16, (1, 8, 8)),
    ("smallcnn", 8, (1, 8, 8)),
    ("transformer", 1 / 8, (5, 12)),
    ("alexnetsmall", 0.25, (1, 8, 8)),
    ("resnet56", 0.25, (1, 8, 8)),
    ("inceptionv3", 1 / 16, (1, 75, 75)),
    ("mlp1", 0.25, (10,)),
    ("mlp", 8, (10,)),
    ("resnet18ln", 4, (1, 8, 8)),
]


@pytest.mark.parametrize(("name", "width", "inputs"), EACH)
def test_weights_follow_from_the_seed_of_torch_alone(name, width, inputs):
    def weights(seed):
        torch.manual_seed(seed)
        network = models.build(name, width=width, inputs=inputs, outputs=2)
        return {**network.state_dict(), "readout": network.get_submodule(network.readout_layer).weight}

    first, again, other = weights(1), weights(1), weights(2)
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["readout"], other["readout"])


@pytest.mark.parametrize(("name", "width", "inputs"), EACH)
def test_the_readout_reads_the_features(name, width, inputs):
    network = models.build(name, width=width, inputs=inputs, outputs=3).eval()
    seen = []
    network.get_submodule(network.features_layer).register_forward_hook(lambda m, i, o: seen.append(o))
    with torch.no_grad():
        outputs = network(torch.randn(4, *inputs))
        readout = network.get_submodule(network.readout_layer)
        assert seen[0].shape == (4, network.feature_width)
        assert torch.equal(readout(seen[0]), outputs)


KWARGS = [
    *((*one, {}) for one in EACH),
    ("vgg16", 1 / 8, (1, 32, 40), {"norm": "batch"}),
    ("resnet18", 1 / 16, (3, 9, 8), {"norm": "layer"}),
    ("resnet18", 1 / 16, (3, 32, 40), {"stem": "imagenet", "init": "glorot-normal"}),
    ("resnet56", 0.25, (3, 9, 8), {"depth": 8, "shortcut": "B"}),
    ("transformer", 1 / 8, (5, 12), {"causal": True, "depth": 2, "heads": 2}),
]


@pytest.mark.parametrize(("name", "width", "inputs", "kwargs"), KWARGS)
def test_gradients_reach_every_parameter(name, width, inputs, kwargs):
    torch.manual_seed(0)
    network = models.build(name, width=width, inputs=inputs, outputs=3, **kwargs)
    torch.autograd.backward(network(torch.randn(8, *inputs)).square().sum())
    without = [key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []
