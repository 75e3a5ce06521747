"""A transformer over the tokens of a text, for comparisons across widths: it answers at every position.

Words: a *sample* is T *tokens*, whole numbers from 0 to C - 1 (C the vocabulary, a mask's token included
where there is one); the *stream* is what the layers add to, (B, T, W); W is its units, the width factor; a
*head* has W/heads units of its own; as in ``parameterization.py``.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from netprops.errors import UsageError
from netprops.models import register
from netprops.models.parameterization import (
    Parameterization,
    Parameterized,
    Readout,
    check,
    parameterize,
    whole,
)
from netprops.models.transformer import positions as sinusoidal


class Attention(nn.Module):
    """How much each position takes of each other one: the softmax of scaled products of queries and keys.

    Args:
        scale: What the products are multiplied by.
        causal: Whether a position sees only itself and those before it.
    """

    def __init__(self, scale: float, causal: bool) -> None:
        super().__init__()
        self.scale, self.causal = scale, causal

    def forward(self, query: Tensor, key: Tensor) -> Tensor:
        """Return (B, heads, T, T), rows of sum 1, from queries and keys (B, heads, T, W/heads)."""
        scores = query @ key.mT * self.scale
        if self.causal:
            order = torch.arange(scores.shape[-1], device=scores.device)
            scores = scores.masked_fill(order > order[:, None], -math.inf)
        return scores.softmax(-1)


class Layer(nn.Module):
    """A pre-norm layer: attention and a perceptron of one hidden layer, each added to the stream.

    Args:
        width: Units of the stream, a multiple of ``heads``.
        hidden: Units of the perceptron's hidden layer.
        heads: Number of heads.
        attention: Its attention; what it gives are the attention matrices.
    """

    def __init__(self, width: int, hidden: int, heads: int, attention: Attention) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, bias=False)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.attention = attention
        self.merge = nn.Linear(width, width, bias=False)
        self.norm2 = nn.LayerNorm(width, bias=False)
        self.expand = nn.Linear(width, hidden, bias=False)
        self.contract = nn.Linear(hidden, width, bias=False)

    def forward(self, stream: Tensor) -> Tensor:
        """Return the stream (B, T, W) after the layer."""
        b, t, width = stream.shape
        parts: Tensor = self.attend(self.norm1(stream))
        query, key, value = parts.reshape(b, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = (self.attention(query, key) @ value).transpose(1, 2).reshape(b, t, width)
        stream = stream + self.merge(seen)
        inner: Tensor = self.contract(gelu(self.expand(self.norm2(stream))))
        return stream + inner


class LastPosition(nn.Module):
    """The stream at the last position."""

    def forward(self, stream: Tensor) -> Tensor:
        """Return (B, W) from (B, T, W)."""
        return stream[:, -1]


@register("tokentransformer")
class TokenTransformer(Parameterized):
    """Embedding, positions, pre-norm layers, norm, and a readout at every position.

    Under µP the products of queries and keys, which are sums over the d = W/heads units of a head that learn
    together, are multiplied by 1/d times the square root of the base's d, in the other parameterizations by
    d^-½. The number of heads is the same at every width. Only the readout has a bias. ``layers.0.attention``
    and so on give the attention matrices (B, heads, T, T), ``last`` the features: the stream at the last
    position after the norm; every other position is read out likewise.

    Initialisation: tokens normal with variance 1/2, as is the mean square of sinusoidal positions; learned
    ones are drawn with the same, so that the stream starts with a mean square of 1. Linear maps have variance
    1/fan-in, norms' weights are 1, the bias is 0.

    Args:
        width: W; a multiple of ``heads``.
        inputs: (T,): positions of a sample, or the most that there are; tokens may come as floating-point
            numbers.
        outputs: C.
        depth: Number of layers.
        heads: Heads of each layer, at every width.
        ratio: Units of the hidden layer of each perceptron for each unit of the stream.
        causal: Whether a position sees only itself and those before it: to tell the next token. Without, to
            tell masked ones.
        positions: ``"learned"``, or ``"sinusoidal"`` (Vaswani et al. 2017).
        parameterization: ``"mup"``, ``"standard"`` or ``"ntk"``.
        base: The width factor at which all parameterizations are one; a multiple of ``heads``.
        output_multiplier: As for :class:`netprops.models.parameterization.Readout`, like the next.
        readout_zero_init: Whether the readout starts at 0.
        query_zero_init: Whether queries start at 0, so that attention starts even. Otherwise the products of
            queries and keys start with a deviation of r^-½ under µP: matrices of narrow networks start away
            from those of wide ones.

    Raises:
        UsageError: If a size is not such a number, samples are not (T,), or the positions or the
            parameterization are not known.

    Source: Vaswani et al. 2017, with the norms before attention and perceptron; 1/d for attention and the
    zeros from Yang et al. 2021 ("Tensor Programs V", definition 4.1 and appendix D.2). The transformer among
    the examples of the ``mup`` package has sinusoidal positions, a readout that starts at 0, and its norms
    after each sum.
    """

    features_layer: ClassVar[str] = "last"

    def __init__(
        self,
        *,
        width: float,
        inputs: tuple[int, ...],
        outputs: int,
        depth: int = 2,
        heads: int = 4,
        ratio: int = 4,
        causal: bool = True,
        positions: Literal["learned", "sinusoidal"] = "learned",
        parameterization: Parameterization = "mup",
        base: float = 64,
        output_multiplier: float = 1.0,
        readout_zero_init: bool = False,
        query_zero_init: bool = False,
    ) -> None:
        super().__init__()
        check("tokentransformer", parameterization, base)
        if len(inputs) != 1:
            raise UsageError(f"tokentransformer: samples of shape {inputs}, expected tokens (T,)")
        if min(depth, heads, ratio) < 1:
            raise UsageError(
                f"tokentransformer: {depth} layers of {heads} heads and a ratio of {ratio}, expected at "
                "least one of each"
            )
        if positions not in ("learned", "sinusoidal"):
            raise UsageError(
                f"tokentransformer: positions are {positions!r}, expected 'learned' or 'sinusoidal'"
            )
        units = whole("tokentransformer", width, "units", heads)
        self.embedding = nn.Embedding(outputs, units)
        self.positions = nn.Parameter(torch.empty(*inputs, units)) if positions == "learned" else None
        slower = math.sqrt(base / width) if parameterization == "mup" else 1.0
        scale = (units / heads) ** -0.5 * slower
        layers = [Layer(units, ratio * units, heads, Attention(scale, causal)) for _ in range(depth)]
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(units, bias=False)
        self.last = LastPosition()
        for drawn in (self.embedding.weight, self.positions):
            if drawn is not None:
                nn.init.normal_(drawn, std=math.sqrt(1 / 2))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        for layer in layers if query_zero_init else ():
            nn.init.zeros_(layer.attend.weight[:units])
        self.readout = Readout(
            units, outputs, output_multiplier=output_multiplier, zero_init=readout_zero_init
        )
        build = partial(
            TokenTransformer,
            inputs=inputs,
            outputs=outputs,
            depth=depth,
            heads=heads,
            ratio=ratio,
            causal=causal,
            positions=positions,
            parameterization="standard",
        )
        parameterize(
            self, "tokentransformer", parameterization, base=base, build=lambda width: build(width=width)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the outputs (B, T, C) of tokens (B, T), whatever the type of their numbers."""
        stream: Tensor = self.embedding(tokens.long())
        length, units = stream.shape[1:]
        there = self.positions[:length] if self.positions is not None else sinusoidal(length, units)
        stream = stream + there.to(stream)
        for layer in self.layers:
            stream = layer(stream)
        stream = self.norm(stream)
        self.last(stream)  # for whoever captures the features: all positions are read out
        outputs: Tensor = self.readout(stream)
        return outputs
