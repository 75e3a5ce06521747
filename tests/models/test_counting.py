"""n1 and n2 of "How does overparameterization affect features?", definition 2.4 and the table of A.2."""

import pytest
import torch
from torch import nn

from netprops import models
from netprops.errors import UsageError
from netprops.models.counting import networks_of_equal_size

IMAGES = {"inputs": (3, 32, 32), "outputs": 10}
STATES = {"inputs": (64, 128), "outputs": 3}


@pytest.mark.parametrize(
    ("architecture", "shape", "n1", "n2"),
    [
        ("vgg16", IMAGES, [1, 2, 4, 8, 16], [1, 4, 16, 64, 254]),
        ("resnet18", IMAGES, [1, 2, 4, 8, 16], [1, 4, 16, 64, 251]),
        ("transformer", STATES, [1, 2, 4, 8], [1, 4, 16, 59]),  # the paper has 15: see the class
    ],
)
def test_numbers_are_those_of_the_paper(architecture, shape, n1, n2):
    for by, expected in (("features", n1), ("parameters", n2)):
        found = [networks_of_equal_size(architecture, 1, 2**-i, by=by, **shape) for i in range(len(expected))]
        assert found == expected


def size(**kwargs):
    with torch.device("meta"):
        return sum(p.numel() for p in models.build("transformer", **STATES, **kwargs).parameters())


def test_what_the_transformer_says_of_its_numbers():
    ratios = [size(width=1) / size(width=a) for a in (1 / 2, 1 / 4, 1 / 8)]
    assert ratios == pytest.approx([3.947, 15.377, 58.471], abs=1e-3)
    large = {"inputs": (64, 768), "outputs": 3}
    assert networks_of_equal_size("transformer", 1, 1 / 8, by="parameters", **large) == 43

    def count(h, per_unit):  # of the same layers: h = 128a; terms of degree 2, 1 and 0
        return 80 * h * h + per_unit * h + 3

    without_map, biases_everywhere = 3 + 2 * 4 + 1, 128 + 1 + 4 * (4 + 8 + 1 + 4) + 2 + 3
    assert -(-count(128, without_map) // count(16, without_map)) == 64
    assert -(-count(128, biases_everywhere) // count(16, biases_everywhere)) == 57
    assert count(128, 128 + without_map) == size(width=1)


def test_batch_norm_in_vgg16_does_not_give_the_papers_number():
    assert networks_of_equal_size("vgg16", 1, 1 / 16, by="parameters", norm="batch", **IMAGES) == 253


def test_numbers_are_rounded_up_and_frozen_weights_do_not_count(monkeypatch):
    monkeypatch.setattr(models, "_REGISTRY", dict(models._REGISTRY))

    @models.register("counted")
    class Counted(nn.Module):
        def __init__(self, *, width, inputs, outputs):
            super().__init__()
            self.weight = nn.Parameter(torch.empty(int(width)))
            self.frozen = nn.Parameter(torch.empty(1000), requires_grad=False)
            self.feature_width = 2 * int(width)

    shape = {"inputs": (1,), "outputs": 1}
    for wide, narrow, expected in ((8, 4, 2), (9, 4, 3), (4, 9, 1), (7, 7, 1)):
        for by in ("features", "parameters"):
            assert networks_of_equal_size("counted", wide, narrow, by=by, **shape) == expected


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"by": "neurons"}, "counted by 'features' or by 'parameters', not by 'neurons'"),
        ({"narrow": 1 / 128}, "gives 0.5 channels in the first layer"),
        ({"depth": 3}, "unexpected keyword argument 'depth'"),
    ],
)
def test_what_cannot_be_counted_is_said(changes, words):
    with pytest.raises(UsageError, match=words):
        networks_of_equal_size("vgg16", **{"wide": 1, "narrow": 0.5, "by": "features", **IMAGES, **changes})
