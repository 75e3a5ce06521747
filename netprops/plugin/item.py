"""One collected property test: its target, its place in the record, and what it came to.

Words: a *phase* is setup, call or teardown of a test; the *payload* is what the record gets of one test, as
one JSON text, which travels from an xdist worker to the controller among the last report's user properties.
"""

from __future__ import annotations

import inspect
import json
import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pytest

from netprops.content import content, from_wheel
from netprops.errors import MeasurementError, MissingDataError, NetpropsError
from netprops.plugin.controller import PAYLOAD
from netprops.plugin.expectations import Expectations, VerdictFailure
from netprops.plugin.family_under_test import FamilyUnderTest
from netprops.plugin.selection import ExpectedFailure, Wanted
from netprops.plugin.session import OUTCOME

if TYPE_CHECKING:
    from netprops.declaration import Family, Spec
    from netprops.plugin.session import PropertySession
    from netprops.subject import Subject

_EXPRESSION = re.compile(r"[\w:+\-.\[\]/]+")  # what pytest's -k takes for one name


# Options that decide which networks are tested, and on what.
_REPEATED = (
    "data-root", "fixtures", "model", "model-kwargs", "checkpoint", "checkpoint-key", "data", "samples",
    "layer", "readout", "models",
)  # fmt: skip


class PropertyItem:
    """A property test that was collected.

    Args:
        item: pytest's item.
        wanted: What its marker asks for.
        target: The network or family that it is about.
        session: The session it belongs to.
    """

    def __init__(
        self, item: pytest.Function, wanted: Wanted, target: Spec | Family, session: PropertySession
    ) -> None:
        self.item, self.wanted, self.target, self._session = item, wanted, target, session
        self.specs = wanted.specs(target)
        self.expectations: Expectations | None = None
        self.expected_failure: ExpectedFailure | None = None
        self._handed: dict[str, dict[str, Any]] = {}
        self._outcome, self._reason, self._seconds = "PASS", "", 0.0
        self._layer = ""

    @property
    def declaration(self) -> Family:
        """The family that the test is about, or to which its network belongs."""
        return self.specs[0].family

    @property
    def function(self) -> str:
        """Name of the test function, with its classes, without parameters."""
        classes = [node.name for node in self.item.listchain() if isinstance(node, pytest.Class)]
        return "::".join([*classes, self.item.originalname])

    def expect_failure(self, entry: ExpectedFailure) -> None:
        """Mark the test as a strict expected failure: only a verdict may make it fail, and it must."""
        self.expected_failure = entry
        reason = f"{entry.reason} (measured: {entry.measured})"
        self.item.add_marker(pytest.mark.xfail(raises=VerdictFailure, strict=True, reason=reason))

    def subject(self) -> Subject:
        """Return the network under test, trained if it is not yet there."""
        self._skip_without_data()
        return self._hand(self.specs)[0]

    def family(self) -> FamilyUnderTest:
        """Return the family under test."""
        self._skip_without_data()
        return FamilyUnderTest(self.declaration, self._hand)

    def verdict(self) -> Expectations:
        """Return the object that takes the test's expectations; one for the whole test."""
        if self.expectations is None:
            session = self._session
            self.expectations = Expectations(self.target.id, session.share, strict=session.options.strict)
        return self.expectations

    def _skip_without_data(self) -> None:
        missing = self._session.missing(self.declaration)
        if missing:
            pytest.skip(missing)

    def _hand(self, specs: Sequence[Spec]) -> list[Subject]:
        try:
            subjects = self._session.subjects(specs)
        except MissingDataError as error:
            pytest.skip(str(error))
        for one in subjects:
            self._handed.setdefault(one.id, self._session.summary_once(one))
            self._layer = one.features_layer
        return subjects

    def situated(self, error: NetpropsError) -> NetpropsError:
        """Return the error of a measurement with network or family and layer, where it does not name them."""
        if not isinstance(error, MeasurementError) or not self._layer or self._layer in str(error):
            return error
        return type(error)(f"{self.target.id}, layer {self._layer}: {error}")

    def phase(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
        """Take in how one phase ended; after the last one, put the payload into the report.

        A call that ended by anything but a verdict, an assertion or a skip is an ERROR, and is shown as one.
        """
        self._seconds += report.duration
        outcome, reason = self._came_to(report, call)
        if report.when == "call" or outcome not in ("PASS", "XFAIL"):
            self._outcome, self._reason = outcome, reason
        # An attribute survives the way from a worker; pytest_report_teststatus reads it there.
        setattr(report, OUTCOME, outcome)
        if report.when == "teardown":
            report.user_properties.append((PAYLOAD, self._payload()))

    def _came_to(self, report: pytest.TestReport, call: pytest.CallInfo[None]) -> tuple[str, str]:
        """Return the outcome of one phase and its reason."""
        raised = call.excinfo.value if call.excinfo else None
        if hasattr(report, "wasxfail"):
            reason = str(report.wasxfail)
            return ("XFAIL" if report.skipped else "XPASS"), reason
        if report.passed:
            return "PASS", ""
        if report.skipped:
            undecided = self.expectations is not None and self.expectations.inconclusive
            return ("INCONCLUSIVE" if undecided else "SKIPPED"), str(raised)
        if raised is None:
            return "XPASS", str(report.longrepr)
        if report.when == "call" and _is_judgement(raised):
            return "FAIL", str(raised).partition("\n")[0]
        return "ERROR", f"{type(raised).__name__}: {raised}"

    def skeleton(self) -> dict[str, Any]:
        """Return what the record says of the test before it has run."""
        from netprops.declaration import Family

        one_network = not isinstance(self.target, Family)
        claim, _, explanation = (inspect.getdoc(self.item.function) or "").strip().partition("\n\n")
        readable = self.item.originalname.removeprefix("test_").replace("_", " ")
        file, content_file = self._file()
        qualified = "::".join([*self.function.split("::")[:-1], self.item.name])
        xfail = self.expected_failure
        return {
            "id": f"{file}::{qualified}",
            "suite": self.item.path.parent.name,
            "file": file,
            "name": self.item.originalname,
            "claim": " ".join(claim.split()) or readable,
            "explanation": explanation.strip(),
            "family": self.declaration.id,
            "subjects": [self.target.id] if one_network else [],
            "xfail": f"{xfail.reason} (measured: {xfail.measured})" if xfail else "",
            "reproduce": self._reproduce(file, content_file, qualified),
        }

    def _file(self) -> tuple[str, str | None]:
        """Return the file's name in ids, and its name in the shipped suites, if it is one of them.

        A shipped file is called ``suites/...`` whether it lies in a checkout or in a wheel.
        """
        path, shipped = self.item.path.resolve(), content("suites")
        if path.is_relative_to(shipped):
            inside = path.relative_to(shipped).as_posix()
            return f"suites/{inside}", inside
        root = self.item.config.rootpath.resolve()
        return (path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name), None

    def _reproduce(self, file: str, content_file: str | None, qualified: str) -> str:
        """Return the one command that runs this test alone, with this run's share where that decided."""
        options = self._session.options
        in_wheel = content_file is not None and from_wheel()
        command = f"netprops run {content_file}" if in_wheel else f"pytest {file}"
        if _EXPRESSION.fullmatch(self.item.name):
            command += f' -k "{self.item.name}"'
        elif not in_wheel:
            command = f'pytest "{file}::{qualified}"'
        if options.scale != "mini":
            command += f" --netprops-scale {options.scale}"
        for name in _REPEATED:
            given = self.item.config.getoption(f"netprops_{name.replace('-', '_')}") or ()
            for value in [given] if isinstance(given, str) else given:
                command += f" --netprops-{name} {shlex.quote(value)}"
        if options.strict:
            command += " --netprops-strict"
        if self._outcome in ("FAIL", "INCONCLUSIVE", "XFAIL") and self._session.share != 0.01:
            command += f" --netprops-alpha {self._session.share:.6g}"
        return command

    def _payload(self) -> str:
        """Return the test's record, and the summaries of networks first seen by it, as one JSON text."""
        said: dict[str, Any] = self.expectations.to_json() if self.expectations else {}
        test = {
            **self.skeleton(),
            **said,
            "outcome": self._outcome,
            "reason": self._reason,
            "seconds": round(self._seconds, 3),
        }
        if self._handed:
            test["subjects"] = list(self._handed)
        summaries = [summary for summary in self._handed.values() if summary]
        return json.dumps({"test": test, "subjects": summaries}, default=_plain)


def _is_judgement(raised: BaseException) -> bool:
    """Return whether an exception says that a claim does not hold, rather than that something broke."""
    if isinstance(raised, BaseExceptionGroup):
        return all(_is_judgement(one) for one in raised.exceptions)
    return isinstance(raised, (AssertionError, pytest.fail.Exception))


def _plain(value: Any) -> Any:
    """Return a numpy number as Python's own."""
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be written to the record: {value!r}")
