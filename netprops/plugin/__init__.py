"""The pytest plugin: hooks that only delegate to the session of the property tests, and to the controller.

Words: as in ``session.py``. A run without property tests pays for the options and for looking at markers;
nothing else is imported.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from netprops.errors import NetpropsError
from netprops.plugin import options
from netprops.plugin.fixtures import family, subject, verdict
from netprops.plugin.session import ITEM, OUTCOME, SESSION, session_of

__all__ = ["family", "subject", "verdict"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    options.add(parser)


def pytest_load_initial_conftests(args: list[str]) -> None:
    """Refuse unknown options before anything else happens."""
    with options.refused():
        options.refuse_unknown(args)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker; check options and ini values."""
    config.addinivalue_line("markers", options.MARKER)
    with options.refused():
        options.check(config)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give an xdist worker its way back."""
    from netprops.plugin.controller import controller_of

    controller_of(node.config).greet(node)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test on its networks or families."""
    if metafunc.definition.get_closest_marker("netprops") is not None:
        session_of(metafunc.config).parametrize(metafunc)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take in what was collected, before anything is deselected."""
    if SESSION in config.stash:
        with config.stash[SESSION].refused(items):
            config.stash[SESSION].collected(items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Check, before anything trains, whether the selection can be run."""
    if SESSION in session.config.stash:
        properties = session.config.stash[SESSION]
        with properties.refused(session.items):
            properties.selected(session.items)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Say what is going to happen, and start the record."""
    if SESSION in session.config.stash and not session.testsfailed:
        with options.refused():
            session.config.stash[SESSION].begin()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Judge a property test's expectations when its body is done."""
    item = pyfuncitem.stash.get(ITEM, None)
    try:
        result = yield
    except NetpropsError as error:
        if item is None:
            raise
        item.verdict().give_up(item.situated(error))
    if item is not None and item.expectations is not None:
        item.expectations.conclude()
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Take in how a phase of a property test ended."""
    report = yield
    if ITEM in item.stash:
        item.stash[ITEM].phase(report, call)
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_report_teststatus(report: pytest.TestReport) -> tuple[str, str, str] | None:
    """Show a test that could not be measured as an ERROR, and an undecided one as INCONCLUSIVE."""
    outcome = getattr(report, OUTCOME, None)
    if report.when == "call" and outcome == "ERROR":
        return "error", "E", "ERROR"
    return ("skipped", "i", "INCONCLUSIVE") if outcome == "INCONCLUSIVE" else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave the process as it was; the controller has hooks of its own for what is written."""
    if SESSION in session.config.stash:
        session.config.stash[SESSION].finish()
