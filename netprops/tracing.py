"""Where a network's last hidden representation is: found by running a few samples through it with hooks.

Words: B samples are run; a *step* is one run of one module; the *readout* is the ``nn.Linear`` whose output
is the network's, C numbers a sample; the *features* are what it is given, W numbers a sample. Where no
module's output is exactly the features, a module that changes nothing is put before the readout, and named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from netprops.activations import evaluating, find_layer
from netprops.content import nearest
from netprops.errors import UsageError

TAP = "features"
"""Name of the module that is put before a readout, below it."""

_SAMPLES = 8


@dataclass(frozen=True, eq=False)
class Step:
    """One run of one module.

    Args:
        name: Path of the module; empty for the network itself.
        module: The module.
        given: Its first argument, copied, if that is a tensor.
        output: What it returned, copied.
        alive: Argument and output themselves: as long as they live, no other tensor has their addresses.
    """

    name: str
    module: nn.Module
    given: Tensor | None
    output: Any
    alive: tuple[Any, Any]

    @property
    def shape(self) -> str:
        """The output's shape in words."""
        return (
            str(tuple(self.output.shape)) if isinstance(self.output, Tensor) else type(self.output).__name__
        )


@dataclass(frozen=True)
class Ending:
    """The end of a network.

    Args:
        features_layer: Path of the module whose output (B, W) is the features.
        readout_layer: Path of the readout.
        width: W.
        outputs: C.
        notes: What was found out about it, one sentence each.
    """

    features_layer: str
    readout_layer: str
    width: int
    outputs: int
    notes: tuple[str, ...] = ()


@torch.no_grad()
def steps(
    network: nn.Module,
    inputs: Tensor,
    *,
    prepare: Callable[[Tensor], Tensor] | None = None,
    device: torch.device | None = None,
) -> list[Step]:
    """Return every run of every module for the first samples, the network's own last.

    Args:
        network: The network, on the device.
        inputs: (N, ...) raw inputs.
        prepare: Applied to the samples on the device.
        device: Where the network is.

    Raises:
        UsageError: If the network cannot be run on them; says what the likely mistake is.
    """
    from netprops.activations import batches

    found: list[Step] = []
    handles = []
    for name, module in network.named_modules():

        def note(module: nn.Module, given: tuple[Any, ...], output: Any, name: str = name) -> None:
            first = given[0].clone() if given and isinstance(given[0], Tensor) else None
            kept = output.clone() if isinstance(output, Tensor) else output
            found.append(Step(name, module, first, kept, (given[0] if given else None, output)))

        handles.append(module.register_forward_hook(note))
    try:
        with evaluating(network):
            _, samples = next(
                batches(network, inputs[:_SAMPLES], batch=_SAMPLES, device=device, prepare=prepare)
            )
            _refuse_channels_last(network, samples)
            network(samples)
    except UsageError:
        raise
    except Exception as error:  # whatever a user's network raises
        said = " ".join(str(error).split())[:160]
        raise UsageError(
            f"the network cannot be run on inputs of shape {tuple(inputs[:_SAMPLES].shape)} "
            f"({str(inputs.dtype).removeprefix('torch.')}): {type(error).__name__}: {said}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return found


def ending(network: nn.Module, ran: list[Step], layer: str | None, readout: str | None) -> Ending:
    """Find features and readout, and make the features the output of a module.

    Args:
        network: The network; a module may be put before its readout.
        ran: What :func:`steps` returned.
        layer: Path of the module whose output the user says are the features; None for what the readout is
            given.
        readout: Path of the readout; None to find it.

    Raises:
        UsageError: If the network does not end in one Linear and none is named, a name is unknown, or the
            named readout does not read the named layer.
    """
    last, notes = _named_readout(network, ran, readout) if readout else _found_readout(ran)
    assert last.given is not None  # a readout that was not given a tensor has been refused
    given, width = last.given, int(last.given.shape[1])
    if layer is not None:
        find_layer(network, layer)
        of_layer = [step for step in ran if step.name == layer]
        if not any(_equal(step.output, given) for step in of_layer):
            shape = of_layer[-1].shape if of_layer else "nothing, for it does not run"
            raise UsageError(
                f"the readout {last.name!r} does not read the output of {layer!r}: it is given "
                f"{tuple(given.shape)}, and {layer!r} gives {shape}; leave --netprops-layer out, or name "
                "the module directly before the readout"
            )
    runs = [step.name for step in ran]
    features = next(
        (
            step.name
            for step in reversed(ran)
            if step.name and runs.count(step.name) == 1 and step is not last and _same(step, given, last)
        ),
        None,
    )
    if features is None:
        if TAP not in dict(last.module.named_children()):
            last.module.add_module(TAP, nn.Identity())
            last.module.register_forward_pre_hook(_through_tap)
        features = f"{last.name}.{TAP}" if last.name else TAP
    return Ending(features, last.name, width, int(last.output.shape[1]), tuple(notes))


def listing(ran: list[Step]) -> list[tuple[str, str, str, str]]:
    """Return a row a module that ran: path, type, shape of the output, and what it can be named as."""
    rows = []
    for name in dict.fromkeys(step.name for step in ran if step.name):
        of_name = [step for step in ran if step.name == name]
        output = of_name[0].output
        vector = isinstance(output, Tensor) and output.dim() >= 2 and output[0].numel() == output.shape[1]
        use = "layer" if vector and len(of_name) == 1 else ""
        if len(of_name) == 1 and _reads(of_name[0]):
            use = "readout"
        times = f"{len(of_name)} times " if len(of_name) > 1 else ""
        rows.append((name, type(of_name[0].module).__name__, times + of_name[0].shape, use))
    return rows


def _through_tap(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Send what a readout is given through the module that was put before it."""
    return (module.get_submodule(TAP)(given[0]), *given[1:])


def _found_readout(ran: list[Step]) -> tuple[Step, list[str]]:
    """Return the run of the one Linear that makes the network's output."""
    output = ran[-1].output
    linear = [step for step in ran if isinstance(step.module, nn.Linear)]
    if not isinstance(output, Tensor):
        raise UsageError(
            f"the network returns a {type(output).__name__}, expected one tensor of logits; wrap it in a "
            f"module that returns them, or name its last Linear with --netprops-readout{_linears(linear)}"
        )
    for name, behind in (
        ("", None),
        ("log_softmax", functional.log_softmax),
        ("softmax", functional.softmax),
    ):
        for step in reversed(linear):
            if step.output.dim() != 2 or step.output.shape[0] != output.shape[0]:
                continue
            made = step.output if behind is None else behind(step.output, dim=1)
            if _close(made, output) and _reads(step):
                notes = [f"logits are those before the network's {name}"] if name else []
                return step, notes
    raise UsageError(
        f"the network does not end in one Linear: its output has shape {tuple(output.shape)}; name the last "
        f"one with --netprops-readout{_linears(linear)}; `netprops layers` lists what can be named"
    )


def _named_readout(network: nn.Module, ran: list[Step], readout: str) -> tuple[Step, list[str]]:
    """Return the one run of the readout that the user names."""
    linear = [step for step in ran if isinstance(step.module, nn.Linear)]
    known = [step.name for step in linear]
    if readout not in dict(network.named_modules()):
        raise UsageError(f"the network has no readout {readout!r}{nearest(readout, known)}")
    runs = [step for step in ran if step.name == readout]
    if len(runs) != 1 or not _reads(runs[0]):
        what = (
            f"it ran {len(runs)} times in one pass"
            if len(runs) != 1
            else f"it is a {type(runs[0].module).__name__}"
        )
        raise UsageError(
            f"{readout!r} cannot be the readout: {what}, expected an nn.Linear that makes (B, C) of (B, W) "
            "once"
            f"{_linears(linear)}"
        )
    return runs[0], []


def _linears(linear: list[Step]) -> str:
    names = list(dict.fromkeys(step.name for step in linear))
    return f" (it has {', '.join(names[-5:])})" if names else " (it has none)"


def _reads(step: Step) -> bool:
    """Return whether a run was that of a linear map from one vector a sample to another."""
    if not isinstance(step.module, nn.Linear) or step.given is None:
        return False
    if step.given.dim() != 2 or not isinstance(step.output, Tensor):
        return False
    return _close(functional.linear(step.given, step.module.weight, step.module.bias), step.output)


def _same(step: Step, given: Tensor, last: Step) -> bool:
    """Return whether the output of a run is what the readout was given, not merely equal on these samples."""
    output = step.output
    if not isinstance(output, Tensor) or output.shape != given.shape or not torch.equal(output, given):
        return False
    return bool(step.alive[1].data_ptr() == last.alive[0].data_ptr())


def _equal(output: Any, given: Tensor) -> bool:
    """Return whether an output is the features, perhaps with dimensions of 1 behind them."""
    return isinstance(output, Tensor) and output.dim() >= 2 and torch.equal(output.flatten(1), given)


def _close(made: Tensor, output: Tensor) -> bool:
    if made.numel() != output.numel():
        return False
    return torch.allclose(made.flatten().float(), output.flatten().float(), rtol=1e-4, atol=1e-5)


def _refuse_channels_last(network: nn.Module, samples: Tensor) -> None:
    """Refuse images whose channels come last, where the first convolution tells how many there are."""
    first = next((one for one in network.modules() if isinstance(one, nn.Conv2d)), None)
    if first is None or samples.dim() != 4:
        return
    channels = first.in_channels
    if samples.shape[1] != channels and samples.shape[3] == channels:
        shape = tuple(samples.shape[1:])
        raise UsageError(
            f"inputs have shape (N, {', '.join(map(str, shape))}), with channels last; the network wants "
            f"(N, {shape[2]}, {shape[0]}, {shape[1]}): return inputs.permute(0, 3, 1, 2)"
        )
