import pytest
import torch
import torchvision

from netprops.models import build


def size(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    return torchvision.models.inception_v3(init_weights=False, num_classes=7).eval()


def test_at_factor_one_it_is_torchvision_s_without_the_auxiliary_classifier(theirs):
    """Names, shapes and outputs; 23.8M parameters with 1,000 classes."""
    with torch.device("meta"):
        assert size(build("inceptionv3", width=1, inputs=(3, 299, 299), outputs=1000)) == 23_834_568
        network = build("inceptionv3", width=1, inputs=(3, 75, 75), outputs=7)
    weights = {k: v for k, v in theirs.state_dict().items() if not k.startswith("AuxLogits")}
    network.load_state_dict(weights, assign=True)
    images = torch.randn(2, 3, 75, 80)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(images), theirs(images))


@pytest.mark.parametrize("factor", [0.25, 4])
def test_every_channel_count_is_multiplied(theirs, factor):
    with torch.device("meta"):
        network = build("inceptionv3", width=factor, inputs=(3, 75, 75), outputs=7)
        assert network(torch.empty(2, 3, 75, 75)).shape == (2, 7)
    assert network.feature_width == 2048 * factor
    known = dict(theirs.named_parameters())
    for name, parameter in network.named_parameters():
        expected = list(known[name].shape)
        expected[0] = 7 if name.startswith("fc.") else int(expected[0] * factor)
        if len(expected) > 1 and name != "Conv2d_1a_3x3.conv.weight":
            expected[1] = int(expected[1] * factor)
        assert list(parameter.shape) == expected, name


@pytest.mark.parametrize("factor", [0.25, 4])
def test_the_last_block_at_35_is_widened_alone(theirs, factor):
    with torch.device("meta"):
        network = build("inceptionv3", width=factor, inputs=(3, 75, 75), outputs=7, widened="last35")
        assert network(torch.empty(2, 3, 75, 75)).shape == (2, 7)
    assert network.feature_width == 2048
    known = dict(theirs.named_parameters())
    changed = {name for name, p in network.named_parameters() if p.shape != known[name].shape}
    assert {name.split(".")[0] for name in changed} == {"Mixed_5d", "Mixed_6a", "Mixed_6b"}
    assert {name for name in changed if name.startswith("Mixed_6")} == {
        *(f"Mixed_6a.{branch}.conv.weight" for branch in ("branch3x3", "branch3x3dbl_1")),
        *(
            f"Mixed_6b.{branch}.conv.weight"
            for branch in ("branch1x1", "branch7x7_1", "branch7x7dbl_1", "branch_pool")
        ),
    }
    own = dict(network.named_parameters())
    assert own["Mixed_5d.branch1x1.conv.weight"].shape[:2] == (64 * factor, 288)
    assert own["Mixed_6a.branch3x3.conv.weight"].shape[:2] == (384, 288 * factor)
    assert own["Mixed_6b.branch1x1.conv.weight"].shape[:2] == (192, 480 + 288 * factor)


def test_weights_start_with_the_paper_s_truncated_normal():
    torch.manual_seed(0)
    network = build("inceptionv3", width=1 / 16, inputs=(3, 75, 75), outputs=7)
    weights = torch.cat([p.detach().flatten() for name, p in network.named_parameters() if "bn" not in name])
    weights = weights[weights != 0]  # the readout's biases
    assert float(weights.abs().max()) <= 0.2
    assert float(weights.std()) == pytest.approx(0.0880, rel=0.02)  # 0.1 before the cut at two deviations
    torch.manual_seed(0)
    other = build("inceptionv3", width=1 / 16, inputs=(3, 75, 75), outputs=7, init="he-normal")
    assert not torch.equal(network.fc.weight, other.fc.weight)


def test_batch_norm_keeps_the_share_of_the_source():
    network = build("inceptionv3", width=1 / 16, inputs=(1, 75, 75), outputs=7)
    norms = [module for module in network.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    assert {(round(norm.momentum, 6), norm.eps) for norm in norms} == {(0.0003, 1e-3)}
