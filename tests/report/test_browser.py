"""A report in a real browser, behind a strict Content-Security-Policy and opened from disk.

Chromium is Debian's, driven by playwright-core; axe-core and html-validate judge the pages. Without them the
tests skip, but not in CI: ``apt-get install chromium`` and ``npm install --prefix tests/report/browser``.
"""

from __future__ import annotations

import copy
import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netprops import report
from netprops.baseline import compare
from netprops.plotdata import histogram, panels
from netprops.records import Record

TOOLS = Path(__file__).parent / "browser"
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'"
SHOWN = ("overview", "suite", "subject", "family", "comparison", "trend", "history", "single")

Look = Callable[..., dict[str, Any]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Run a job of ``look.mjs`` and return what it saw."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    lacking = [
        name
        for name, there in (
            ("Chromium (apt-get install chromium)", chromium),
            ("Node.js", shutil.which("node")),
            (f"npm install --prefix {TOOLS}", (TOOLS / "node_modules" / "playwright-core").is_dir()),
        )
        if not there
    ]
    if lacking and os.environ.get("CI") != "true":
        pytest.skip(f"a look at pages needs {', '.join(lacking)}")
    assert not lacking, lacking

    def looking(**job: Any) -> dict[str, Any]:
        path = tmp_path / "job.json"
        path.write_text(json.dumps({"chromium": chromium, **job}), encoding="utf-8")
        done = subprocess.run(
            ["node", str(TOOLS / "look.mjs"), str(path)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    return looking


def with_everything(record: dict[str, Any]) -> dict[str, Any]:
    """Return a record with figures of every kind, and three checkpoints of one training for a trend."""
    first = record["tests"][0]
    rng, head = np.random.default_rng(0), {"title": "One more figure", "caption": "To be seen."}
    kept, (low, high) = panels({f"W = {width}": rng.normal(size=(12, 12)) for width in (16, 64, 256)})
    densities = histogram({f"W = {width}": rng.normal(size=200) for width in (16, 64)}, bins=8)
    matrices = {"panels": kept, "value_name": "kernel", "row_name": "sample", "low": low, "high": high}
    measured = first["expectations"][0]["measurement"]
    first["figures"] = [
        *first["figures"],
        {"kind": "images", "name": "kernels", **head, **matrices},
        {
            "kind": "bars",
            "name": "bars",
            **head,
            "bars": [{"label": f"W = {width}", "measurement": measured} for width in (16, 64)],
            "value_name": "exponent",
            "levels": {"the paper": 0.5},
        },
        {
            "name": "densities",
            **head,
            "x_scale": "linear",
            "y_scale": "linear",
            "curves": [one.to_json() for one in densities],
        },
    ]
    for epoch in (10, 20, 30):
        id = f"mine-epoch{epoch}"
        record["subjects"].append({"id": id, "family": "mine", "epoch": epoch, "test_error": 1 / epoch})
        test = copy.deepcopy(first) | {
            "figures": [],
            "id": f"{first['id'].partition('[')[0]}[{id}]",
            "subjects": [id],
        }
        test["expectations"][0]["measurement"]["value"] += epoch / 1000
        record["tests"].append(test | {"family": "mine"})
    return record


def earlier(record: dict[str, Any]) -> Record:
    """Return a run of the day before, in which the first tests had other values."""
    before = copy.deepcopy(record) | {"started": "2024-04-30T12:00:00+00:00"}
    for test in before["tests"][:4]:
        for one in test["expectations"]:
            one["measurement"] |= {"value": 0.5, "low": 0.49, "high": 0.51, "standard_error": 0.005}
    return Record.model_validate(before)


def beside(document: dict[str, Any]) -> dict[str, Any]:
    """Return a comparison with an earlier run, and the run as a past, for a report to show."""
    before = earlier(document)
    return {"comparison": compare(before, Record.model_validate(document)), "past": [before]}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and path of a folder behind a strict policy."""
    folder = tmp_path / "served"

    class Strict(http.server.SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/favicon.ico":  # every browser asks for one
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Strict, directory=folder)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


BAD = (
    "<!DOCTYPE html><html lang=en><title>bad</title><main><h1>bad</h1><p style='color: red'>no policy"
    "<img src=nowhere.svg><pre>" + "wide " * 400 + "</pre></p></main>"
)


def test_every_kind_of_page_is_whole_valid_and_without_complaint(
    look: Look,
    served: tuple[str, Path],
    save: Callable[[dict[str, Any]], Path],
    record: dict[str, Any],
    tmp_path: Path,
) -> None:
    address, folder = served
    few = copy.deepcopy(record)
    few["tests"] = few["tests"][:4]
    few["subjects"] = [one for one in few["subjects"] if one["id"] in few["tests"][0]["subjects"]]
    for document, render, path in (
        (with_everything(record), report.render, folder),
        (with_everything(few), report.render_single, folder / "report.html"),
    ):
        render(save(document), path, **beside(document))
    (folder / "bad.html").write_text(BAD, encoding="utf-8")
    trend = next(folder.glob("trend-*.html")).name
    names = {
        "overview": "index.html",
        "suite": "suites/mitosis.html",
        "subject": "subjects/fc5-pdigits-w256.html",
        "family": "families/wrn28-digits.html",
        "comparison": "comparison.html",
        "trend": trend,
        "history": "history.html",
        "bad": "bad.html",
    }
    pages = {name: f"{address}/{path}" for name, path in names.items()}
    pages["single"] = (folder / "report.html").as_uri()
    pages["sheet"] = f"{pages['single']}#families/fc5-pdigits.html"
    pages["from disk"] = (folder / names["subject"]).as_uri()
    shots = Path(os.environ.get("NETPROPS_SCREENSHOTS", tmp_path / "screenshots"))
    shots.mkdir(parents=True, exist_ok=True)
    files = {name: str(folder / path) for name, path in names.items()} | {
        "single": str(folder / "report.html")
    }
    found = look(
        pages=pages,
        files=files,
        shots={"folder": str(shots), "names": [*SHOWN, "sheet"]},
        unjudged=["sheet", "from disk"],
    )

    bad = found["pages"].pop("bad light")
    found["pages"].pop("bad dark")
    assert any("Content Security Policy" in one for one in bad["complaints"])
    assert bad["scrolls"]
    assert bad["broken"]
    assert any(one.startswith("image-alt") for one in bad["violations"])
    assert found["invalid"].pop("bad")

    assert len(found["pages"]) == 2 * (len(pages) - 1)
    for name, seen in found["pages"].items():
        assert seen.pop("styled"), f"{name}: no stylesheet"
        assert seen == {"scrolls": [], "broken": [], "violations": [], "complaints": []}, name
    assert all(wrong == [] for wrong in found["invalid"].values()), found["invalid"]
    assert {path.stem for path in shots.glob("*.png")} >= {
        f"{name}-{scheme}" for name in SHOWN for scheme in ("light", "dark")
    }


def test_hostile_text_in_every_field_adds_no_element_and_no_handler(
    look: Look,
    small: dict[str, Any],
    save: Callable[[dict[str, Any]], Path],
    tmp_path: Path,
    hostile: tuple[str, ...],
    poisoned: Callable[..., Any],
) -> None:
    addresses = []
    for number, poison in enumerate(("harmless ", *hostile)):
        document = poisoned(with_everything(copy.deepcopy(small)), poison)
        file = report.render_single(save(document), tmp_path / f"{number}.html", **beside(document))
        addresses.append(file.as_uri())
    harmless, *others = look(outlines=addresses)["outlines"]
    assert len(others) >= 40
    assert len(harmless["outline"]) > 500
    assert not [one for one in harmless["outline"] if re.search(r"^(SCRIPT|IFRAME|STYLE .+)| on", one)]
    for poison, seen in zip(hostile, others, strict=True):
        assert seen["complaints"] == [], poison
        more, fewer = (
            Counter(one["outline"]) - Counter(other["outline"])
            for one, other in ((seen, harmless), (harmless, seen))
        )
        assert dict(more) == {}, poison
        assert set(fewer) <= {"A href"}, poison  # a test whose id is no text has no page to lead to
        assert set(seen["leads"]) <= {"#", "data:text/csv"}, poison
