"""A transformer encoder over the token states of another encoder, with every size multiplied by α.

Words: α is the width factor; a *sample* is T *states* of d numbers, one a token, and *padding* is a state of
zeros only; the *stream* is what the layers add to, (N, T, W); W = 128α units of the last hidden
representation.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from netprops.errors import UsageError
from netprops.models import register

LONGEST_PERIOD = 10_000  # of the sinusoidal positions, as Vaswani et al. 2017 chose it


class Layer(nn.Module):
    """A pre-norm layer: attention and a perceptron of one hidden layer, each added to the stream.

    Args:
        width: Units of the stream, a multiple of ``heads``.
        hidden: Units of the perceptron's hidden layer.
        heads: Number of heads, of width/heads units each.
    """

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.merge = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width, bias=False)
        self.expand = nn.Linear(width, hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)

    def forward(self, stream: Tensor, allowed: Tensor) -> Tensor:
        """Return the stream (N, T, W) after the layer.

        Args:
            stream: (N, T, W).
            allowed: bool, broadcast to (N, heads, T, T): whether a position (third axis) may see another.
        """
        n, t, width = stream.shape
        parts: Tensor = self.attend(self.norm1(stream))
        query, key, value = parts.reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = query @ key.mT / math.sqrt(width / self.heads)
        weights = scores.masked_fill(~allowed, -math.inf).softmax(-1)
        seen = (weights @ value).transpose(1, 2).reshape(n, t, width)
        stream = stream + self.merge(seen)
        inner: Tensor = self.contract(gelu(self.expand(self.norm2(stream))))
        return stream + inner


class TokenMean(nn.Module):
    """The mean over the positions that are not padding."""

    def forward(self, stream: Tensor, there: Tensor) -> Tensor:
        """Return (N, W) from (N, T, W) and (N, T) bool."""
        shares = there.to(stream.dtype)
        return (stream * shares[..., None]).sum(1) / shares.sum(1, keepdim=True)


@register("transformer")
class Transformer(nn.Module):
    """A pre-norm encoder: linear map of the states to the stream, positions, layers, norm, mean, readout.

    It has no embedding of its own. Padding is found in the samples: no position sees it, and it does not
    count in the mean; the first position counts always, so that an empty sample has outputs, too. Positions
    are sinusoidal. Only the readout has a bias. Initialisation: linear maps normal with variance 1/fan-in
    (the states are expected to have variance about 1), norms' weights 1, the bias 0.

    The paper's table decides what it does not say. With states of 128 numbers, 4, 16 and 59 networks of α =
    1/2, 1/4 and 1/8 have as many parameters as one of α = 1 (the ratios are 3.95, 15.38 and 58.47); the table
    has 4, 15 and 59. Biases everywhere would make 59 into 57, no first map into 64, states of 768 numbers
    into 43. 15 is not the smallest number for any network of this kind: where the parameters are
    Qα² + Lα + C, no more than 15 networks of 1/4 are needed only if 44L + 224C ≥ Q, and more than 58 of 1/8
    only if 400L + 3648C < 6Q, and the two exclude each other. 15 is the nearest whole number instead.

    Args:
        width: α; ``hidden`` and ``mlp`` times α must be whole, the first a multiple of ``heads``.
        inputs: (T, d): positions of a sample and numbers of a state.
        outputs: Number of outputs.
        depth: Number of layers.
        heads: Heads of each layer, at every α.
        mlp: Units of the hidden layer of each perceptron at α = 1.
        hidden: W at α = 1.
        causal: Whether a position sees only itself and those before it.

    Raises:
        UsageError: If a size is not such a number or the samples have another shape.

    Source: Vaswani et al. 2017, with the norms before attention and perceptron; sizes as in "How does
    overparameterization affect features?", sections 3.1 and A.2.
    """

    features_layer: ClassVar[str] = "pool"
    readout_layer: ClassVar[str] = "readout"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        depth: int = 4,
        heads: int = 4,
        mlp: int = 1024,
        hidden: int = 128,
        causal: bool = False,
    ) -> None:
        super().__init__()
        if len(inputs) != 2:
            raise UsageError(f"transformer: samples of shape {inputs}, expected token states (T, d)")
        if depth < 1 or heads < 1:
            raise UsageError(f"transformer: {depth} layers of {heads} heads, expected at least one of both")
        units = _scaled(hidden, width, "hidden units", heads)
        within = _scaled(mlp, width, "hidden units in the perceptrons")
        self.causal = causal
        self.project = nn.Linear(inputs[1], units, bias=False)
        self.layers = nn.ModuleList(Layer(units, within, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(units, bias=False)
        self.pool = TokenMean()
        self.readout = nn.Linear(units, outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        nn.init.zeros_(self.readout.bias)

    @property
    def feature_width(self) -> int:
        """W, the units of the stream."""
        return self.readout.in_features

    def forward(self, states: Tensor) -> Tensor:
        """Return the outputs (N, outputs) of token states (N, T, d), padded with zeros."""
        there = (states != 0).any(-1)
        order = torch.arange(states.shape[1], device=states.device)
        there = there | (order == 0)
        allowed = there[:, None, None, :]
        if self.causal:
            allowed = allowed & (order <= order[:, None])
        stream: Tensor = self.project(states)
        stream = stream + positions(states.shape[1], self.feature_width).to(stream)
        for layer in self.layers:
            stream = layer(stream, allowed)
        outputs: Tensor = self.readout(self.pool(self.norm(stream), there))
        return outputs


def positions(length: int, units: int) -> Tensor:
    """Return the sinusoidal positions of Vaswani et al. 2017.

    Args:
        length: Number of positions.
        units: Numbers that tell a position.

    Returns:
        (length, units) float32: sines and cosines in turn, of periods from 2π to 10,000·2π positions.
    """
    rates = LONGEST_PERIOD ** (-torch.arange(0, units, 2) / units)
    angles = torch.arange(length)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :units]


def _scaled(base: int, width: float, what: str, multiple: int = 1) -> int:
    units = base * width
    if units < multiple or units % multiple:
        expected = f"a multiple of its {multiple} heads" if multiple > 1 else "a whole number of at least 1"
        raise UsageError(
            f"transformer: width factor {width:g} gives {units:g} {what}, expected {expected}; choose "
            f"another factor or number at factor 1 (now {base})"
        )
    return int(units)
