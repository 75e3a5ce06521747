"""Several networks of one shape as one subject: their features side by side, or their logits summed.

Words: a *member* is one network of a concatenation or an ensemble; N samples, W units of a member's last
hidden representation, M members, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError
from netprops.subject import Readout, error_share, generator

if TYPE_CHECKING:
    from netprops.data import Dataset
    from netprops.subject import SplitName, Subject


class Concatenation:
    """The features of several networks side by side, as one layer of M W units without a readout.

    Every member is in the cache under its own key; the concatenation itself is nowhere.

    Args:
        members: Networks that differ in nothing but their seed.

    Raises:
        MeasurementError: If there is none, or they differ in family, variant, width or epoch.

    Source:
        "How does overparameterization affect features?", definition 2.4.
    """

    def __init__(self, members: Sequence[Subject]) -> None:
        self.members = tuple(members)
        kinds = {(one.family, one.variant, one.factor, one.epoch) for one in self.members}
        if len(kinds) != 1:
            raise MeasurementError(
                f"{type(self).__name__.lower()}: expected networks that differ in nothing but their seed, "
                f"got {', '.join(one.id for one in self.members) or 'none'}"
            )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id}>"

    @property
    def id(self) -> str:
        """The members' common id with their number and first seed, such as ``smallcnn-digits-w8-x4-s0``."""
        common, _, seed = self.members[0].id.rpartition("-s")
        return f"{common}-x{len(self.members)}-s{seed}"

    @property
    def family(self) -> str:
        """Id of the family."""
        return self.members[0].family

    @property
    def variant(self) -> str | None:
        """Name of the recipe's variant, or None for the plain one."""
        return self.members[0].variant

    @property
    def factor(self) -> float:
        """The width factor of a member."""
        return self.members[0].factor

    @property
    def width(self) -> int:
        """M W, units of all last hidden representations."""
        return sum(one.width for one in self.members)

    @property
    def dataset(self) -> Dataset:
        """The data that the members were trained and are tested on."""
        return self.members[0].dataset

    def blocks(self, split: SplitName) -> list[NDArray[np.float32]]:
        """Return every member's features, M arrays (N, W) float32, memory-mapped."""
        return [one.features(split) for one in self.members]

    def features(self, split: SplitName) -> NDArray[np.float32]:
        """Return the members' features side by side, (N, M W) float32."""
        return np.concatenate(self.blocks(split), axis=1)

    def labels(self, split: SplitName) -> NDArray[Any]:
        """Return the labels (N,) of a split."""
        return self.members[0].labels(split)

    def at(self, epoch: int) -> Self:
        """Return the same of the members' snapshots after an epoch.

        Raises:
            UsageError: If a member keeps no weights of that epoch.
        """
        return type(self)([one.at(epoch) for one in self.members])

    def rng(self, purpose: str) -> np.random.Generator:
        """Return a generator for one purpose: the same for the same id, whoever asks and when."""
        return generator(self.id, purpose)


class Ensemble(Concatenation):
    """The sum of the logits of several networks: a wide network whose last layer is theirs, side by side.

    It answers what a :class:`netprops.subject.Subject` answers about its last layer.

    Args:
        members: At least two networks that differ in nothing but their seed.

    Raises:
        MeasurementError: If there are fewer than two, or they differ in family, variant, width or epoch.

    Source:
        Doimo et al. 2022, section 2.3: the error of an infinitely wide network by an ensemble of the widest.
    """

    def __init__(self, members: Sequence[Subject]) -> None:
        if len(members) < 2:
            one = f" ({members[0].id})" if members else ""
            raise MeasurementError(
                f"an ensemble needs at least two networks, got {len(members)}{one}; give the family "
                "more seeds at this width"
            )
        super().__init__(members)

    @property
    def id(self) -> str:
        """The members' common id with their number, such as ``wrn28-digits-w2-x4``."""
        return f"{self.members[0].id.rpartition('-s')[0]}-x{len(self.members)}"

    @cached_property
    def readout(self) -> Readout:
        """(C, M W) weights side by side, and the (C,) sum of the biases."""
        parts = [one.readout for one in self.members]
        return Readout(
            np.concatenate([part.weight for part in parts], axis=1),
            np.sum([part.bias for part in parts], axis=0),
        )

    def logits(self, split: SplitName) -> NDArray[np.float32]:
        """Return the sum of the members' logits, (N, C) float32."""
        return np.sum([one.logits(split) for one in self.members], axis=0)  # type: ignore[no-any-return]

    def error(self, split: SplitName) -> float:
        """Return the share of a split that the sum answers wrongly."""
        return error_share(self.logits(split), self.labels(split))
