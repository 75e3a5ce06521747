"""Declarations of model families: what a file in ``fixtures/`` says, and the networks that follow from it.

Words: a *family* is one architecture on one data set at one scale, over widths and seeds; a *variant*
changes its recipe (no weight decay); a *spec* names exactly one network; a *block* is the specs of one width
that train as one stacked computation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from netprops.errors import UsageError
from netprops.training.recipe import Frozen, Recipe

Scale = Literal["mini", "paper"]

BLOCK = 10
"""Seeds of a block at most: more are hardly faster, and two processes share two blocks."""


class Variant(Frozen):
    """A change of the family's recipe that a control needs.

    Args:
        changes: Fields of the recipe to replace.
        widths: Width factors that are trained in this variant.
        seeds: Number of seeds; the first ones of the family, so that networks can be paired.
        why: One sentence: which claim needs it.
        kwargs: Changes of the architecture's further arguments.
        parts: Number of disjoint parts of the training set: seed s trains on part s % parts of partition
            s // parts; 0 for the whole set.
        data: Another data set, with samples of the same shape and the same classes; empty for the family's.
    """

    changes: dict[str, Any] = Field(default_factory=dict)
    widths: tuple[float, ...]
    seeds: int = Field(ge=1)
    why: str
    kwargs: dict[str, Any] = Field(default_factory=dict)
    parts: int = Field(default=0, ge=0)
    data: str = ""


class Family(Frozen):
    """One architecture on one data set at one scale.

    Args:
        name: Name of the architecture's family, such as ``"fc5"``; the first part of every id.
        architecture: Name in the registry of ``netprops.models``.
        data: Name in the registry of ``netprops.data``.
        scale: ``"mini"`` or ``"paper"``.
        widths: Width factors, ascending, as the architecture counts them (n of WRN28-n, units of FC5).
        seeds: Number of seeds a width.
        widest_seeds: Seeds of the widest network, where it has more than the others; None for ``seeds``.
        copies: Seeds of single widths that have more than the others, where many narrow networks stand side
            by side as one.
        recipe: The recipe of every width.
        per_width: Changes of the recipe for single widths.
        variants: Named variants.
        kwargs: Further arguments of the architecture.
        stacked: Width factor up to which the seeds of one width train as one stacked computation; None for
            networks that train one by one.
        roles: What the family is for, such as ``("clones",)``: a marker's ``families`` may name a role
            instead of families, so that a family of the user's joins the claims of a suite.
        source: Where the recipe comes from.
        accuracy: Printed test accuracy in percent for each width factor, where a paper has a table.
    """

    name: str = Field(pattern=r"^[a-z0-9]+$")
    architecture: str
    data: str
    scale: Scale
    widths: tuple[float, ...] = Field(min_length=1)
    seeds: int = Field(ge=1)
    widest_seeds: int | None = None
    copies: dict[float, int] = Field(default_factory=dict)
    recipe: Recipe
    per_width: dict[float, dict[str, Any]] = Field(default_factory=dict)
    variants: dict[str, Variant] = Field(default_factory=dict)
    kwargs: dict[str, Any] = Field(default_factory=dict)
    stacked: float | None = None
    roles: tuple[str, ...] = ()
    source: str
    accuracy: dict[float, float] = Field(default_factory=dict)

    planted: ClassVar[bool] = False
    """Whether its networks are layers that are built with a known truth, instead of trained."""

    imported: ClassVar[bool] = False
    """Whether its networks are a user's own, loaded instead of trained."""

    @model_validator(mode="after")
    def _stackable(self) -> Family:
        """Refuse recipes that cannot be trained as one stack at the widths that shall be."""
        for variant in (None, *self.variants):
            widths = self.widths if variant is None else self.variants[variant].widths
            for width in widths if self.stacked is not None else ():
                alone = self.recipe_for(width, variant).alone
                if width <= (self.stacked or 0) and alone:
                    raise ValueError(
                        f"{self.id}: stacked={self.stacked:g} takes in width {width:g}, whose recipe has "
                        f"{alone}; networks that train together cannot have it"
                    )
        return self

    @property
    def id(self) -> str:
        """The family's id, such as ``wrn28-digits``; the scale is not part of it."""
        return f"{self.name}-{self.data}"

    def recipe_for(self, width: float, variant: str | None = None) -> Recipe:
        """Return the recipe of one width in one variant."""
        changes = dict(self.per_width.get(width, {}))
        if variant is not None:
            changes |= self.variant(variant).changes
        return self.recipe.changed(**changes)

    def variant(self, name: str) -> Variant:
        """Return a variant by name.

        Raises:
            UsageError: If the family has no such variant.
        """
        if name not in self.variants:
            raise UsageError(f"{self.id} has no variant {name!r}; it has {sorted(self.variants)}")
        return self.variants[name]

    def seeds_at(self, width: float) -> int:
        """Return how many seeds the plain family trains at one width."""
        if width in self.copies:
            return self.copies[width]
        return self.widest_seeds or self.seeds if width == self.widths[-1] else self.seeds

    def spec(self, width: float, seed: int, variant: str | None = None) -> Spec:
        """Return the spec of one network of the family."""
        return Spec(family=self, width=width, seed=seed, variant=variant)

    def specs(self, variant: str | None = None) -> tuple[Spec, ...]:
        """Return every network of the plain family or of one variant, narrow first, then by seed."""
        if variant is None:
            return tuple(self.spec(w, s) for w in self.widths for s in range(self.seeds_at(w)))
        chosen = self.variant(variant)
        return tuple(self.spec(w, s, variant) for w in chosen.widths for s in range(chosen.seeds))

    def all_specs(self) -> Iterator[Spec]:
        """Yield every network that the family declares, variants included."""
        yield from self.specs()
        for variant in self.variants:
            yield from self.specs(variant)


class PlantedFamily(Family):
    """Layers that are built instead of trained, so that the truth is known: controls of every claim.

    Args:
        data: Name of the family of layers; the second part of every id, as in ``planted-clones-w256-s0``.
        layer: Name of the function of ``netprops.planted`` that builds them.
        task: Arguments of :class:`netprops.planted.Task`, where the function takes a task.
        kwargs: Further arguments of the function.
    """

    planted: ClassVar[bool] = True
    name: str = "planted"
    architecture: str = "planted"
    layer: str
    task: dict[str, Any] = Field(default_factory=dict)
    recipe: Recipe = Recipe(epochs=1, batch=1, optimizer="sgd", lr=1.0)
    source: str = "layers of which the truth is known"


@dataclass(frozen=True, eq=False)
class Spec:
    """Exactly one network: a family, a width factor, a seed and perhaps a variant."""

    family: Family
    width: float
    seed: int
    variant: str | None = None

    @cached_property
    def id(self) -> str:
        """The network's id: ASCII, greppable, such as ``wrn28-digits-nodecay-w4-s0``."""
        middle = f"-{self.variant}" if self.variant else ""
        return f"{self.family.id}{middle}-w{self.width:g}-s{self.seed}"

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe that this network is trained by."""
        return self.family.recipe_for(self.width, self.variant)

    @property
    def data(self) -> str:
        """Name of the data set that it is trained and tested on."""
        changed = self.family.variant(self.variant).data if self.variant else ""
        return changed or self.family.data

    @property
    def together(self) -> tuple[int, ...]:
        """Seeds of its block; its own alone where it trains by itself.

        They follow from the declaration, never from what happens to be missing: members of a stack share
        their last bits.
        """
        if self.family.stacked is None or self.width > self.family.stacked:
            return (self.seed,)
        if self.variant is None:
            declared = self.family.seeds_at(self.width)
        else:
            declared = self.family.variant(self.variant).seeds
        first = self.seed - self.seed % BLOCK
        block = tuple(range(first, min(first + BLOCK, declared)))
        return block if self.seed in block else (self.seed,)

    @property
    def block(self) -> tuple[Spec, ...]:
        """The specs that are trained with this one, itself among them, by seed."""
        return tuple(self.family.spec(self.width, seed, self.variant) for seed in self.together)

    @property
    def part(self) -> tuple[int, int, int] | None:
        """Index, number of parts and partition that it trains on; None for the whole training set."""
        parts = self.family.variant(self.variant).parts if self.variant else 0
        return (self.seed % parts, parts, self.seed // parts) if parts else None

    @property
    def kwargs(self) -> dict[str, Any]:
        """Further arguments of the architecture."""
        changes = self.family.variant(self.variant).kwargs if self.variant else {}
        return {**self.family.kwargs, **changes}

    def fingerprint(self) -> Mapping[str, Any]:
        """Return what decides the weights, apart from data digest, code and library versions and device.

        Of the recipe, only what differs from the defaults: a field that recipes gain later, with a default
        that does what was done before, leaves the keys of older networks as they are.
        """
        return {
            "architecture": self.family.architecture,
            "kwargs": self.kwargs,
            "width": float(self.width),
            "seed": self.seed,
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True),
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Spec) and (self.id, self.family.scale) == (other.id, other.family.scale)

    def __hash__(self) -> int:
        return hash((self.id, self.family.scale))
