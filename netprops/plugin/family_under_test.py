"""The fixture ``family``: all networks of one family, trained when a test first asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from netprops.errors import MeasurementError, UsageError
from netprops.plugin.selection import widest

if TYPE_CHECKING:
    from netprops.declaration import Family, Spec
    from netprops.ensemble import Concatenation, Ensemble
    from netprops.models.counting import Equal
    from netprops.subject import Subject


class FamilyUnderTest:
    """One family under test.

    Args:
        declaration: The family as its fixture declares it.
        hand: Trains what is missing of some networks and returns all of them, in order.
    """

    def __init__(self, declaration: Family, hand: Callable[[Sequence[Spec]], list[Subject]]) -> None:
        self.declaration = declaration
        self._train_or_find = hand
        self._handed: dict[tuple[Spec, ...], list[Subject]] = {}

    @property
    def id(self) -> str:
        """The family's id, such as ``fc5-pdigits``."""
        return self.declaration.id

    @property
    def widths(self) -> tuple[float, ...]:
        """The width factors, ascending."""
        return self.declaration.widths

    def subjects(self, width: float | None = None, variant: str | None = None) -> list[Subject]:
        """Return the networks, narrow first, then by seed.

        Args:
            width: Only those of this width factor; None for all.
            variant: Those of a variant; None for the plain family.

        Raises:
            UsageError: If the family has no such variant or width.
        """
        return self._hand(self._specs(width, variant))

    def widest(self, variant: str | None = None) -> list[Subject]:
        """Return all seeds of the widest network, of the plain family or of a variant."""
        return self._hand(widest(self.declaration, variant))

    def ensemble(self, width: float | None = None, variant: str | None = None) -> Ensemble:
        """Return the ensemble of all seeds of one width factor; None for the widest.

        Raises:
            MeasurementError: If there is only one.
            UsageError: If the family has no such variant or width.
        """
        from netprops.ensemble import Ensemble

        if width is None:
            return Ensemble(self.widest(variant))
        return Ensemble(self.subjects(width, variant))

    def concatenations(self, width: float, by: Equal) -> list[Concatenation]:
        """Return narrow networks side by side, as many as match one of the widest.

        Args:
            width: Width factor of the narrow ones.
            by: In what they match it: ``"features"`` (n_1) or ``"parameters"`` (n_2).

        Returns:
            As many disjoint concatenations as the seeds give, at least one.

        Raises:
            MeasurementError: If the family has too few seeds of this width for one.
            UsageError: If the family has no such width.
        """
        from netprops.ensemble import Concatenation
        from netprops.models.counting import networks_of_equal_size

        networks, wide = self.subjects(width), self.declaration.widths[-1]
        if self.declaration.imported:
            large, small = (_size(one, by) for one in (self.widest()[0], networks[0]))
            size = -(-large // small)
        else:
            size = networks_of_equal_size(
                self.declaration.architecture,
                wide,
                width,
                inputs=networks[0].dataset.input_shape,
                outputs=networks[0].dataset.outputs,
                by=by,
                **self.declaration.kwargs,
            )
        starts = range(0, len(networks) - size + 1, size)
        if not starts:
            raise MeasurementError(
                f"{self.id}: {size} networks of width {width:g} have as many {by} as one of {wide:g}, but "
                f"the family has {len(networks)}; raise its copies at this width"
            )
        return [Concatenation(networks[first : first + size]) for first in starts]

    def across(self, least: int = 2) -> tuple[float, ...]:
        """Return the width factors, for a claim that compares them.

        Args:
            least: Widths that the comparison needs.

        Raises:
            UsageError: If the family has fewer.
        """
        if len(self.widths) < least:
            raise UsageError(
                f"{self.id} has widths {[f'{w:g}' for w in self.widths]} only, and "
                f"a comparison across widths needs at least {least}; declare more widths in its fixture"
            )
        return self.widths

    def aligned(self, variant: str | None = None) -> None:
        """Refuse networks that did not see the same samples in the same order at every width.

        Args:
            variant: Of a variant; None for the plain family.

        Raises:
            UsageError: If their recipes differ in what decides the order, or seeds have orders of their own.
        """
        specs = self._specs(None, variant)
        for name in ("epochs", "batch", "online", "order", "augmentation", "validation", "drop_last"):
            found = {str(getattr(spec.recipe, name)) for spec in specs}
            if len(found) > 1:
                raise UsageError(
                    f"{self.id}: networks have {name} {' and '.join(sorted(found))}, so that they do not see "
                    "the same samples in the same order, and a comparison across widths would mean nothing"
                )
        recipe = specs[0].recipe
        if not recipe.online and recipe.order == "seed":
            raise UsageError(
                f"{self.id}: every seed has an order of its own; set order='shared' in its recipe, so that "
                "networks differ in their first weights alone"
            )

    def pairs(self, variant: str, width: float | None = None) -> list[tuple[Subject, Subject]]:
        """Return pairs of a plain network and its variant, of equal width and seed.

        Args:
            variant: The variant's name.
            width: Only pairs of this width factor; None for all.

        Raises:
            UsageError: If the family has no such variant or width.
        """
        changed = self._specs(width, variant)
        both = self._hand([*(self.declaration.spec(one.width, one.seed) for one in changed), *changed])
        return list(zip(both[: len(changed)], both[len(changed) :], strict=True))

    def _hand(self, specs: Sequence[Spec]) -> list[Subject]:
        """Return networks; what a test asks for again was looked up and checked a moment ago."""
        wanted = tuple(specs)
        if wanted not in self._handed:
            self._handed[wanted] = self._train_or_find(wanted)
        return list(self._handed[wanted])

    def _specs(self, width: float | None, variant: str | None) -> list[Spec]:
        specs = [one for one in self.declaration.specs(variant) if width in (None, one.width)]
        if not specs:
            known = sorted({one.width for one in self.declaration.specs(variant)})
            raise UsageError(f"{self.id} has no networks of width {width:g}; it has widths {known}")
        return specs


def _size(network: Subject, by: Equal) -> int:
    """Return how many features or parameters a network has."""
    return network.width if by == "features" else int(network.entry.manifest["parameters"])
