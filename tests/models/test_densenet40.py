import math

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, batch_norm, conv2d, relu

from netprops.models import build


def parameters(c, channels_in, outputs, bottleneck=0):
    """Count by the layer plan of DenseNet-BC, without looking at the network."""
    k = c // 2
    count, channels = 9 * channels_in * c + 2 * c, c
    for block in range(3):
        for _ in range(6):
            count += 2 * channels + channels * 4 * k + 2 * 4 * k + 9 * 4 * k * k
            channels += k
        if block < 2:
            count += 2 * channels + channels * (channels // 2)
            channels //= 2
    count += 2 * channels
    if bottleneck:
        count += channels * bottleneck + 2 * bottleneck
        channels = bottleneck
    return count + channels * outputs + outputs


@pytest.mark.parametrize(("c", "bottleneck"), [(8, 0), (32, 0), (32, 128), (256, 0)])
def test_parameters_and_last_width_at_every_factor(c, bottleneck):
    with torch.device("meta"):
        network = build("densenet40", width=c, inputs=(3, 32, 32), outputs=10, bottleneck=bottleneck)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert network.feature_width == (bottleneck or 5.5 * c)
    assert sum(p.numel() for p in network.parameters()) == parameters(c, 3, 10, bottleneck)


def test_forty_convolutions_and_linear_maps():
    with torch.device("meta"):
        network = build("densenet40", width=16, inputs=(3, 32, 32), outputs=10)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in network.modules()) == 40


def reference(network, images, bottleneck):
    """The forward pass in eval mode, written out from the definition."""
    w = network.state_dict()

    def norm(x, name):
        return batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"]
        )

    x = relu(norm(conv2d(images, w["features.conv0.weight"], padding=1), "features.norm0"))
    for block in (1, 2, 3):
        for layer in range(1, 7):
            name = f"features.denseblock{block}.denselayer{layer}"
            new = conv2d(relu(norm(x, f"{name}.norm1")), w[f"{name}.conv1.weight"])
            new = conv2d(relu(norm(new, f"{name}.norm2")), w[f"{name}.conv2.weight"], padding=1)
            x = torch.cat([x, new], dim=1)
        if block < 3:
            name = f"features.transition{block}"
            x = avg_pool2d(conv2d(relu(norm(x, f"{name}.norm")), w[f"{name}.conv.weight"]), 2)
    x = norm(x, "features.norm5")
    if bottleneck:
        x = norm(conv2d(relu(x), w["features.conv5.weight"]), "features.norm6")
    features = x.mean((2, 3))
    return features, features @ w["readout.weight"].T + w["readout.bias"]


@pytest.mark.parametrize(
    ("c", "inputs", "bottleneck"), [(4, (1, 8, 8), 0), (6, (3, 12, 9), 5), (8, (3, 32, 32), 0)]
)
def test_outputs_are_those_of_the_definition_and_features_are_signed(c, inputs, bottleneck):
    torch.manual_seed(0)
    network = build("densenet40", width=c, inputs=inputs, outputs=5, bottleneck=bottleneck)
    with torch.no_grad():
        network(torch.randn(16, *inputs))  # running statistics other than the initial ones
        network.eval()
        images = torch.randn(4, *inputs)
        features, outputs = reference(network, images, bottleneck)
        torch.testing.assert_close(network(images), outputs)
    assert features.shape == (4, network.feature_width)
    assert (features < 0).any()


def test_initialisation_is_that_of_torchvision():
    torch.manual_seed(0)
    network = build("densenet40", width=64, inputs=(3, 32, 32), outputs=100, bottleneck=32)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            expected, count = math.sqrt(2 / module.weight[0].numel()), module.weight.numel()
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
        if isinstance(module, nn.BatchNorm2d | nn.Linear):
            assert not module.bias.any()
