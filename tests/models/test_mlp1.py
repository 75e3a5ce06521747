import pytest
import torch

from netprops.errors import UsageError
from netprops.models import build
from netprops.training.dense import DenseStack


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 2, 4])
def test_parameters_and_width_at_every_factor(factor):
    network = build("mlp1", width=factor, inputs=(10,), outputs=2)
    units = int(128 * factor)
    assert network.feature_width == units
    assert sum(p.numel() for p in network.parameters()) == 10 * units + units + 2 * units + 2


def test_outputs_are_those_of_its_weights_applied_by_hand():
    torch.manual_seed(0)
    network = build("mlp1", width=0.5, inputs=(2, 3), outputs=4, units=10, init="normal:1").eval()
    w, samples = network.state_dict(), torch.randn(7, 2, 3)
    hidden = (samples.flatten(1) @ w["hidden.linear.weight"].T + w["hidden.linear.bias"]).clamp(min=0)
    torch.testing.assert_close(network(samples), hidden @ w["readout.weight"].T + w["readout.bias"])
    assert hidden.shape == (7, 5)


def test_biases_start_at_zero_and_weights_with_the_paper_s_deviation():
    torch.manual_seed(0)
    network = build("mlp1", width=1, inputs=(100,), outputs=2)
    assert not network.hidden.linear.bias.any()
    assert not network.readout.bias.any()
    assert float(network.hidden.linear.weight.detach().std()) == pytest.approx(0.01, rel=0.05)


def test_it_trains_as_one_of_a_stack_unless_it_has_dropout():
    plain, dropping = (build("mlp1", width=1, inputs=(4,), outputs=2, dropout=d) for d in (0.0, 0.5))
    cpu = torch.device("cpu")
    assert DenseStack([plain, plain], device=cpu, dtype=torch.float32).members == 2
    with pytest.raises(UsageError, match="found Dropout"):
        DenseStack([dropping], device=cpu, dtype=torch.float32)


def test_dropout_drops_hidden_units_while_it_trains_alone():
    torch.manual_seed(0)
    network = build("mlp1", width=1, inputs=(4,), outputs=2, dropout=0.5, init="normal:1")
    samples = torch.randn(5, 4)
    assert not torch.equal(network(samples), network(samples))
    network.eval()
    assert torch.equal(network(samples), network(samples))
