import math

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from netprops.models import build

PLAN = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")


def parameters(a, channels_in, outputs, per_channel):
    """Count by the published plan, without looking at the network."""
    count, before = 0, channels_in
    for channels in PLAN:
        if channels != "M":
            after = int(channels * a)
            count += 9 * before * after + per_channel * after
            before = after
    return count + before * outputs + outputs


@pytest.mark.parametrize(("norm", "per_channel"), [("none", 1), ("batch", 2)])
@pytest.mark.parametrize("a", [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
def test_parameters_and_last_width_at_every_factor(a, norm, per_channel):
    with torch.device("meta"):
        network = build("vgg16", width=a, inputs=(3, 32, 32), outputs=10, norm=norm)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert network.feature_width == 512 * a
    assert sum(p.numel() for p in network.parameters()) == parameters(a, 3, 10, per_channel)


def reference(network, images, norm):
    """The forward pass in eval mode, written out from the plan."""
    w = network.state_dict()
    x, place = images, 0
    for channels in PLAN:
        if channels == "M":
            x, place = max_pool2d(x, 2), place + 1
            continue
        x = conv2d(x, w[f"stages.{place}.weight"], w.get(f"stages.{place}.bias"), padding=1)
        if norm == "batch":
            name = f"stages.{place + 1}"
            statistics = w[f"{name}.running_mean"], w[f"{name}.running_var"]
            x = batch_norm(x, *statistics, w[f"{name}.weight"], w[f"{name}.bias"])
        x, place = relu(x), place + (3 if norm == "batch" else 2)
    features = x.mean((2, 3))
    return features, features @ w["readout.weight"].T + w["readout.bias"]


@pytest.mark.parametrize("norm", ["none", "batch"])
@pytest.mark.parametrize("inputs", [(3, 32, 32), (1, 64, 40)])
def test_outputs_are_those_of_the_plan(inputs, norm):
    torch.manual_seed(0)
    network = build("vgg16", width=1 / 16, inputs=inputs, outputs=5, norm=norm)
    with torch.no_grad():
        network(torch.randn(8, *inputs))  # running statistics other than the initial ones
        for bias in (p for name, p in network.named_parameters() if name.endswith("bias")):
            bias.normal_(std=0.1)
        network.eval()
        images = torch.randn(3, *inputs)
        features, outputs = reference(network, images, norm)
        torch.testing.assert_close(network(images), outputs)
    assert features.min() >= 0


def test_dropout_is_between_features_and_readout_and_only_while_it_trains():
    torch.manual_seed(0)
    network = build("vgg16", width=1 / 8, inputs=(3, 32, 32), outputs=2, dropout=0.5)
    seen, read = [], []
    network.pool.register_forward_hook(lambda m, i, o: seen.append(o))
    network.readout.register_forward_pre_hook(lambda m, i: read.append(i[0]))
    images = torch.randn(8, 3, 32, 32)
    with torch.no_grad():
        network(images)
        network.eval()(images)
    live = seen[0] > 0
    torch.testing.assert_close(read[0][read[0] > 0], 2 * seen[0][read[0] > 0])
    assert 0.3 < ((read[0] == 0) & live).sum() / live.sum() < 0.7
    assert torch.equal(read[1], seen[1])


def test_initialisation_keeps_the_size_of_activations():
    torch.manual_seed(0)
    network = build("vgg16", width=1 / 2, inputs=(3, 32, 32), outputs=10)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            expected, count = math.sqrt(2 / module.weight[0].numel()), module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name
            assert not module.bias.any()
