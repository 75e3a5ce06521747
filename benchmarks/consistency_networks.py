"""The networks that benchmarks/consistency.py is about: many seeds of a family trained at once, and recorded.

Words: S seeds, B samples of d numbers a step; a *group* is some seeds at every width, as a test asks a family
for them. Networks are drawn by the engine and recorded by the suite's own functions. Their training is
stacked here, one product for all seeds, because the engine stacks no training on a stream.
"""

import importlib.util
import sys
import time
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from netprops import building, data
from netprops.content import content, families
from netprops.declaration import Spec
from netprops.models.parameterization import learning_scales
from netprops.training.loop import train

FAMILY = "mlp-gegenbauer:2:16"
EDGE_SNAPSHOTS = (0, 20, 100)
CPU = torch.device("cpu")


@cache
def module(name):
    """Return a file of the suite as a module."""
    spec = importlib.util.spec_from_file_location(
        f"consistency_{name}", content("suites") / "consistency" / f"{name}.py"
    )
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@cache
def declared():
    """Return the family at mini scale, with variants for controls of what its own ones show."""
    family = next(one for one in families("mini") if one.id == FAMILY)
    found = family.variants["edge"]
    found = found.model_copy(update={"changes": {**found.changes, "snapshots": EDGE_SNAPSHOTS}})
    more = {
        "edge": found,
        "edgestandard": found.model_copy(update={"kwargs": family.variants["standard"].kwargs}),
    }
    return family.model_copy(update={"variants": {**family.variants, **more}})


@cache
def dataset():
    """Return what it is trained on."""
    return data.load(declared().data, None)


@dataclass(frozen=True)
class Network:
    """What was recorded of one network, as a test asks a subject for it.

    Args:
        factor: Its width.
        seed: Its place in the group.
        recipe: How it was trained.
        recordings: Epoch to what was recorded after it, by name.
        step_losses: (steps,) losses.
        epoch: The epoch that is meant; the last one if None.
        variant: What it is of, in its group.
    """

    factor: float
    seed: int
    recipe: object
    recordings: dict
    step_losses: np.ndarray
    epoch: int | None = None
    variant: str = ""
    family: str = FAMILY
    spec: object = field(default_factory=lambda: SimpleNamespace(family=declared()))

    @property
    def id(self):
        """What a test calls it."""
        return f"{self.variant}-w{self.factor:g}-s{self.seed}"

    @property
    def snapshots(self):
        """Epochs that were recorded."""
        return tuple(sorted(self.recordings))

    def at(self, epoch):
        """Return the same after another epoch."""
        return replace(self, epoch=epoch)

    def kept(self, name, measure):
        """Return what was recorded, whatever is asked for."""
        return self.recordings[self.snapshots[-1] if self.epoch is None else self.epoch]

    def labels(self, split):
        """Return the targets of a part of the data."""
        return np.asarray(getattr(dataset(), split).labels)

    def rng(self, name):
        """Return a generator for one purpose."""
        return np.random.default_rng([self.seed, len(name)])


class Group:
    """Networks of all widths and S seeds, and of variants, as a test asks a family for them.

    Args:
        variants: Name of a variant, or None, to networks.
    """

    id = FAMILY

    def __init__(self, variants):
        self._variants = variants
        self.declaration = self

    def subjects(self, variant=None):
        """Return the networks of a variant."""
        return self._variants[variant]

    def variant(self, name):
        """Return which widths and how many seeds it has."""
        members = self._variants[name]
        return SimpleNamespace(
            widths={one.factor for one in members}, seeds=1 + max(one.seed for one in members)
        )

    def aligned(self, variant=None):
        """Every training here sees the same samples in the same order."""

    def across(self, least=2):
        """Return the widths."""
        return sorted({one.factor for one in self._variants[None]})


class Stack:
    """Perceptrons of one width that take every step together, each as it would by itself.

    Args:
        specs: One a seed; without biases, with ReLU, by SGD without momentum and decay.
    """

    def __init__(self, specs):
        self.recipe, self.specs = specs[0].recipe, specs
        recipe = self.recipe
        plain = recipe.changed(optimizer="sgd", loss="squared", momentum=0.0, weight_decay=0.0)
        assert recipe == plain
        assert recipe.schedule == "constant"
        assert recipe.online
        self.networks = [building.initialised(spec, dataset()) for spec in specs]
        states = [dict(network.named_parameters()) for network in self.networks]
        self.weights = {
            name: torch.stack([state[name].detach() for state in states]).requires_grad_()
            for name in states[0]
        }
        self.scales = learning_scales(self.networks[0])
        self.multiplier = self.networks[0].readout.scale

    def outputs(self, inputs):
        """Return (S, B) outputs of samples (B, d)."""
        *hidden, readout = self.weights.values()
        units = inputs.expand(len(self.specs), *inputs.shape)
        for weight in hidden:
            units = torch.bmm(units, weight.mT).relu()
        return torch.bmm(self.multiplier * units, readout.mT)[..., 0]

    def learn(self, inputs, targets):
        """Take a step; return (S,) losses before it."""
        losses = (self.outputs(inputs) - targets).square().mean(dim=1) / 2
        slopes = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        with torch.no_grad():
            for (name, weight), slope in zip(self.weights.items(), slopes, strict=True):
                weight -= self.recipe.lr * self.scales[name] * slope
        return losses.detach()

    def follow(self, epochs, look):
        """Train; return (S, steps) losses, calling ``look(epoch)`` after 0 and after each of ``epochs``."""
        losses = []
        for epoch in range(self.recipe.epochs + 1):
            if epoch in epochs:
                for member, network in enumerate(self.networks):
                    network.load_state_dict({name: w[member] for name, w in self.weights.items()})
                look(epoch)
            part = dataset().stream.chunk(epoch)
            for at in range(0, len(part) if epoch < self.recipe.epochs else 0, self.recipe.batch):
                rows = slice(at, at + self.recipe.batch)
                losses.append(self.learn(part.inputs[rows].float(), part.labels[rows]))
        return torch.stack(losses, dim=1).numpy()


def seen(network, spec):
    """Return a network as the suite's own recordings take it."""
    return SimpleNamespace(
        network=network.eval(),
        spec=spec,
        recipe=spec.recipe,
        dataset=dataset(),
        features_layer=network.features_layer,
        device=CPU,
        rng=lambda name: np.random.default_rng([spec.seed, len(name)]),
    )


@cache
def recorded(variant, width, seeds, kept):
    """Return losses (S, steps) and, by epoch and name, what is recorded of S networks; kept in a file."""
    path = kept / f"{variant or 'plain'}-w{width:g}-{seeds}.npz"
    if not path.exists():
        specs = [Spec(declared(), width, seed, variant) for seed in range(seeds)]
        stack, found = Stack(specs), {}
        sharp = str(variant).startswith("edge")
        record = module("test_sharpness").sharpnesses if sharp else module("conftest").record

        def look(epoch):
            members = [record(seen(one, spec)) for one, spec in zip(stack.networks, specs, strict=True)]
            for name in members[0]:
                found[f"{epoch}/{name}"] = np.stack([one[name] for one in members]).astype(np.float32)

        began = time.monotonic()
        recipe = specs[0].recipe
        losses = stack.follow({*recipe.snapshots, recipe.epochs}, look)
        kept.mkdir(parents=True, exist_ok=True)
        np.savez(path, losses=losses, **found)
        print(f"{path.stem}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    with np.load(path) as archive:
        return dict(archive)


def deviation(kept):
    """Return the largest relative difference of a loss from the engine's own training, in 100 steps."""
    spec = Spec(declared(), declared().widths[0], 0)
    trained = train(
        building.initialised(spec, dataset()), dataset(), spec.recipe, seed=0, device=CPU, label=spec.id
    )
    ours = recorded(None, spec.width, kept.seeds, kept.folder)["losses"][0]
    theirs = trained.step_losses.numpy()
    return float(np.abs(ours / theirs - 1)[:100].max())


@dataclass(frozen=True)
class Kept:
    """Where recordings are kept, and of how many seeds."""

    folder: Path
    seeds: int

    def networks(self, variant, widths, drawn):
        """Return networks of a variant, of the drawn seeds at every width, numbered by their place."""
        found = []
        recipe = declared().recipe_for(widths[0], variant)
        for width in widths:
            arrays = recorded(variant, width, self.seeds, self.folder)
            for place, seed in enumerate(drawn):
                known = {}
                for key, array in arrays.items():
                    epoch, _, name = key.partition("/")
                    if name:
                        known.setdefault(int(epoch), {})[name] = array[seed]
                found.append(Network(width, place, recipe, known, arrays["losses"][seed]))
        return found
