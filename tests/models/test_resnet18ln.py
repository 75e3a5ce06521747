import math

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, layer_norm, max_pool2d, relu

from netprops.errors import UsageError
from netprops.models import build


def parameters(width, channels_in, outputs, blocks=(2, 2, 2, 2), kernel=3):
    """Count by the published plan, without looking at the network: norms have two numbers a channel."""
    before, count = width, kernel**2 * channels_in * width + 2 * width
    for stage, layers in enumerate(blocks):
        after = width * 2**stage
        count += 9 * before * after + (2 * layers - 1) * 9 * after * after + 2 * layers * 2 * after
        count += before * after + 2 * after if before != after else 0
        before = after
    return count + before * outputs + outputs


@pytest.mark.parametrize(
    ("width", "stem", "inputs", "kernel"),
    [(64, "cifar", (3, 32, 32), 3), (512, "cifar", (3, 32, 32), 3), (256, "imagenet", (3, 64, 64), 7)],
)
def test_parameters_and_last_width_at_the_widths_of_the_paper(width, stem, inputs, kernel):
    with torch.device("meta"):
        network = build("resnet18ln", width=width, inputs=inputs, outputs=10, stem=stem)
        assert network(torch.empty(2, *inputs)).shape == (2, 10)
    assert network.feature_width == 8 * width
    assert sum(p.numel() for p in network.parameters()) == parameters(width, 3, 10, kernel=kernel)


def test_parameters_at_the_base_are_those_published():
    assert parameters(64, 3, 10) == 11_173_962  # the usual ResNet18 for CIFAR-10
    assert parameters(64, 3, 1000, kernel=7) == 11_689_512  # torchvision.models.ResNet18_Weights


def reference(network, images, blocks, large):
    """The forward pass written out, with torch's layer norm over (C, H, W)."""
    w = network.state_dict()

    def normed(x, name):
        scale, shift = (w[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return layer_norm(x, x.shape[1:]) * scale + shift

    step, padding = (2, 3) if large else (1, 1)
    x = relu(normed(conv2d(images, w["stem.0.weight"], stride=step, padding=padding), "stem.1"))
    x = max_pool2d(x, 3, 2, 1) if large else x
    for stage, layers in enumerate(blocks):
        for block in range(layers):
            name, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
            inner = conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = conv2d(relu(normed(inner, f"{name}.bn1")), w[f"{name}.conv2.weight"], padding=1)
            inner = normed(inner, f"{name}.bn2")
            if stride == 2:
                x = normed(conv2d(x, w[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
            x = relu(x + inner)
    features = x.mean((2, 3))
    return features @ w["readout.weight"].T / 2 + w["readout.bias"]  # twice the base's width


@pytest.mark.parametrize(
    ("inputs", "blocks", "stem"),
    [((1, 8, 8), (1, 2), "cifar"), ((3, 32, 40), (2, 1, 1), "imagenet"), ((3, 9, 8), (2, 2, 2, 2), "cifar")],
)
def test_outputs_are_those_of_the_definition(inputs, blocks, stem):
    torch.manual_seed(0)
    network = build("resnet18ln", width=8, base=4, inputs=inputs, outputs=5, blocks=blocks, stem=stem)
    for module in network.modules():
        if isinstance(module, nn.GroupNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    images = torch.randn(3, *inputs)
    with torch.no_grad():
        expected = reference(network, images, blocks, stem == "imagenet")
        torch.testing.assert_close(network(images), expected, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_convolutions_are_drawn_with_variance_two_over_the_fan_in():
    torch.manual_seed(0)
    network = build("resnet18ln", width=16, inputs=(3, 8, 8), outputs=5)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            expected, count = math.sqrt(2 / module.weight[0].numel()), module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 1.5}, "the width is 1.5 channels, expected a whole number of at least 1"),
        ({"blocks": ()}, r"blocks of each stage \(\), expected at least one"),
        ({"blocks": (2, 0)}, r"blocks of each stage \(2, 0\), expected at least one of each"),
        ({"stem": "x"}, "stem is 'x', expected 'cifar' or 'imagenet'"),
        ({"inputs": (3, 7, 8)}, "resnet18ln: samples of shape .* at least 8×8 pixels"),
        ({"stem": "imagenet"}, "images of 8×8 pixels, expected at least 32×32 for the stem 'imagenet'"),
    ],
)
def test_what_cannot_be_built_is_said(changes, words):
    with pytest.raises(UsageError, match=words):
        build("resnet18ln", **{"width": 4, "inputs": (3, 8, 8), "outputs": 2, **changes})
