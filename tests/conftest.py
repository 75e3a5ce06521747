"""Fixtures of all tests of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import Scheduling

    from netprops.cache import Cache
    from netprops.zoo import Zoo

pytest_plugins = "pytester"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Scheduling | None:
    """Give each worker a run of neighbouring tests; one that is done takes over what is left of another.

    Neighbours stay together, so that what a file's tests share is made once and not on every worker.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture
def cache(tmp_path) -> Cache:
    """An empty cache."""
    from netprops.cache import Cache

    return Cache(tmp_path / "cache")


@pytest.fixture
def zoo(cache) -> Zoo:
    """A zoo on that cache, without companions."""
    from netprops.zoo import Zoo

    return Zoo(cache, device="cpu")


@pytest.fixture
def trainings(monkeypatch) -> list[str]:
    """The labels of the trainings that begin in this process."""
    from netprops.training import loop, stacked

    labels = []

    def noting(train):
        def noted(*arguments, **keywords):
            labels.append(keywords["label"])
            return train(*arguments, **keywords)

        return noted

    monkeypatch.setattr(loop, "train", noting(loop.train))
    monkeypatch.setattr(stacked, "train_together", noting(stacked.train_together))
    return labels
