"""Several processes that want the same network: the helper program of ``test_zoo.py``.

torch and the data are loaded once; every process is a fork. Arguments: a folder, and some of the plans below.
It prints one line of JSON. Each training that begins leaves a file in the folder ``begun``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path

import torch

from netprops.cache import Cache
from netprops.declaration import Family
from netprops.training import loop, stacked
from netprops.training.recipe import Recipe
from netprops.zoo import Zoo

FAMILY = Family(
    name="fc5",
    architecture="fc5",
    data="pdigits",
    scale="mini",
    widths=(8, 16),
    seeds=2,
    source="none",
    recipe=Recipe(
        epochs=6,
        batch=256,
        optimizer="adam",
        lr=1e-3,
        weight_decay=1e-3,
        loss="squared-hinge",
        snapshots=(0,),
    ),
)
SPEC = FAMILY.spec(16, 0)
train, stacked_train = loop.train, stacked.train_together


def fork(action) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        action()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(3)


def wait(pids: list[int]) -> list[int]:
    return [os.waitpid(pid, 0)[1] for pid in pids]


def noting(folder: Path, before=lambda: None, train=train):
    """Return a train function that leaves a file when a training begins."""

    def noted(*arguments, **keywords):
        (folder / "begun").mkdir(exist_ok=True)
        (folder / "begun" / f"{keywords['label']} {os.getpid()}").touch()
        before()
        return train(*arguments, **keywords)

    return noted


def begun(folder: Path) -> list[str]:
    return sorted(path.name.partition(" ")[0] for path in (folder / "begun").iterdir())


def digest(zoo: Zoo, spec=SPEC) -> str:
    return zoo.subject(spec).entry.manifest["files"]["weights.safetensors"]["sha256"]


def wanting(folder: Path, *, lock: bool) -> dict[str, object]:
    """Four processes want one network at once."""
    gate = os.pipe()

    def want() -> None:
        os.close(gate[1])
        os.read(gate[0], 1)
        loop.train = noting(folder)
        zoo = Zoo(Cache(folder / "cache", lock=lock), device="cpu")
        zoo.ensure([SPEC])
        (folder / f"digest-{os.getpid()}").write_text(digest(zoo))

    pids = [fork(want) for _ in range(4)]
    os.close(gate[1])
    statuses = wait(pids)
    alone = Zoo(Cache(folder / "alone"), device="cpu")
    found = {path.read_text() for path in folder.glob("digest-*")}
    return {
        "statuses": statuses,
        "begun": begun(folder),
        "right": found == {digest(alone)},
        "damaged": len(list((folder / "cache" / "damaged").glob("*"))),
    }


def takeover(folder: Path) -> dict[str, object]:
    """A process is killed in the middle of a training, another one wants the same network."""

    def killed() -> None:
        def dying(*arguments, **keywords):
            def progress(progress) -> None:
                if progress.epoch == 4:
                    os.kill(os.getpid(), signal.SIGKILL)

            return train(*arguments, **{**keywords, "progress": progress, "every_seconds": 0.0})

        loop.train = dying
        Zoo(Cache(folder / "cache"), device="cpu").ensure([SPEC])

    statuses = wait([fork(killed)])
    epochs = set()
    zoo = Zoo(Cache(folder / "cache"), device="cpu", progress=lambda progress: epochs.add(progress.epoch))
    alone = Zoo(Cache(folder / "alone"), device="cpu")
    return {
        "killed by": statuses[0],
        "right": digest(zoo) == digest(alone),
        "epochs": sorted(epochs),
        "history": [epoch.epoch for epoch in zoo.subject(SPEC).history],
    }


def stealing(folder: Path) -> dict[str, object]:
    """While another process holds what is wanted, other missing networks are built."""
    other = FAMILY.spec(8, 1)
    cache, hold, release = Cache(folder / "cache"), os.pipe(), os.pipe()

    def holder() -> None:
        loop.train = noting(folder, before=lambda: (os.write(hold[1], b"h"), os.read(release[0], 1)))
        Zoo(cache, device="cpu").ensure([SPEC])

    pid = fork(holder)
    os.read(hold[0], 1)
    loop.train = noting(folder)
    order: list[str] = []

    def progress(progress) -> None:
        if progress.label == other.id and not order:
            order.append(progress.label)
            os.write(release[1], b"r")

    zoo = Zoo(cache, device="cpu", progress=progress)
    zoo.ensure([SPEC], others=[SPEC, other])
    statuses = wait([pid])
    return {
        "statuses": statuses,
        "begun": begun(folder),
        "ready": zoo.ready(SPEC) and zoo.ready(other),
        "order": order,
    }


def block(folder: Path) -> dict[str, object]:
    """Four processes want one network each of the same block."""
    family = FAMILY.model_copy(update={"stacked": 8, "seeds": 4})
    specs = family.spec(8, 0).block

    def want(spec) -> None:
        stacked.train_together = noting(folder, train=stacked_train)
        Zoo(Cache(folder / "cache"), device="cpu").ensure([spec])

    statuses = wait([fork(lambda spec=spec: want(spec)) for spec in specs])
    zoo, alone = (Zoo(Cache(folder / name), device="cpu") for name in ("cache", "alone"))
    return {
        "statuses": statuses,
        "begun": begun(folder),
        "ready": all(zoo.ready(spec) for spec in specs),
        "right": all(digest(zoo, spec) == digest(alone, spec) for spec in specs),
    }


PLANS = {
    "lock": lambda folder: wanting(folder, lock=True),
    "no lock": lambda folder: wanting(folder, lock=False),
    "takeover": takeover,
    "stealing": stealing,
    "block": block,
}

if __name__ == "__main__":
    torch.set_num_threads(1)
    warm = Zoo(Cache(Path(sys.argv[1]) / "warm"), device="cpu")
    warm.ensure([FAMILY.spec(8, 0)])
    outcome = {}
    for name in sys.argv[2:]:
        place = Path(sys.argv[1]) / name
        place.mkdir()
        outcome[name] = PLANS[name](place)
        loop.train = train
    print(json.dumps(outcome))
