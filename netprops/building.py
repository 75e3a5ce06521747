"""From specs to entries of the cache: one training, or several as one, and what is written down of each.

Words: as in ``zoo.py``; a *block* is what is trained at once, one network in most.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops import plan
from netprops.cache import Cache
from netprops.declaration import Spec
from netprops.subject import LOSSES_FILE, weights_file
from netprops.training.progress import Progress

if TYPE_CHECKING:
    import torch
    from torch import nn

    from netprops.data import Dataset
    from netprops.training.loop import Trained


@dataclass(frozen=True)
class Order:
    """One network that is to be built.

    Args:
        spec: Which.
        key: Its key.
        dataset: The data that it trains on.
        decisive: What the key is the digest of.
        kin: What its relatives have in common.
    """

    spec: Spec
    key: str
    dataset: Dataset
    decisive: dict[str, Any]
    kin: str


def build(
    orders: Sequence[Order],
    cache: Cache,
    *,
    device: torch.device,
    progress: Callable[[Progress], None] | None,
) -> None:
    """Train a block, and publish each of its networks under its own key.

    The first network's workspace keeps the state of all; it is published last, so that the state stays until
    all are.

    Args:
        orders: The networks of one block, by seed.
        cache: Where they are published; the first one's key is claimed.
        device: Where they are trained.
        progress: Called while they train.

    Raises:
        UsageError: If the disk is full, before anything trains.
        TrainingError: If a training fails; then nothing is published.
    """
    from netprops.training.device import threads
    from netprops.training.loop import error_share, train
    from netprops.training.stacked import train_together

    first, recipe = orders[0], orders[0].spec.recipe
    known = plan.outline(first.spec, first.dataset)
    # Entries and workspace hold the snapshots; two states and one that is being written hold the weights
    # and up to two moments of the optimizer each, and the best weights where a training may stop early.
    sets = 4 if recipe.patience else 3
    cache.check(len(orders) * known.weight_bytes * (2 * plan.kept(first.spec) + 3 * sets))
    networks = [initialised(order.spec, order.dataset) for order in orders]
    state = cache.workspace(first.key)
    with threads(1):
        if len(orders) == 1:
            trained = [
                train(
                    networks[0],
                    first.dataset,
                    recipe,
                    seed=first.spec.seed,
                    device=device,
                    label=first.spec.id,
                    state=state,
                    progress=progress,
                )
            ]
        else:
            trained = train_together(
                networks,
                [order.dataset for order in orders],
                recipe,
                seeds=[order.spec.seed for order in orders],
                device=device,
                label=f"{first.spec.id}..{orders[-1].spec.seed}",
                state=state,
                progress=progress,
            )
        errors = [
            [
                error_share(network, order.dataset, split, device=device, recipe=recipe)
                for split in (order.dataset.train, order.dataset.test)
            ]
            for network, order in zip(networks, orders, strict=True)
        ]
    for order, network, result, shares in reversed(list(zip(orders, networks, trained, errors, strict=True))):
        manifest = {
            **_described(order, network, known, device, result),
            "train_error": shares[0],
            "test_error": shares[1],
        }
        cache.publish(order.key, _writer(result, recipe.epochs), manifest)


def initialised(spec: Spec, dataset: Dataset) -> nn.Module:
    """Return the network as its seed draws it: on the CPU, so that all devices start from the same."""
    import torch

    from netprops.training.randomness import stream_seed

    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(stream_seed(spec.seed, "init"))
        return plan.make(spec, dataset)


def _described(
    order: Order, network: nn.Module, known: plan.Outline, device: torch.device, trained: Trained
) -> dict[str, Any]:
    """Return what a manifest says of a network and its training, apart from its errors."""
    import torch

    from netprops.training.loop import TRAINING_VERSION

    readout = network.get_submodule(str(network.readout_layer))
    return {
        "id": order.spec.id,
        "family": order.spec.family.id,
        "decisive": order.decisive,
        "parameters": known.parameters,
        "features_layer": network.features_layer,
        "readout_layer": network.readout_layer,
        "readout_scale": float(getattr(readout, "scale", 1.0)),
        "feature_width": known.feature_width,
        "snapshots": sorted(trained.snapshots),
        "history": [asdict(epoch) for epoch in trained.history],
        "kin": order.kin,
        "cost": known.cost,
        "seconds": trained.seconds,
        "origin": {
            "how": "trained by netprops",
            "training_version": TRAINING_VERSION,
            "torch": torch.__version__,
            "device": device.type,
            "data_digest": order.dataset.digest,
        },
        "machine": {
            "device": _device_name(device),
            "threads": 1,
            "system": platform.platform(),
            "python": platform.python_version(),
        },
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _writer(trained: Trained, epochs: int) -> Callable[[Path], None]:
    """Return what writes the weights of every snapshot, and the step losses, below a folder."""
    import safetensors.torch

    def write(folder: Path) -> None:
        for epoch, weights in trained.snapshots.items():
            path = folder / weights_file(epoch, epochs)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(safetensors.torch.save(weights))
        if trained.step_losses is not None:
            (folder / LOSSES_FILE).write_bytes(safetensors.torch.save({"losses": trained.step_losses}))

    return write


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
