"""Planted families give layers that stand where trained networks stand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from netprops.content import families
from netprops.declaration import PlantedFamily
from netprops.errors import UsageError
from netprops.planting import build

SHIPPED = [one for one in families("mini") if one.planted]


def declared(**changes):
    facts = {"data": "clones", "layer": "clones", "scale": "mini", "widths": (16, 32), "seeds": 1}
    return PlantedFamily(**(facts | changes))


@pytest.mark.parametrize("family", [pytest.param(one, id=one.id) for one in SHIPPED])
def test_every_shipped_layer_is_built_under_its_own_id(family):
    spec = family.spec(family.widths[0], 0)
    layer = build(spec)
    assert layer.id == spec.id
    assert layer.family == family.id
    assert layer.width == family.widths[0]
    assert layer.features("test").shape == (len(layer.labels("test")), layer.width)
    assert json.loads(json.dumps(layer.summary()))["origin"]["how"] == "built, not trained"


def test_both_scales_have_the_same_layers():
    of_scale = [{one.id: one for one in families(scale) if one.planted} for scale in ("mini", "paper")]
    assert of_scale[0].keys() == of_scale[1].keys()
    for name, family in of_scale[0].items():
        assert family.model_copy(update={"scale": "paper"}) == of_scale[1][name]


def test_a_spec_gives_the_same_layer_again_and_a_seed_another_one():
    family = declared(seeds=2)
    first, again, other = (build(family.spec(32, seed)) for seed in (0, 0, 1))
    assert first is again
    assert not np.array_equal(first.features("test"), other.features("test"))


def test_the_task_and_further_arguments_are_passed_on():
    layer = build(declared(task={"n_test": 50, "outputs": 3}, kwargs={"noise": 0.01}).spec(32, 0))
    assert layer.logits("test").shape == (50, 3)


def test_an_unknown_layer_is_refused_with_the_nearest_name():
    with pytest.raises(UsageError, match="no planted layer is called 'clone'; did you mean 'clones'"):
        build(declared(layer="clone").spec(32, 0))
