import pytest
import torch
from torchvision import models as published

from netprops.models import build


def parameters(c, outputs):
    """Count by the layer plan of ResNet50 with every channel count after the stem times c."""
    count, before = 3 * 64 * 49 + 2 * 64, 64
    for base, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        inner, outer = int(base * c), int(4 * base * c)
        for block in range(blocks):
            count += before * inner + 2 * inner + 9 * inner * inner + 2 * inner + inner * outer + 2 * outer
            if block == 0 and (before != outer or base > 64):  # at c = 1/4 the first shortcut is the identity
                count += before * outer + 2 * outer
            before = outer
    return count + before * outputs + outputs


@pytest.mark.parametrize("c", [0.25, 2])
def test_parameters_and_last_width_at_every_factor(c):
    with torch.device("meta"):
        network = build("resnet50", width=c, inputs=(3, 224, 224), outputs=1000)
        assert network(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    assert network.feature_width == 2048 * c
    assert network.conv1.out_channels == 64
    assert sum(p.numel() for p in network.parameters()) == parameters(c, 1000)


def test_parameters_at_factor_one_are_those_published():
    published_count = published.ResNet50_Weights.IMAGENET1K_V1.meta["num_params"]
    assert parameters(1, 1000) == published_count == 25_557_032


def test_factor_two_is_not_the_wide_resnet_whose_last_layer_stays():
    with torch.device("meta"):
        wide, ours = published.wide_resnet50_2(), build("resnet50", width=2, inputs=(3, 64, 64), outputs=1000)
    assert wide.fc.in_features == 2048
    assert ours.feature_width == 4096
    assert ours.layer1[0].conv2.out_channels == wide.layer1[0].conv2.out_channels == 128


def test_at_factor_one_it_is_torchvisions_network():
    torch.manual_seed(0)
    theirs = published.resnet50(num_classes=7)
    ours = build("resnet50", width=1, inputs=(3, 64, 64), outputs=7)
    with torch.no_grad():
        images = torch.randn(2, 3, 64, 64)
        theirs(images)  # running statistics other than the initial ones
        ours.load_state_dict(theirs.state_dict())
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def test_grey_images_have_a_stem_of_their_own():
    network = build("resnet50", width=0.25, inputs=(1, 32, 32), outputs=3).eval()
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 3)
    # Kaiming normal over the fan-out, 64 x 7 x 7
    assert network.conv1.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.1)
