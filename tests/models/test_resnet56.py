import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, relu

from netprops.models import build


def parameters(factor, outputs, depth, projected):
    before = int(16 * factor)
    count = 9 * 3 * before + 2 * before
    for group in range(3):
        after = int(16 * 2**group * factor)
        for _ in range((depth - 2) // 6):
            count += 9 * before * after + 9 * after * after + 4 * after
            count += before * after + 2 * after if projected and before != after else 0
            before = after
    return count + before * outputs + outputs


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize(("factor", "depth"), [(0.25, 8), (0.5, 8), (2, 20), (4, 8), (1, 56)])
def test_parameters_and_width_at_every_factor(factor, depth, shortcut):
    with torch.device("meta"):
        network = build(
            "resnet56", width=factor, inputs=(3, 32, 32), outputs=10, depth=depth, shortcut=shortcut
        )
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert network.feature_width == 64 * factor
    assert sum(p.numel() for p in network.parameters()) == parameters(factor, 10, depth, shortcut == "B")


@pytest.mark.parametrize(("depth", "published"), [(20, 269_722), (56, 853_018), (110, 1_727_962)])
def test_parameters_at_factor_one_are_those_published(depth, published):
    """He et al. 2016, table 6: 0.27M, 0.85M and 1.7M."""
    assert parameters(1, 10, depth, projected=False) == published


def reference(network, images, shortcut):
    w = network.state_dict()

    def normed(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return batch_norm(x, *(w[f"{name}.{part}"] for part in names))

    x = relu(normed(conv2d(images, w["conv1.weight"], padding=1), "bn1"))
    for group in (1, 2, 3):
        for block in range(2):
            name, stride = f"layer{group}.{block}", 2 if group > 1 and block == 0 else 1
            inner = relu(
                normed(conv2d(x, w[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1")
            )
            inner = normed(conv2d(inner, w[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            if stride == 2 and shortcut == "B":
                x = normed(conv2d(x, w[f"{name}.shortcut.0.weight"], stride=2), f"{name}.shortcut.1")
            elif stride == 2:
                wide = torch.zeros_like(inner)
                quarter = inner.shape[1] // 4
                wide[:, quarter : quarter + x.shape[1]] = x[:, :, ::2, ::2]
                x = wide
            x = relu(x + inner)
    features = x.mean((2, 3))
    return features, features @ w["linear.weight"].T + w["linear.bias"]


@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("inputs", [(1, 8, 8), (3, 9, 12)])
def test_outputs_are_those_of_the_definition(inputs, shortcut):
    torch.manual_seed(0)
    network = build("resnet56", width=0.25, inputs=inputs, outputs=5, depth=14, shortcut=shortcut)
    with torch.no_grad():
        network(torch.randn(8, *inputs))  # running statistics other than the initial ones
        network.eval()
        images = torch.randn(3, *inputs)
        features, outputs = reference(network, images, shortcut)
        torch.testing.assert_close(network(images), outputs)
    assert features.min() >= 0
    assert features.shape == (3, 16)
