"""Progress is seen: as lines, as a bar, from workers, and although pytest captures."""

import io
import logging

import pytest

from netprops.plugin.mailbox import Mailbox, Watch
from netprops.plugin.progress import EVERY, Aloud, Bar, Lines, describe, duration
from netprops.training.progress import Progress


def training(label="fc5", epoch=1, **others):
    fields = {
        "epochs": 10,
        "step": 3,
        "steps": 4,
        "loss": 0.123456,
        "train_error": 0.25,
        "test_error": None,
        "seconds_left": 75.0,
    }
    return Progress(label=label, epoch=epoch, **{**fields, **others})


class Page:
    """A screen made of paper."""

    interactive = True
    columns = 100

    def __init__(self):
        self.text = io.StringIO()
        self.write = self.text.write

    def flush(self):
        pass

    def fresh_line(self):
        self.text.write("\n")


def test_a_line_says_epoch_loss_errors_and_the_time_left():
    assert describe(training()) == "training fc5: epoch 1/10, 1 min 15 s left, loss 0.123, train error 25.00%"
    early = training(loss=None, train_error=None, seconds_left=None)
    assert describe(early) == "training fc5: epoch 1/10"
    assert "test error 1.50%" in describe(training(test_error=0.015))


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (59.4, "59 s"), (60, "1 min 0 s"), (7265, "2 h 1 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


def test_a_line_at_the_start_of_each_network_and_every_few_seconds():
    now, written = [0.0], []
    lines = Lines(written.append, clock=lambda: now[0])
    for at, label in ((0, "a"), (EVERY - 1, "a"), (EVERY - 1, "b"), (EVERY, "a"), (EVERY + 1, "b")):
        now[0] = at
        lines(training(label))
    lines.close()
    assert [line.split()[1] for line in written] == ["a:", "b:", "a:"]


def test_a_bar_moves_with_the_epochs_changes_with_the_network_and_goes_away():
    page = Page()
    bar = Bar(page)
    bar(training("fc5", 0))
    bar(training("fc5", 9))
    bar(training("wrn28", 1))
    bar.close()
    text = page.text.getvalue()
    assert "fc5" in text
    assert "wrn28" in text
    assert text.rstrip("\r").endswith(" ")  # tqdm wipes its line
    bar.close()


def test_the_mailbox_carries_trainings_messages_and_the_plan(tmp_path):
    first, second, reader = Mailbox(tmp_path, "gw0"), Mailbox(tmp_path, "gw1"), Mailbox(tmp_path)
    assert reader.plan() is None
    first.put_plan({"selected": 3})
    first(training("a"))
    first(training("a", 2))
    second(training("b"))
    assert reader.plan() == {"selected": 3}
    assert [(one["label"], one["epoch"]) for one in reader.trainings()] == [("a", 2), ("b", 1)]
    first.close()
    first.close()
    assert [one["label"] for one in reader.trainings()] == ["b"]
    first.say("an entry was\ndamaged")
    assert reader.messages() == ["an entry was damaged"]
    second.say("waiting")
    assert reader.messages() == ["waiting"]
    assert not list(tmp_path.glob("*.part"))


def test_the_controller_shows_what_workers_leave(tmp_path):
    now, written = [0.0], []
    worker = Mailbox(tmp_path, "gw0")
    watch = Watch(Mailbox(tmp_path), written.append, clock=lambda: now[0])
    worker(training("a"))
    watch.look()
    watch.look()
    now[0] = EVERY
    worker(training("a", 4))
    worker.say("netprops: a warning")
    watch.look()
    assert written == [
        "training a: epoch 1/10, 1 min 15 s left, loss 0.123, train error 25.00%",
        "netprops: a warning",
        "training a: epoch 4/10, 1 min 15 s left, loss 0.123, train error 25.00%",
    ]


def test_the_controller_looks_a_last_time_when_it_stops(tmp_path):
    written = []
    watch = Watch(Mailbox(tmp_path), written.append)
    watch.start()
    Mailbox(tmp_path, "gw0").say("the last word")
    watch.stop()
    assert written == ["the last word"]


@pytest.mark.parametrize("capture", ["fd", "sys", "no"])
def test_lines_are_seen_whatever_pytest_captures_and_prints_stay_captured(runs, capture):
    runs.suite("""
        @toy
        def test_it(subject):
            print("noise of the test")
    """)
    result = runs.run("suites", "-k", "s0", f"--capture={capture}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["training toy-here-w8-s0: epoch 1/3, 1 min 1 s left, loss 0.25, train *"])
    if capture != "no":
        result.stdout.no_fnmatch_line("*noise of the test*")


def test_a_terminal_gets_a_bar(runs, monkeypatch):
    from netprops.plugin.progress import Screen

    monkeypatch.setattr(Screen, "interactive", True)
    runs.suite("@toy\ndef test_it(subject): pass\n")
    result = runs.run("suites", "-k", "s0")
    result.assert_outcomes(passed=1)
    assert "toy-here-w8-s0 |" in result.stdout.str()
    result.stdout.no_fnmatch_line("training *")


def test_what_the_engine_says_is_shown_until_the_end_and_the_logger_is_left_as_it_was():
    logger, said = logging.getLogger("netprops"), []
    before = logger.level, list(logger.handlers)
    aloud = Aloud(said.append)
    logging.getLogger("netprops").info("birds.tar: %d of %d images decoded", 500, 900)
    logging.getLogger("netprops").debug("nobody needs to know")
    aloud.close()
    logging.getLogger("netprops").info("too late")
    assert said == ["netprops: birds.tar: 500 of 900 images decoded"]
    assert (logger.level, list(logger.handlers)) == before
