"""How often an identical copy of a trained network is flagged against a baseline, and damaged copies are.

The network is the ResNet20 that others trained (checkpoints/akamaster below NETPROPS_DATA, with the images of
cifar10-jpeg.tar). A *resampling* draws 1,000 images of either split; on these, claims of suites/mitosis are
measured as there, for the baseline, for an identical copy and for each damaged one, all with chunks of their
own, and each copy is held against the baseline as ``netprops compare`` does: on the same images, for netprops
compares nothing else. Blocks are damaged by Gaussian noise in units of the standard deviation of each weight
tensor.
"""

import argparse
import copy
import os
import tempfile
from pathlib import Path

import numpy as np
import torch
from baseline import recorded
from torch import nn

from netprops import importing
from netprops.baseline import compare
from netprops.cache import default_root
from netprops.checkpoints import read
from netprops.fitting import fit
from netprops.imported import Importer
from netprops.measurement import Measurement
from netprops.measures.chunks import chunk_error
from netprops.measures.margins import predicted_chunk_error
from netprops.measures.reconstruction import reconstruction_curve
from netprops.modeltables import handed_over
from netprops.plugin.expectations import Expectations
from netprops.userdata import load

MODEL = Path(__file__).parent.parent / "examples"
IMAGES, DRAWN = 2000, 1000
SPLITS = ("train", "test")
CHUNKS, SMALL, LARGE = 100, 16, 32


def noisy(network, block, size):
    """A copy with noise on the convolutions of one block."""
    found = copy.deepcopy(network)
    rng = torch.Generator().manual_seed(0)
    for module in found.get_submodule(block).modules():
        if isinstance(module, nn.Conv2d):
            weight = module.weight.data
            weight += size * weight.std() * torch.randn(weight.shape, generator=rng)
    return found


def zeroed(network, share):
    """A copy whose readout does not see the first units of the last layer."""
    found = copy.deepcopy(network)
    weight = found.linear.weight.data
    weight[:, : int(share * weight.shape[1])] = 0
    return found


def copies(network):
    """The copies that are held against the intact network."""
    return {
        "identical": network,
        **{f"noise of {size:g} on layer2.1": noisy(network, "layer2.1", size) for size in (0.1, 0.3, 1.0)},
        **{f"{share} of the last layer zeroed": zeroed(network, float(share)) for share in ("0.125", "0.5")},
    }


def looked(network, data, folder):
    """Features and labels of both splits, and the readout."""
    (spec,) = handed_over(network, data, scale="mini").specs()
    subject = Importer(Path(folder)).subject(spec)
    return {split: (subject.features(split), subject.labels(split)) for split in SPLITS}, subject.readout


def error(features, labels, readout):
    return float(((features @ readout.weight.T + readout.bias).argmax(1) != labels).mean())


def measured(layers, readout, rows, seed):
    """The record of a network on some images, with chunks drawn by this seed."""
    rng, verdict = np.random.default_rng(seed), Expectations("network", 0.01, strict=False)
    (train, answers), (test, labels) = ([array[rows[split]] for array in layers[split]] for split in SPLITS)
    wrong = error(train, answers, readout)
    chunks = chunk_error(test, *readout, labels, sizes=(SMALL, LARGE), draws=CHUNKS, rng=rng)
    predicted = predicted_chunk_error(test, *readout, labels, sizes=[SMALL])
    rebuilt = reconstruction_curve(test, sizes=(SMALL, LARGE), draws=8, rng=rng)
    off = chunks.at(SMALL).shifted(-predicted.at(SMALL).value)
    for found, bound in (
        (
            Measurement.exact("training error", wrong, n=DRAWN, n_of="samples", how="share"),
            {"at_most": 0.005},
        ),
        (chunks.at(LARGE).named(f"error of chunks of {LARGE}"), {"at_most": 0.5}),
        (
            off.named(f"error of chunks of {SMALL} minus the predicted one"),
            {"at_least": -0.003, "at_most": 0.003},
        ),
        (rebuilt.r2.at(LARGE).named(f"R2 from chunks of {LARGE}"), {"at_least": 0.98}),
        (rebuilt.excess.at(LARGE).named("residual correlation over its floor"), {"at_most": 0.003}),
    ):
        verdict.expect(found, **bound, source="suites/mitosis")
    return recorded(verdict)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--resamplings", type=int, default=50)
    arguments = parser.parse_args()
    root = Path(os.environ["NETPROPS_DATA"])
    built = importing.build("resnet_cifar.py:resnet", {"depth": 20}, MODEL)
    fit(built.network, read(root / "checkpoints" / "akamaster" / "resnet20-12fca82f.th"))
    cifar = load("cifar10jpeg", MODEL, root=root, cache_root=default_root() / "data")
    data = cifar.limited(IMAGES).prepared_by(built.prepare)
    with tempfile.TemporaryDirectory() as folder:
        known = {name: looked(one, data, folder) for name, one in copies(built.network.eval()).items()}
        flags, rng = {name: [] for name in known}, np.random.default_rng(0)
        for resampling in range(arguments.resamplings):
            rows = {split: rng.permutation(IMAGES)[:DRAWN] for split in SPLITS}
            before = measured(*known["identical"], rows, 2 * resampling)
            for name, found in known.items():
                run = measured(*found, rows, 2 * resampling + 1)
                flags[name].append(compare(before, run).fails("regression"))
        print("| copy | test accuracy | resamplings | flagged |\n| --- | ---: | ---: | ---: |")
        for name, flagged in flags.items():
            layers, readout = known[name]
            accuracy = 1 - error(*layers["test"], readout)
            print(f"| {name} | {accuracy:.1%} | {len(flagged)} | {np.mean(flagged):.0%} |")


if __name__ == "__main__":
    main()
