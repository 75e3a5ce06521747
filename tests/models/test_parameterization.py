import copy
import math
import pickle
from itertools import pairwise

import mup
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.nn.functional import linear, relu

from netprops.errors import UsageError
from netprops.models import build
from netprops.models.parameterization import PARAMETERIZATIONS, Readout, parameterize, restore
from netprops.training.optimizers import build_optimizer
from netprops.training.recipe import Recipe

INPUTS = {"mlp": (6,), "resnet18ln": (1, 8, 8), "tokentransformer": (5,)}
SMALL = {
    "mlp": {"base": 8},
    "resnet18ln": {"base": 4, "blocks": (1, 1)},
    "tokentransformer": {"base": 8, "depth": 1, "heads": 2},
}
NAMES = tuple(SMALL)


def made(name, r, parameterization="mup", *, seed=0, outputs=3, **kwargs):
    torch.manual_seed(seed)
    arguments = {**SMALL[name], **kwargs}
    return build(
        name,
        width=r * arguments["base"],
        inputs=INPUTS[name],
        outputs=outputs,
        parameterization=parameterization,
        **arguments,
    )


def samples(name, n=16):
    generator = torch.Generator().manual_seed(1)
    if name == "tokentransformer":
        return torch.randint(0, 3, (n, *INPUTS[name]), generator=generator).float()
    return torch.randn(n, *INPUTS[name], generator=generator)


def recipe(optimizer="sgd", **changes):
    return Recipe(epochs=1, batch=1, **{"optimizer": optimizer, "lr": 0.1, **changes})


def loss(outputs, truth=None):
    """Outputs shall be the truth, or the sine of their number."""
    if truth is None:
        truth = torch.arange(outputs.numel(), dtype=outputs.dtype).sin().reshape(outputs.shape)
    return (outputs - truth).square().mean()


def train(network, inputs, how, steps=5, truth=None):
    """Train at a constant lr, which is set at every step as the loop sets it."""
    optimizer = build_optimizer(network.parameters(), how)
    for _ in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = how.lr * group.get("scale", 1.0)
        optimizer.zero_grad()
        torch.autograd.backward(loss(network(inputs), truth))
        optimizer.step()
    return network


OPTIMIZERS = [
    recipe("sgd", lr=0.02, momentum=0.5, weight_decay=0.1),
    recipe("adam", lr=0.01, weight_decay=0.1),
    recipe("adamw", lr=0.01, weight_decay=1.0),
]


class ByHand(nn.Module):
    """Three layers whose weights are of order one, as the theory has them, with the width written out.

    Each layer is w h / fan-in^½; the outputs are divided by γ (in the mean-field parameterization the root of
    the width over the base's, and 1 in the NTK parameterization).
    """

    def __init__(self, weights, gamma):
        super().__init__()
        self.weights, self.gamma = nn.ParameterList(weights), gamma

    def forward(self, x):
        first, second, last = (w / math.sqrt(w.shape[1]) for w in self.weights)
        return linear(relu(linear(relu(linear(x, first)), second)), last) / self.gamma


def by_hand(network, b, gamma, how):
    """The network in its textbook's parameterization, and an optimizer that is the recipe's at the base.

    At the base a weight w = W / f^½ of fan-in f that learns with lr is a W that learns with lr f (SGD) or lr
    f^½ (Adam), its decay being as large for each step. The lr of SGD is the same at every width but for γ²,
    which gives back what the gradients lose to γ.
    """
    first, second, last = (w.detach().clone() for w in network.parameters())
    d, n = first.shape[1], second.shape[1]
    drawn_as = b if gamma > 1 else n  # of the readout, which starts as large as at the base in mup
    weights = [first * math.sqrt(d), second * math.sqrt(n), last * math.sqrt(drawn_as)]
    net = ByHand(weights, gamma)
    groups = []
    for weight, fan_in in zip(net.weights, (d, b, b), strict=True):
        sgd, adamw = how.optimizer == "sgd", how.optimizer == "adamw"
        rate = fan_in * gamma**2 if sgd else math.sqrt(fan_in)
        decay = how.weight_decay / (rate if sgd or adamw else fan_in)
        groups.append({"params": [weight], "lr": how.lr * rate, "weight_decay": decay})
    kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[how.optimizer]
    return net, kind(groups, **({"momentum": how.momentum} if how.optimizer == "sgd" else {}))


@pytest.mark.parametrize(
    ("parameterization", "how"),
    [("mup", OPTIMIZERS[0]), *(("ntk", how) for how in OPTIMIZERS)],
    ids=lambda one: getattr(one, "optimizer", one),
)
def test_training_is_that_of_the_textbooks_parameterization(parameterization, how):
    r, b = 4, SMALL["mlp"]["base"]
    network = made("mlp", r, parameterization).double()
    x = samples("mlp").double()
    reference, optimizer = by_hand(network, b, math.sqrt(r) if parameterization == "mup" else 1.0, how)
    before = network(x).detach()
    torch.testing.assert_close(reference(x), before, rtol=1e-12, atol=1e-12)
    for _ in range(5):
        optimizer.zero_grad()
        torch.autograd.backward(loss(reference(x)))
        optimizer.step()
    after = train(network, x, how)(x)
    assert (after - before).abs().mean() > 0.02  # or there was nothing to compare
    tolerance = 1e-12 if how.optimizer == "sgd" else 1e-5  # eps of Adam stays where it is
    torch.testing.assert_close(after, reference(x), rtol=tolerance, atol=tolerance)
    other = train(made("mlp", r, "standard").double(), x, how)(x)
    assert (other - after).abs().max() > 0.01


@pytest.mark.parametrize("how", OPTIMIZERS, ids=lambda how: how.optimizer)
@pytest.mark.parametrize("name", NAMES)
def test_at_the_base_all_parameterizations_train_alike(name, how):
    first, *others = (train(made(name, 1, p), samples(name), how, steps=3) for p in PARAMETERIZATIONS)
    for other in others:
        for key, weight in other.state_dict().items():
            assert torch.equal(weight, first.state_dict()[key]), key


@pytest.mark.parametrize("name", NAMES)
def test_away_from_the_base_they_start_alike_but_for_mup_and_train_differently(name):
    """The NTK network starts as the standard one; µP outputs are r^-½ as large, if attention is left out."""
    x = samples(name)
    mean_field, standard, ntk = (made(name, 4, p) for p in PARAMETERIZATIONS)
    assert torch.equal(ntk(x), standard(x))
    if name != "tokentransformer":
        torch.testing.assert_close(mean_field(x), standard(x) / 2)
    found = [train(n, x, recipe("adam", lr=0.01))(x) for n in (mean_field, standard, ntk)]
    assert min((a - b).abs().max().item() for a, b in [*pairwise(found), (found[0], found[2])]) > 1e-3


def scales(network, optimizer):
    names = {id(weight): key for key, weight in network.named_parameters()}
    found = build_optimizer(network.parameters(), recipe(optimizer)).param_groups
    assert len(found) <= 3
    assert all(group["lr"] == pytest.approx(0.1 * group["scale"]) for group in found)
    return {names[id(weight)]: group["scale"] for group in found for weight in group["params"]}


@pytest.mark.parametrize(
    ("parameterization", "optimizer", "of_input", "hidden", "of_readout"),
    [
        ("mup", "sgd", 4, 1, 4),
        ("mup", "adam", 1, 1 / 4, 1),
        ("mup", "adamw", 1, 1 / 4, 1),
        ("standard", "sgd", 1, 1, 1),
        ("standard", "adam", 1, 1, 1),
        ("ntk", "sgd", 1, 1 / 4, 1 / 4),
        ("ntk", "adam", 1, 1 / 2, 1 / 2),
        ("ntk", "adamw", 1, 1 / 2, 1 / 2),
    ],
)
def test_every_weight_learns_as_the_table_has_it(parameterization, optimizer, of_input, hidden, of_readout):
    output_bias = 1
    expected = {
        "resnet18ln": {
            "stem.0.weight": of_input,
            "stem.1.bias": of_input,
            "stages.0.0.conv2.weight": hidden,
            "stages.1.0.bn2.weight": of_input,
            "stages.1.0.downsample.0.weight": hidden,
            "readout.weight": of_readout,
            "readout.bias": output_bias,
        },
        "tokentransformer": {
            "embedding.weight": of_input,
            "positions": of_input,
            "layers.0.norm1.weight": of_input,
            "layers.0.attend.weight": hidden,
            "layers.0.merge.weight": hidden,
            "layers.0.expand.weight": hidden,
            "layers.0.contract.weight": hidden,
            "readout.weight": of_readout,
            "readout.bias": output_bias,
        },
        "mlp": {
            "hidden.linear1.weight": of_input,
            "hidden.linear1.bias": of_input,
            "hidden.linear2.weight": hidden,
            "readout.weight": of_readout,
        },
    }
    for name, known in expected.items():
        kwargs = {"bias": True} if name == "mlp" else {}
        found = scales(made(name, 4, parameterization, **kwargs), optimizer)
        assert {key: found[key] for key in known} == pytest.approx(known), name


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_a_network_from_a_file_answers_and_trains_on_as_if_it_had_never_left(parameterization):
    """Rescaled twice it would not: its readout would be r^½ too large."""
    for name in NAMES:
        x, how = samples(name), recipe(lr=0.02)
        network = train(made(name, 4, parameterization), x, how, steps=2)
        data = safetensors.torch.save(network.state_dict())
        with torch.device("meta"):
            found = made(name, 4, parameterization)
        nn.Module.load_state_dict(found, safetensors.torch.load(data), assign=True)
        for _ in range(2):
            restore(found)
        assert torch.equal(found(x), network(x))
        for one in (network, found):
            train(one, x, how, steps=2)
        assert torch.equal(found(x), network(x))


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        lambda network: pickle.loads(pickle.dumps(network)),
        lambda network: _assigned(network),
    ],
    ids=["deepcopy", "pickle", "assign"],
)
def test_copies_train_as_the_network_does(parameterization, copied):
    x, how = samples("mlp"), recipe(lr=0.05)
    network = made("mlp", 4, parameterization)
    other = copied(network)
    assert torch.equal(other(x), network(x))
    assert torch.equal(train(other, x, how)(x), train(network, x, how)(x))


def _assigned(network):
    with torch.device("meta"):
        other = made("mlp", 4, network.parameterization)
    other.load_state_dict({key: weight.clone() for key, weight in network.state_dict().items()}, assign=True)
    return other


def test_weights_are_never_rescaled_twice():
    network = made("mlp", 4)
    with pytest.raises(UsageError, match="has its base shapes; its weights would be rescaled twice"):
        parameterize(network, "mlp", "mup", base=8, build=lambda width: made("mlp", width / 8, "standard"))
    with pytest.raises(RuntimeError, match="called once before"):
        mup.set_base_shapes(network, made("mlp", 1, "standard"), delta=made("mlp", 2, "standard"))


@pytest.mark.parametrize("r", [1, 4, 16])
def test_the_readout_of_mup_is_drawn_as_at_the_base_and_its_outputs_are_divided(r):
    network = made("mlp", r, outputs=400)
    weight = network.readout.weight
    assert weight.std().item() == pytest.approx(8**-0.5, rel=5 / math.sqrt(2 * weight.numel()))
    assert network.readout.scale == 1 / r
    assert made("mlp", r, "standard").readout.scale == made("mlp", r, "ntk").readout.scale == 1
    assert made("mlp", r, output_multiplier=10.0).readout.scale == 10 / r


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_scale_times_weight_times_features_plus_bias(name):
    network, x = made(name, 4, output_multiplier=3.0), samples(name)
    seen = []
    network.get_submodule(network.features_layer).register_forward_hook(lambda m, i, o: seen.append(o))
    outputs = network(x)
    outputs = outputs[:, -1] if name == "tokentransformer" else outputs
    readout = network.get_submodule(network.readout_layer)
    assert seen[0].shape == (16, network.feature_width)
    expected = readout.scale * seen[0] @ readout.weight.T + (0 if readout.bias is None else readout.bias)
    torch.testing.assert_close(outputs, expected)


def test_a_laziness_of_alpha_multiplies_the_outputs_and_not_the_bias():
    readout = Readout(5, 2, output_multiplier=7.0)
    nn.init.constant_(readout.bias, 1.0)
    x = torch.randn(3, 5)
    torch.testing.assert_close(readout(x), 7 * (x @ readout.weight.T) + 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_readout_that_starts_at_zero_makes_all_widths_one_function(name):
    for r in (1, 2):
        network = made(name, r, readout_zero_init=True)
        assert not network(samples(name)).any()
        assert train(network, samples(name), recipe(), steps=2)(samples(name)).any()


def test_passes_with_plain_weights_need_no_base_shapes():
    network, x = made("mlp", 4), samples("mlp")
    plain = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    assert torch.equal(functional_call(network, plain, (x,)), network(x))

    def output(weights, sample):
        return functional_call(network, weights, (sample[None],))[0, 0]

    slopes = vmap(grad(output), (None, 0))(plain, x)
    network(x)[3, 0].backward()
    torch.testing.assert_close(slopes["readout.weight"][3], network.readout.weight.grad)


def moved(parameterization, r, optimizer):
    """Mean change of the numbers of each layer by three steps towards a function of the sample."""
    network, x, seen = (
        made("mlp", r, parameterization, base=64, readout_zero_init=True),
        samples("mlp", 32),
        {},
    )
    for layer in ("hidden.linear1", "hidden.linear2", "readout"):
        network.get_submodule(layer).register_forward_hook(
            lambda m, i, o, layer=layer: seen.setdefault(layer, []).append(o.detach())
        )
    how = recipe(optimizer, lr=0.02 if optimizer == "sgd" else 0.003)
    train(network, x, how, steps=6, truth=x[:, :3])
    return {layer: (found[-1] - found[0]).abs().mean().item() for layer, found in seen.items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_a_step_changes_depends_on_the_width_in_the_standard_parameterization_alone(optimizer):
    """The coordinate check: under µP every layer moves by as much at widths 64 to 512."""
    widths = (1, 2, 4, 8)
    mean_field = [moved("mup", r, optimizer) for r in widths]
    for layer in mean_field[0]:
        changes = [one[layer] for one in mean_field]
        assert max(changes) < 1.5 * min(changes), (layer, changes)
    narrow, wide = moved("standard", 1, optimizer), moved("standard", 8, optimizer)
    assert wide["readout"] > 2 * narrow["readout"]


def test_the_features_of_the_ntk_parameterization_stand_still_as_the_network_grows():
    narrow, wide = moved("ntk", 1, "sgd"), moved("ntk", 8, "sgd")
    assert wide["hidden.linear2"] < 0.25 * narrow["hidden.linear2"]
    assert 0.7 < wide["readout"] / narrow["readout"] < 1.5


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("mlp", {"parameterization": "sp"}, "mlp: parameterization is 'sp', expected one of 'mup', 'sta"),
        ("mlp", {"base": None}, "mlp: base is None, expected the width factor at which all"),
        ("mlp", {"base": 0}, "mlp: base is 0, expected the width factor"),
        ("mlp", {"base": 2.5}, "no base of width factor 2.5: mlp: the width is 2.5 units, expected a whole"),
        ("mlp", {"width": 2.5}, "mlp: the width is 2.5 units, expected a whole number of at least 1"),
        ("tokentransformer", {"base": None}, "tokentransformer: base is None"),
        (
            "tokentransformer",
            {"base": 9},
            "no base of width factor 9: .* 9 units, .* multiple of its 2 heads",
        ),
        ("resnet18ln", {"base": 0.5}, "no base of width factor 0.5: resnet18ln: the width is 0.5 channels"),
    ],
)
def test_a_network_without_a_base_is_refused(name, changes, words):
    with pytest.raises(UsageError, match=words):
        build(name, **{"width": 8, "inputs": INPUTS[name], "outputs": 2, **SMALL[name], **changes})
