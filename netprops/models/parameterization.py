"""How fast the weights of a network learn as it grows: µP, the standard and the NTK parameterization.

Words: a network of width factor n has a *base*, the width factor b at which the three are one; r = n/b; a
dimension of a weight *grows* if it is proportional to n, and its *base shape* says how large it is at b, with
None where it does not grow; a weight is of the *input* if only its outputs grow (embeddings, biases and
norms, too), *hidden* if both sides do, of the *readout* if only its inputs do. All three draw weights with a
variance proportional to 1 / fan-in.

What differs, relative to a network of width b and to the recipe's learning rate:

=========  =========  =============  ==================  ==================  ===================
.          outputs    drawn readout  lr of the input     lr of hidden        lr of the readout
=========  =========  =============  ==================  ==================  ===================
standard   1          1              1                   1                   1
ntk        1          1              1                   SGD 1/r, Adam r^-½  SGD 1/r, Adam r^-½
mup        1/r        r^½            SGD r, Adam 1       SGD 1, Adam 1/r     SGD r, Adam 1
=========  =========  =============  ==================  ==================  ===================

The row *mup* is the ``mup`` package's, and the numbers are taken from it. The row *ntk* follows from W = w
fan-in^½, which the NTK parameterization trains instead of w: the gradient by W is that by w over fan-in^½, so
that a step of SGD in W moves w by lr / fan-in times the gradient, and a step of Adam, whose length does not
depend on the gradient's, by lr / fan-in^½. The decay of a weight is multiplied so that a step decays it as at
the base: by the inverse of what its lr is multiplied by; for Adam with the decay in the gradient, which is
compared with a gradient that is r^-½ as large, by r. Adam's eps stays as it is. With SGD the functions of
wide networks in the NTK parameterization learn equally fast; with Adam they learn r^½ times as fast.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import mup
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.conv import _ConvNd

from netprops.errors import UsageError
from netprops.models.skeleton import skeletons

Parameterization = Literal["mup", "standard", "ntk"]
PARAMETERIZATIONS = ("mup", "standard", "ntk")
OPTIMIZERS = ("sgd", "adam", "adamw")


class Readout(mup.MuReadout):  # type: ignore[misc]
    """The linear layer that turns features into outputs: outputs = scale · weight · features + bias.

    The scale is a number of its own, so that a pass with other weights (``torch.func.functional_call``) needs
    no base shapes. Weights are drawn normal with variance 1/W, or are 0; biases are 0.

    Args:
        features: W, units that it reads.
        outputs: Number of outputs.
        bias: Whether it has a bias.
        output_multiplier: α, what the outputs (not the bias) are multiplied by, at every width; with α² times
            the loss's curvature divided out of the lr, large ones are the lazy regime of Chizat et al. 2019.
        zero_init: Whether weights start at 0, so that networks of all widths start as the same function.

    Attributes:
        scale: α, over r under µP.
    """

    scale: float

    def __init__(
        self,
        features: int,
        outputs: int,
        *,
        bias: bool = True,
        output_multiplier: float = 1.0,
        zero_init: bool = False,
    ) -> None:
        super().__init__(
            features, outputs, bias=bias, output_mult=output_multiplier, readout_zero_init=zero_init
        )
        self.scale = output_multiplier

    def reset_parameters(self) -> None:
        """Draw the weights anew, for the standard parameterization."""
        nn.init.normal_(self.weight, std=0.0 if self.readout_zero_init else self.in_features**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Return the outputs (..., C) of features (..., W)."""
        return functional.linear(self.scale * features, self.weight, self.bias)


class Parameterized(nn.Module):
    """A network with base shapes: copies of it and loaded weights learn as fast as the first ones.

    Attributes:
        parameterization: One of :data:`PARAMETERIZATIONS`.
        base_shapes: Base shape of each parameter, by its name; set by :func:`parameterize`.
        readout: Its last layer.
    """

    features_layer: ClassVar[str]
    readout_layer: ClassVar[str] = "readout"
    parameterization: Parameterization
    base_shapes: dict[str, tuple[int | None, ...]]
    readout: Readout

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        restore(self)

    @property
    def feature_width(self) -> int:
        """W, the number of units that the readout reads."""
        return self.readout.in_features  # type: ignore[no-any-return]

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load weights as ``nn.Module`` does; they have base shapes also where they are ``assign``-ed."""
        found = super().load_state_dict(state_dict, *args, **kwargs)
        restore(self)
        return found


def parameterize(
    network: Parameterized,
    name: str,
    parameterization: Parameterization,
    *,
    base: float,
    build: Callable[[float], nn.Module],
) -> None:
    """Give a freshly drawn network its base shapes; for µP, rescale its weights, once and for all.

    Args:
        network: Drawn for the standard parameterization; changed in place.
        name: Name of the architecture, for messages.
        parameterization: One of :data:`PARAMETERIZATIONS`.
        base: b, the width factor at which all three are one.
        build: Returns a network of the same architecture and another width factor, in the standard
            parameterization; it is called on the meta device.

    Raises:
        UsageError: If the parameterization is not known, no network of width b can be built, or the network
            has base shapes already: its weights would be rescaled twice.
    """
    check(name, parameterization, base)
    if hasattr(network, "base_shapes"):
        raise UsageError(f"{name}: the network has its base shapes; its weights would be rescaled twice")
    shapes: dict[str, tuple[int | None, ...]] = {
        key: (None,) * weight.dim() for key, weight in network.named_parameters()
    }
    if parameterization != "standard":
        try:
            with skeletons():
                found = mup.make_base_shapes(build(base), build(2 * base))
        except UsageError as error:
            raise UsageError(f"no base of width factor {base:g}: {error}") from error
        shapes = {key: tuple(shape.base_shape()) for key, shape in found.items()}
    network.parameterization, network.base_shapes = parameterization, shapes
    if parameterization == "mup":
        mup.set_base_shapes(network, _infinite_shapes(network))
        readout = network.readout
        readout.scale = readout.output_mult / readout.width_mult()
    else:
        restore(network)


def restore(network: nn.Module) -> None:
    """Give the parameters of a network, which may have been replaced, the network's base shapes again.

    Args:
        network: As :func:`parameterize` left it, with whatever weights; they stay as they are. As often as
            one likes.
    """
    assert isinstance(network, Parameterized)
    if network.parameterization != "ntk":
        mup.set_base_shapes(network, _infinite_shapes(network), rescale_params=False)
        return
    for parameter in network.parameters():
        parameter.fan_in_ratio = 1.0  # type: ignore[attr-defined]
    for path, module in network.named_modules():
        base = network.base_shapes.get(f"{path}.weight", ())
        if isinstance(module, nn.Linear | _ConvNd) and base[1]:
            module.weight.fan_in_ratio = module.weight.shape[1] / base[1]  # type: ignore[attr-defined]


def groups(
    parameters: list[nn.Parameter], *, optimizer: str, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Return parameters in groups that learn equally fast, for a ``torch.optim.Optimizer``.

    Args:
        parameters: With base shapes, all of one network.
        optimizer: One of :data:`OPTIMIZERS`.
        lr: The recipe's.
        weight_decay: The recipe's.

    Returns:
        For each group ``params``, ``lr``, ``weight_decay``, and ``scale``, its lr over the recipe's: three
        groups at most where all widths of a network are multiples of one.

    Raises:
        UsageError: If the optimizer is another one.
    """
    if optimizer not in OPTIMIZERS:
        raise UsageError(
            f"optimizer {optimizer!r} has no learning rates for a network with base shapes; choose one of "
            f"{', '.join(OPTIMIZERS)}"
        )
    if hasattr(parameters[0], "infshape"):
        split = mup.MuSGD if optimizer == "sgd" else mup.MuAdam
        found = split(parameters, impl=_as_they_are, lr=lr, weight_decay=weight_decay)
    else:
        found = _ntk_groups(parameters, optimizer, lr, weight_decay)
    return [{**group, "scale": group["lr"] / lr} for group in found if group["params"]]


def learning_scales(network: nn.Module, optimizer: str = "sgd") -> dict[str, float]:
    """Return the learning rate of each parameter relative to the recipe's, by its name.

    Args:
        network: Any; of one without base shapes, every parameter learns at the recipe's rate.
        optimizer: One of :data:`OPTIMIZERS`.
    """
    named = dict(network.named_parameters())
    if not isinstance(network, Parameterized):
        return dict.fromkeys(named, 1.0)
    found = groups(list(named.values()), optimizer=optimizer, lr=1.0, weight_decay=0.0)
    scale = {id(parameter): group["scale"] for group in found for parameter in group["params"]}
    return {name: scale[id(parameter)] for name, parameter in named.items()}


def check(name: str, parameterization: str, base: float) -> None:
    """Refuse a parameterization or a base that does not exist.

    Raises:
        UsageError: If the one is not known, or the other is not a positive number.
    """
    if parameterization not in PARAMETERIZATIONS:
        raise UsageError(
            f"{name}: parameterization is {parameterization!r}, expected one of "
            f"{', '.join(map(repr, PARAMETERIZATIONS))}"
        )
    if not isinstance(base, int | float) or not (math.isfinite(base) and base > 0):
        raise UsageError(
            f"{name}: base is {base!r}, expected the width factor at which all parameterizations are one"
        )


def whole(name: str, width: float, what: str, multiple: int = 1) -> int:
    """Return a width factor as the number of units or channels that it is.

    Args:
        name: Name of the architecture, for the message.
        width: The width factor.
        what: What is counted, for the message.
        multiple: What the number must be divisible by: heads.

    Raises:
        UsageError: If it is not a positive whole multiple of that.
    """
    if width < multiple or width % multiple:
        expected = f"a multiple of its {multiple} heads" if multiple > 1 else "a whole number of at least 1"
        raise UsageError(f"{name}: the width is {width:g} {what}, expected {expected}")
    return int(width)


def _infinite_shapes(network: Parameterized) -> dict[str, mup.InfShape]:
    return {key: mup.InfShape.from_base_shape(shape) for key, shape in network.base_shapes.items()}


def _as_they_are(found: list[dict[str, Any]], **recipe: Any) -> list[dict[str, Any]]:
    return found


def _ntk_groups(
    parameters: list[nn.Parameter], optimizer: str, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    by_ratio: dict[float, list[nn.Parameter]] = {}
    for parameter in parameters:
        by_ratio.setdefault(parameter.fan_in_ratio, []).append(parameter)  # type: ignore[attr-defined]
    return [
        {
            "params": alike,
            "lr": lr / (ratio if optimizer == "sgd" else math.sqrt(ratio)),
            "weight_decay": weight_decay * (math.sqrt(ratio) if optimizer == "adamw" else ratio),
        }
        for ratio, alike in by_ratio.items()
    ]
