"""How xdist workers tell the controller what they do, while it is being done.

Words: the *mailbox* is a folder in which workers leave their state as small files; the *plan* is what the run
is going to do, which the first worker finds out.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netprops.plugin.progress import Lines
from netprops.training.progress import Progress


class Mailbox:
    """The folder through which xdist workers tell the controller what they do.

    Args:
        folder: An existing folder that both sides know.
        worker: This worker's name; empty in the controller.
    """

    def __init__(self, folder: Path, worker: str = "") -> None:
        self._folder, self._worker = folder, worker
        self._told: dict[str, int] = {}

    def __call__(self, training: Progress) -> None:
        """Leave the state of a training."""
        self._put(f"{self._worker}.training.json", json.dumps(asdict(training)))

    def close(self) -> None:
        """Say that nothing is in training any more."""
        (self._folder / f"{self._worker}.training.json").unlink(missing_ok=True)

    def say(self, text: str) -> None:
        """Leave a message that is shown once."""
        with (self._folder / f"{self._worker}.messages").open("a", encoding="utf-8") as file:
            file.write(text.replace("\n", " ") + "\n")

    def put_plan(self, plan: dict[str, Any]) -> None:
        """Leave what this worker is going to do; every worker has the same."""
        self._put("plan.json", json.dumps(plan))

    def plan(self) -> dict[str, Any] | None:
        """Return what the workers are going to do; None as long as nobody has said it."""
        return self._get(self._folder / "plan.json")

    def trainings(self) -> list[dict[str, Any]]:
        """Return the last states of all trainings that go on."""
        states = [self._get(path) for path in sorted(self._folder.glob("*.training.json"))]
        return [state for state in states if state is not None]

    def messages(self) -> list[str]:
        """Return the messages that have come since the last call."""
        new = []
        for path in sorted(self._folder.glob("*.messages")):
            lines = path.read_text(encoding="utf-8").splitlines()
            new += lines[self._told.get(path.name, 0) :]
            self._told[path.name] = len(lines)
        return new

    def _put(self, name: str, text: str) -> None:
        """Replace a small file at once, so that the other side never reads half of it."""
        part = self._folder / f"{name}.{self._worker}.part"
        part.write_text(text, encoding="utf-8")
        part.replace(self._folder / name)

    @staticmethod
    def _get(path: Path) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return found


class Watch:
    """The controller's look into the mailbox, from a thread of its own while tests run elsewhere.

    Args:
        mailbox: What the workers write to.
        write: Writes one line.
        clock: Seconds, growing.
    """

    def __init__(
        self, mailbox: Mailbox, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._mailbox, self._write = mailbox, write
        self._lines = Lines(write, clock)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Write what is new."""
        for message in self._mailbox.messages():
            self._write(message)
        for state in self._mailbox.trainings():
            self._lines(Progress(**state))

    def start(self) -> None:
        """Look once a second until :meth:`stop`."""
        self._thread = threading.Thread(target=self._loop, name="netprops-progress", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        while not self._over.wait(1.0):
            self.look()

    def stop(self) -> None:
        """Look a last time."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self.look()
