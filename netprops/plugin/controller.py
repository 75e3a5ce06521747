"""The one process of a run that writes: a record while tests run, tables and a report at the end.

Words: as in ``session.py``. The controller is a pytest plugin of its own, registered only where property
tests or xdist workers are; its hooks are the methods named ``pytest_...``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netprops.plugin import options as settings
from netprops.plugin.aftermath import Aftermath
from netprops.plugin.mailbox import Mailbox, Watch
from netprops.plugin.progress import Screen
from netprops.plugin.recorder import Recorder

if TYPE_CHECKING:
    from netprops.records import Record

MAILBOX = "netprops_mailbox"  # key of what a controller tells its workers
PROBLEM = "netprops_problem"  # key of what a worker tells last
PAYLOAD = "netprops_payload"  # name of the user property that carries a test's record

_CONTROLLER: pytest.StashKey[Controller] = pytest.StashKey()


def controller_of(config: pytest.Config) -> Controller:
    """Return the controller of this process; the first call makes it."""
    if _CONTROLLER not in config.stash:
        config.stash[_CONTROLLER] = Controller(config)
        config.pluginmanager.register(config.stash[_CONTROLLER], "netprops-controller")
    return config.stash[_CONTROLLER]


class Controller:
    """Writes the record of a run.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._screen = Screen(config)
        self._recorder: Recorder | None = None
        self._skeletons: dict[str, dict[str, Any]] = {}
        self._problem: str | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._mailbox: Mailbox | None = None
        self._watch: Watch | None = None

    @property
    def record(self) -> Record | None:
        """The run's record, once the run is over."""
        return self._recorder.record if self._recorder is not None else None

    def open(self, plan: dict[str, Any], options: settings.Options) -> None:
        """Say what is going to happen and start the record.

        Args:
            plan: What :meth:`netprops.plugin.session.PropertySession.announcement` returned.
            options: The run's options.

        Raises:
            UsageError: If the report's folder cannot be used.
        """
        for line in plan["header"].splitlines():
            self._screen.line(line)
        self._skeletons = plan["skeletons"]
        aftermath = Aftermath(options)
        for line in aftermath.warnings():
            self._screen.line(f"netprops: {line}")
        self._recorder = Recorder(plan["head"], None if options.no_report else options.report, aftermath)

    def greet(self, node: Any) -> None:
        """Tell a worker of xdist, before it starts, where the mailbox is."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="netprops-")
            self._mailbox = Mailbox(Path(self._temporary.name))
        node.workerinput[MAILBOX] = self._temporary.name

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self) -> None:
        """Start the record under xdist, once a worker has said what is going to happen."""
        plan = self._mailbox.plan() if self._mailbox is not None and self._recorder is None else None
        if plan is None or self._mailbox is None:
            return
        with settings.refused():
            self.open(plan, settings.resolve(self._config))
        self._watch = Watch(self._mailbox, self._screen.line)
        self._watch.start()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Hear what a worker said last."""
        output = getattr(node, "workeroutput", None) or {}
        self._problem = output.get(PROBLEM) or self._problem

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Record a finished test; what is left in its properties is short enough for a JUnit file."""
        if self._recorder is None:
            return
        if str(report.when) == "???" and report.nodeid in self._skeletons:  # xdist's word for a dead worker
            self._recorder.crashed(self._skeletons[report.nodeid], str(report.longrepr))
        payload = [str(value) for name, value in report.user_properties if name == PAYLOAD]
        if payload:
            test = self._recorder.add(payload[0])
            report.user_properties = [
                *((name, value) for name, value in report.user_properties if name != PAYLOAD),
                ("netprops", test.outcome),
                *((one.measurement.name, one.sentence) for one in test.expectations),
            ]

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write record and report; a failure that only the whole budget sees fails the run."""
        if self._watch is not None:
            self._watch.stop()
        if self._temporary is not None:
            self._temporary.cleanup()
        if self._problem:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        if self._recorder is None:
            return
        tests = self._recorder.finish().tests
        promoted = any(test.outcome == "FAIL" and one.promoted for test in tests for one in test.expectations)
        failed = promoted or self._recorder.problem or self._recorder.aftermath.failed
        if failed and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Show the tables."""
        if self._problem:
            terminalreporter.write_line(f"ERROR: {self._problem}", red=True)
        if self._recorder is not None:
            from netprops.plugin.terminal import summarize

            summarize(terminalreporter, self._recorder)
