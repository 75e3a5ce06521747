"""``check(model, data)``: the property tests of a suite on a module that is already in memory.

Words: a *verdict* is one expectation of one test: a measurement held against a bound.
"""

from __future__ import annotations

import contextlib
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from netprops.content import nearest, suites
from netprops.errors import UsageError
from netprops.plugin.imports import HANDOVER

if TYPE_CHECKING:
    from netprops.records import Record

_COLUMNS = ("test", "property", "value", "low", "high", "bound", "verdict")


@dataclass(frozen=True)
class VerdictRow:
    """One expectation of one test, or a test that came to none.

    Args:
        test: Name of the test.
        property: What was measured, or why nothing was.
        value: The measured value; None where there is none.
        low: Lower end of its interval.
        high: Upper end.
        bound: What was expected.
        verdict: PASS, FAIL, INCONCLUSIVE, ERROR or SKIPPED.
    """

    test: str
    property: str
    value: float | None
    low: float | None
    high: float | None
    bound: str
    verdict: str


@dataclass(frozen=True)
class Checked:
    """What the tests found about one network.

    Args:
        record: The run's record, as ``run.json`` would hold it.
        left_out: One sentence for each thing that the network or its data lack, with the tests that need it.
        output: What pytest said.
    """

    record: Record
    left_out: tuple[str, ...]
    output: str

    @property
    def accuracy(self) -> float:
        """The share of the test data that the network answers rightly."""
        return 1.0 - float((self.record.subjects[0].model_extra or {})["test_error"])

    @property
    def passed(self) -> bool:
        """Whether no test failed and none came to an error."""
        from netprops.records import RED

        return all(test.outcome not in RED for test in self.record.tests)

    @property
    def verdicts(self) -> tuple[VerdictRow, ...]:
        """Every verdict, test by test."""
        from netprops.verdict import Bound

        rows = []
        for test in self.record.tests:
            name = test.name.removeprefix("test_").replace("_", " ")
            if not test.expectations or test.outcome == "ERROR":
                rows.append(VerdictRow(name, test.reason, None, None, None, "", test.outcome))
            for one in test.expectations:
                found, limits = one.measurement, one.bound
                bound = str(Bound(at_least=limits.at_least, at_most=limits.at_most, source=limits.source))
                rows.append(
                    VerdictRow(name, found.name, found.value, found.low, found.high, bound, str(one.outcome))
                )
        return tuple(rows)

    def to_frame(self) -> Any:
        """Return the verdicts as a ``pandas.DataFrame``.

        Raises:
            UsageError: If pandas is not installed.
        """
        try:
            import pandas as pd
        except ModuleNotFoundError as error:
            raise UsageError("to_frame needs pandas, which is not installed: pip install pandas") from error
        rows = [[getattr(row, one) for one in _COLUMNS] for row in self.verdicts]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    def __str__(self) -> str:
        lines = [self._headline, *self.left_out]
        lines += [f"{row.verdict:12} {row.property}{_said(row)}" for row in self.verdicts]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the verdicts as a table for a notebook; everything in it is escaped."""
        titles = "".join(f"<th>{one}</th>" for one in ("verdict", "test", "property", "value", "bound"))
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td>{html.escape(one)}</td>"
                for one in (row.verdict, row.test, row.property, _number(row), row.bound)
            )
            + "</tr>"
            for row in self.verdicts
        )
        said = "".join(f"<p>{html.escape(one)}</p>" for one in (self._headline, *self.left_out))
        return f"{said}<table><thead><tr>{titles}</tr></thead><tbody>{rows}</tbody></table>"

    @property
    def _headline(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.record.summary.outcomes.items() if n)
        subject = self.record.subjects[0]
        return f"{subject.id}: accuracy {self.accuracy:.1%} on the given test data; tests: {counts}"


class Handover:
    """A plugin of pytest that hands a module and its data to the property tests, and takes the record back.

    Args:
        handed: The module and its data.
    """

    def __init__(self, handed: tuple[Any, Any]) -> None:
        self.__name__ = HANDOVER  # by which pytest registers it
        self.handed = handed
        self.record: Record | None = None
        self.left_out: tuple[str, ...] = ()

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Take record and notes back."""
        from netprops.plugin.controller import controller_of
        from netprops.plugin.session import SESSION

        self.record = controller_of(session.config).record
        imports = session.config.stash[SESSION].imports if SESSION in session.config.stash else None
        self.left_out = tuple(imports.left_out) if imports is not None else ()


def check(
    model: Any,
    data: Any,
    *,
    suites: Sequence[str] = ("mitosis",),
    select: str = "",
    device: str = "auto",
    cache: Path | str | None = None,
    alpha: float = 0.01,
) -> Checked:
    """Run property tests on a module.

    Args:
        model: An ``nn.Module`` with its weights; it ends in one Linear.
        data: A test split or ``{"train": ..., "test": ...}``; a split is a pair (inputs, labels) of tensors,
            a torch Dataset or a DataLoader.
        suites: Names of suites that netprops ships, or folders and files of tests.
        select: An expression as pytest's ``-k`` takes it.
        device: Where the module is run: auto, cpu, cuda, cuda:N or mps.
        cache: Folder for features; None for the user's cache folder.
        alpha: Probability of any false alarm in the whole run.

    Returns:
        The verdicts; in a notebook they are a table.

    Raises:
        UsageError: If the module or the data cannot be tested, or there is no such suite.

    Example:
        ``check(model, {"train": train_loader, "test": test_loader}).verdicts``
    """
    handover = Handover((model, data))
    said, wrong = io.StringIO(), io.StringIO()
    arguments = [
        *(_place(name) for name in suites),
        *("-c", os.devnull, f"--rootdir={Path.cwd()}", "--import-mode=importlib", "-q", "--tb=short"),
        *("-p", "no:cacheprovider", "-W", "ignore::pytest.PytestAssertRewriteWarning"),
        *("--netprops-no-report", "--netprops-device", device, "--netprops-alpha", str(alpha)),
        *(("-k", select) if select else ()),
        *(("--netprops-cache", str(cache)) if cache is not None else ()),
    ]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(wrong):
        code = pytest.main(arguments, plugins=[handover])
    if handover.record is None or not handover.record.subjects:
        lines = [one for one in wrong.getvalue().splitlines() if one.startswith("ERROR: ")]
        ended = f"pytest ended with exit code {int(code)}: {said.getvalue()}"
        why = lines[0].removeprefix("ERROR: ") if lines else ended
        raise UsageError(why)
    return Checked(handover.record, handover.left_out, said.getvalue())


def _place(name: str) -> str:
    """Return the path of a shipped suite, or of a user's own."""
    known = suites()
    if name in known:
        return str(known[name])
    if Path(name).exists():
        return str(Path(name).absolute())
    raise UsageError(f"no suite is called {name!r}{nearest(name, known)}")


def _number(row: VerdictRow) -> str:
    if row.value is None:
        return ""
    interval = f" [{row.low:.4g}, {row.high:.4g}]" if row.low != row.high else ""
    return f"{row.value:.4g}{interval}"


def _said(row: VerdictRow) -> str:
    return f" = {_number(row)}, expected {row.bound}" if row.value is not None else f" {row.test}"
