"""The empirical neural tangent kernel of a network, exactly, within a given memory.

Words: N samples, C outputs, P numbers in all parameters; J is the (N C, P) Jacobian of the outputs and
K = J S J' the *kernel*, S the learning rate of each parameter relative to the recipe's (1 everywhere, but for
µP): gradient flow moves the outputs by -K times the loss's gradient. A *map* is a linear map or convolution
of (N, T, i) *inputs* at T positions; the *slopes* (N, R, T, o) of its outputs are the derivatives of R
combinations of a sample's outputs, its *directions*.

J would have 10 GB for 256 samples of 10 outputs and 10^6 parameters, and J J' would take 10^13 operations.
But a map's part of it is a product of two small kernels, (slopes slopes') ∘ (inputs inputs'), summed over
pairs of positions; where those are many, the map's rows of J are made from inputs and slopes, a few columns
at a time. Which parameters belong to maps, and to one only, is seen while the network runs, and checked on a
few samples against the plain gradient. What is left (norms, embeddings) has its rows of J from
``torch.func``, in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from netprops.activations import batches
from netprops.curving import differentiating, scales_of
from netprops.errors import MeasurementError, UsageError
from netprops.maps import Map, Watch

Kind = Literal["full", "trace"]

# Samples of the check; each is one backward pass.
_CHECKED = 3
# Float32 gradients of one network, computed in two ways, differ by less.
_AGREEMENT = 1e-3


def empirical_ntk(
    network: nn.Module,
    inputs: Tensor,
    *,
    kind: Kind = "full",
    scales: Mapping[str, float] | None = None,
    select: Callable[[Tensor], Tensor] | None = None,
    batch: int = 256,
    memory: int = 2**29,
    device: torch.device | str | None = None,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> NDArray[np.float64]:
    """Return the empirical neural tangent kernel on given samples, in eval mode.

    Args:
        network: The network, on ``device``; its weights and modes are not changed. Parameters count that are
            trained; all, where the network is frozen as a whole. Samples must not influence one another.
        inputs: (N, ...) on any device.
        kind: ``"full"`` for every pair of outputs, or ``"trace"`` for the sum over outputs of each output's
            own kernel.
        scales: Learning rate of parameters relative to the recipe's, by name; 1 where there is none.
        select: Applied to the network's outputs, (B, ...) to (B, ...), such as the last position of a
            sequence; None for all. What is left of a sample is flattened to C numbers.
        batch: Samples at a time.
        memory: Bytes for inputs, slopes and rows of J, about; a single map or batch may need more.
        device: Where the network is; None takes its first parameter's device.
        prepare: Applied to each batch on the device, such as ``Dataset.prepare``.

    Returns:
        (N C, N C), sample by sample, or (N, N); symmetric. Its rounding is that of the network's type: for
        float32 about 1e-6 of the largest eigenvalue.

    Raises:
        UsageError: If the kind or a scale is not known, or a scale is negative.
        MeasurementError: If there are no samples, or a derivative is not finite.

    Source:
        Jacot et al. 2018; the product of two kernels: Goodfellow 2015, arXiv:1510.01799, for norms.
    """
    if kind not in ("full", "trace"):
        raise UsageError(f"kind is 'full' or 'trace', got {kind!r}")
    if not len(inputs):
        raise MeasurementError("there are no samples to take a kernel on, expected at least one")
    with differentiating(network) as parameters:
        factors = dict(zip(parameters, scales_of(parameters, scales), strict=True))
        run = _Run(
            network=network,
            parameters=parameters,
            inputs=inputs,
            flat=lambda outputs: (outputs if select is None else select(outputs)).reshape(len(outputs), -1),
            batches=partial(batches, network, device=device, prepare=prepare),
            batch=batch,
            memory=memory,
        )
        maps, count = run.maps()
        every = torch.eye(count)
        directions = [every] if kind == "full" else [every[one : one + 1] for one in range(count)]
        kernel = reduce(torch.add, (run.kernel(some, maps, factors) for some in directions))
    array: NDArray[np.float64] = (kernel.triu() + kernel.triu(1).mT).numpy()
    if not np.isfinite(array).all():
        raise MeasurementError("a derivative of the outputs is not finite; the training has diverged")
    return array


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Run:
    """A network on samples.

    Args:
        network: The network.
        parameters: Those that count, by name.
        inputs: (N, ...).
        flat: From the network's outputs to (B, C).
        batches: Yields the first index and the samples of each batch of inputs, prepared.
        batch: Samples at a time.
        memory: Bytes, about.
    """

    network: nn.Module
    parameters: Mapping[str, nn.Parameter]
    inputs: Tensor
    flat: Callable[[Tensor], Tensor]
    batches: Callable[..., Iterator[tuple[int, Tensor]]]
    batch: int
    memory: int

    def maps(self) -> tuple[list[Map], int]:
        """Return the maps whose parameters go nowhere else, as they ran on the first samples; and C."""
        few = replace(self, inputs=self.inputs[:_CHECKED])
        ((_, samples),) = few.batches(few.inputs, batch=_CHECKED)
        with Watch(self.parameters) as watch:
            outputs = self.flat(self.network(samples))
        alone = [name for name, met in watch.met.items() if len(met) == 1 and met[0] is not None]
        found = {id(one): one for name in alone if (one := watch.met[name][0]) is not None}
        several = [
            replace(
                one,
                weight=one.weight if one.weight in alone else None,
                bias=one.bias if one.bias in alone else None,
            )
            for one in found.values()
            if not (len(one.inputs) % len(samples) or len(one.outputs) % len(samples))
        ]
        direction = torch.randn(1, outputs.shape[1], generator=torch.Generator().manual_seed(0))
        return few._agreeing(several, samples, direction), outputs.shape[1]

    def _agreeing(self, maps: Sequence[Map], samples: Tensor, direction: Tensor) -> list[Map]:
        """Return the maps whose part of the kernel is that of their plain gradients."""
        weights = [self.parameters[name] for one in maps for name in one.names]
        slopes = []
        for i in range(len(samples)):
            output = self.flat(self.network(samples[i : i + 1]))
            combined = (output @ direction[0].to(output)).sum()
            slopes.append(
                torch.autograd.grad(combined, weights, allow_unused=True, materialize_grads=True)
                if weights
                else ()
            )
        rows = iter(torch.stack(each).flatten(1) for each in zip(*slopes, strict=True))
        agreeing = []
        for one, patches, along in self._captured(maps, direction):
            part = torch.zeros(len(samples), len(samples), dtype=torch.float64)
            self._add_map(part, one, patches, along, dict.fromkeys(one.names, 1.0))
            plain = torch.cat([next(rows) for _ in one.names], dim=1)
            expected = (plain @ plain.mT).to(part)
            # Only the upper triangle is added to.
            if bool((part - expected).triu().abs().max() <= _AGREEMENT * expected.abs().max()):
                agreeing.append(one)
        return agreeing

    def kernel(self, directions: Tensor, maps: Sequence[Map], factors: Mapping[str, float]) -> Tensor:
        """Return (N R, N R) float64 on the CPU, whose upper triangle is the kernel's.

        Args:
            directions: (R, C), combinations of outputs.
            maps: As :meth:`maps` gives them.
            factors: What each parameter's part is multiplied by.
        """
        rows = len(self.inputs) * len(directions)
        total = torch.zeros(rows, rows, dtype=torch.float64)
        groups: list[list[Map]] = []
        room = 0
        few = min(len(self.inputs), _CHECKED)
        for one in maps:
            numbers = one.patches(few).numel() + len(directions) * one.outputs.numel()
            needed = numbers * one.outputs.element_size() * len(self.inputs) // few
            if not groups or needed > room:
                groups.append([])
                room = self.memory
            groups[-1].append(one)
            room -= needed
        for group in groups:
            for one, patches, along in self._captured(group, directions):
                self._add_map(total, one, patches, along, factors)
        named = {name for one in maps for name in one.names}
        rest = [name for name in self.parameters if name not in named]
        if rest:
            self._add_rows(total, rest, directions, factors)
        return total

    def _captured(self, maps: Sequence[Map], directions: Tensor) -> Iterator[tuple[Map, Tensor, Tensor]]:
        """Yield inputs (N, T, i) and slopes (N, R, T, o) of maps: a pass, and one back for each direction."""
        found: list[tuple[list[Tensor], list[Tensor]]] = [([], []) for _ in maps]
        watched = {name: self.parameters[name] for one in maps for name in one.names}
        for _, samples in self.batches(self.inputs, batch=self.batch):
            with Watch(watched) as watch:
                outputs = self.flat(self.network(samples))
            ran = [met for one in maps if (met := watch.met[one.names[0]][0]) is not None]
            ends = [one.outputs for one in ran]
            slopes = [
                torch.autograd.grad(
                    (outputs @ direction.to(outputs)).sum(),
                    ends,
                    retain_graph=True,
                    allow_unused=True,
                    materialize_grads=True,
                )
                for direction in directions
            ]
            for (patches, parts), one, along in zip(found, ran, zip(*slopes, strict=True), strict=True):
                patches.append(one.patches(len(samples)))
                parts.append(torch.stack([one.positions(each, len(samples)) for each in along], dim=1))
        for one, (patches, parts) in zip(maps, found, strict=True):
            yield one, torch.cat(patches), torch.cat(parts)

    def _add_map(
        self, total: Tensor, one: Map, patches: Tensor, slopes: Tensor, factors: Mapping[str, float]
    ) -> None:
        """Add the part of a map's weight and bias to the upper triangle."""
        if one.bias is not None:
            _add_rows_of(total, slopes.sum(dim=2).flatten(0, 1), factors[one.bias])
        if one.weight is not None:
            _add_weight(total, patches, slopes, factors[one.weight], self.memory)

    def _add_rows(
        self, total: Tensor, names: Sequence[str], directions: Tensor, factors: Mapping[str, float]
    ) -> None:
        """Add the part of any parameters, from rows of J that are computed once for each pair of blocks."""
        chosen = {name: self.parameters[name].detach() for name in names}
        numbers = sum(one.numel() * one.element_size() for one in chosen.values())
        size = max(1, min(self.memory // (4 * numbers), len(total)))

        def output(values: dict[str, Tensor], sample: Tensor, direction: Tensor) -> Tensor:
            return self.flat(functional_call(self.network, values, (sample[None],)))[0] @ direction

        def rows(first: int) -> Tensor:
            parts = []
            which = torch.arange(first, min(first + size, len(total)))
            for start in range(0, len(which), self.batch):
                some = which[start : start + self.batch]
                ((_, samples),) = self.batches(self.inputs[some // len(directions)], batch=self.batch)
                toward = directions[some % len(directions)].to(next(iter(chosen.values())))
                with torch.no_grad():  # no graph for the parameters that are not chosen
                    slopes = vmap(grad(output), in_dims=(None, 0, 0))(chosen, samples, toward)
                parts.append(
                    torch.cat([slopes[name].flatten(1) * math.sqrt(factors[name]) for name in names], dim=1)
                )
            return torch.cat(parts)

        for first in range(0, len(total), size):
            left = rows(first)
            for second in range(first, len(total), size):
                right = left if second == first else rows(second)
                total[first : first + size, second : second + size] += (left @ right.mT).to(total)


def _add_weight(total: Tensor, patches: Tensor, slopes: Tensor, factor: float, memory: int) -> None:
    """Add the part of a map's weight.

    Args:
        total: (N R, N R); the upper triangle is added to.
        patches: (N, T, i) inputs.
        slopes: (N, R, T, o).
        factor: What it is multiplied by.
        memory: Bytes, about.
    """
    samples, count, places, _ = slopes.shape
    narrow = patches.shape[2]
    if 4 * places**2 >= narrow:  # multiplying pairs in place takes as long as four operations of a product
        # So many pairs of positions: rows of J are cheaper, some units of the output at a time.
        size = max(1, memory // (4 * samples * count * narrow * slopes.element_size()))
        for first in range(0, slopes.shape[3], size):
            some = slopes[..., first : first + size]
            rows = some.permute(0, 1, 3, 2).flatten(1, 2) @ patches
            _add_rows_of(total, rows.view(samples * count, -1), factor)
        return
    size = max(1, memory // (8 * count * places * samples * count * places * slopes.element_size()))
    for first in range(0, samples, size):
        last = min(first + size, samples)
        pairs = slopes[first:last].flatten(0, 2) @ slopes[first:].flatten(0, 2).mT
        alike = patches[first:last].flatten(0, 1) @ patches[first:].flatten(0, 1).mT
        pairs = pairs.view(last - first, count, places, samples - first, count, places)
        pairs *= alike.view(last - first, 1, places, samples - first, 1, places)
        block = pairs.sum(dim=(2, 5)).view((last - first) * count, -1)
        total[first * count : last * count, first * count :] += block.to(total) * factor


def _add_rows_of(total: Tensor, rows: Tensor, factor: float) -> None:
    """Add rows times their transpose to the upper triangle, in blocks, so that half of it is left out."""
    size = math.ceil(len(rows) / 8)
    for first in range(0, len(rows), size):
        block = rows[first : first + size] @ rows[first:].mT
        total[first : first + size, first:] += block.to(total) * factor
