"""The other forms of a report: one file, and figures for papers; and how small a record is."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from netprops import listings, records
from netprops.cli import main
from netprops.histories import EPOCHS, thinned
from netprops.seeds import joint, kin

Save = Callable[[dict[str, Any]], Path]


@pytest.fixture
def one_file(small: dict[str, Any], save: Save, tmp_path: Path) -> str:
    assert main(["report", str(save(small)), "--format", "single", "-o", str(tmp_path / "a" / "r.html")]) == 0
    return (tmp_path / "a" / "r.html").read_text(encoding="utf-8")


def test_one_file_holds_every_page_and_every_link_leads_within_it(
    one_file: str, small: dict[str, Any]
) -> None:
    ids = re.findall(r' id="([^"]*)"', one_file)
    assert len(ids) == len(set(ids))
    assert {"index.html", "suites/mitosis.html", "families/fc5-pdigits.html"} <= set(ids)
    assert {f"subjects/{kin(one)}.html" for one in small["subjects"]} <= set(ids)
    links = re.findall(r' href="([^"]*)"', one_file)
    assert len([one for one in links if one.startswith("#")]) > 30
    assert {one.partition("#")[2] for one in links if one.startswith("#")} <= set(ids)
    assert all(one.startswith(("#", "data:text/csv")) for one in links)
    labelled = re.findall(r' aria-labelledby="([^"]*)"', one_file)
    assert set(labelled) <= set(ids)


def test_one_file_carries_figures_and_numbers_and_loads_nothing(one_file: str, small: dict[str, Any]) -> None:
    record = records.Record.model_validate(small)
    named: dict[tuple[str, str], list[tuple[str, dict[str, Any]]]] = {}
    for test in record.tests:
        for one in test.figures:
            members = named.setdefault((test.name, one.name), [])
            members.append((f"seed {test.id[-2]}", one.model_dump(mode="json")))
    figures = [one for members in named.values() for one in joint(members)]
    assert len(figures) == 4
    assert one_file.count('class="drawing"') >= len(figures) + 2
    assert not re.search(r"<(img|picture|link|script|iframe)\b| src=| style=", one_file)
    tables = [unquote(one) for one in re.findall(r'href="data:text/csv;charset=utf-8,([^"]*)"', one_file)]
    assert all(listings.as_csv(figure) in tables for figure in figures)
    cuts = re.findall(r'clip-path="url\(#([^)]*)\)"', one_file)
    assert set(cuts) <= set(re.findall(r'<clipPath id="([^"]*)"', one_file))


def test_the_policy_of_one_file_allows_its_own_stylesheet_alone(one_file: str) -> None:
    (style,) = re.findall(r"<style>(.*?)</style>", one_file, re.DOTALL)
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', one_file)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.replace("&#39;", "'").startswith(f"default-src 'none'; style-src 'sha256-{digest}';")


def test_formats_have_their_usual_places(
    small: dict[str, Any], save: Save, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small["tests"] = small["tests"][:1]
    path = save(small)
    assert main(["report", str(path), "--format", "single"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    (tmp_path / "out").mkdir()
    assert main(["report", str(path), "--format", "single", "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "report.html").read_bytes() == (tmp_path / "report.html").read_bytes()
    assert main(["report", str(path), "--format", "pdf-figures"]) == 0
    drawn = sorted((tmp_path / "pdf-figures").iterdir())
    assert any(re.fullmatch(r"r2-[0-9a-f]{10}\.pdf", one.name) for one in drawn)
    assert all(one.read_bytes().startswith(b"%PDF-") for one in drawn)
    assert not (tmp_path / "index.html").exists()


def test_the_help_teaches_the_formats(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", "--help"])
    text = capsys.readouterr().out
    assert all(re.search(rf"^  {one}  ", text, re.MULTILINE) for one in ("html", "single", "pdf-figures"))


def test_a_record_keeps_of_a_long_training_what_is_drawn(tmp_path: Path, small: dict[str, Any]) -> None:
    history = [
        {"epoch": e, "loss": 1 / 3 / e, "lr": 0.1, "seconds": 2.0, "test_error": 0.5 if e % 7 == 0 else None}
        for e in range(1, 1001)
    ]
    rows = thinned(history)
    assert EPOCHS < len(rows) <= 2 * EPOCHS
    assert (rows[0], rows[-1]["epoch"]) == ({"epoch": 1, "loss": 0.3333}, 1000)
    assert sum("test_error" in row for row in rows) >= EPOCHS
    assert {"epoch": 994, "loss": 0.0003353, "test_error": 0.5} in rows
    assert thinned(rows) == rows  # so that a record that is read and saved again stays the same
    small["subjects"][0]["history"] = history
    record = records.Record.model_validate(small)
    record.save(tmp_path)
    again = records.read(tmp_path / "run.json")
    kept = next(one for one in again.model_dump()["subjects"] if one["id"] == small["subjects"][0]["id"])
    assert len(kept["history"]) <= 2 * EPOCHS
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert '"history":{"epoch":[1,' in text
    assert len(kept["history"]) > EPOCHS
    assert again.tests == record.tests


def test_a_history_of_another_form_stays_as_it_is() -> None:
    assert thinned([]) == []
    assert thinned([{"step": 1, "loss": 0.123456789}]) == [{"step": 1, "loss": 0.123456789}]
