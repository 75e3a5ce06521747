"""A report in a real browser, behind a strict Content-Security-Policy."""

from __future__ import annotations

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PROBE = """<!DOCTYPE html><title>wait</title><script>
const report = [];
async function look(path, width) {
  const frame = document.createElement("iframe");
  frame.width = width; frame.height = 900; frame.src = path;
  document.body.append(frame);
  await new Promise(done => frame.onload = done);
  const page = frame.contentDocument, images = [...page.images];
  report.push({path, asked: frame.clientWidth, needed: page.documentElement.scrollWidth,
    images: images.length,
    broken: images.filter(image => !image.naturalWidth).length,
    rules: page.styleSheets[0]?.cssRules.length ?? 0});
}
onload = async () => {
  for (const path of PATHS) for (const width of [375, 1440]) await look(path, width);
  document.body.textContent = JSON.stringify(report);
};
</script><body></body>"""


@pytest.fixture
def served(rendered: Path, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Address and folder of the report behind a strict policy; ``probe`` and ``bad`` pages are beside it."""
    folder = tmp_path / "served"
    shutil.copytree(rendered, folder)

    class Strict(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            if not self.path.startswith("/probe"):
                policy = "default-src 'none'; style-src 'self'; img-src 'self'"
                self.send_header("Content-Security-Policy", policy)
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


def test_a_browser_shows_pages_whole_and_without_complaint_under_the_policy(
    served: tuple[str, Path], tmp_path: Path
) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    address, folder = served
    wide = "<p style='color: red'>this breaks the policy</p><pre>" + "wide " * 400 + "</pre>"
    (folder / "bad.html").write_text(f"<!DOCTYPE html><title>bad</title>{wide}", encoding="utf-8")
    good = ["index.html", "subjects/fc5-pdigits-w256-s0.html", "families/wrn28-digits.html"]
    (folder / "probe.html").write_text(
        PROBE.replace("PATHS", json.dumps([*good, "bad.html"])), encoding="utf-8"
    )
    result = subprocess.run(
        [
            chromium,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            "--enable-logging=stderr",
            "--v=0",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=20000",
            "--dump-dom",
            f"{address}/probe.html",
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    found = json.loads(re.search(r"\[\{.*\}\]", result.stdout).group())  # type: ignore[union-attr]
    complaints = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    assert any("bad.html" in line for line in complaints), "the probe notices no breach"
    assert [line for line in complaints if "bad.html" not in line] == []
    bad = [one for one in found if one["path"] == "bad.html"]
    assert all(one["needed"] > one["asked"] for one in bad), "the probe notices no horizontal scrolling"
    for one in found:
        if one["path"] != "bad.html":
            assert one["needed"] <= one["asked"], one
            assert one["broken"] == 0, one
            assert one["rules"] > 50, one
    assert sum(one["images"] for one in found) == 2 * (8 + 6)
