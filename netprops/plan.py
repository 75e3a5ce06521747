"""What building networks would take: parameters, disk and time, without building any.

Words: the *cost* of a training is its floating-point operations; a *relative* of a network is one of the same
architecture, data and kind of device whose training took a known time.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from netprops.declaration import Spec

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netprops.data import Dataset
    from netprops.entry import Entry

_STEP_FORWARDS = 3.0  # a step costs three forward passes: the backward pass has two products for each one
_EFFICIENCY = 0.4  # of the rate of a large matrix product, where no relative tells what is reached


@dataclass(frozen=True)
class PlanRow:
    """What building one network would take.

    Args:
        id: Its id.
        key: Its key.
        cached: Whether it is there already.
        parameters: Trained numbers.
        epochs: Epochs of its recipe.
        bytes: Disk for weights, snapshots and the features of its last layer.
        seconds: Estimated time of its training; 0 where it is cached.
    """

    id: str
    key: str
    cached: bool
    parameters: int
    epochs: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Outline:
    """A network without memory behind its weights.

    Args:
        parameters: Trained numbers.
        weight_bytes: Bytes of its weights and buffers.
        feature_width: W, units of its last hidden representation.
        cost: Floating-point operations of its whole training.
    """

    parameters: int
    weight_bytes: int
    feature_width: int
    cost: float


def make(spec: Spec, dataset: Dataset) -> nn.Module:
    """Return the network of a spec with freshly drawn weights."""
    from netprops import models

    return models.build(
        spec.family.architecture,
        width=spec.width,
        inputs=dataset.input_shape,
        outputs=dataset.outputs,
        **spec.kwargs,
    )


def outline(spec: Spec, dataset: Dataset) -> Outline:
    """Return what is known of a network before it is built; torch counts the operations of one sample."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from netprops.models.skeleton import skeletons

    with skeletons(), torch.no_grad():
        network = make(spec, dataset).eval()
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.empty(1, *dataset.input_shape))
    samples = len(dataset.train) * spec.recipe.epochs
    return Outline(
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        weight_bytes=sum(t.numel() * t.element_size() for t in network.state_dict().values()),
        feature_width=int(network.feature_width),  # type: ignore[arg-type]
        cost=float(counter.get_total_flops()) * samples * _STEP_FORWARDS,
    )


def kept(spec: Spec) -> int:
    """Return how many sets of weights an entry holds: the snapshots and the last epoch's."""
    return len({*spec.recipe.snapshots, spec.recipe.epochs})


class Clock:
    """Estimates times of trainings.

    Args:
        entries: What the cache holds: relatives and others.
        device: Where it would be trained.
    """

    def __init__(self, entries: Iterable[Entry], device: torch.device) -> None:
        self._device = device
        self._rate: float | None = None
        self._known: dict[str, list[tuple[float, float]]] = {}
        for entry in entries:
            facts = entry.manifest
            self._known.setdefault(facts["kin"], []).append((facts["cost"], facts["seconds"]))

    def seconds(self, kin: str, cost: float) -> float:
        """Return the estimate: that of the relative nearest in cost, scaled; else by a measured rate."""
        relatives = [pair for pair in self._known.get(kin, []) if min(pair) > 0]
        if relatives:
            nearest, took = min(relatives, key=lambda pair: abs(pair[0] - cost))
            return took * cost / nearest
        if self._rate is None:
            self._rate = measured_rate(self._device)
        return cost / (self._rate * _EFFICIENCY)


def kin(spec: Spec, dataset: Dataset, device: torch.device) -> str:
    """Return what relatives have in common, as one text."""
    return f"{spec.family.architecture} {dataset.digest[:12]} {device.type}"


def measured_rate(device: torch.device) -> float:
    """Return floating-point operations a second of a matrix product of 512 x 512, the best of some."""
    import torch

    a = torch.ones(512, 512, device=device)
    best = float("inf")
    for _ in range(10):
        began = time.perf_counter()
        float((a @ a)[0, 0])
        best = min(best, time.perf_counter() - began)
    return 2 * 512**3 / best
