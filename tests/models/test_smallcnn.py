import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, max_pool2d, relu

from netprops.models import build


@pytest.mark.parametrize("width", [2, 16, 256])
def test_parameters_and_last_width(width):
    with torch.device("meta"):
        network = build("smallcnn", width=width, inputs=(1, 8, 8), outputs=10)
    half = width // 2
    expected = 9 * half + 9 * half * half + 9 * half * width + 2 * (half + half + width) + 10 * width + 10
    assert sum(p.numel() for p in network.parameters()) == expected
    assert network.feature_width == width


def test_outputs_are_those_of_its_weights_applied_by_hand():
    torch.manual_seed(0)
    network = build("smallcnn", width=6, inputs=(3, 10, 9), outputs=4)
    with torch.no_grad():
        network(torch.randn(16, 3, 10, 9))  # running statistics other than the initial ones
        network.eval()
        w, images = network.state_dict(), torch.randn(5, 3, 10, 9)
        x = images
        for conv, norm in ((0, 1), (4, 5), (7, 8)):
            x = conv2d(x, w[f"stages.{conv}.weight"], padding=1)
            statistics = w[f"stages.{norm}.running_mean"], w[f"stages.{norm}.running_var"]
            x = relu(batch_norm(x, *statistics, w[f"stages.{norm}.weight"], w[f"stages.{norm}.bias"]))
            x = max_pool2d(x, 2) if conv == 0 else x
        features = x.mean((2, 3))
        outputs = features @ w["readout.weight"].T + w["readout.bias"]
        torch.testing.assert_close(network(images), outputs)
    assert features.min() >= 0
