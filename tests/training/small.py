"""A training small enough to be killed fifty times: dropout, batch norm, momentum, noise from a generator.

Run as a program it is the helper of ``test_resume.py``: torch is imported once, and every training is a child
that a fork starts and a SIGKILL ends. Arguments: a folder, and some of ``writes``, ``random`` and ``stream``.
It prints one line of JSON: what each of them came to.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from netprops import data as shelf
from netprops import durable
from netprops.training import checkpoint, loop
from netprops.training.recipe import Recipe

RECIPE = Recipe(
    epochs=4,
    batch=12,
    optimizer="sgd",
    lr=0.05,
    momentum=0.9,
    weight_decay=1e-3,
    schedule="cosine",
    label_smoothing=0.1,
    snapshots=(0, 2),
)


@dataclass(frozen=True)
class Split:
    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """Two Gaussian clouds, or whatever labels are asked for."""

    train: Split
    test: Split
    outputs: int = 3
    input_shape: tuple[int, ...] = (6,)
    name: str = "clouds"
    digest: str = "0" * 64
    task: str = "classification"
    classes: tuple[str, ...] = ("a", "b", "c")
    stream: object = None

    def prepare(self, inputs: Tensor) -> Tensor:
        return inputs


def clouds(n: int = 100, test: int = 30, outputs: int = 3) -> Dataset:
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(n + test, 6, generator=generator)
    labels = inputs[:, :3].argmax(dim=1) if outputs > 1 else torch.sign(inputs[:, 0] + inputs[:, 1])
    return Dataset(
        Split(inputs[:n], labels[:n]),
        Split(inputs[n:], labels[n:]),
        outputs=outputs,
        task="classification" if outputs > 1 else "parity",
    )


ONLINE = RECIPE.changed(online=True, epochs=4)


class Clouds:
    """A stream of the clouds: 100 new samples a chunk."""

    size, digest = 100, "1" * 64

    def __init__(self, chunks: int | None = None) -> None:
        self.chunks = chunks

    def chunk(self, index: int) -> shelf.Split:
        inputs = torch.randn(self.size, 6, generator=torch.Generator().manual_seed(1000 + index))
        return shelf.Split(inputs, inputs[:, :3].argmax(dim=1))


def streaming(kind: type[shelf.Dataset] = shelf.Dataset, chunks: int | None = None) -> shelf.Dataset:
    """Return the stream of clouds as a data set; 30 other samples test."""
    stream, other = Clouds(chunks), clouds().test
    return kind(
        name="new clouds",
        train=stream.chunk(0),
        test=shelf.Split(other.inputs, other.labels),
        task="classification",
        classes=("a", "b", "c"),
        stream=stream,
    )


class Network(nn.Module):
    """Linear, batch norm, ReLU, dropout, readout."""

    features_layer = "hidden"
    readout_layer = "readout"

    def __init__(self, width: int = 16, outputs: int = 3) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(6, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.3))
        self.readout = nn.Linear(width, outputs)
        self.feature_width = width

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.hidden(x))


def network(width: int = 16, outputs: int = 3, seed: int = 3) -> Network:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(width, outputs)


def noisy(recipe: Recipe):
    """Stands for an augmentation: noise from the generator that the loop passes."""
    return lambda batch, generator: batch + 0.1 * torch.randn(batch.shape, generator=generator)


def flat(network: nn.Module) -> Tensor:
    return torch.cat([tensor.double().flatten() for tensor in network.state_dict().values()])


def train(
    folder: Path | None,
    *,
    made: Network | None = None,
    data: Dataset | None = None,
    recipe: Recipe = RECIPE,
    every_seconds: float = 0.0,
    progress=None,
) -> loop.Trained:
    """Train the network, saving its state after every step."""
    before, loop._augmentation = loop._augmentation, noisy
    try:
        return loop.train(
            made or network(),
            data or clouds(),
            recipe,
            seed=5,
            device=torch.device("cpu"),
            state=folder,
            every_seconds=every_seconds,
            progress=progress,
        )
    finally:
        loop._augmentation = before


def trained(folder: Path | None, *, data: Dataset | None = None, recipe: Recipe = RECIPE) -> Network:
    """Return the network after :func:`train`."""
    made = network()
    train(folder, made=made, data=data, recipe=recipe)
    return made


def child(action) -> int:
    """Fork; the child does the action and leaves without running any clean-up."""
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
        os._exit(0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(3)


def finish(folder: Path, result: Path, **how) -> None:
    found = checkpoint.latest(folder)
    if found is not None:
        with (folder / "resumed").open("a") as file:
            file.write(f"{found.facts['epoch']} {found.facts['step']}\n")
    made = trained(folder, **how)
    durable.write(result, checkpoint.to_bytes({"weights": flat(made)}, {}))


def weights(result: Path) -> Tensor:
    return checkpoint.from_bytes(result.read_bytes(), "a result").tensors["weights"]


def killed_at_random(folder: Path, kills: int, seed: int, **how) -> dict[str, object]:
    """Train again and again, killed at random moments until it ends, until there were ``kills`` kills."""
    random_moment, whole = random.Random(seed), float("inf")
    for name in ("warm", "whole"):
        began = time.perf_counter()
        os.waitpid(child(lambda name=name: finish(folder / name, folder / "undisturbed", **how)), 0)
        whole = min(whole, time.perf_counter() - began)
    expected = weights(folder / "undisturbed")
    killed = finished = wrong = trial = 0
    while killed < kills:
        trial += 1
        state, result = folder / f"state-{trial}", folder / f"result-{trial}"
        while not result.exists():
            pid = child(lambda state=state, result=result: finish(state, result, **how))
            time.sleep(random_moment.uniform(0.0, 0.5 * whole))  # about three kills a training
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            if os.WIFSIGNALED(status):
                killed += 1
            elif os.WEXITSTATUS(status):
                return {"failed": status}
        finished += 1
        wrong += not torch.equal(weights(result), expected)
    logs = [path.read_text().splitlines() for path in folder.glob("state-*/resumed")]
    resumed_at = sorted({line for log in logs for line in log})
    return {"killed": killed, "finished": finished, "wrong": wrong, "resumed at": resumed_at}


class Fragile:
    """The ``os`` of ``netprops.durable`` with a death at one point of the n-th atomic write."""

    def __init__(self, point: str, n: int) -> None:
        self.point, self.left = point, n

    def __getattr__(self, name: str):
        return getattr(os, name)

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, descriptor: int, data) -> int:
        self.left -= 1
        if self.left == 0 and self.point == "partial write":
            os.write(descriptor, data[: len(data) // 3])
            self.die()
        return os.write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        if self.left == 0 and self.point == "before fsync":
            self.die()
        os.fsync(descriptor)
        if self.left == 0 and self.point == "before rename":
            self.die()

    def open(self, path, flags, *mode) -> int:
        if self.left == 0 and self.point == "after rename" and Path(path).is_dir():
            self.die()
        return os.open(path, flags, *mode)


POINTS = ("partial write", "before fsync", "before rename", "after rename")


def killed_in_writes(folder: Path) -> dict[str, object]:
    """Die at every point of several writes, then finish."""
    os.waitpid(child(lambda: finish(folder / "whole", folder / "undisturbed")), 0)
    expected = weights(folder / "undisturbed")
    outcome = {}
    for point in POINTS:
        state, result = folder / point / "state", folder / point / "result"
        deaths = 0
        for n in (1, 2, 5, 11):

            def fragile(n=n, point=point, state=state, result=result) -> None:
                durable.os = Fragile(point, n)
                finish(state, result)

            _, status = os.waitpid(child(fragile), 0)
            deaths += os.WIFSIGNALED(status)
        _, status = os.waitpid(child(lambda state=state, result=result: finish(state, result)), 0)
        outcome[point] = {
            "deaths": deaths,
            "status": status,
            "equal": torch.equal(weights(result), expected),
            "damaged": len(list(state.glob("*.damaged"))),
        }
    return outcome


if __name__ == "__main__":
    torch.set_num_threads(1)
    trained(None)  # what torch imports at its first step (2 s) is there before the forks
    place = Path(sys.argv[1])
    plans = {
        "writes": killed_in_writes,
        "random": lambda folder: killed_at_random(folder, 50, 11),
        "stream": lambda folder: killed_at_random(folder, 9, 12, data=streaming(), recipe=ONLINE),
    }
    outcomes = {}
    for name in sys.argv[2:]:
        (place / name).mkdir()
        outcomes[name] = plans[name](place / name)
    print(json.dumps(outcomes))
