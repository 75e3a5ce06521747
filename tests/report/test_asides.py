"""Pages beside the networks': a comparison with a baseline, a trend over checkpoints, the history of runs."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from netprops import figures, report, trends
from netprops.baseline import compare
from netprops.records import Record

Save = Callable[[dict[str, Any]], Path]


class Page(HTMLParser):
    """The text, the addresses, the images' alternatives and the tags with their attributes of one page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text, self.addresses, self.tags = "", list[str](), list[tuple[str, set[str]]]()
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name for name, _ in attrs}))
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_data(self, data: str) -> None:
        self.text += data


def worse(record: dict[str, Any]) -> dict[str, Any]:
    """A later run in which the second test has lost a good part of its margin."""
    later = copy.deepcopy(record)
    later["started"] = "2024-05-02T12:00:00+00:00"
    measured = later["tests"][1]["expectations"][0]["measurement"]
    measured |= {"value": 0.645, "low": 0.635, "high": 0.655, "standard_error": 0.005}
    return later


def checkpoints(record: dict[str, Any]) -> dict[str, Any]:
    """The record of a user's checkpoints at three depths, with one test of each."""
    (model, first) = (copy.deepcopy(record[name][0]) for name in ("subjects", "tests"))
    subjects, tests = [], []
    for depth, error in ((20, 0.08), (56, 0.06), (110, 0.05)):
        id = f"mine-resnet{depth}-1a2b3c4d"
        subjects.append(
            {"id": id, "family": "mine", "test_error": error, "origin": "a checkpoint", "width": 64}
        )
        test = copy.deepcopy(first) | {"id": f"{first['id'].partition('[')[0]}[{id}]", "subjects": [id]}
        test["family"] = "mine"
        measured = test["expectations"][0]["measurement"]
        measured |= {"value": 0.5 + depth / 2000, "low": 0.5, "high": 0.6, "name": f"exponent at {depth}"}
        tests.append(test)
    assert model["id"]
    return record | {"subjects": subjects, "tests": tests}


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are not drawn: only their names matter."""
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg/>")


@pytest.mark.usefixtures("undrawn")
def test_a_comparison_has_a_page_with_what_changed_first(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    before, after = Record.model_validate(small), Record.model_validate(worse(small))
    comparison = compare(before, after, name="main")
    out = report.render(save(worse(small)), tmp_path / "out", comparison=comparison).parent
    page = Page(out / "comparison.html")
    assert page.text.index("regression") < page.text.index("What stayed the same")
    for part in ("0.52 [0.48, 0.57]", "0.645 [0.635, 0.655]", "+0.125 [", "between 0.4 and 0.6", "7 rows"):
        assert part in page.text, part
    cards = [one for one in page.addresses if one.startswith("subjects/")]
    assert cards
    assert all((out / one.partition("#")[0]).is_file() for one in cards)
    assert "comparison.html" in Page(out / "index.html").addresses


@pytest.mark.usefixtures("undrawn")
def test_checkpoints_of_several_depths_make_a_trend(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    out = report.render(save(checkpoints(small)), tmp_path / "out").parent
    (path,) = out.glob("trend-*.html")
    page = Page(path)
    assert "mine-resnetN over resnet" in page.text
    assert "3 checkpoints, resnet 20 to 110" in page.text
    assert re.search(r"resnet 20 0\.51 \[0\.5, 0\.6\] pass resnet 56 0\.528 .*resnet 110 0\.555", page.text)
    assert "8 %" in page.text
    drawn = {one for one in page.addresses if one.endswith(".svg")}
    assert len(drawn) == 2  # the error and the one series that moved
    assert all((out / one).is_file() for one in drawn)
    assert "subjects/mine-resnet56-1a2b3c4d.html" in page.addresses


@pytest.mark.usefixtures("undrawn")
def test_epochs_of_one_training_make_a_trend_of_their_own(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    record = checkpoints(small)
    for epoch, subject in zip((30, 10, 20), record["subjects"], strict=True):
        subject["epoch"] = epoch
    out = report.render(save(record), tmp_path / "out").parent
    (path,) = out.glob("trend-*.html")
    assert "mine over epoch 3 checkpoints, epoch 10 to 30" in Page(path).text


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (
            ["mine-run1-epoch10", "mine-run1-epoch5", "mine-run2-epoch5", "mine-run2-epoch10", "mine-last"],
            [("mine-run1-epochN", "epoch", [5, 10]), ("mine-run2-epochN", "epoch", [5, 10])],
        ),
        (
            ["mine-epoch-2-step-200-loss-0.31", "mine-epoch-1-step-100-loss-0.4"],
            [("mine-epoch-N-step-N-loss-N", "epoch", [1, 2])],
        ),
        (["a-resnet20-12fca82f", "a-resnet56-4bfd9763"], [("a-resnetN", "resnet", [20, 56])]),
        (["a-step-0001000", "a-step-0002000"], [("a-step-N", "step", [1000, 2000])]),
        (["a-1", "a-2", "a-3"], [("a-N", "a", [1, 2, 3])]),
        (["fc5-digits-w4-s1", "fc5-digits-w8-s1"], []),
        (["a1-b1", "a2-b2", "alone"], []),
    ],
)
def test_the_number_in_which_ids_differ_is_the_axis(
    small: dict[str, Any], ids: list[str], expected: list[tuple[str, str, list[float]]]
) -> None:
    networks = [{"id": one, "family": "mine"} for one in ids]
    found = trends.over_checkpoints(Record.model_validate(small | {"subjects": networks, "tests": []}))
    assert [(one.name, one.axis, [x for x, _ in one.members]) for one in found] == expected


@pytest.mark.usefixtures("undrawn")
def test_a_history_shows_every_property_over_runs_and_leaves_this_run_out_of_the_past(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    past = [Record.model_validate(one) for one in (small, worse(small))]
    out = report.render(save(worse(small)), tmp_path / "out", past=past).parent
    page = Page(out / "history.html")
    assert "This run and the 1 before it" in page.text
    assert "2024-05-01 12:00 UTC 0.52 [0.48, 0.57] pass 2024-05-02 12:00 UTC 0.645" in page.text
    # What moved most comes first, and alone has a figure.
    assert page.text.index("0.645") < page.text.index("0.52 [0.48, 0.57] pass 2024-05-02 12:00 UTC 0.52")
    assert [one for one in page.addresses if one.endswith(".csv")] == ["figures/history.series-1.csv"]


def test_a_report_without_any_of_it_has_no_such_page(rendered: Path) -> None:
    assert {path.name for path in rendered.glob("*.html")} == {"index.html"}


@pytest.mark.usefixtures("undrawn")
def test_pages_keep_the_policy_escape_what_a_record_says_and_go_with_the_next_report(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    hostile = json.loads(json.dumps(worse(small)).replace("exponent", "<script>alert(1)</script>\\u0001"))
    record = Record.model_validate(hostile)
    earlier = copy.deepcopy(hostile) | {"started": "2024-05-01T12:00:00+00:00"}
    past = [Record.model_validate(earlier)]
    comparison = compare(past[0], record, name="</title><script>")
    out = report.render(save(hostile), tmp_path / "out", comparison=comparison, past=past).parent
    for name in ("comparison.html", "history.html"):
        page = Page(out / name)
        assert "<script>alert(1)</script>\ufffd" in page.text, name
        for tag, names in page.tags:
            assert tag not in ("script", "style"), name
            assert not [one for one in names if one == "style" or one.startswith("on")], name
    report.render(save(hostile), out)
    assert not list(out.glob("history*")) + list(out.glob("comparison*"))
