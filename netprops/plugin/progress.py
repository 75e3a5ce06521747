"""Progress while networks train, seen although pytest captures: as a bar on a terminal, as lines in a log.

Words: a *sink* takes the reports of a training; the *screen* is pytest's real output.
"""

from __future__ import annotations

import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import pytest

if TYPE_CHECKING:
    from netprops.training.progress import Progress

EVERY = 5.0  # seconds between two lines about one network: a log stays readable, and nobody thinks it hangs


class Sink(Protocol):
    """Takes reports of trainings, one network after the other."""

    def __call__(self, training: Progress) -> None:
        """Take one report."""

    def close(self) -> None:
        """Leave the output tidy; the sink may be used again."""


class Screen:
    """pytest's own output, written to although output is captured.

    Args:
        config: pytest's configuration.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")

    @property
    def interactive(self) -> bool:
        """Whether somebody sees it on a terminal."""
        return self._reporter is not None and bool(self._reporter.isatty)

    @property
    def columns(self) -> int:
        """Width of the terminal."""
        with self.uncaptured():
            return shutil.get_terminal_size().columns

    @contextmanager
    def uncaptured(self) -> Iterator[None]:
        """Let output through to where pytest writes."""
        if self._capture is None:
            yield
            return
        with self._capture.global_and_fixture_disabled():
            yield

    def line(self, text: str) -> None:
        """Write one line of its own."""
        if self._reporter is None:
            return
        with self.uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def fresh_line(self) -> None:
        """Begin a new line where another one has been begun."""
        if self._reporter is not None:
            with self.uncaptured():
                self._reporter.ensure_newline()

    def write(self, text: str) -> None:
        """Write raw text, as tqdm does; with :meth:`flush` this is all that it needs of a file."""
        with self.uncaptured():
            sys.stdout.write(text)
            sys.stdout.flush()

    def flush(self) -> None:
        """Do nothing: every write is flushed."""


def describe(training: Progress) -> str:
    """Return one line about a training: epoch, time left, loss, errors in percent."""
    parts = [f"epoch {training.epoch}/{training.epochs}"]
    if training.seconds_left is not None:
        parts.append(f"{duration(training.seconds_left)} left")
    if training.loss is not None:
        parts.append(f"loss {training.loss:.3g}")
    for name in ("train", "test"):
        error = getattr(training, f"{name}_error")
        if error is not None:
            parts.append(f"{name} error {100 * error:.2f}%")
    return f"training {training.label}: {', '.join(parts)}"


def duration(seconds: float) -> str:
    """Return a duration in words that fit a line.

    Example:
        >>> duration(42.3), duration(150), duration(3 * 3600 + 60)
        ('42 s', '2 min 30 s', '3 h 1 min')
    """
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Lines:
    """A line when a network's training begins, and one every few seconds.

    Args:
        write: Writes one line.
        clock: Seconds, growing.
    """

    def __init__(self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._write, self._clock = write, clock
        self._last: dict[str, float] = {}

    def __call__(self, training: Progress) -> None:
        """Write a line, unless the last one about this network is too young."""
        now = self._clock()
        if now - self._last.get(training.label, -EVERY) >= EVERY:
            self._last[training.label] = now
            self._write(describe(training))

    def close(self) -> None:
        """Do nothing: every line is finished."""


class Bar:
    """A tqdm bar of the epochs of the network in training.

    Args:
        screen: Where it is drawn.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self._bar: Any = None
        self._label: str | None = None

    def __call__(self, training: Progress) -> None:
        """Move the bar; another network gets a new one."""
        if training.label != self._label:
            self.close()
            self._open(training)
        self._bar.set_postfix_str(describe(training).partition(", ")[2], refresh=False)
        self._bar.update(training.epoch - self._bar.n)

    def _open(self, training: Progress) -> None:
        from tqdm import tqdm

        self._screen.fresh_line()
        self._label = training.label
        self._bar = tqdm(
            total=training.epochs,
            desc=training.label,
            file=self._screen,
            leave=False,
            mininterval=0.2,
            ncols=self._screen.columns - 1,
            bar_format="{desc} |{bar:16}| {n}/{total}{postfix}",
        )

    def close(self) -> None:
        """Wipe the bar away."""
        if self._bar is not None:
            self._bar.close()
        self._bar, self._label = None, None


class Aloud(logging.Handler):
    """Shows what the engine says (a damaged entry, images being decoded) although pytest captures logs.

    Args:
        write: Writes one line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        super().__init__(logging.INFO)
        self._write = write
        self._logger = logging.getLogger("netprops")
        self._before = self._logger.level
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line."""
        self._write(f"netprops: {record.getMessage()}")

    def close(self) -> None:
        """Say nothing any more, and leave the logger as it was."""
        self._logger.removeHandler(self)
        self._logger.setLevel(self._before)
        super().close()
