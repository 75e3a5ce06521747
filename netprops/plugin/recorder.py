"""Writes the record while the run goes on, and record and report at its end; only one process of a run does.

Words: as in ``netprops/records.py``; the *head* is the first line of ``run.jsonl``.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from netprops.plugin.options import check_report

if TYPE_CHECKING:
    from netprops.plugin.aftermath import Aftermath
    from netprops.records import Record, SubjectRecord, TestRecord


class Recorder:
    """Collects the tests of one run.

    Args:
        head: ``environment``, ``options``, ``started``, ``selected`` and ``missing``.
        folder: Folder of the report; None where nothing is to be written.
        aftermath: What compares the record and keeps it elsewhere.

    Raises:
        UsageError: If the folder cannot be written or holds something else.
    """

    def __init__(self, head: dict[str, Any], folder: Path | None, aftermath: Aftermath) -> None:
        self._head, self._folder, self.aftermath = head, folder, aftermath
        self._tests: list[TestRecord] = []
        self._subjects: list[SubjectRecord] = []
        self._began = time.monotonic()
        self._lines: IO[str] | None = None
        self.record: Record | None = None
        self.index: Path | None = None
        self.problem: str | None = None
        if folder is not None:
            check_report(folder)
            folder.mkdir(parents=True, exist_ok=True)
            self._lines = (folder / "run.jsonl").open("w", encoding="utf-8")
            self._append(head)

    def add(self, payload: str) -> TestRecord:
        """Take in one finished test.

        Args:
            payload: The text that :class:`netprops.plugin.item.PropertyItem` made.

        Returns:
            The test's record.
        """
        from netprops.records import SubjectRecord, TestRecord

        parts = json.loads(payload)
        test = TestRecord.model_validate(parts["test"])
        self._tests.append(test)
        known = {one.id for one in self._subjects}
        subjects = [SubjectRecord.model_validate(one) for one in parts["subjects"] if one["id"] not in known]
        self._subjects += subjects
        thin = [part.model_dump(mode="json", exclude_defaults=True) for part in (test, *subjects)]
        self._append({"test": thin[0], "subjects": thin[1:]})
        return test

    def crashed(self, skeleton: dict[str, Any], reason: str) -> None:
        """Take in a test whose worker died: an ERROR without measurements."""
        test = {**skeleton, "outcome": "ERROR", "reason": reason, "seconds": 0.0}
        self.add(json.dumps({"test": test, "subjects": []}))

    def finish(self) -> Record:
        """Judge by the whole budget; write ``run.json`` in place of ``run.jsonl``, and the report.

        Returns:
            The run's record. Where the report cannot be drawn, ``problem`` says why; the record is safe then.
        """
        from netprops.records import assemble

        selected = self._head["selected"]
        self.record = assemble(
            self._head,
            self._tests,
            self._subjects,
            selected=selected,
            seconds=round(time.monotonic() - self._began, 3),
            interrupted=len({test.id for test in self._tests}) < selected,
            missing=self._head["missing"],
        )
        if self._lines is not None:
            self._lines.close()
        run_json = None
        if self._folder is not None:
            run_json = self.record.save(self._folder)
            (self._folder / "run.jsonl").unlink()
        self.aftermath.compare(self.record)
        self.aftermath.keep(self.record)
        if run_json is not None:
            self._draw(run_json)
        return self.record

    def _draw(self, run_json: Path) -> None:
        from netprops.report import render

        try:
            beside = self.aftermath
            self.index = render(run_json, run_json.parent, comparison=beside.comparison, past=beside.past)
        except Exception as error:  # whatever it is, the verdicts must still be shown
            self.problem = f"the report could not be drawn from {run_json}: {type(error).__name__}: {error}"

    def _append(self, part: dict[str, Any]) -> None:
        if self._lines is not None:
            self._lines.write(json.dumps(part) + "\n")
            self._lines.flush()
