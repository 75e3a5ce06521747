"""Perceptrons of equal shape as one: their weights side by side, forward and backward pass for all at once.

Words: a *perceptron* is linear layers with a ReLU between each two; a *stack* is m perceptrons of equal
shape, its *members*; a *group* is members whose activations fit into a processor's cache together; a batch is
B samples of d inputs for each member, C outputs each.

The passes are written out. ``torch.func`` (``vmap`` over the gradient of ``functional_call``) and autograd
over stacked parameters keep every intermediate result of all members until the backward pass, and each
elementwise operation reads and writes it in main memory: for 20 perceptrons of 64 units they are 2 to 3 times
faster than one after another, by one thread. The same products over groups, in memory that is used again, are
4 to 5 times faster (``benchmarks/stacked.py`` times them all). The tests hold them against ``torch.func``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from netprops.errors import UsageError
from netprops.training.optimizers import wrong
from netprops.training.recipe import Recipe

_GROUP_BYTES = 3 * 2**19
"""Of a group's activations: they and the weights fit into a second-level cache of 2 MiB. With twice as many,
two stacks on neighbouring cores train no faster than one (measured: 9 instead of 5 ms a step)."""
_ALIGNED = 16  # numbers: every layer's weights begin where a line of the cache begins


class DenseStack(nn.Module):
    """Perceptrons of equal shape; all of their weights are one parameter.

    Each member's numbers depend on the members that share its group in their last bits, and on nothing else
    of the other members.

    Args:
        networks: At least one network: linear layers, each but the last followed by a ReLU, called one after
            another with the flattened sample. They are read, not changed.
        device: Where the stack lies.
        dtype: Of its weights.

    Raises:
        UsageError: If a network is made of other layers, or they differ in shape.
    """

    weights: nn.Parameter

    def __init__(self, networks: Sequence[nn.Module], *, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__()
        self.members = len(networks)
        states = [network.state_dict() for network in networks]
        self._shapes = {name: tensor.shape for name, tensor in states[0].items()}
        for network, state in zip(networks, states, strict=True):
            _check_layers(network)
            if {name: tensor.shape for name, tensor in state.items()} != self._shapes:
                raise UsageError("networks that train together have one shape, got several")
        self._outputs = list(self._shapes.values())[-1][0]
        sizes = [_ALIGNED * math.ceil(self.members * s.numel() / _ALIGNED) for s in self._shapes.values()]
        self._places = [sum(sizes[:i]) for i in range(len(sizes))]
        flat = torch.zeros(sum(sizes), device=device, dtype=dtype)
        for name, view in self._views(flat).items():
            view.copy_(torch.stack([state[name] for state in states]))
        self.weights = nn.Parameter(flat)
        self.weights.grad = torch.zeros_like(flat)
        self._groups: dict[int, list[_Group]] = {}

    def split(self, weights: Tensor) -> list[dict[str, Tensor]]:
        """Return the state of every member from all the weights, each with memory of its own."""
        views = self._views(weights)
        return [{name: view[i].clone() for name, view in views.items()} for i in range(self.members)]

    @torch.no_grad()
    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs (m, B, C) of samples (m, B, d), or (1, B, d) where all members have the same."""
        inputs = inputs.expand(self.members, *inputs.shape[1:])
        outputs = inputs.new_empty(*inputs.shape[:2], self._outputs)
        for group in self._groups_for(inputs.shape[1]):
            outputs[group.members] = _forward(group, inputs[group.members])[-1]
        return outputs

    @torch.no_grad()
    def learn(self, inputs: Tensor, labels: Tensor, recipe: Recipe) -> tuple[Tensor, Tensor]:
        """Write the gradient of every member's loss into the gradient of the weights.

        Args:
            inputs: (m, B, d) samples of each member.
            labels: (m, B) their labels.
            recipe: Its loss.

        Returns:
            (m,) mean losses, and (m,) int64 numbers of wrong answers.
        """
        outputs = inputs.new_empty(*inputs.shape[:2], self._outputs)
        for group in self._groups_for(inputs.shape[1]):
            known = _forward(group, inputs[group.members])
            outputs[group.members] = known[-1]
            _backward(group, known, loss_slopes(known[-1], labels[group.members], recipe))
        return mean_losses(outputs, labels, recipe), wrong(outputs, labels)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return what each name has in all members, (m, ...), as views of a flat tensor."""
        m = self.members
        return {
            name: flat[place : place + m * shape.numel()].view(m, *shape)
            for (name, shape), place in zip(self._shapes.items(), self._places, strict=True)
        }

    def _groups_for(self, batch: int) -> list[_Group]:
        """Return the groups for batches of one size: on a CPU as many as there must be, all but equal."""
        if batch not in self._groups:
            views = list(self._views(self.weights.data).values())
            widest, layers = max(bias.shape[1] for bias in views[1::2]), len(views) // 2
            size = self.members
            if self.weights.device.type == "cpu":
                one = batch * layers * widest * self.weights.element_size()
                size = math.ceil(size / math.ceil(size / max(1, _GROUP_BYTES // one)))
            room = [self.weights.data.new_empty(size * batch * widest) for _ in range(layers)]
            places = [slice(i, min(i + size, self.members)) for i in range(0, self.members, size)]
            self._groups[batch] = [self._group(place, batch, room) for place in places]
        return self._groups[batch]

    def _group(self, members: slice, batch: int, room: list[Tensor]) -> _Group:
        assert self.weights.grad is not None
        views = [view[members] for view in self._views(self.weights.data).values()]
        slopes = [view[members] for view in self._views(self.weights.grad).values()]
        g = len(views[0])

        def place(layer: int, units: int) -> Tensor:
            return room[layer][: g * batch * units].view(g, batch, units)

        return _Group(
            members=members,
            weights=views[::2],
            transposed=[weight.mT for weight in views[::2]],
            biases=[bias[:, None] for bias in views[1::2]],
            weight_slopes=slopes[::2],
            bias_slopes=[slope[:, None] for slope in slopes[1::2]],
            outputs=[place(layer, bias.shape[1]) for layer, bias in enumerate(views[1::2])],
            passed=[place(layer, weight.shape[2]) for layer, weight in enumerate(views[::2]) if layer],
        )


@dataclass(frozen=True)
class _Group:
    """Members that are computed together, with g members: everything is listed by layer.

    Args:
        members: Which ones.
        weights: (g, out, in) each.
        transposed: (g, in, out) each, the same numbers.
        biases: (g, 1, out) each.
        weight_slopes: The gradients of the weights.
        bias_slopes: The gradients of the biases.
        outputs: (g, B, out) memory for what each layer gives, shared by all groups.
        passed: (g, B, in) memory for what each layer but the first passes back: that of its outputs, which
            are not needed any more then.
    """

    members: slice
    weights: list[Tensor]
    transposed: list[Tensor]
    biases: list[Tensor]
    weight_slopes: list[Tensor]
    bias_slopes: list[Tensor]
    outputs: list[Tensor]
    passed: list[Tensor]


def mean_losses(outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Return every member's mean loss, (m,), as :func:`netprops.training.optimizers.loss_of` defines it.

    Args:
        outputs: (m, B, C).
        labels: (m, B) int64 classes, or of the dtype of ``outputs``, -1 and 1, where C is 1.
        recipe: Which loss, and the label smoothing of the cross-entropy.
    """
    if recipe.loss == "squared-hinge":
        return (1.0 - labels * outputs.squeeze(2)).clamp_(min=0.0).square_().mean(dim=1) * 0.5
    if recipe.loss == "logistic":
        return functional.softplus(-labels * outputs.squeeze(2)).mean(dim=1)
    return -(_target(outputs, labels, recipe) * outputs.log_softmax(dim=2)).sum(dim=2).mean(dim=1)


def loss_slopes(outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    """Return the derivatives (m, B, C) of every member's mean loss by its outputs; as :func:`mean_losses`."""
    B = outputs.shape[1]
    if recipe.loss == "squared-hinge":
        margins = (1.0 - labels * outputs.squeeze(2)).clamp_(min=0.0)
        return margins.mul_(labels).mul_(-1.0 / B).unsqueeze(2)
    if recipe.loss == "logistic":
        doubt = torch.sigmoid(-labels * outputs.squeeze(2))
        return doubt.mul_(labels).mul_(-1.0 / B).unsqueeze(2)
    return (outputs.softmax(dim=2) - _target(outputs, labels, recipe)).mul_(1.0 / B)


def _target(outputs: Tensor, labels: Tensor, recipe: Recipe) -> Tensor:
    C, smoothing = outputs.shape[2], recipe.label_smoothing
    return functional.one_hot(labels, C).to(outputs.dtype).mul_(1.0 - smoothing).add_(smoothing / C)


def _forward(group: _Group, inputs: Tensor) -> list[Tensor]:
    """Return the inputs and what every layer gives, after its ReLU, in the group's memory."""
    known = [inputs]
    for weight, bias, place in zip(group.transposed, group.biases, group.outputs, strict=True):
        if len(known) > 1:
            known[-1].clamp_min_(0.0)
        known.append(torch.bmm(known[-1], weight, out=place).add_(bias))
    return known


def _backward(group: _Group, known: list[Tensor], slopes: Tensor) -> None:
    """Write the gradients of every layer, over what the layers above it gave.

    Args:
        group: Where they are written.
        known: Of :func:`_forward`; overwritten from the last on.
        slopes: (g, B, C) derivatives by the last layer's outputs.
    """
    for layer in reversed(range(len(group.weights))):
        inputs = known[layer]
        torch.bmm(slopes.mT, inputs, out=group.weight_slopes[layer])
        torch.sum(slopes, dim=1, keepdim=True, out=group.bias_slopes[layer])
        if layer:
            times = torch.mul if slopes.shape[2] == 1 else torch.bmm  # of one output the faster
            passed = times(slopes, group.weights[layer], out=group.passed[layer - 1])
            slopes = torch.ops.aten.threshold_backward.grad_input(passed, inputs, 0, grad_input=passed)


def _check_layers(network: nn.Module) -> None:
    """Refuse a network that is not made of linear layers with a ReLU between each two."""
    leaves = [module for module in network.modules() if not list(module.children())]
    kinds = [type(module) for module in leaves]
    expected = [nn.Linear, nn.ReLU] * (len(kinds) // 2) + [nn.Linear]
    biased = all(module.bias is not None for module in leaves if isinstance(module, nn.Linear))
    if kinds != expected or not biased or len(network.state_dict()) != len(kinds) + 1:
        found = ", ".join(dict.fromkeys(kind.__name__ for kind in kinds if kind not in (nn.Linear, nn.ReLU)))
        raise UsageError(
            f"{type(network).__name__} cannot train as one of a stack: expected linear layers with a bias "
            f"and one ReLU between each two{', found ' + found if found else ''}; train it one by one"
        )
