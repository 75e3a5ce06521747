"""What a run is beside its report: held against a baseline, kept, and summed up for a job.

Words: as in ``netprops/kept.py`` and ``netprops/baseline.py``; the *step summary* is the file that GitHub
names in ``$GITHUB_STEP_SUMMARY`` and shows on the page of the job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netprops.errors import NetpropsError

if TYPE_CHECKING:
    from netprops.baseline import Comparison
    from netprops.plugin.item import PropertyItem
    from netprops.plugin.options import Options
    from netprops.records import Record

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


def suites_of(items: Iterable[PropertyItem]) -> dict[str, str]:
    """Return the digest of every suite that tests are of, by name."""
    from netprops.content import suite_digest

    return {folder.name: suite_digest(folder) for folder in sorted({one.item.path.parent for one in items})}


def about(items: Iterable[PropertyItem]) -> dict[str, str]:
    """Return what every suite says of how to read it, its file ``about.txt``, by the suite's name."""
    files = (folder / "about.txt" for folder in sorted({one.item.path.parent for one in items}))
    return {file.parent.name: file.read_text(encoding="utf-8") for file in files if file.is_file()}


def preflight(
    options: Options,
    asked: Sequence[str],
    items: Sequence[PropertyItem],
    everything: Iterable[PropertyItem],
) -> list[str]:
    """Check, before anything trains, whether a run can be held against its baseline.

    Args:
        options: The run's options.
        asked: The tolerances of the command line; those of a file may be for tests that this run has not.
        items: The tests that will run.
        everything: Those that were collected.

    Returns:
        What differs between the two but does not forbid the comparison, one sentence each.

    Raises:
        UsageError: If the baseline is of another scale or of other networks, or a tolerance is for nothing.
    """
    if options.baseline is None:
        return []
    from netprops import __version__, baseline, kept
    from netprops.tolerances import Tolerances, parse

    record = kept.read(options.baseline)
    known: dict[str, list[str]] = {one.skeleton()["id"]: [] for one in everything}
    Tolerances(parse(asked)).refuse_unknown({**known, **kept.names_of(record.tests)})
    return baseline.check(
        record,
        options.baseline.stem,
        tests=[one.skeleton()["id"] for one in items],
        scale=options.scale,
        suites=suites_of(items),
        version=__version__,
    )


class Aftermath:
    """Compares and keeps the record of one run.

    Args:
        options: The run's options.
        environ: The environment variables to look at.

    Attributes:
        comparison: With the baseline, once the record is there.
        past: The runs before this one, of the history.
        lines: What is said of it at the end.
        failed: Whether the run fails for it: a regression, or a record that could not be kept.
    """

    def __init__(self, options: Options, environ: Mapping[str, str] = os.environ) -> None:
        self._options = options
        named = environ.get(STEP_SUMMARY)
        self._step = Path(named) if named else None
        self.comparison: Comparison | None = None
        self.past: list[Record] = []
        self.lines: list[str] = []
        self.failed = False

    def warnings(self) -> list[str]:
        """Return, before anything trains, what will not be written although it was asked for."""
        if self._step is None:
            return []
        place = self._step if self._step.exists() else self._step.parent
        if self._step.is_dir() or not os.access(place, os.W_OK):
            return [f"warning: {STEP_SUMMARY}={self._step} cannot be written; this job gets no summary"]
        return []

    def compare(self, record: Record) -> None:
        """Hold the record against the baseline, and read the history that the report shows."""
        from netprops import kept

        options = self._options
        if options.baseline is not None:
            from netprops.baseline import compare
            from netprops.tolerances import Tolerances

            try:
                self.comparison = compare(
                    kept.read(options.baseline),
                    record,
                    name=options.baseline.stem,
                    tolerances=Tolerances(options.tolerances),
                )
                self.failed = self.comparison.fails("regression")
            except NetpropsError as error:  # nothing of the run was recorded, or the file is gone by now
                self._problem(f"no comparison with the baseline: {error}")
        if options.history is not None and options.history.is_dir():
            self.past, problems = kept.history(options.history)
            self.lines += problems

    def keep(self, record: Record) -> None:
        """Keep the record where it was asked for, and append the summary of the job."""
        from netprops import kept

        options = self._options
        history, save = options.history, options.save
        if history is not None:
            self._try(lambda: f"history: {kept.add_to_history(record, history)}", "history")
        if save is not None:
            if record.summary.interrupted:
                self._problem(f"{save} was not saved: the run was interrupted")
            elif self.failed and save == options.baseline:
                self._problem(f"{save} was not replaced: this run has regressed from it")
            else:
                self._try(lambda: f"baseline saved: {kept.save(record, save)}", "baseline")
        if self._step is not None:
            self._append(record, self._step)

    def _append(self, record: Record, step: Path) -> None:
        """Append the summary; a job whose page cannot be written has still run."""
        from netprops import markdown

        try:
            there = step.stat().st_size if step.exists() else 0
            text = markdown.summary(record, self.comparison, largest=markdown.LARGEST - there)
            with step.open("a", encoding="utf-8", newline="\n") as file:
                file.write(text)
        except OSError as error:
            self.lines.append(f"warning: no summary of this job in {step}: {error.strerror}")

    def _try(self, act: Callable[[], str], what: str) -> None:
        try:
            self.lines.append(act())
        except OSError as error:
            self._problem(f"the {what} could not be written: {error}")

    def _problem(self, sentence: str) -> None:
        self.lines.append(sentence)
        self.failed = True
