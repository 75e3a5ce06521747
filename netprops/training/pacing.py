"""When a training shows itself, when it saves its state, and how an interrupt waits for a safe moment.

Words: a *pause* is a moment between two steps; *shown* is what a person or a progress bar sees.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from netprops.training.progress import Progress

_SHOW_SECONDS = 0.5
_STATE_SHARE = 0.02  # of a training's time, at most, goes into writing states


@dataclass(frozen=True)
class Position:
    """Where a training stands: what :class:`Progress` needs to know of it."""

    epoch: int
    step: int
    loss: float | None
    train_error: float | None
    test_error: float | None


class Pacer:
    """The clock of one training.

    Args:
        show: Called with the progress, or None.
        label: Name of the network.
        epochs: Epochs of the whole training.
        steps: Steps an epoch.
        every_seconds: Time between two saved states, or longer so that they cost 2% of the time at most.
        interrupted: Whether an interrupt waits.
    """

    def __init__(
        self,
        show: Callable[[Progress], None] | None,
        *,
        label: str,
        epochs: int,
        steps: int,
        every_seconds: float,
        interrupted: Callable[[], bool],
    ) -> None:
        self.interrupted = interrupted
        self._show, self._label, self._epochs, self._steps = show, label, epochs, steps
        self._every = every_seconds
        self._began = self._saved = self._shown = time.monotonic()
        self._write_seconds = 0.0
        self._first: int | None = None

    def due(self) -> bool:
        """Whether there is anything to do at this pause; cheap, as it is asked after every step."""
        now = time.monotonic()
        return self.interrupted() or self._show_due(now) or self._state_due(now)

    def state_due(self) -> bool:
        """Whether the state should be saved now."""
        return self._state_due(time.monotonic())

    def state_written(self, seconds: float) -> None:
        """Note that a state was saved, and what it cost."""
        self._saved, self._write_seconds = time.monotonic(), seconds

    def show_due(self) -> bool:
        """Whether progress should be shown now."""
        return self._show_due(time.monotonic())

    def show(self, position: Position) -> None:
        """Show progress."""
        if self._show is None:
            return
        self._shown = time.monotonic()
        done = position.epoch * self._steps + position.step
        if self._first is None:
            self._first, self._began = done, self._shown
        left = None
        if done > self._first:
            pace = (self._shown - self._began) / (done - self._first)
            left = pace * (self._epochs * self._steps - done)
        self._show(
            Progress(
                label=self._label,
                epoch=min(position.epoch + 1, self._epochs),
                epochs=self._epochs,
                step=position.step,
                steps=self._steps,
                loss=position.loss,
                train_error=position.train_error,
                test_error=position.test_error,
                seconds_left=left,
            )
        )

    def _state_due(self, now: float) -> bool:
        if not self._every:
            return True
        return now - self._saved >= max(self._every, self._write_seconds / _STATE_SHARE)

    def _show_due(self, now: float) -> bool:
        return self._show is not None and (self._first is None or now - self._shown >= _SHOW_SECONDS)


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Let Ctrl-C wait for the end of a step, so that the state that it leaves behind is consistent.

    Yields:
        Whether it was pressed. A second Ctrl-C does not wait. Outside the main thread, where Python delivers
        no interrupts, it always answers False.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    pressed = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, before if before is not None else signal.default_int_handler)
