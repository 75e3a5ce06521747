"""The fixture ``family``: networks that are compared across widths have seen samples in one order."""

import pytest

from netprops.declaration import Family, Variant
from netprops.errors import UsageError
from netprops.plugin.family_under_test import FamilyUnderTest
from netprops.training.recipe import Recipe

RECIPE = Recipe(epochs=2, batch=50, optimizer="sgd", lr=0.05, loss="squared", online=True)
FAMILY = Family(
    name="mlp",
    architecture="mlp",
    data="gegenbauer:2:16",
    scale="mini",
    widths=(8, 16),
    seeds=2,
    recipe=RECIPE,
    source="none",
    variants={
        "offline": Variant(changes={"online": False}, widths=(8, 16), seeds=2, why="each seed its own order"),
        "shared": Variant(
            changes={"online": False, "order": "shared"}, widths=(8, 16), seeds=2, why="one order for all"
        ),
    },
)


def under_test(family):
    return FamilyUnderTest(family, list)


def test_online_networks_and_those_of_one_order_are_aligned():
    under_test(FAMILY).aligned()
    under_test(FAMILY).aligned("shared")


def test_orders_of_single_seeds_are_refused():
    with pytest.raises(UsageError, match="every seed has an order of its own; set order='shared'"):
        under_test(FAMILY).aligned("offline")


@pytest.mark.parametrize("change", [{"batch": 100}, {"epochs": 3}])
def test_orders_that_differ_between_widths_are_refused(change):
    family = Family(**{**FAMILY.model_dump(), "per_width": {16: change}})
    with pytest.raises(UsageError, match=f"networks have {next(iter(change))} .* would mean nothing"):
        under_test(family).aligned()


def test_a_variant_may_have_other_data():
    noisy = Variant(data="noisy-labels:0.5:digits", widths=(8,), seeds=1, why="noise")
    family = Family(**{**FAMILY.model_dump(), "variants": {"noisy": noisy}})
    assert family.spec(8, 0).data == "gegenbauer:2:16"
    assert family.spec(8, 0, "noisy").data == "noisy-labels:0.5:digits"
