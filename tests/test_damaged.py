"""How often an equal network is flagged against a baseline, and whether a damaged one is: 50 resamplings."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from netprops.baseline import compare
from netprops.measurement import Measurement
from netprops.measures.chunks import chunk_error
from netprops.plugin.expectations import Expectations
from netprops.records import TestRecord as RecordedTest
from netprops.records import assemble
from netprops.verdict import Outcome, overall

HEAD = {
    "environment": {
        "netprops": "0.1.0",
        "python": "3.11.2",
        "platform": "Linux",
        "processors": 2,
        "device": "cpu",
        "packages": {},
    },
    "options": {"scale": "mini", "strict": False, "alpha": 0.01},
    "started": "2024-05-01T12:00:00+00:00",
}
RESAMPLINGS = 50


def record(expected):
    """The record of one test with some expectations."""
    verdict = Expectations("net", 0.01, strict=False)
    for measurement, bound in expected:
        verdict.expect(measurement, **bound, source="a test")
    said = verdict.to_json()
    test = RecordedTest.model_validate(
        {
            **said,
            **dict.fromkeys(("suite", "file", "name", "claim", "family", "reproduce"), "x"),
            "id": "x::x[net]",
            "subjects": [],
            "outcome": str(overall([Outcome(one["outcome"]) for one in said["expectations"]])),
            "seconds": 0.1,
        }
    )
    return assemble(HEAD, [test], [], selected=1, seconds=1.0)


def measured(features, labels, weight, bias, seed):
    """A record of a layer as a suite measures it, with chunks drawn by this seed."""
    rng = np.random.default_rng(seed)
    wrong = float(((features @ weight.T + bias).argmax(1) != labels).mean())
    errors = chunk_error(features, weight, bias, labels, sizes=(6, 12, 24, 48), draws=30, rng=rng)
    return record(
        [
            (Measurement.exact("error", wrong, n=len(labels), n_of="samples", how="share"), {"at_most": 0.1}),
            (errors.at(12).named("error of chunks of 12"), {"at_most": 0.5}),
            (errors.at(24).named("error of chunks of 24"), {"at_most": 0.3}),
            (errors.at(48).named("error of chunks of 48"), {"at_most": 0.2}),
        ]
    )


# A network: what a user has


@pytest.fixture(scope="module")
def images():
    """Test samples of three classes that three of sixteen inputs tell apart, and their labels."""
    return sampled(2000, 1)


def sampled(count, seed):
    inputs = torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))
    return inputs, inputs[:, :3].argmax(1)


@pytest.fixture(scope="module")
def network():
    """A perceptron of three blocks, trained until it answers nearly all training samples rightly."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(width, 64), nn.ReLU()) for width in (16, 64, 64)]
    found = nn.Sequential(*blocks, nn.Linear(64, 3))
    inputs, labels = sampled(2000, 0)
    weights = list(found.parameters())
    momenta = [torch.zeros_like(one) for one in weights]
    for _ in range(120):
        slopes = torch.autograd.grad(nn.functional.cross_entropy(found(inputs), labels), weights)
        for weight, momentum, slope in zip(weights, momenta, slopes, strict=True):
            momentum.mul_(0.9).add_(slope)
            weight.data.sub_(0.1 * momentum)
    return found.requires_grad_(False)


def with_noise(network):
    """A copy with noise on the weights of one block, three times as large as they are."""
    found = copy.deepcopy(network)
    weight = found[1][0].weight
    weight += 3 * weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    return found


def with_half_a_layer(network):
    """A copy that has lost half of the units of its last hidden layer."""
    found = copy.deepcopy(network)
    found[2][0].weight[:32] = 0
    found[2][0].bias[:32] = 0
    return found


def of_network(network, images, rows, seed):
    inputs, labels = images
    readout = network[-1]
    features = network[:-1](inputs[rows]).numpy()
    return measured(features, labels[rows].numpy(), readout.weight.numpy(), readout.bias.numpy(), seed)


def test_a_network_is_flagged_if_and_only_if_it_is_damaged(network, images):
    """On each of 50 sets of images: a copy, and two damaged ones, with chunks of their own."""
    rng = np.random.default_rng(0)
    others = (copy.deepcopy(network), with_noise(network), with_half_a_layer(network))
    flags = []
    for resampling in range(RESAMPLINGS):
        rows = torch.from_numpy(rng.permutation(len(images[0]))[:500])
        before = of_network(network, images, rows, seed=resampling)
        runs = [of_network(one, images, rows, seed=RESAMPLINGS + resampling) for one in others]
        flags.append([compare(before, run).fails("regression") for run in runs])
    assert np.mean(flags, axis=0).tolist() == [0, 1, 1]
