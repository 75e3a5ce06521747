"""Every recipe of the paper scale, without its data and without a GPU.

Each network is built at its real size on the meta device; a training of the narrowest takes a step of its own
recipe, with only batch and epochs made smaller, on a few random samples of the data set's shape.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from netprops import models
from netprops.content import families
from netprops.data import Dataset, Split
from netprops.training.loop import train
from netprops.training.optimizers import learning_rate

PAPER = [family for family in families("paper") if not family.planted]
NETWORKS = [
    pytest.param(family, width, variant, id=f"{family.id}-{variant or 'plain recipe'}-w{width:g}")
    for family in PAPER
    for variant in (None, *(name for name, one in family.variants.items() if one.kwargs))
    for width in (family.widths if variant is None else family.variants[variant].widths)
]
SHAPES = {
    "pmnist": ((10,), 1),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
    "random-labels:cifar10": ((3, 32, 32), 10),
    "imagenet": ((3, 224, 224), 1000),
    "gaussian:10": ((10,), 2),
    "gaussian:10000": ((10_000,), 2),
    "mnli:encoder": ((64, 768), 3),
    "signals": ((6, 16), 1),
    "gegenbauer:2:16": ((16,), 1),
    "cifar5m": ((3, 32, 32), 10),
    "wikitext103:masked": ((64,), 32_769),
}
"""What a network of each data set is given, and its outputs."""
SAMPLED = {"gegenbauer:2:16": "regression", "wikitext103:masked": "tokens"}
"""Tasks that are not told by shapes."""
STEPS_FROM_ZERO = 4
STORED = {"imagenet": (3, 256, 256)}
TRAINING_SAMPLES = {
    "pmnist": 10_000,
    "cifar10": 50_000,
    "cifar100": 50_000,
    "random-labels:cifar10": 50_000,
    "imagenet": 1_281_167,
    "gaussian:10": 1000,
    "gaussian:10000": 1000,
    "mnli:encoder": 392_702,
    "signals": 2000,
}

PUBLISHED = {
    ("resnet50", 1, 1000): 25_557_032,  # torchvision.models.ResNet50_Weights
    ("wrn28", 2, 10): 1_467_610,  # the network of the semi-supervised benchmarks
    ("resnet56", 1, 10): 853_018,  # He et al. 2016, table 6
    ("inceptionv3", 1, 1000): 23_834_568,  # torchvision's without its auxiliary classifier
    ("resnet18", 1, 10): 11_173_962,  # the usual ResNet18 for CIFAR-10
}
WIDTHS = {
    "fc5": lambda factor, **kwargs: factor,
    "wrn28": lambda factor, **kwargs: 64 * factor,
    "densenet40": lambda factor, bottleneck=0: bottleneck or 5.5 * factor,
    "resnet50": lambda factor, **kwargs: 2048 * factor,
    "vgg16": lambda factor, **kwargs: 512 * factor,
    "resnet18": lambda factor, **kwargs: 512 * factor,
    "transformer": lambda factor, **kwargs: 128 * factor,
    "signals": lambda factor, **kwargs: 64,
    "alexnetsmall": lambda factor, **kwargs: 192 * factor,
    "resnet56": lambda factor, **kwargs: 64 * factor,
    "inceptionv3": lambda factor, widened="all": 2048 * (factor if widened == "all" else 1),
    "mlp1": lambda factor, **kwargs: 128 * factor,
    "mlp": lambda factor, **kwargs: factor,
    "resnet18ln": lambda factor, **kwargs: 8 * factor,
    "tokentransformer": lambda factor, **kwargs: factor,
}
"""Width of the last hidden representation, as the papers give it."""


def conv(before, after, size):
    return before * after * size * size


def fc5(factor, inputs, outputs):
    return inputs[0] * factor + factor + 3 * (factor * factor + factor) + factor * outputs + outputs


def wrn28(factor, inputs, outputs, widened="all"):
    """Blocks of two 3x3 convolutions and their BNs, a 1x1 shortcut where the shape changes."""
    n = factor if widened == "all" else 1
    channels = int(16 * min(1, n))
    count = conv(inputs[0], channels, 3)
    for group, base in enumerate((16, 32, 64)):
        for block in range(4):
            after = int(base * (factor if (group, block) == (2, 3) else n))
            count += 2 * channels + conv(channels, after, 3) + 2 * after + conv(after, after, 3)
            changes = channels != after or (group > 0 and block == 0)
            count += conv(channels, after, 1) if changes else 0
            channels = after
    return count + 2 * channels + channels * outputs + outputs


def densenet40(factor, inputs, outputs, bottleneck=0):
    """With c channels at first: blocks end at 4c, 5c and 5.5c, transitions lead to 2c and 2.5c."""
    c, k = int(factor), int(factor) // 2
    count = conv(inputs[0], c, 3) + 2 * c
    for start in (c, 2 * c, 5 * c // 2):
        for before in range(start, start + 6 * k, k):
            count += 2 * before + conv(before, 4 * k, 1) + 2 * 4 * k + conv(4 * k, k, 3)
    for before in (4 * c, 5 * c):
        count += 2 * before + conv(before, before // 2, 1)
    last = 11 * c // 2
    count += 2 * last
    if bottleneck:
        count += conv(last, bottleneck, 1) + 2 * bottleneck
    return count + (bottleneck or last) * outputs + outputs


def resnet50(factor, inputs, outputs):
    """Blocks of 1x1, 3x3 and 1x1 convolutions and their BNs; the stem keeps its 64 channels."""
    count, channels = conv(inputs[0], 64, 7) + 2 * 64, 64
    for base, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        inner, outer = int(base * factor), int(4 * base * factor)
        for block in range(blocks):
            count += conv(channels, inner, 1) + conv(inner, inner, 3) + conv(inner, outer, 1)
            count += 2 * (inner + inner + outer)
            if block == 0 and (channels != outer or base > 64):
                count += conv(channels, outer, 1) + 2 * outer
            channels = outer
    return count + channels * outputs + outputs


def vgg16(factor, inputs, outputs):
    """Thirteen 3x3 convolutions with biases."""
    count, channels = 0, inputs[0]
    for base, convolutions in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(convolutions):
            after = int(base * factor)
            count += conv(channels, after, 3) + after
            channels = after
    return count + channels * outputs + outputs


def resnet18(factor, inputs, outputs, stem="cifar", init="default"):
    """Two blocks of two 3x3 convolutions in each of four groups, a 1x1 shortcut where channels change."""
    channels = int(64 * factor)
    count = conv(inputs[0], channels, 7 if stem == "imagenet" else 3) + 2 * channels
    for base in (64, 128, 256, 512):
        after = int(base * factor)
        count += conv(channels, after, 3) + 3 * conv(after, after, 3) + 4 * 2 * after
        count += channels * after + 2 * after if channels != after else 0
        channels = after
    return count + channels * outputs + outputs


def transformer(factor, inputs, outputs):
    """Four layers without biases: attention, a perceptron and two norms each."""
    stream, hidden = int(128 * factor), int(1024 * factor)
    layer = 4 * stream * stream + 2 * stream * hidden + 2 * stream
    return inputs[1] * stream + 4 * layer + stream + stream * outputs + outputs


def signals(factor, inputs, outputs, rarity=0):
    neurons = int(factor)
    return inputs[1] * neurons + neurons * 64 + 64 + 2 * (64 * 64 + 64) + 64 * outputs + outputs


def alexnetsmall(factor, inputs, outputs, init="default", dropout=0):
    first, second, third, last = (int(n * factor) for n in (96, 256, 384, 192))
    count = conv(inputs[0], first, 5) + first + conv(first, second, 5) + second
    count += second * 8 * 8 * third + third + third * last + last
    return count + last * outputs + outputs


def resnet56(factor, inputs, outputs):
    """Nine blocks a group; the shortcuts have no parameters."""
    channels = int(16 * factor)
    count = conv(inputs[0], channels, 3) + 2 * channels
    for base in (16, 32, 64):
        after = int(base * factor)
        count += conv(channels, after, 3) + 17 * conv(after, after, 3) + 18 * 2 * after
        channels = after
    return count + channels * outputs + outputs


def inceptionv3(factor, inputs, outputs, widened="all"):
    """Every convolution as (before, after, positions of its kernel) in units of f, but for Mixed_5d's."""
    f, g = (factor if widened == "all" else 1), factor
    kernels = [(32, 32, 9), (32, 64, 9), (64, 80, 1), (80, 192, 9)]
    for before, pooled in ((192, 32), (256, 64)):
        kernels += [(before, n, 1) for n in (64, 48, 64, pooled)]
        kernels += [(48, 64, 25), (64, 96, 9), (96, 96, 9)]
    kernels += [(64, 96, 9), (96, 96, 9)]  # 6a
    for before, inner in ((0, 128), (768, 160), (768, 160), (768, 192)):  # 6b ... 6e
        kernels += [(before, n, 1) for n in (192, inner, inner, 192) if before]
        kernels += [(inner, inner, 7)] * 4 + [(inner, 192, 7)] * 2
    kernels += [(768, 192, 1), (192, 320, 9), (768, 192, 1), (192, 192, 7), (192, 192, 7), (192, 192, 9)]
    for before in (1280, 2048):
        kernels += [(before, n, 1) for n in (320, 384, 448, 192)]
        kernels += [(448, 384, 9)] + [(384, 384, 3)] * 4
    sizes = [(a * f, b * f, area) for a, b, area in kernels] + [(inputs[0], 32 * f, 9)]
    sizes += [(288 * f, n * g, 1) for n in (64, 48, 64, 64)]
    sizes += [(48 * g, 64 * g, 25), (64 * g, 96 * g, 9), (96 * g, 96 * g, 9)]
    sizes += [(288 * g, 384 * f, 9), (288 * g, 64 * f, 1)]
    sizes += [(480 * f + 288 * g, n * f, 1) for n in (192, 128, 128, 192)]
    count = sum(a * b * area + 2 * b for a, b, area in sizes)
    return count + 2048 * f * outputs + outputs


def mlp1(factor, inputs, outputs, init="default"):
    units = int(128 * factor)
    return inputs[0] * units + units + units * outputs + outputs


def mlp(factor, inputs, outputs, **kwargs):
    """Three layers without biases."""
    return inputs[0] * factor + factor * factor + factor * outputs


def resnet18ln(factor, inputs, outputs, stem="cifar", **kwargs):
    """Layer norms have as many parameters as batch norms; the width factor is the number of channels."""
    return resnet18(factor / 64, inputs, outputs, stem)


def tokentransformer(factor, inputs, outputs, **kwargs):
    """Two layers without biases, tokens and learned positions, a readout with biases."""
    stream = int(factor)
    layer = 4 * stream * stream + 2 * 4 * stream * stream + 2 * stream
    return (outputs + inputs[0]) * stream + 2 * layer + stream + stream * outputs + outputs


PARAMETERS = {
    formula.__name__: formula
    for formula in (
        fc5, wrn28, densenet40, resnet50, vgg16, resnet18, transformer, signals, alexnetsmall, resnet56,
        inceptionv3, mlp1, mlp, resnet18ln, tokentransformer,
    )
}  # fmt: skip


def test_every_family_is_known_here():
    """A new architecture or data set of the paper scale needs its formula and its shape in this file."""
    assert {family.architecture for family in PAPER} <= PARAMETERS.keys()
    assert {family.data for family in PAPER} <= SHAPES.keys()


@pytest.mark.parametrize(("family", "width", "variant"), NETWORKS)
def test_each_network_has_its_real_size(family, width, variant):
    inputs, outputs = SHAPES[family.data]
    kwargs = {**family.kwargs, **(family.variants[variant].kwargs if variant else {})}
    with torch.device("meta"):
        network = models.build(family.architecture, width=width, inputs=inputs, outputs=outputs, **kwargs)
    if width == family.widths[-1]:  # the narrowest one takes a real step below
        with torch.no_grad():
            answered = network(torch.empty(2, *inputs, device="meta")).shape
            assert answered == (
                (2, *inputs, outputs) if "tokens" in SAMPLED.get(family.data, "") else (2, outputs)
            )
    assert network.feature_width == WIDTHS[family.architecture](width, **kwargs)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == PARAMETERS[family.architecture](width, inputs, outputs, **kwargs)
    if not kwargs:
        assert count == PUBLISHED.get((family.architecture, width, outputs), count)


class Again:
    """A stream whose chunks are all alike."""

    chunks, digest = None, "the same again"

    def __init__(self, split):
        self.split, self.size = split, len(split)

    def chunk(self, index):
        return self.split


def streamed(dataset):
    """The data set as the first chunk of a stream."""
    return replace(dataset, stream=Again(dataset.train))


def few_samples(name, samples):
    """A data set of random samples of a real one's shape."""
    inputs, outputs = SHAPES[name]
    rng = np.random.default_rng(0)
    task = SAMPLED.get(name)
    if task == "tokens":
        asked = rng.integers(0, outputs, (2, samples, *inputs))
        part = Split.of_arrays(*asked)
        return Dataset(name=name, train=part, test=part, task=task, classes=tuple(map(str, range(outputs))))
    if task == "regression":
        vectors = rng.standard_normal((samples, *inputs), dtype=np.float32)
        part = Split.of_arrays(vectors, rng.standard_normal(samples, dtype=np.float32))
        return Dataset(name=name, train=part, test=part, task=task, classes=())
    if len(inputs) < 3:
        vectors = rng.standard_normal((samples, *inputs), dtype=np.float32)
        if outputs == 1:
            part = Split.of_arrays(vectors, rng.choice(np.array([-1.0, 1.0], dtype=np.float32), samples))
            return Dataset(name=name, train=part, test=part, task="parity", classes=("even", "odd"))
        part = Split.of_arrays(vectors, rng.integers(0, outputs, samples))
        classes = tuple(map(str, range(outputs)))
        return Dataset(name=name, train=part, test=part, task="classification", classes=classes)
    stored = STORED.get(name, inputs)
    images = rng.integers(0, 256, (samples, *stored), dtype=np.uint8)
    part = Split.of_arrays(images, rng.integers(0, outputs, samples))
    classes = tuple(map(str, range(outputs)))
    view = inputs[1] if stored != inputs else None
    return Dataset.of_images(name, part, part, classes=classes, view=view)


@pytest.mark.parametrize("family", PAPER, ids=lambda family: family.id)
def test_the_narrowest_network_takes_a_step_of_its_recipe(family):
    recipe = family.recipe_for(family.widths[0])
    batch = 9 if recipe.validation else max(4, recipe.accumulate)
    # What starts at 0 lets nothing before it move in the first steps.
    epochs = STEPS_FROM_ZERO if family.kwargs.get("readout_zero_init") else 1
    recipe = recipe.changed(epochs=epochs, batch=batch, snapshots=(0, epochs))
    data = few_samples(family.data, batch + round(batch * recipe.validation))
    data = streamed(data) if recipe.online else data
    torch.manual_seed(0)
    network = models.build(
        family.architecture,
        width=family.widths[0],
        inputs=data.input_shape,
        outputs=data.outputs,
        **family.kwargs,
    )
    trained = train(network, data, recipe, seed=0, device=torch.device("cpu"))
    before, after = (trained.snapshots[epoch] for epoch in (0, epochs))
    assert len(trained.history) == epochs
    assert math.isfinite(trained.history[0].loss)
    moved = {name for name, _ in network.named_parameters() if not torch.equal(before[name], after[name])}
    assert network.readout_layer + ".weight" in moved
    assert len(moved) > 0.9 * len(list(network.parameters()))
    if norms := [name for name in after if name.endswith("num_batches_tracked")]:
        assert {int(after[name]) for name in norms} == {recipe.accumulate}


@pytest.mark.parametrize("family", PAPER, ids=lambda family: family.id)
def test_every_recipe_holds_together(family):
    """Recipes of all widths and variants are valid; a mistyped width in a table would go unnoticed."""
    for spec in family.all_specs():
        assert spec.recipe.epochs > spec.recipe.warmup
    widths = {spec.width for spec in family.all_specs()}
    assert widths >= family.per_width.keys()
    assert not family.accuracy or set(family.accuracy) == set(family.widths)
    assert list(family.widths) == sorted(set(family.widths))
    assert not family.recipe.snapshots or max(family.recipe.snapshots) <= family.recipe.epochs


def test_the_imagenet_recipe_warms_up_over_five_epochs_and_falls_to_zero():
    (family,) = [family for family in PAPER if family.architecture == "resnet50"]
    recipe = family.recipe
    steps = math.ceil(TRAINING_SAMPLES[family.data] / recipe.batch)
    rates = [learning_rate(recipe, step, steps) for step in range(recipe.epochs * steps)]
    peak = 0.1 * 1024 / 256
    assert (recipe.epochs, steps, len(rates)) == (120, 1252, 150_240)
    np.testing.assert_allclose(rates[: 5 * steps], peak * np.arange(1, 5 * steps + 1) / (5 * steps))
    left = np.arange(115 * steps) / (115 * steps)
    np.testing.assert_allclose(rates[5 * steps :], peak * (1 + np.cos(np.pi * left)) / 2)
    assert rates[-1] < 1e-9
