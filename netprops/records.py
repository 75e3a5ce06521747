"""The record of a run: every value, bound and verdict, as JSON with a published schema.

Words: the *record* is one document, ``run.json``; while the run goes on, the same parts are appended, one a
line, to ``run.jsonl``, so that nothing is lost when it is interrupted; the *times* are the fields in which
two equal runs may differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from netprops import durable
from netprops.errors import UsageError
from netprops.figure_records import AnyFigure, Part
from netprops.figure_records import MeasurementRecord as MeasurementRecord
from netprops.histories import drawn, rows, thinned
from netprops.packing import packed, unpacked, written
from netprops.verdict import Outcome, rejections

SCHEMA_VERSION: Literal[1] = 1
TIMES = ("started", "seconds", "created", "age")

TestOutcome = Literal["PASS", "FAIL", "INCONCLUSIVE", "XFAIL", "XPASS", "ERROR", "SKIPPED"]
OUTCOMES: tuple[TestOutcome, ...] = ("PASS", "FAIL", "INCONCLUSIVE", "XFAIL", "XPASS", "ERROR", "SKIPPED")
RED: tuple[TestOutcome, ...] = ("FAIL", "XPASS", "ERROR")


class BoundRecord(Part):
    """A :class:`netprops.verdict.Bound` in JSON."""

    at_least: float | None = None
    at_most: float | None = None
    source: str
    calibration: str | None = None


class ExpectationRecord(Part):
    """One measurement held against one bound; ``promoted``: only the whole run's budget decided it."""

    measurement: MeasurementRecord
    bound: BoundRecord
    outcome: Outcome
    sentence: str
    p_value: float
    detectable_effect: float | None
    outside: bool
    promoted: bool = False


class TestRecord(Part):
    """What one property test found about one network or one family."""

    __test__ = False  # not a test class, whatever pytest makes of its name

    id: str
    suite: str
    file: str
    name: str
    claim: str
    explanation: str = ""
    subjects: list[str]
    family: str
    outcome: TestOutcome
    reason: str = ""
    xfail: str = Field(default="", description="why the test is expected to fail here; empty if it is not")
    seconds: float
    expectations: list[ExpectationRecord] = Field(default=[])
    figures: list[AnyFigure] = Field(default=[])
    notes: list[str] = Field(default=[])
    reproduce: str


class SubjectRecord(BaseModel):
    """What :meth:`netprops.subject.Subject.summary` says about one network."""

    model_config = ConfigDict(extra="allow")

    id: str
    family: str

    @model_validator(mode="before")
    @classmethod
    def _thin(cls, summary: Any) -> Any:
        """Keep of a training what a report draws: a run has hundreds of networks with hundreds of epochs."""
        history = summary.get("history") if isinstance(summary, dict) else None
        if isinstance(history, list | dict):
            return {**summary, "history": thinned(rows(history))}
        return summary


class Environment(Part):
    """The software and the kind of machine; no name of a host or a user."""

    netprops: str
    python: str
    platform: str
    processors: int
    device: str
    packages: dict[str, str]


class Options(Part):
    """The options that decide what is measured and judged."""

    scale: str
    strict: bool
    alpha: float


class Budget(Part):
    """How the run's false-alarm budget was spent."""

    alpha: float
    tests: int
    share: float
    promoted: int = 0
    procedure: str = (
        "each selected property test has the share alpha/tests, spent by Holm over its expectations; after "
        "the run, tests whose expectations are all rejected pass their share on to the others"
    )


class Summary(Part):
    """Counts of the run; ``missing`` holds one sentence for every data set that was not there."""

    selected: int
    outcomes: dict[TestOutcome, int]
    interrupted: bool = False
    missing: list[str] = Field(default=[])


class Record(Part):
    """One run of property tests: the whole content of ``run.json``.

    ``shared`` is there in the file alone: see :mod:`netprops.packing`.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    environment: Environment
    options: Options
    budget: Budget
    subjects: list[SubjectRecord]
    tests: list[TestRecord]
    summary: Summary
    suites: dict[str, str] = Field(default={}, description="digest of every suite of the run, by name")
    about: dict[str, str] = Field(default={}, description="how to read each suite's results, by name")
    started: str
    seconds: float
    shared: dict[str, Any] = Field(
        default={}, description="what several parts say: its name, such as #12, stands in its place"
    )

    @model_validator(mode="before")
    @classmethod
    def _unpack(cls, document: Any) -> Any:
        return unpacked(document)

    def save(self, folder: Path) -> Path:
        """Write ``run.json`` and, beside it, its schema; each is replaced wholly or not at all.

        Args:
            folder: An existing folder.

        Returns:
            The path of ``run.json``.
        """
        schema = json.dumps(Record.model_json_schema(), indent=1, sort_keys=True)
        durable.write(folder / "run.schema.json", f"{schema}\n".encode())
        document = self.model_dump(mode="json", exclude={"tests", "shared"})
        document["tests"] = [one.model_dump(mode="json", exclude_defaults=True) for one in self.tests]
        durable.write(folder / "run.json", written(packed(document)).encode())
        return folder / "run.json"


def assemble(
    head: dict[str, Any],
    tests: Iterable[TestRecord],
    subjects: Iterable[SubjectRecord],
    *,
    selected: int,
    seconds: float,
    interrupted: bool = False,
    missing: Iterable[str] = (),
) -> Record:
    """Put a record together and judge its expectations once more, by the whole run's budget.

    Args:
        head: ``environment``, ``options`` and ``started``, as the first line of ``run.jsonl`` has them.
        tests: The finished tests, in any order; the last of several with one id counts.
        subjects: Their subjects, in any order and with repetitions.
        selected: Number of property tests that the run selected.
        seconds: Duration of the run.
        interrupted: Whether it was stopped before its end.
        missing: Sentences about missing data sets.

    Returns:
        The record, sorted by id. A test that only the whole budget rejects has become FAIL (XFAIL where it
        was expected to fail).
    """
    final = sorted({test.id: test for test in tests}.values(), key=lambda test: test.id)
    networks = sorted({one.id: one for one in subjects}.values(), key=lambda one: one.id)
    shown = drawn([one.model_dump() for one in networks], {id for test in final for id in _alone(test)})
    networks = [one if one.id in shown else _without_history(one) for one in networks]
    options = Options.model_validate(head["options"])
    shares = max(selected, len(final), 1)
    budget = Budget(alpha=options.alpha, tests=shares, share=options.alpha / shares)
    budget.promoted = _promote(final, options.alpha, shares)
    counts = {name: sum(test.outcome == name for test in final) for name in OUTCOMES}
    summary = Summary(
        selected=selected, outcomes=counts, interrupted=interrupted, missing=sorted(set(missing))
    )
    return Record(
        environment=Environment.model_validate(head["environment"]),
        options=options,
        budget=budget,
        subjects=networks,
        tests=final,
        summary=summary,
        suites=head.get("suites", {}),
        about=head.get("about", {}),
        started=head["started"],
        seconds=seconds,
    )


def _alone(test: TestRecord) -> list[str]:
    """Return the network that a test is about alone, if it is."""
    return [one for one in test.subjects if len(test.subjects) == 1 or test.id.endswith(f"[{one}]")]


def _without_history(one: SubjectRecord) -> SubjectRecord:
    kept = {name: value for name, value in one.model_dump().items() if name != "history"}
    return SubjectRecord.model_validate(kept)


def _promote(tests: list[TestRecord], alpha: float, shares: int) -> int:
    """Turn into FAIL what only the run's whole budget rejects; return how many expectations that were."""
    judged = [test for test in tests if test.expectations]
    decided = rejections([[one.p_value for one in test.expectations] for test in judged], alpha, shares)
    promoted = 0
    for test, rejected in zip(judged, decided, strict=True):
        for one, refuted in zip(test.expectations, rejected, strict=True):
            if not (refuted and one.outside and one.outcome is Outcome.INCONCLUSIVE):
                continue
            one.outcome, one.promoted = Outcome.FAIL, True
            one.sentence += "; rejected by the whole run's budget after the run"
            promoted += 1
            if test.outcome == "INCONCLUSIVE":
                test.outcome, test.reason = ("XFAIL" if test.xfail else "FAIL"), one.sentence
    return promoted


def read(path: Path) -> Record:
    """Read a record.

    Args:
        path: ``run.json``, or the ``run.jsonl`` of a run that was interrupted.

    Raises:
        UsageError: If there is no such file or it is not a record of this schema version.
    """
    try:
        if path.suffix == ".jsonl":
            return _from_lines(path.read_text(encoding="utf-8").splitlines())
        return Record.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"no record can be read from {path}: {error.strerror}") from error
    except (ValueError, KeyError, IndexError) as error:
        reason = _why_not(path, error)
        raise UsageError(f"{path} is not a record of schema version {SCHEMA_VERSION}: {reason}") from error


def _why_not(path: Path, error: Exception) -> str:
    """Return in one line what is wrong with a file that is no record."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"it is no JSON ({first['ctx']['error']})"
    if first["loc"] == ("schema_version",):
        return f"it is of version {first['input']!r}; read it with the netprops that wrote it"
    place = ".".join(map(str, first["loc"])) or path.name
    return f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}, got {str(first['input'])[:60]!r}"


def _from_lines(lines: list[str]) -> Record:
    """Rebuild a record from ``run.jsonl``; a last line that was cut off is left out."""
    parts = []
    for number, line in enumerate(lines, 1):
        try:
            parts.append(json.loads(line))
        except ValueError:
            if number < len(lines):
                raise
    head, rest = parts[0], parts[1:]
    return assemble(
        head,
        [TestRecord.model_validate(part["test"]) for part in rest],
        [SubjectRecord.model_validate(one) for part in rest for one in part["subjects"]],
        selected=head["selected"],
        seconds=sum(part["test"]["seconds"] for part in rest),
        interrupted=len(rest) < head["selected"],
        missing=head["missing"],
    )


def without_times(document: Any) -> Any:
    """Return a record's JSON without the fields of ``TIMES`` at any depth: what two equal runs share."""
    if isinstance(document, dict):
        return {name: without_times(value) for name, value in document.items() if name not in TIMES}
    if isinstance(document, list):
        return [without_times(value) for value in document]
    return document
