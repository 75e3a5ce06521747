"""Records kept beyond their run: what a name leads to, what is refused, and that nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from netprops import kept
from netprops.errors import UsageError
from netprops.records import Record

MEASUREMENT = {
    "name": "R2",
    "value": 0.9,
    "low": 0.8,
    "high": 1.0,
    "standard_error": 0.05,
    "df": None,
    "confidence": 0.95,
    "n": 9,
    "n_of": "draws",
    "unit": "",
    "how": "by hand",
    "definition": "default",
}
EXPECTATION = {
    "measurement": MEASUREMENT,
    "bound": {"at_least": 0.5, "source": "a test"},
    "outcome": "PASS",
    "sentence": "R2 holds",
    "p_value": 1.0,
    "detectable_effect": 0.1,
    "outside": False,
}
FIGURE = {"name": "f", "title": "T", "caption": "C", "x_scale": "log", "y_scale": "log", "curves": []}


def run(started: str = "2024-05-01T12:00:00+00:00") -> Record:
    test = {
        "id": "suites/mitosis/test_a.py::test_it[net]",
        "suite": "mitosis",
        "file": "suites/mitosis/test_a.py",
        "name": "test_it",
        "claim": "It holds.",
        "subjects": ["net"],
        "family": "net",
        "outcome": "PASS",
        "seconds": 1.0,
        "expectations": [EXPECTATION],
        "figures": [FIGURE],
        "explanation": "Long.",
        "reproduce": "pytest",
    }
    return Record.model_validate(
        {
            "environment": {
                "netprops": "0.1.0",
                "python": "3.11",
                "platform": "Linux",
                "processors": 2,
                "device": "cpu",
                "packages": {},
            },
            "options": {"scale": "mini", "strict": False, "alpha": 0.01},
            "budget": {"alpha": 0.01, "tests": 1, "share": 0.01},
            "subjects": [{"id": "net", "family": "net", "history": [{"epoch": 1}], "width": 4}],
            "tests": [test],
            "summary": {"selected": 1, "outcomes": {"PASS": 1}},
            "started": started,
            "seconds": 1.0,
        }
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of baselines with one, ``main``."""
    kept.save(run(), kept.baseline_path("main", tmp_path / "baselines"))
    return tmp_path / "baselines"


def test_a_kept_record_has_the_verdicts_and_not_what_is_only_drawn(folder: Path) -> None:
    found = kept.read(folder / "main.json")
    assert found.tests[0].expectations == run().tests[0].expectations
    assert (found.tests[0].figures, found.tests[0].explanation) == ([], "")
    assert found.subjects[0].model_dump() == {"id": "net", "family": "net", "width": 4}


def test_a_name_a_file_and_a_report_s_folder_lead_to_the_record(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    shutil.copy(folder / "main.json", tmp_path / "latest" / "run.json")
    for named, path in {
        "main": folder / "main.json",
        "main.json": folder / "main.json",
        "baselines/main.json": folder / "main.json",
        "latest": tmp_path / "latest" / "run.json",
        str(folder / "main.json"): folder / "main.json",
    }.items():
        assert kept.find(named, folder, tmp_path) == path, named


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ("mian", r"no baseline is called 'mian' in .*baselines; did you mean 'main'\? known: main"),
        ("else/main.json", r"the baseline .*else/main\.json does not exist"),
        ("nowhere.json", r"the baseline .*nowhere\.json does not exist"),
        ("baselines", r"the baseline .*baselines is a folder without run\.json"),
    ],
)
def test_a_baseline_that_is_not_there(folder: Path, tmp_path: Path, named: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kept.find(named, folder, tmp_path)


@pytest.mark.parametrize("name", ["", "../main", "a/b", ".hidden", "main.", "a b", "x" * 101])
def test_a_name_that_is_no_file_s(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="a baseline's name has letters"):
        kept.baseline_path(name, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: "", r"not a record of schema version 1: it is no JSON \(EOF"),
        (lambda text: text[: len(text) // 2], r"not a record of schema version 1: it is no JSON \(EOF"),
        (
            lambda text: "[]",
            r"not a record of schema version 1: main\.json: input should be an object, got '\[\]'$",
        ),
        (lambda text: "{}", r"not a record of schema version 1: environment: field required"),
        (
            lambda text: text.replace('"schema_version":1', '"schema_version":2'),
            "schema version 1: it is of version 2; read it with the netprops that wrote it",
        ),
        (
            lambda text: text.replace('"value":0.9', '"value":NaN'),
            r"value of 'R2' in suites.* is nan, expected a f",
        ),
        (
            lambda text: text.replace('"high":1.0', '"high":Infinity'),
            "high of 'R2' in .* is inf, expected a finite",
        ),
    ],
)
def test_a_file_that_is_no_baseline(folder: Path, change, message: str) -> None:  # type: ignore[no-untyped-def]
    path = folder / "main.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(UsageError, match=message):
        kept.read(path)


def test_a_history_keeps_every_run_and_shows_the_last_twenty(tmp_path: Path) -> None:
    started = [f"2024-05-{day:02}T12:00:00+00:00" for day in range(1, 26)]
    for one in reversed(started):
        kept.add_to_history(run(one), tmp_path)
    found, problems = kept.history(tmp_path)
    assert [one.started for one in found] == started[-20:]
    assert problems == []
    assert len(list(tmp_path.iterdir())) == 25


def test_two_runs_of_one_second_do_not_replace_each_other(tmp_path: Path) -> None:
    first, second = run(), run()
    second.seconds = 2.0
    assert kept.add_to_history(first, tmp_path) != kept.add_to_history(second, tmp_path)
    assert len(kept.history(tmp_path)[0]) == 2


def test_a_damaged_file_of_a_history_is_left_out_and_said(tmp_path: Path) -> None:
    kept.add_to_history(run(), tmp_path)
    path = kept.add_to_history(run("2024-05-02T12:00:00+00:00"), tmp_path)
    path.write_text("{")
    (tmp_path / "notes.json").write_text("mine")
    found, problems = kept.history(tmp_path)
    assert len(found) == 1
    (problem,) = problems
    assert problem.startswith(f"left out of the history: {path} is not a record")


def test_a_history_is_json_that_the_schema_knows(tmp_path: Path) -> None:
    path = kept.add_to_history(run(), tmp_path)
    assert path.name.startswith("20240501T120000Z-")
    assert Record.model_validate(json.loads(path.read_text())) == kept.slim(run())
