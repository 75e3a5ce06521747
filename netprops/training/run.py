"""Everything of a training that changes, and how it is saved and found again.

Words: as in ``loop.py``; the *facts* of a state are its position, history, snapshots and what is trained; the
*members* of a run are the networks that it trains together, one in most.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from netprops import durable
from netprops.errors import DamagedEntryError, TrainingError
from netprops.training import checkpoint
from netprops.training.pacing import Pacer, Position
from netprops.training.progress import Epoch
from netprops.training.randomness import global_state, set_global_state, stream_seed

log = logging.getLogger("netprops")

_SAME_DATA = 0  # the seed of order and augmentation where they are the same for all networks


class Run:
    """The changing state of one training.

    With m > 1 members the order is (N, m), losses are (steps, m) and wrong answers (m,), and the history has
    m lines an epoch.

    Args:
        network: What is trained; the stack of all members.
        optimizer: Its optimizer.
        seeds: Where the streams come from, for each member; augmentation and dropout from the first.
        device: Where it is trained.
        folder: Where states are saved; None for nowhere.
        what: Names and values of what must not differ between a saved state and this training.
        same_data: As ``Recipe.same_data``: order and augmentation are the same for all seeds, and the loss of
            every step is kept.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        seeds: Sequence[int],
        device: torch.device,
        folder: Path | None,
        what: dict[str, Any],
        same_data: bool = False,
    ) -> None:
        self._network, self._optimizer = network, optimizer
        self._device, self._folder, self._what = device, folder, what
        self._seeds, self.members, self._same_data = seeds, len(seeds), same_data
        drawn = [_SAME_DATA] * len(seeds) if same_data else seeds
        self._shuffling = [torch.Generator().manual_seed(stream_seed(seed, "order")) for seed in drawn]
        self.augmenting = torch.Generator(device).manual_seed(stream_seed(drawn[0], "augmentation"))
        self.epoch, self.step, self.seconds = 0, 0, 0.0
        self.order = torch.empty(0, dtype=torch.int64)
        self.losses = torch.empty(0)
        self.wrong = torch.zeros(())
        self.history: list[Epoch] = []
        self.snapshots: dict[int, dict[str, Tensor]] = {}
        self._best: dict[str, Tensor] = {}
        self._digests: dict[int, str] = {}
        self._earlier_losses = torch.empty(0, *([self.members] if self.members > 1 else []))

    def arrange(self, samples: int, steps: int, *, shuffled: bool) -> None:
        """Draw the order of an epoch, (N,) int64 on the device, and set its sums to zero.

        Args:
            samples: N.
            steps: Steps of the epoch.
            shuffled: Whether the order is a random one; samples of a stream come as they are.
        """
        if shuffled:
            drawn = [torch.randperm(samples, generator=generator) for generator in self._shuffling]
        else:
            drawn = [torch.arange(samples)] * self.members
        self.order = (drawn[0] if self.members == 1 else torch.stack(drawn, dim=1)).to(self._device)
        self.losses = torch.zeros(steps, *self.order.shape[1:], device=self._device)
        self.wrong = torch.zeros(self.order.shape[1:], dtype=torch.int64, device=self._device)
        self.seconds = 0.0

    def finish_epoch(
        self,
        batch: int,
        lr: float,
        test_errors: Sequence[float] | None,
        validation_error: float | None = None,
        weights: Tensor | None = None,
    ) -> None:
        """Write an epoch's line of the history, one for each member, and move on to the next.

        Args:
            batch: Samples a step.
            lr: Learning rate of the last step.
            test_errors: Of each member, where they were evaluated.
            validation_error: Likewise.
            weights: (N,) how many labels each sample asks for; None for one each.
        """
        steps = len(self.losses)
        asked = torch.ones(len(self.order)) if weights is None else weights[self.order].cpu()
        asked = asked[: batch * steps].double()
        sizes = functional.pad(asked, (0, batch * steps - len(asked))).reshape(steps, batch).sum(dim=1)
        seen = float(sizes.sum())
        losses = (self.losses.cpu().double().reshape(steps, -1) * sizes[:, None]).sum(dim=0) / seen
        wrong = self.wrong.reshape(-1).tolist()
        for member in range(self.members):
            self.history.append(
                Epoch(
                    epoch=self.epoch + 1,
                    loss=float(losses[member]),
                    train_error=wrong[member] / seen,
                    test_error=test_errors[member] if test_errors else None,
                    lr=lr,
                    seconds=self.seconds / self.members,
                    validation_error=validation_error,
                )
            )
        if self._same_data:
            self._earlier_losses = torch.cat([self._earlier_losses, self.losses.cpu()])
        self.epoch, self.step = self.epoch + 1, 0

    @property
    def step_losses(self) -> Tensor | None:
        """(steps,) or (steps, m) float32 losses of all steps of the finished epochs; None if not kept."""
        return self._earlier_losses if self._same_data else None

    @property
    def best_epoch(self) -> int:
        """The first epoch with the smallest error on the held-out samples; 0 before there is one."""
        errors = [(line.validation_error, line.epoch) for line in self.history]
        return min((known for known in errors if known[0] is not None), default=(None, 0))[1]

    def improves(self, validation_error: float) -> bool:
        """Return whether an error on the held-out samples is smaller than that of every finished epoch."""
        best = self.history[self.best_epoch - 1].validation_error if self.best_epoch else None
        return best is None or validation_error < best

    def keep_best(self) -> None:
        """Keep the weights of now aside as the best; they are part of every state from now on."""
        self._best = self._weights()

    def take_best(self, epoch: int) -> None:
        """Go back to the best weights, and keep them as the snapshot of an epoch."""
        self._network.load_state_dict(self._best)
        self.keep(epoch)

    def keep(self, epoch: int | None = None) -> None:
        """Keep the weights of now in memory and on disk, as the snapshot of the last finished epoch.

        Args:
            epoch: Another epoch whose snapshot they shall be.
        """
        epoch = self.epoch if epoch is None else epoch
        weights = self._weights()
        self.snapshots[epoch] = weights
        if self._folder is not None:
            data = checkpoint.to_bytes(weights, {"epoch": epoch})
            durable.write(self._snapshot_file(epoch), data)
            self._digests[epoch] = durable.digest_of(data)

    def check_finite(self, label: str) -> None:
        """Refuse to go on after a step whose loss is not a finite number.

        Raises:
            TrainingError: Naming the first such epoch and step.
        """
        losses = self.losses[: self.step]
        if not bool(torch.isfinite(losses).all()):
            step, *member = torch.nonzero(~torch.isfinite(losses))[0].tolist()
            raise TrainingError(
                f"{self.called(label, *member)}: the loss is {float(losses[(step, *member)])} at epoch "
                f"{self.epoch + 1}, step {step + 1}, expected a finite number; a smaller lr, a warm-up or "
                "another initialisation may help"
            )

    def called(self, label: str, member: int = 0) -> str:
        """Return what an error calls a member."""
        return label if self.members == 1 else f"{label}, seed {self._seeds[member]}"

    def pause(self, pacer: Pacer, *, show: bool = False) -> None:
        """Save the state and show progress where it is time; let an interrupt through once nothing is lost.

        Raises:
            KeyboardInterrupt: If one waits; the state is saved before.
        """
        if pacer.interrupted():
            self._save(pacer)
            raise KeyboardInterrupt
        if pacer.state_due():
            self._save(pacer)
        if show or pacer.show_due():
            try:
                pacer.show(self._position())
            except BaseException:
                self._save(pacer)
                raise

    def resume(self, label: str) -> bool:
        """Take up the newest saved state, and return whether there was one.

        Raises:
            TrainingError: If the state is of another training, or lacks a part.
        """
        found = checkpoint.latest(self._folder) if self._folder is not None else None
        if found is None:
            return False
        theirs = found.facts.get("what", {})
        differing = [name for name in self._what if theirs.get(name) != self._what[name]]
        if differing:
            raise TrainingError(
                f"{label}: the saved state in {self._folder} is of another training (another "
                f"{', '.join(differing)}); remove the folder to start anew"
            )
        try:
            self._find_snapshots(found.facts["snapshots"])
        except (DamagedEntryError, OSError) as error:
            log.warning("%s; %s is trained from the start", error, label)
            return False
        except KeyError as error:
            raise self._not_whole(label, error) from error
        try:
            self._restore(found)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise self._not_whole(label, error) from error
        return True

    def _weights(self) -> dict[str, Tensor]:
        """Return a copy of the weights of now on the CPU."""
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self._network.state_dict().items()
        }

    def _not_whole(self, label: str, error: Exception) -> TrainingError:
        return TrainingError(
            f"{label}: the saved state in {self._folder} is not whole ({error!r}); remove the folder to "
            "start anew"
        )

    def _position(self) -> Position:
        """Return where it stands; of several members the means."""
        last = self.history[-self.members :]
        tested = next((e.epoch for e in reversed(self.history) if e.test_error is not None), 0)
        evaluated = self.history[(tested - 1) * self.members : tested * self.members] if tested else []
        loss = _mean([line.loss for line in last])
        if self.step:
            loss = float(self.losses[self.step - 1].mean())
        return Position(
            epoch=self.epoch,
            step=self.step,
            loss=loss,
            train_error=_mean([line.train_error for line in last]),
            test_error=_mean([line.test_error for line in evaluated if line.test_error is not None]),
        )

    def _generators(self) -> dict[str, Tensor]:
        orders = zip(self._order_names(), self._shuffling, strict=True)
        return {
            **{name: generator.get_state() for name, generator in orders},
            "augmentation": self.augmenting.get_state(),
            "dropout": global_state(self._device),
        }

    def _set_generators(self, states: dict[str, Tensor]) -> None:
        for name, generator in zip(self._order_names(), self._shuffling, strict=True):
            generator.set_state(states[name])
        self.augmenting.set_state(states["augmentation"])
        set_global_state(states["dropout"], self._device)

    def _order_names(self) -> list[str]:
        return ["order", *(f"order {member}" for member in range(1, self.members))]

    def _save(self, pacer: Pacer) -> None:
        if self._folder is None:
            return
        began = time.monotonic()
        tensors = {f"network/{name}": tensor for name, tensor in self._network.state_dict().items()}
        for index, slots in self._optimizer.state_dict()["state"].items():
            filled = {name: value for name, value in slots.items() if value is not None}
            tensors |= {f"optimizer/{index}/{name}": value for name, value in filled.items()}
        tensors |= {f"generator/{name}": state for name, state in self._generators().items()}
        tensors |= {f"best/{name}": tensor for name, tensor in self._best.items()}
        tensors |= {
            "epoch/order": self.order,
            "epoch/losses": self.losses,
            "epoch/wrong": self.wrong,
        }
        tensors |= {"earlier/losses": self._earlier_losses} if self._same_data else {}
        facts = {
            "what": self._what,
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
            "history": [asdict(epoch) for epoch in self.history],
            "snapshots": {str(epoch): digest for epoch, digest in self._digests.items()},
        }
        try:
            checkpoint.save(self._folder, self.epoch * len(self.losses) + self.step, tensors, facts)
        except OSError as error:
            log.warning("a training goes on, but its state cannot be saved in %s: %s", self._folder, error)
        pacer.state_written(time.monotonic() - began)

    def _restore(self, found: checkpoint.State) -> None:
        parts: dict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in found.tensors.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = tensor
        slots: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimizer"].items():
            index, _, slot = name.partition("/")
            slots.setdefault(int(index), {})[slot] = tensor
        self._network.load_state_dict(parts["network"])
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": slots})
        self._set_generators(parts["generator"])
        self.order = parts["epoch"]["order"].to(self._device)
        self.losses = parts["epoch"]["losses"].to(self._device)
        self.wrong = parts["epoch"]["wrong"].to(self._device)
        if self._same_data:
            self._earlier_losses = parts["earlier"]["losses"]
        self.epoch, self.step = int(found.facts["epoch"]), int(found.facts["step"])
        self.seconds = float(found.facts["seconds"])
        self.history = [Epoch(**line) for line in found.facts["history"]]
        self._best = parts["best"]

    def _find_snapshots(self, digests: dict[str, str]) -> None:
        snapshots: dict[int, dict[str, Tensor]] = {}
        for name, digest in digests.items():
            path = self._snapshot_file(int(name))
            data = path.read_bytes()
            if durable.digest_of(data) != digest:
                raise DamagedEntryError(f"the snapshot {path} has not the digest that its state promises")
            snapshots[int(name)] = checkpoint.from_bytes(data, f"the snapshot {path}").tensors
        self.snapshots, self._digests = snapshots, {int(name): digest for name, digest in digests.items()}

    def _snapshot_file(self, epoch: int) -> Path:
        assert self._folder is not None
        return self._folder / f"snapshot-{epoch:05d}.safetensors"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
