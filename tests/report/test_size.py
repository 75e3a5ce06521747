"""How large a report is: of a record with many seeds and figures, in bytes a test and a figure."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from netprops import records, report

SEEDS = 6
A_TEST, A_FIGURE = 4500, 2000
"""Most bytes: of pages for each test, of drawings for each figure of the record.

Drawn one seed at a time, these figures take 3040 each. A full mini run, whose figures hold more
and whose seeds are fewer, was measured at 3960 and 2985.
"""


@pytest.fixture
def many(record: dict[str, Any]) -> dict[str, Any]:
    """A record with six seeds of every network, and every test of one network for each of them."""
    subjects = {one["id"]: one for one in record["subjects"]}
    for one in list(record["subjects"]):
        if one["seed"] == 0:
            for seed in range(2, SEEDS):
                new = one["id"].replace("-s0", f"-s{seed}")
                subjects[new] = {**copy.deepcopy(one), "id": new, "seed": seed}
    tests = list(record["tests"])
    for test in record["tests"]:
        if test["id"].endswith("-s0]"):
            for seed in range(2, SEEDS):
                again = copy.deepcopy(test)
                for part in ("id", "reproduce"):
                    again[part] = again[part].replace("-s0]", f"-s{seed}]")
                again["subjects"] = [again["subjects"][0].replace("-s0", f"-s{seed}")]
                for figure in again["figures"]:
                    figure["curves"][0]["y"] = [y * (1 + seed / 1000) for y in figure["curves"][0]["y"]]
                    figure["curves"][0]["high"] = [y * 1.1 for y in figure["curves"][0]["y"]]
                tests.append(again)
    return {**record, "subjects": list(subjects.values()), "tests": tests}


def _bytes(paths: Any) -> int:
    return sum(path.stat().st_size for path in paths)


def test_a_report_of_many_seeds_stays_small(
    many: dict[str, Any], save: Callable[[dict[str, Any]], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    before = save(many)
    after = records.read(before).save(folder)
    out = report.render(after, tmp_path / "out").parent
    tests = len(many["tests"])
    assert tests == 40
    drawn = list(out.rglob("*.svg"))
    assert len(list((out / "subjects").glob("*.html"))) == len(many["subjects"]) / SEEDS
    assert _bytes(out.rglob("*.html")) < A_TEST * tests
    assert _bytes(drawn) < A_FIGURE * sum(len(test["figures"]) for test in many["tests"])
    assert len(drawn) < tests
    assert after.stat().st_size < before.stat().st_size / 2
    assert records.read(after) == records.read(before)
