"""The summary of a job: what it shows, that nothing in it is markup, and that it is never too long."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from netprops import markdown
from netprops.baseline import compare
from netprops.records import Record


def cells(line: str) -> list[str]:
    """The cells of a row of a table."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_summary_has_counts_and_a_row_an_expectation_failed_ones_first(record: dict[str, Any]) -> None:
    lines = markdown.summary(Record.model_validate(record)).splitlines()
    assert lines[0].startswith("## netprops: 9 pass, 1 fail, 2 inconclusive, ")
    assert "16 of 16 property tests, 14 networks, mini scale, 3 min 32 s" in lines[2]
    assert "mnist is not in data" in lines[4]
    rows = [cells(line) for line in lines if line.startswith("| ") and "test" in line][1:]
    assert rows[0][0] == "✗ fail"
    assert rows[0][3:] == ["0.71 \\[0.65, 0.78\\]", "between 0.4 and 0.6"]
    assert {row[0] for row in rows} >= {"✓ pass", "! error", "? inconclusive", "≠ known failure", "– skipped"}
    assert all(len(row) == 5 for row in rows)


def test_a_comparison_is_in_the_summary(record: dict[str, Any]) -> None:
    later = copy.deepcopy(record)
    measured = later["tests"][0]["expectations"][0]["measurement"]
    measured |= {"value": 0.9, "low": 0.89, "high": 0.91, "standard_error": 0.005}
    comparison = compare(Record.model_validate(record), Record.model_validate(later), name="main")
    text = markdown.summary(Record.model_validate(later), comparison)
    assert "### netprops against the baseline main: 1 regression, 29 same\n" in text
    (row,) = (cells(line) for line in text.splitlines() if line.startswith("| regression"))
    assert row[5].startswith("+0.38 \\[")
    unchanged = compare(Record.model_validate(record), Record.model_validate(record))
    assert markdown.of_comparison(unchanged).endswith("Nothing changed.")


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](http://evil)",
        "![x](http://evil)",
        "@everyone #1 :rocket:",
        "a | b | c",
        "`code` **bold** _em_ ~~gone~~ $x$",
        "www.evil.com https://evil.com me@evil.com",
        "one\n\n# two\n- three",
        "\u202e\x1b[31m\u2028",
        "\\",
        "- a",
        "1. a",
    ],
)
def test_what_a_record_says_is_text(hostile: str, record: dict[str, Any]) -> None:
    text = markdown.escaped(hostile)
    assert not re.search(r"(?<!\\)[<>|@`*_\[\]$~#]", re.sub(r"&#?\w+;", "", text)), text
    assert not re.search(r"www\.|://|:\w+:", text)
    assert "\n" not in text
    assert not re.match(r"[-+=] |\d\. ", text)
    before = len(markdown.summary(Record.model_validate(record)).splitlines())
    test = record["tests"][0]
    test["expectations"][0]["measurement"]["name"] = test["id"] = hostile
    lines = markdown.summary(Record.model_validate(record)).splitlines()
    assert len(lines) == before
    assert all(len(cells(line)) == 5 for line in lines if line.startswith("| "))


def test_a_summary_of_any_run_fits_the_page_of_a_job(record: dict[str, Any]) -> None:
    tests = [copy.deepcopy(record["tests"][i % 10]) | {"id": f"{'é' * 300}{i}"} for i in range(300)]
    text = markdown.summary(Record.model_validate(record | {"tests": tests}), largest=100_000)
    assert 99_000 < len(text.encode()) <= 100_000
    assert markdown.LARGEST < 1024 * 1024
    assert re.search(r"\n\d+ more lines are left out; the report has all\.\n$", text)
    assert len(markdown.summary(Record.model_validate(record), largest=0).encode()) < 200
