import math

import pytest
import torch
from torch import nn
from torch.nn.functional import batch_norm, conv2d, relu

from netprops.models import build


def parameters(n, channels_in, outputs):
    """Count by the layer plan of the papers, without looking at the network."""
    stem = min(16, int(16 * n))
    count, before = 9 * channels_in * stem, stem
    for after in (int(16 * n), int(32 * n), int(64 * n)):
        first = 2 * before + 9 * before * after + 2 * after + 9 * after * after
        shortcut = before * after if (before != after or after != int(16 * n)) else 0
        count += first + shortcut + 3 * (4 * after + 18 * after * after)
        before = after
    return count + 2 * before + before * outputs + outputs


@pytest.mark.parametrize("n", [1 / 4, 1 / 2, 1, 2, 4, 8, 16])
def test_parameters_and_last_width_at_every_factor(n):
    with torch.device("meta"):
        network = build("wrn28", width=n, inputs=(3, 32, 32), outputs=10)
    assert network.feature_width == 64 * n
    assert sum(p.numel() for p in network.parameters()) == parameters(n, 3, 10)


@pytest.mark.parametrize(
    ("n", "published"),
    [
        (2, 1_467_610),  # WRN-28-2, the network of the semi-supervised benchmarks
        (10, 36_479_194),  # WRN-28-10 on CIFAR-10: 36.5 million in Zagoruyko and Komodakis 2016, table 4
    ],
)
def test_parameters_are_those_published(n, published):
    with torch.device("meta"):
        network = build("wrn28", width=n, inputs=(3, 32, 32), outputs=10)
    assert sum(p.numel() for p in network.parameters()) == published


def test_the_largest_network_maps_images_to_outputs_on_the_meta_device():
    with torch.device("meta"):
        network = build("wrn28", width=16, inputs=(3, 32, 32), outputs=100)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 100)


def test_narrow_networks_have_a_narrow_stem_and_wide_ones_that_of_factor_one():
    with torch.device("meta"):
        networks = [build("wrn28", width=n, inputs=(1, 8, 8), outputs=10) for n in (0.25, 0.5, 1, 4)]
    assert [network.stem.out_channels for network in networks] == [4, 8, 16, 16]


def test_three_groups_of_four_blocks_of_two_convolutions_lie_between_stem_and_readout():
    with torch.device("meta"):
        network = build("wrn28", width=1, inputs=(3, 32, 32), outputs=10)
    weighted = [
        name
        for name, m in network.named_modules()
        if isinstance(m, nn.Conv2d | nn.Linear) and not name.endswith("shortcut")
    ]
    assert len(weighted) == 3 * 4 * 2 + 2


def reference(network, images):
    """The forward pass in eval mode, written out from the definition."""
    w = network.state_dict()

    def norm(x, name):
        return batch_norm(
            x, w[f"{name}.running_mean"], w[f"{name}.running_var"], w[f"{name}.weight"], w[f"{name}.bias"]
        )

    x = conv2d(images, w["stem.weight"], padding=1)
    for group, stride in enumerate((1, 2, 2)):
        for block in range(4):
            name, step = f"groups.{group}.{block}", stride if block == 0 else 1
            inner = relu(norm(x, f"{name}.norm1"))
            inner = conv2d(inner, w[f"{name}.conv1.weight"], stride=step, padding=1)
            inner = conv2d(relu(norm(inner, f"{name}.norm2")), w[f"{name}.conv2.weight"], padding=1)
            if f"{name}.shortcut.weight" in w:
                x = conv2d(x, w[f"{name}.shortcut.weight"], stride=step)
            x = x + inner
    features = norm(x, "norm").mean((2, 3))
    return features, features @ w["readout.weight"].T + w["readout.bias"]


@pytest.mark.parametrize(("n", "inputs"), [(0.25, (1, 8, 8)), (2, (3, 8, 9)), (1, (3, 12, 12))])
def test_outputs_are_those_of_the_definition_and_features_are_signed(n, inputs):
    torch.manual_seed(0)
    network = build("wrn28", width=n, inputs=inputs, outputs=5)
    with torch.no_grad():
        network(torch.randn(16, *inputs))  # running statistics other than the initial ones
        network.eval()
        images = torch.randn(4, *inputs)
        features, outputs = reference(network, images)
        torch.testing.assert_close(network(images), outputs)
    assert (features < 0).any()
    assert (features > 0).any()


def test_only_blocks_that_change_the_shape_have_a_shortcut_of_their_own():
    def shortcuts(n):
        with torch.device("meta"):
            network = build("wrn28", width=n, inputs=(3, 32, 32), outputs=10)
        return [name.removesuffix(".weight") for name, _ in network.named_parameters() if "shortcut" in name]

    assert shortcuts(1) == shortcuts(0.5) == ["groups.1.0.shortcut", "groups.2.0.shortcut"]
    assert shortcuts(2) == ["groups.0.0.shortcut", "groups.1.0.shortcut", "groups.2.0.shortcut"]


def test_initialisation_is_the_stated_one():
    torch.manual_seed(0)
    network = build("wrn28", width=2, inputs=(3, 32, 32), outputs=100)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            count = module.weight.numel()
            expected = math.sqrt(2 / fan_in)
            # five standard errors of a standard deviation estimated from count normal draws
            assert module.weight.std().item() == pytest.approx(expected, rel=5 / math.sqrt(2 * count)), name
        if isinstance(module, nn.BatchNorm2d):
            assert module.weight.min() >= 0
            assert module.weight.max() <= 1
            assert module.weight.std() > 0.1  # uniform has 0.29; ones would have 0
        if isinstance(module, nn.BatchNorm2d | nn.Linear):
            assert not module.bias.any()


def t_shaped_parameters(n, channels_in, outputs):
    """WRN28-1 without its last block and readout, and that block from 64 channels to 64n."""
    before, after = 64, int(64 * n)
    plain = parameters(1, channels_in, outputs) - 2 * before - before * outputs
    plain -= 2 * before + 9 * before * before + 2 * before + 9 * before * before
    wide = 2 * before + 9 * before * after + 2 * after + 9 * after * after
    return plain + wide + (before * after if before != after else 0) + 2 * after + after * outputs


@pytest.mark.parametrize("n", [1 / 4, 1, 2, 4, 8, 16])
def test_a_t_shaped_network_is_wide_in_its_last_block_alone(n):
    with torch.device("meta"):
        network = build("wrn28", width=n, inputs=(3, 32, 32), outputs=10, widened="last")
        plain = build("wrn28", width=1, inputs=(3, 32, 32), outputs=10)
        assert network(torch.empty(2, 3, 32, 32)).shape == (2, 10)
    assert network.feature_width == 64 * n
    assert sum(p.numel() for p in network.parameters()) == t_shaped_parameters(n, 3, 10)
    shapes, expected = ({k: v.shape for k, v in m.state_dict().items()} for m in (network, plain))
    differing = {name for name in shapes if shapes[name] != expected.get(name)}
    wide = ("groups.2.3.", "norm.", "readout.weight")
    assert all(name.startswith(wide) for name in differing)
    assert bool(differing) == (n != 1)


def test_a_t_shaped_network_of_factor_one_has_the_weights_of_the_plain_one():
    drawn = []
    for widened in ("all", "last"):
        torch.manual_seed(0)
        drawn.append(build("wrn28", width=1, inputs=(1, 8, 8), outputs=10, widened=widened).state_dict())
    assert all(torch.equal(drawn[0][name], drawn[1][name]) for name in drawn[0] | drawn[1])


def test_a_t_shaped_network_gives_the_outputs_of_the_definition():
    torch.manual_seed(0)
    network = build("wrn28", width=2, inputs=(1, 8, 8), outputs=5, widened="last")
    with torch.no_grad():
        network(torch.randn(16, 1, 8, 8))
        network.eval()
        images = torch.randn(4, 1, 8, 8)
        torch.testing.assert_close(network(images), reference(network, images)[1])
