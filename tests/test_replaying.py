import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from netprops.replaying import Replay


def probe(n=2):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(1))


def balanced(network, inputs):
    """Let no class be predicted for all inputs."""
    with torch.no_grad():
        list(network.modules())[-1].bias -= network.eval()(inputs).mean(dim=0)
    return network


class Counting(nn.Linear):
    runs = 0

    def forward(self, x):
        self.runs += len(x)
        return super().forward(x)


class Chain(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.ModuleList(Counting(4, 4) for _ in range(5))

    def forward(self, x):
        skipped = self.layers[0](x)
        for layer in self.layers[1:4]:
            x = functional.relu(layer(x)) + skipped
        return self.layers[4](x)


def test_the_prefix_runs_once_for_all_masks_and_the_rest_for_each():
    network = Chain().eval()
    with torch.no_grad():
        replay = Replay(network, probe(), ("layers.2",))
        before = [layer.runs for layer in network.layers]
        replay.load(probe(6))
        loaded = [layer.runs for layer in network.layers]
        for _ in range(5):
            replay.changed([torch.zeros((1, 4), dtype=torch.bool)])
    assert replay.prefix_once
    # Loading runs the network and, to see whether the prefix can be replayed, what comes behind it.
    assert [b - a for a, b in zip(before, loaded, strict=True)] == [6, 6, 6, 12, 12]
    assert [layer.runs - b for layer, b in zip(network.layers, loaded, strict=True)] == [0, 0, 0, 30, 30]


def test_only_what_the_outputs_depend_on_is_kept():
    network = nn.Sequential(*(nn.Linear(4, 4) for _ in range(6))).eval()
    with torch.no_grad():
        replay = Replay(network, probe(), ("4",))
        replay.load(probe(8))
    assert [tuple(tensor.shape) for tensor in replay._recorded.values()] == [(8, 4)]
    assert list(replay._recorded) == [network[4]]


class ByEffect(nn.Module):
    """Uses what a module does to its argument, not what it returns: no prefix can stand for that."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.relu, self.second, self.last = (
            nn.Linear(4, 6),
            nn.ReLU(True),
            nn.Linear(6, 6),
            nn.Linear(6, 3),
        )

    def forward(self, x):
        x = self.first(x)
        self.relu(x)
        return self.last(x + functional.relu(self.second(x)))


class ByValue(nn.Module):
    """Uses a module's values where no gradient passes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.last = nn.Linear(4, 6), nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        gate = self.first(x) > 0
        return self.last(self.second(x).relu() * gate)


@pytest.mark.parametrize(("network", "layer"), [(ByEffect(), "second"), (ByValue(), "second")])
def test_a_prefix_that_cannot_be_replayed_is_run_for_every_mask(network, layer):
    keep = torch.tensor([[True] * 6, [True, False] * 3, [False] * 6])
    inputs = probe(30)
    balanced(network, inputs)
    with torch.no_grad():
        replay = Replay(network, probe(), (layer,))
        replay.load(inputs)
        found = replay.changed([keep]).tolist()
        intact = network(inputs).argmax(dim=1)
        expected = []
        for mask in keep:
            handle = network.get_submodule(layer).register_forward_hook(
                lambda m, a, out, mask=mask: out * mask
            )
            expected.append(int((network(inputs).argmax(dim=1) != intact).sum()))
            handle.remove()
    assert found == expected
    assert found[0] == 0 < found[2]
    assert not replay.prefix_once


class Positions(nn.Module):
    """Adds what a module gives for positions, which is not one row a sample."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.places, self.scale = nn.Embedding(5, 4), nn.Linear(4, 4)
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        places = self.places(torch.arange(5))
        return self.last(self.first(self.scale(x) + places).relu())


def test_masks_are_not_stacked_where_a_module_gives_no_row_a_sample():
    network = Positions().eval()
    words = torch.randn(4, 5, 4, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        behind = Replay(network, words[:2], ("first",))
        assert behind.load(words) == 20
        assert behind.stack(100) == 25  # the positions are not needed behind the first layer
        assert behind.changed([torch.ones((3, 6), dtype=torch.bool)]).tolist() == [0, 0, 0]
        beside = Replay(network, words[:2], ("scale",))
        beside.load(words)
        assert beside.stack(100) == 1  # needed, and five rows whatever the samples
        assert beside.changed([torch.ones((1, 4), dtype=torch.bool)]).tolist() == [0]


def test_a_shared_module_behind_and_within_the_prefix_is_counted_right():
    torch.manual_seed(0)
    relu = nn.ReLU()
    network = nn.Sequential(
        nn.Sequential(nn.Linear(4, 6), relu), nn.Linear(6, 6), relu, nn.Linear(6, 6), relu, nn.Linear(6, 3)
    )
    inputs = probe(40)
    balanced(network, inputs)
    keep = torch.zeros((1, 6), dtype=torch.bool)
    with torch.no_grad():
        replay = Replay(network, probe(), ("0.1@2",))
        replay.load(inputs)
        assert replay.prefix_once
        intact = network(inputs).argmax(dim=1)
        expected = int((network[5].bias.argmax() != intact).sum())
        assert replay.changed([keep]).tolist() == [expected]
        early = Replay(network, probe(), ("0.1@0",))
        early.load(inputs)
        hidden = network[2:](network[1].bias.expand(40, 6)).argmax(dim=1)
        assert early.changed([keep]).tolist() == [int((hidden != intact).sum())]
    assert np.unique(intact).size > 1
