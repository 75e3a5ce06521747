"""Pages of a report: links, policy, words, escaping, and what stays when a report is rendered again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from netprops import figures, report
from netprops.errors import UsageError
from netprops.seeds import kin
from netprops.views import MARKS, SYMBOLS
from netprops.wording import duration, slug

Save = Callable[[dict[str, Any]], Path]


class Dom(HTMLParser):
    """The elements of a page: tags with attributes, identifiers, text; open elements must close in order."""

    EMPTY = frozenset({"meta", "link", "img", "source", "br"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute twice: {attrs}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def outline(self) -> list[tuple[str, tuple[str, ...]]]:
        """Return tags with the names of their attributes."""
        return [(tag, tuple(sorted(fields))) for tag, fields in self.elements]

    def addresses(self) -> list[str]:
        return [
            fields[name]
            for _, fields in self.elements
            for name in ("href", "src", "srcset")
            if name in fields
        ]

    def ids(self) -> list[str]:
        return [fields["id"] for _, fields in self.elements if "id" in fields]


def pages(folder: Path) -> dict[str, Dom]:
    return {
        path.relative_to(folder).as_posix(): Dom(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }


def test_there_is_an_overview_and_a_page_for_every_network_and_family(
    rendered: Path, record: dict[str, Any]
) -> None:
    expected = {
        "index.html",
        "families/fc5-pdigits.html",
        "families/wrn28-digits.html",
        "suites/mitosis.html",
    }
    expected |= {f"subjects/{kin(one)}.html" for one in record["subjects"]}
    assert set(pages(rendered)) == expected


def test_every_link_leads_to_a_file_and_an_anchor_that_exist(rendered: Path) -> None:
    doms = pages(rendered)
    for name, dom in doms.items():
        assert len(set(dom.ids())) == len(dom.ids()), name
        for address in dom.addresses():
            path, _, fragment = address.partition("#")
            assert not re.match(r"[a-z]+:|/", path), f"{name} links outside its folder: {address}"
            target = (
                (rendered / name).parent.joinpath(path).resolve() if path else (rendered / name).resolve()
            )
            assert target.is_file(), f"{name}: {address}"
            if fragment and target.suffix == ".html":
                assert fragment in doms[target.relative_to(rendered.resolve()).as_posix()].ids(), (
                    f"{name}: {address}"
                )


def test_a_suite_s_page_says_how_to_read_it_and_what_each_claim_came_to(
    tmp_path: Path, small: dict[str, Any], save: Save
) -> None:
    small["about"] = {"mitosis": "A chunk is a part of the layer.\n\nIts <error> falls."}
    out = report.render(save(small), tmp_path / "out").parent
    dom = pages(out)["suites/mitosis.html"]
    assert "A chunk is a part of the layer." in dom.text
    assert "Its <error> falls." in dom.text
    for test in small["tests"]:
        assert test["claim"] in dom.text
        assert f"w256, seed {test['id'][-2]}" in dom.text or "w256, seed 0, seed 1" in dom.text
        assert all(one["measurement"]["name"] in dom.text for one in test["expectations"])
    assert "exponent γ: 0.52 [0.48, 0.57]; 0.52 [0.48, 0.57], expected between 0.4 and 0.6" in dom.text
    assert "suites/mitosis.html" in pages(out)["index.html"].addresses()


def test_pages_keep_a_strict_content_security_policy(rendered: Path) -> None:
    for name, dom in pages(rendered).items():
        for tag, fields in dom.elements:
            assert tag not in ("script", "style", "iframe", "object", "base", "form"), name
            assert not [a for a in fields if a == "style" or a.startswith("on")], name
        assert not [a for a in dom.addresses() if a.startswith("data:")], name


def test_a_cell_of_the_matrix_has_symbol_word_and_link_to_the_test(
    rendered: Path, record: dict[str, Any]
) -> None:
    text = (rendered / "index.html").read_text(encoding="utf-8")
    cells = re.findall(r'<a class="cell" href="([^"]+)">(.*?)</a>', text)
    counted = [int(found[1]) if (found := re.search("×(\\d+)", inner)) else 1 for _, inner in cells]
    assert sum(counted) == len(record["tests"])
    style = (rendered / "style.css").read_text(encoding="utf-8")
    for mark in MARKS.values():
        of_class = f'<span class="mark {mark.name}">{mark.word}<'
        own = f"{mark.symbol}</i> {mark.word}<"
        assert any((of_class if mark.usual else own) in inner for _, inner in cells), mark.word
        assert SYMBOLS[mark.name] in style
    hrefs = [href for href, _ in cells]
    assert "subjects/fc5-pdigits-w256.html#mitosis-chunks-chunks-interpolate" in hrefs
    assert "subjects/wrn28-digits-w4.html#mitosis-reconstruction-chunks-reconstruct-s1" in hrefs


def test_the_overview_says_what_failed_what_is_undecided_and_under_which_conditions(rendered: Path) -> None:
    text = pages(rendered)["index.html"].text
    assert "3 of 16 property tests failed" in text
    assert "exponent γ = 0.44 [0.37, 0.51]: inconclusive; the interval decides" in text
    assert "measured 0.71 at mini scale" in text
    assert "mnist is not in data" in text
    assert "3 min 32 s" in text
    assert "torch 2.10.0" in text


def test_a_network_s_page_shows_value_interval_bound_source_n_and_the_command(rendered: Path) -> None:
    dom = pages(rendered)["subjects/fc5-pdigits-w256.html"]
    for part in (
        "0.52 [0.48, 0.57]",
        "between 0.4 and 0.6",
        "Doimo et al. 2022, Fig. 3",
        "mini run over 20 seeds",
        "500 permutations",
        "0.07 from the bound",
        "2.12 %",
        "squared-hinge",
        "315\u202f904",
        "pytest 'suites/mitosis/test_chunks.py::test_chunks_interpolate[fc5-pdigits-w256-s0]'",
    ):
        assert part in dom.text, part


def test_an_image_s_alternative_states_course_and_verdict(rendered: Path) -> None:
    page = pages(rendered)["subjects/fc5-pdigits-w256.html"]
    alternative = next(
        fields["alt"] for tag, fields in page.elements if tag == "img" and "Chunk" in fields["alt"]
    )
    assert "test in 2 networks: 0.4906 at 2, " in alternative
    assert "exponent γ 0.52 [0.48, 0.57]; 0.52 [0.48, 0.57], expected between 0.4 and 0.6." in alternative
    assert "w* = 32 at 32" in alternative
    assert "Verdict: pass 2." in alternative
    assert "both axes logarithmic" in alternative


def test_points_that_a_log_axis_hides_are_counted_in_the_caption(rendered: Path) -> None:
    assert "4 points lie at or below zero" in pages(rendered)["subjects/fc5-pdigits-w256.html"].text


def test_every_figure_has_its_data_beside_it(rendered: Path) -> None:
    drawn = sorted(path.stem for path in (rendered / "figures").glob("*.svg"))
    assert drawn == sorted(path.stem for path in (rendered / "figures").glob("*.csv"))
    assert len(drawn) == 26


def test_a_family_test_is_on_the_family_s_page_and_linked_from_its_networks(rendered: Path) -> None:
    doms = pages(rendered)
    anchor = "mitosis-clones-clones-grow-with-width"
    assert anchor in doms["families/fc5-pdigits.html"].ids()
    assert f"../families/fc5-pdigits.html#{anchor}" in doms["subjects/fc5-pdigits-w16.html"].addresses()
    assert (
        "No property was tested on one of these networks alone." in doms["subjects/fc5-pdigits-w16.html"].text
    )


def test_of_many_networks_only_those_with_tests_of_their_own_get_a_page(
    tmp_path: Path, record: dict[str, Any], save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netprops.pages._PAGES", 1)
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg/>")
    doms = pages(report.render(save(record), tmp_path / "out").parent)
    assert "subjects/fc5-pdigits-w256.html" in doms
    assert "subjects/fc5-pdigits-w16.html" not in doms
    assert "network-fc5-pdigits--16" in doms["families/fc5-pdigits.html"].ids()
    assert "fc5-pdigits-w16-s0 and 1 more" in doms["families/fc5-pdigits.html"].text
    assert "more networks are listed on the pages of their families" in doms["index.html"].text
    for name, dom in doms.items():
        for address in dom.addresses():
            path = address.partition("#")[0]
            target = (tmp_path / "out" / name).parent / path if path else tmp_path / "out" / name
            assert target.exists(), f"{name}: {address}"


def test_the_same_record_gives_the_same_bytes_and_draws_nothing_again(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: dict[str, Any], save: Save
) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {
            p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
        }

    copy = tmp_path / "copy"
    shutil.copytree(rendered, copy)
    monkeypatch.setattr(figures, "draw", lambda *_: pytest.fail("an unchanged figure was drawn again"))
    report.render(save(record), copy)
    assert contents(copy) == contents(rendered)


def test_a_changed_or_cut_figure_is_drawn_again(tmp_path: Path, small: dict[str, Any], save: Save) -> None:
    figures_folder = report.render(save(small), tmp_path / "out").parent / "figures"
    page = pages(figures_folder.parent)["subjects/fc5-pdigits-w256.html"]
    named = [fields["src"] for tag, fields in page.elements if tag == "img"]
    names = [Path(one).name for one in named if "chunk-error" in one]
    assert len(names) == 2
    changed, cut = ((figures_folder / name).read_text(encoding="utf-8") for name in names)
    small["tests"][0]["figures"][0]["curves"][0]["y"][0] = 0.47
    (figures_folder / names[1]).write_text(cut[:200], encoding="utf-8")
    report.render(save(small), tmp_path / "out")
    assert (figures_folder / names[0]).read_text(encoding="utf-8") != changed
    assert (figures_folder / names[1]).read_text(encoding="utf-8") == cut


def test_pages_of_the_last_report_go_and_a_user_s_files_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any], save: Save
) -> None:
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg/>")
    out = report.render(save(small), tmp_path / "out").parent
    own = [out / "figures" / "mine.svg", out / "notes.html", tmp_path / "victim.html"]
    for path in own:
        path.write_text("mine", encoding="utf-8")
    with (out / report.MANIFEST).open("a", encoding="utf-8") as manifest:
        manifest.write("../victim.html\nsubjects/../../victim.html\n")
    gone = small["subjects"].pop()["id"]
    report.render(save(small), out)
    assert not (out / "subjects" / f"{gone}.html").exists()
    assert [path.read_text(encoding="utf-8") for path in own] == ["mine"] * 3


def test_a_run_without_tests_or_networks_has_a_report(
    tmp_path: Path, record: dict[str, Any], save: Save
) -> None:
    index = report.render(save({**record, "tests": [], "subjects": []}), tmp_path / "out")
    assert "No property was tested" in Dom(index.read_text(encoding="utf-8")).text


def test_a_network_without_history_recipe_or_errors_has_a_page(
    tmp_path: Path, record: dict[str, Any], save: Save
) -> None:
    record = {**record, "tests": [], "subjects": [{"id": "mine", "family": "mine"}]}
    out = report.render(save(record), tmp_path / "out").parent
    assert "holds no history" in pages(out)["subjects/mine.html"].text


def test_an_interrupted_run_is_rendered_from_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: dict[str, Any]
) -> None:
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg/>")
    head = {name: small[name] for name in ("environment", "options", "started")} | {
        "selected": 9,
        "missing": [],
    }
    lines = [head, *({"test": t, "subjects": small["subjects"]} for t in small["tests"])]
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    index = report.render(path, tmp_path / "out")
    assert "interrupted after 4 of 9" in Dom(index.read_text(encoding="utf-8")).text


def test_what_is_no_record_is_refused(tmp_path: Path, record: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=r"no record can be read from .*nowhere\.json"):
        report.render(tmp_path / "nowhere.json", tmp_path / "out")
    wrong = tmp_path / "run.json"
    wrong.write_text('{"schema_version": 99}', encoding="utf-8")
    with pytest.raises(UsageError, match="not a record of schema version 1"):
        report.render(wrong, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_file_names_cannot_leave_the_folder_or_meet() -> None:
    assert slug("wrn28-digits-w0.5-s1") == "wrn28-digits-w0.5-s1"
    names = ["../../etc/passwd", "..", "/", "", "A", "a b", "a-b", "a/b", "é", "x" * 300]
    slugs = [slug(name) for name in names]
    assert len(set(slugs)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,90}", one) for one in slugs)


def test_times_are_said_in_their_units() -> None:
    assert [duration(s) for s in (0.42, 75, 7380)] == ["0.4 s", "1 min 15 s", "2 h 3 min"]


def test_hostile_text_in_every_field_adds_no_element_and_no_attribute(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small: dict[str, Any],
    save: Save,
    hostile: tuple[str, ...],
    poisoned: Callable[..., Any],
) -> None:
    monkeypatch.setattr(figures, "draw", lambda *_: "<svg/>")

    def rendered_with(poison: str, name: str) -> list[Dom]:
        out = report.render(save(poisoned(small, poison)), tmp_path / name).parent
        return list(pages(out).values())

    expected = sorted(dom.outline() for dom in rendered_with("harmless ", "harmless"))
    for number, poison in enumerate(hostile):
        doms = rendered_with(poison, f"hostile{number}")
        assert sorted(dom.outline() for dom in doms) == expected, repr(poison)
        for address in (address for dom in doms for address in dom.addresses()):
            assert re.match(
                r"#|(\.\./)?(index\.html|style\.css|(subjects|families|suites|figures)/[a-z0-9])", address
            ), address
