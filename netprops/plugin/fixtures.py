"""The fixtures of property tests: ``subject``, ``family``, ``verdict``; a test's own hide them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from netprops.plugin.session import ITEM

if TYPE_CHECKING:
    from netprops.plugin.expectations import Expectations
    from netprops.plugin.family_under_test import FamilyUnderTest
    from netprops.plugin.item import PropertyItem
    from netprops.subject import Subject


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    """One trained network, the widest of its family; needs @pytest.mark.netprops(on="widest")."""
    return _item(request, "subject", "widest").subject()


@pytest.fixture
def family(request: pytest.FixtureRequest) -> FamilyUnderTest:
    """One family of trained networks; needs @pytest.mark.netprops(on="family")."""
    return _item(request, "family", "family").family()


@pytest.fixture
def verdict(request: pytest.FixtureRequest) -> Expectations:
    """Takes a property test's expectations, figures and notes; needs @pytest.mark.netprops(...)."""
    return _item(request, "verdict", None).verdict()


def _item(request: pytest.FixtureRequest, name: str, on: str | None) -> PropertyItem:
    """Return the property test that asks for a fixture."""
    item: PropertyItem | None = request.node.stash.get(ITEM, None)
    if item is None or (on is not None and item.wanted.on != on):
        pytest.fail(
            f"netprops' fixture {name!r} is for tests marked @pytest.mark.netprops(on={on or '...'!r}); "
            f"{request.node.name} is not, and has no fixture {name!r} of its own",
            pytrace=False,
        )
    return item
