import pytest
import torch
import torchvision
from torch.nn.functional import batch_norm, conv2d, group_norm, relu

from netprops.models import build

GROUPS = (64, 128, 256, 512)


def parameters(a, channels_in, outputs):
    """Count by the published plan with a norm of two numbers a channel, without looking at the network."""
    before = int(64 * a)
    count = 9 * channels_in * before + 2 * before
    for base in GROUPS:
        after = int(base * a)
        count += 9 * before * after + 3 * 9 * after * after + 4 * 2 * after
        count += before * after + 2 * after if before != after else 0
        before = after
    return count + before * outputs + outputs


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("a", [1, 1 / 2, 1 / 4, 1 / 8, 1 / 16])
def test_parameters_and_last_width_at_every_factor(a, norm):
    with torch.device("meta"):
        network = build("resnet18", width=a, inputs=(3, 32, 32), outputs=10, norm=norm)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert network.feature_width == 512 * a
    assert sum(p.numel() for p in network.parameters()) == parameters(a, 3, 10)


def test_parameters_at_factor_one_are_those_published():
    assert parameters(1, 3, 10) == 11_173_962  # the usual ResNet18 for CIFAR-10


def reference(network, images, norm):
    """The forward pass in eval mode, written out from the definition."""
    w = network.state_dict()

    def normed(x, name):
        weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
        if norm == "layer":
            return group_norm(x, 1, weight, bias)
        return batch_norm(x, w[f"{name}.running_mean"], w[f"{name}.running_var"], weight, bias)

    x = relu(normed(conv2d(images, w["stem.0.weight"], padding=1), "stem.1"))
    for block in range(8):
        name, stride = f"blocks.{block}", 2 if block in (2, 4, 6) else 1
        inner = conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1)
        inner = conv2d(relu(normed(inner, f"{name}.bn1")), w[f"{name}.conv2.weight"], padding=1)
        inner = normed(inner, f"{name}.bn2")
        if stride == 2:
            x = normed(conv2d(x, w[f"{name}.downsample.0.weight"], stride=2), f"{name}.downsample.1")
        x = relu(x + inner)
    features = x.mean((2, 3))
    return features, features @ w["readout.weight"].T + w["readout.bias"]


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("inputs", [(1, 8, 8), (3, 32, 20)])
def test_outputs_are_those_of_the_definition(inputs, norm):
    torch.manual_seed(0)
    network = build("resnet18", width=1 / 16, inputs=inputs, outputs=5, norm=norm)
    with torch.no_grad():
        network(torch.randn(8, *inputs))  # running statistics other than the initial ones
        network.eval()
        images = torch.randn(3, *inputs)
        features, outputs = reference(network, images, norm)
        torch.testing.assert_close(network(images), outputs)
    assert features.min() >= 0
    assert features.shape == (3, 32)


@pytest.mark.parametrize(("norm", "alone"), [("layer", True), ("batch", False)])
def test_an_image_depends_on_its_batch_only_with_batch_norm(norm, alone):
    torch.manual_seed(0)
    network = build("resnet18", width=1 / 16, inputs=(1, 16, 16), outputs=3, norm=norm)
    images = torch.randn(6, 1, 16, 16)
    with torch.no_grad():
        together, half = network(images)[:3], network(images[:3])
    assert torch.allclose(together, half, atol=1e-5) == alone


def test_with_the_stem_for_photographs_it_is_torchvision_s():
    torch.manual_seed(0)
    theirs = torchvision.models.resnet18(num_classes=7).eval()
    network = build("resnet18", width=1, inputs=(3, 40, 33), outputs=7, stem="imagenet")
    ours = network.state_dict()
    for mine, weights in zip(ours, theirs.state_dict().values(), strict=True):
        assert ours[mine].shape == weights.shape
    network.load_state_dict(dict(zip(ours, theirs.state_dict().values(), strict=True)))
    images = torch.randn(2, 3, 40, 33)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), theirs(images))
