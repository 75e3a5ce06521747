"""From the declaration of a planted family to its layers, which stand where trained networks stand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from netprops import planted
from netprops.content import nearest
from netprops.declaration import PlantedFamily, Spec
from netprops.errors import UsageError
from netprops.planted import Planted, Task


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class PlantedSubject(Planted):
    """A planted layer with the name that its declaration gives it.

    Args:
        spec: Which layer of which family.
    """

    spec: Spec

    epoch = 0
    snapshots = ()

    @property
    def family(self) -> str:
        """Id of the family, such as ``planted-clones``."""
        return self.spec.family.id

    def summary(self) -> dict[str, Any]:
        """Return what a record says of the layer, in JSON types."""
        family = self.spec.family
        assert isinstance(family, PlantedFamily)
        return {
            "id": self.id,
            "family": self.family,
            "architecture": f"planted: {family.layer}",
            "data": family.data,
            "scale": family.scale,
            "variant": None,
            "width": self.width,
            "factor": self.factor,
            "seed": self.seed,
            "recipe": {},
            "origin": {"how": "built, not trained", "layer": family.layer, **family.task, **family.kwargs},
            "train_error": self.error("train"),
            "test_error": self.error("test"),
            "history": [],
        }


def build(spec: Spec) -> PlantedSubject:
    """Return the layer of a spec of a planted family; the same object for the same spec.

    Raises:
        UsageError: If its family names a kind of layer that ``netprops.planted`` does not build.
    """
    return _built(spec, spec.family.model_dump_json())


@lru_cache(maxsize=64)
def _built(spec: Spec, _declared: str) -> PlantedSubject:
    """Two families of one id are two families: the declaration is part of what is remembered."""
    family = spec.family
    assert isinstance(family, PlantedFamily)
    kinds = [name for name in planted.__all__ if name.islower()]
    if family.layer not in kinds:
        raise UsageError(
            f"{family.id}: no planted layer is called {family.layer!r}{nearest(family.layer, kinds)}"
        )
    task = {"task": Task(**family.task)} if family.task else {}
    layer: Planted = getattr(planted, family.layer)(int(spec.width), seed=spec.seed, **task, **family.kwargs)
    return PlantedSubject(
        spec=spec,
        id=spec.id,
        width=layer.width,
        seed=layer.seed,
        readout=layer.readout,
        layers=layer.layers,
        answers=layer.answers,
        exponent=layer.exponent,
        truth=layer.truth,
    )
