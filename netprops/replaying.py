"""A network run again and again with some layers masked, and whatever comes before them computed once.

Words: a *run* is one call of a module in a pass; its *turn* counts the module's runs in that pass; B samples,
M masks *stacked* as M B samples; n units of a layer, the *channels*: dimension 1 of (B, n), (B, C, H, W) and
(B, C, D, H, W), the last of (B, T, n). A *prefix* module has finished when the first masked layer starts; it
is *needed* where what it gives reaches the outputs other than through other prefix modules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from netprops.activations import find_layer
from netprops.errors import MeasurementError, UsageError

# The replayed intact outputs may differ from the recorded ones by this share of the largest of them.
_ROUNDING = 1e-4


@dataclass(slots=True, eq=False)
class Run:
    """One call of a module in a pass.

    Args:
        module: The module.
        turn: How many times it had run before in the pass.
        start: When it started, counted in starts and ends.
        end: When it ended; -1 while it has not.
        shape: Shape of the tensor that it gave, or the name of the type of something else.
        rectified: Whether the tensor is nowhere negative and somewhere exactly zero, as behind a ReLU.
    """

    module: nn.Module
    turn: int
    start: int
    end: int = -1
    shape: tuple[int, ...] | str = ""
    rectified: bool = False

    @property
    def units(self) -> int:
        """The number of units, n."""
        assert not isinstance(self.shape, str)  # refused by find_run
        return self.shape[2 if len(self.shape) == 3 else 1]

    @contextmanager
    def watched(self, see: Callable[[Tensor], object]) -> Iterator[None]:
        """Show a copy of every tensor that the module gives in the block, before anything can change it."""

        def show(module: nn.Module, arguments: object, output: object) -> None:
            if isinstance(output, Tensor):
                see(output.detach().clone())

        handle = self.module.register_forward_hook(show)
        try:
            yield
        finally:
            handle.remove()


def runs_of(network: nn.Module, samples: Tensor) -> list[Run]:
    """Return all runs of modules in one pass, in the order of their starts."""
    found: list[Run] = []
    unfinished: list[Run] = []
    clock, turns = count(), Counter[nn.Module]()

    def begin(module: nn.Module, arguments: object) -> None:
        run = Run(module, turns[module], next(clock))
        turns[module] += 1
        found.append(run)
        unfinished.append(run)

    def finish(module: nn.Module, arguments: object, output: object) -> None:
        while (run := unfinished.pop()).module is not module:
            pass
        run.end = next(clock)
        run.shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        if isinstance(output, Tensor) and output.is_floating_point() and output.dim() > 1:
            run.rectified = bool((output >= 0).all() and (output == 0).any())

    with ExitStack() as hooks:
        for module in network.modules():
            hooks.callback(module.register_forward_pre_hook(begin).remove)
            hooks.callback(module.register_forward_hook(finish).remove)
        network(samples)
    return [run for run in found if run.end >= 0]


def name_of(network: nn.Module, runs: Sequence[Run], run: Run) -> str:
    """Return how a run is named: the path of its module, with its turn where there are several."""
    path = next(path for path, module in network.named_modules() if module is run.module)
    several = sum(one.module is run.module for one in runs) > 1
    return f"{path}@{run.turn}" if several else path


def find_run(network: nn.Module, runs: Sequence[Run], layer: str, samples: int) -> Run:
    """Return the run that a name means.

    Args:
        network: The network.
        runs: Its runs in a pass.
        layer: Path of the module, with ``@turn`` where it runs several times.
        samples: B of that pass.

    Raises:
        UsageError: If there is no such layer, it does not run exactly once, or what it gives has no units.
    """
    path, _, turn = layer.rpartition("@") if "@" in layer else (layer, "", "")
    module = find_layer(network, path)
    own = [run for run in runs if run.module is module]
    if turn.isdecimal() and int(turn) < len(own):
        run = own[int(turn)]
    elif len(own) == 1 and path == layer:
        run = own[0]
    else:
        names = " or ".join(repr(f"{path}@{i}") for i in range(len(own)))
        raise UsageError(
            f"layer {layer!r}: {path!r} ran {len(own)} times in one pass; "
            + (
                f"name one of its runs: {names}"
                if len(own) > 1
                else "name a layer that runs once, by its path"
            )
        )
    if isinstance(run.shape, str):
        raise UsageError(
            f"layer {layer!r} gives a {run.shape}, expected one tensor; name a layer inside or before it"
        )
    if not 2 <= len(run.shape) <= 5 or run.shape[0] != samples:
        raise UsageError(
            f"layer {layer!r} gives shape {run.shape} for {samples} samples, expected ({samples}, n), "
            f"({samples}, T, n) or ({samples}, C, H, W)"
        )
    return run


def rows_of(output: Tensor) -> Tensor:
    """Return (B times positions, n): every position of an output as a row of its units."""
    last = output if output.dim() == 3 else output.movedim(1, -1)
    return last.reshape(-1, last.shape[-1])


class Replay:
    """A network with some masked layers.

    Args:
        network: The network, in eval mode.
        probe: A few samples, as the network takes them.
        layers: Names of the layers.

    Attributes:
        ablated: Name and run of every masked layer, in the order of their starts.
        prefix_once: Whether the prefix of a batch is computed once.

    Raises:
        UsageError: As :func:`find_run`, if no layer or one of them twice is named, or the network's output is
            not (B, C) or (B, T, C).
        MeasurementError: If an output is not finite.
    """

    def __init__(self, network: nn.Module, probe: Tensor, layers: Sequence[str]) -> None:
        if not layers or len(set(layers)) < len(layers):
            raise UsageError(f"one or several different layers are expected, got {list(layers)}")
        self._network, self._runs, self._probed = network, runs_of(network, probe), len(probe)
        named = [(layer, find_run(network, self._runs, layer, len(probe))) for layer in layers]
        self.ablated = sorted(named, key=lambda one: one[1].start)
        self._prefix = self._find_prefix()
        self._needed = set(self._prefix)
        self.load(probe)
        self._needed = self._find_needed()

    @property
    def prefix_once(self) -> bool:
        """Whether the prefix of a batch is computed once; False also where there is none."""
        return bool(self._prefix)

    def load(self, samples: Tensor) -> int:
        """Run the intact network on some samples, and keep what its prefix gives.

        Returns:
            The number of predictions.

        Raises:
            UsageError: If the output is not (B, C) or (B, T, C).
            MeasurementError: If an output is not finite.
        """
        self._samples, self._recorded = samples, dict[nn.Module, Tensor]()
        with ExitStack() as hooks:
            for run in self._needed:
                hooks.enter_context(run.watched(partial(self._recorded.__setitem__, run.module)))
            outputs = self._network(samples.clone())
        self._intact = _predicted(outputs)
        if not bool(outputs.isfinite().all()):
            raise MeasurementError("an output of the intact network is not finite; its training diverged")
        if self._prefix and not self._repeats(outputs):
            self._prefix, self._needed = [], set()
            self._recorded.clear()
        return self._intact.numel()

    def stack(self, batch: int) -> int:
        """Return how many masks are stacked for samples times masks to fill a batch."""
        whole = all(run.shape[0] == self._probed for run in self._needed)
        return max(1, batch // len(self._samples)) if whole else 1

    def changed(self, keeps: Sequence[Tensor]) -> Tensor:
        """Return how many predictions of the loaded samples every mask changes.

        Args:
            keeps: (M, n) bool for every masked layer, in the order of :attr:`ablated`.

        Returns:
            (M,) int64.
        """
        predicted = _predicted(self._outputs(keeps)).view(len(keeps[0]), *self._intact.shape)
        return (predicted != self._intact).flatten(1).sum(dim=1)

    def _find_prefix(self) -> list[Run]:
        """Return the outermost runs that have ended when the first masked layer starts, and that layer."""
        first = self.ablated[0][1]
        nested = any(first.start < run.start < first.end for _, run in self.ablated)
        turns = Counter(run.module for run in self._runs)
        found: list[Run] = []
        for run in self._runs:
            over = run.end < first.start or (run is first and not nested)
            inside = bool(found) and run.start < found[-1].end
            if over and not inside and turns[run.module] == 1 and not isinstance(run.shape, str):
                found.append(run)
        return found

    def _find_needed(self) -> set[Run]:
        """Return the prefix runs whose outputs the network's output depends on, as its gradient tells."""
        whole = set(self._prefix)
        if not whole or any(not tensor.is_floating_point() for tensor in self._recorded.values()):
            return whole
        leaves = {module: tensor.requires_grad_() for module, tensor in self._recorded.items()}
        try:
            with torch.enable_grad():
                outputs = self._outputs(self._all_kept())
                slopes = torch.autograd.grad(outputs.sum(), list(leaves.values()), allow_unused=True)
        except RuntimeError:  # no gradient passes: nothing is known to be dispensable
            return whole
        used = {module for module, slope in zip(leaves, slopes, strict=True) if slope is not None}
        return {run for run in whole if run.module in used}

    def _all_kept(self) -> list[Tensor]:
        return [torch.ones((1, run.units), dtype=torch.bool) for _, run in self.ablated]

    def _repeats(self, outputs: Tensor) -> bool:
        """Return whether replaying with nothing masked gives the intact outputs."""
        try:
            again = self._outputs(self._all_kept())
        except Exception:  # whatever a network makes of a prefix that does not run, it then runs as a whole
            return False
        close = again.shape == outputs.shape and bool(
            ((again - outputs).abs() <= _ROUNDING * outputs.abs().max()).all()
        )
        return close and torch.equal(_predicted(again), self._intact)

    def _outputs(self, keeps: Sequence[Tensor]) -> Tensor:
        """Return (M B, ...) outputs of the network under M masks."""
        stack = len(keeps[0])
        keep_of = {
            run: keep.to(self._samples.device) for (_, run), keep in zip(self.ablated, keeps, strict=True)
        }
        with ExitStack() as changes:
            for run in self._prefix:
                changes.enter_context(
                    _instead(run.module, partial(self._given, run, keep_of.get(run), stack))
                )
            for module in {run.module for run in keep_of if run not in self._prefix}:
                masks = {self._turn(run): keep for run, keep in keep_of.items() if run.module is module}
                changes.callback(module.register_forward_hook(_mask(masks)).remove)
            outputs: Tensor = self._network(_stacked(self._samples, stack))
        return outputs

    def _turn(self, run: Run) -> int:
        """Return a run's turn in a replayed pass, in which the prefix does not run its own modules."""
        skipped = sum(
            one.module is run.module
            and one.start < run.start
            and any(p.start < one.start < p.end for p in self._prefix)
            for one in self._runs
        )
        return run.turn - skipped

    def _given(self, run: Run, keep: Tensor | None, stack: int, *_: Any, **__: Any) -> Tensor:
        """Return what a prefix run gave, for every mask."""
        assert not isinstance(run.shape, str)
        if run not in self._needed:
            samples = stack * len(self._samples) if run.shape[0] == self._probed else run.shape[0]
            return torch.full((samples, *run.shape[1:]), torch.nan, device=self._samples.device)
        output = self._recorded[run.module]
        if keep is not None:
            return _masked(output.expand(stack, *output.shape).flatten(0, 1), keep)
        return _stacked(output, stack)


def _stacked(tensor: Tensor, stack: int) -> Tensor:
    return tensor.repeat(stack, *[1] * (tensor.dim() - 1))


def _masked(output: Tensor, keep: Tensor) -> Tensor:
    """Return an output (M B, ...) with the units that (M, n) masks do not keep at zero."""
    rows = keep.repeat_interleave(len(output) // len(keep), dim=0)
    shape = [len(output), *[1] * (output.dim() - 1)]
    shape[2 if output.dim() == 3 else 1] = keep.shape[1]
    return output.masked_fill(~rows.view(shape), 0)


def _mask(masks: dict[int, Tensor]) -> Callable[[nn.Module, Any, Any], Tensor | None]:
    """Return a hook that masks what a module gives in some of its turns."""
    turns = count()

    def change(module: nn.Module, arguments: Any, output: Any) -> Tensor | None:
        keep = masks.get(next(turns))
        return None if keep is None else _masked(output, keep)

    return change


@contextmanager
def _instead(module: nn.Module, forward: Callable[..., Tensor]) -> Iterator[None]:
    """Let a module give something without running."""
    own = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        del module.__dict__["forward"]
        if own is not None:
            module.__dict__["forward"] = own


def _predicted(outputs: Any) -> Tensor:
    """Return (B,) or (B, T) predictions: the largest output, or the sign of a single one."""
    if not isinstance(outputs, Tensor) or outputs.dim() not in (2, 3):
        got = (
            f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        )
        raise UsageError(f"the network gives {got}, expected one tensor (B, C) or (B, T, C)")
    return outputs[..., 0].sign().long() if outputs.shape[-1] == 1 else outputs.argmax(dim=-1)
