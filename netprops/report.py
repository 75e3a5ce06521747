"""Render the record of a run as a folder of static pages.

Words: a *report* is a folder with pages, one stylesheet, figures as SVG files and their data as CSV files;
its *manifest* lists the files that were written, so that the next report in the same folder removes
those that it no longer has, and nothing else.

A report needs no script, no network and no server, and nothing but the record: it can be rendered years
later, on another machine. Every page works under ``Content-Security-Policy: default-src 'none'; style-src
'self'; img-src 'self'``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netprops import figures, listings, records, single
from netprops.content import content
from netprops.durable import temporary_beside
from netprops.pages import Reader
from netprops.views import Picture, Report

if TYPE_CHECKING:
    from jinja2 import Environment

    from netprops.baseline import Comparison

MANIFEST = "report-files.txt"
_OURS = re.compile(
    r"(?:(?:subjects|families|suites)/[^/\\]+\.html|figures/[^/\\]+\.(?:svg|csv)|[a-z][a-z0-9._-]*\.(?:html|css))"
)
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def render(
    run_json: Path, out: Path, *, comparison: Comparison | None = None, past: Sequence[records.Record] = ()
) -> Path:
    """Write the report of a record.

    A figure that an earlier report in the same folder drew from the same data is left as it is.

    Args:
        run_json: ``run.json``, or the ``run.jsonl`` of an interrupted run.
        out: The report's folder; made where it is missing. Files of an earlier report are replaced, files
            that no report wrote are left alone.
        comparison: With a baseline, if it is to have a page.
        past: Earlier runs for the page of the history, the oldest first.

    Returns:
        The path of ``index.html``.

    Raises:
        UsageError: If there is no such record.
    """
    report = _report(run_json, comparison, past)
    written = set()
    for address, page in _pages(report):
        _write(out / address, page)
        written.add(out / address)
    for one in report.pictures():
        written |= _figure(one, out / "figures")
    style = out / "style.css"
    _write(style, _stylesheet())
    names = sorted(path.relative_to(out).as_posix() for path in written | {style})
    _remove_former(out, set(names))
    _write(out / MANIFEST, "".join(f"{name}\n" for name in names))
    return out / "index.html"


def render_single(
    run_json: Path, file: Path, *, comparison: Comparison | None = None, past: Sequence[records.Record] = ()
) -> Path:
    """Write the report of a record as one HTML file that needs nothing beside it.

    Args:
        run_json: As for :func:`render`.
        file: The file; its folder is made where it is missing.
        comparison: As for :func:`render`.
        past: As for :func:`render`.

    Returns:
        The path of the file.

    Raises:
        UsageError: If there is no such record.
    """
    report = _report(run_json, comparison, past)
    style = single.stylesheet(_stylesheet())
    pictures = list(report.pictures())
    data = {one.stem: one.data for one in pictures}
    tables = {one.stem: listings.as_csv(one.data) for one in pictures}
    page = (
        _templates()
        .get_template("single.html.j2")
        .render(
            report=report,
            policy=single.policy(style),
            stylesheet=style,
            sheets=single.sheets(
                _pages(report),
                lambda stem, prefix, label: figures.element(data[stem], prefix=prefix, label=label),
                tables,
            ),
        )
    )
    _write(file, page)
    return file


def render_pdf_figures(
    run_json: Path, out: Path, *, comparison: Comparison | None = None, past: Sequence[records.Record] = ()
) -> Path:
    """Write every figure of a report as a PDF file, for papers and slides.

    Args:
        run_json: As for :func:`render`.
        out: The folder; made where it is missing. Other files in it are left alone.
        comparison: As for :func:`render`.
        past: As for :func:`render`.

    Returns:
        The folder.

    Raises:
        UsageError: If there is no such record.
    """
    out.mkdir(parents=True, exist_ok=True)
    for one in _report(run_json, comparison, past).pictures():
        _write(out / f"{one.stem}.pdf", figures.pdf(one.data))
    return out


def _report(run_json: Path, comparison: Comparison | None, past: Sequence[records.Record]) -> Report:
    record = _readable(records.read(run_json))
    return Reader(record, comparison, [_readable(one) for one in past]).report()


def _readable(record: records.Record) -> records.Record:
    """Return the record without characters that neither HTML nor XML can hold."""

    def cleaned(value: Any) -> Any:
        if isinstance(value, str):
            return _NOT_TEXT.sub("\ufffd", value)
        if isinstance(value, dict):
            return {cleaned(name): cleaned(part) for name, part in value.items()}
        return [cleaned(part) for part in value] if isinstance(value, list | tuple) else value

    return records.Record.model_validate(cleaned(record.model_dump()))


def _pages(report: Report) -> Iterator[tuple[str, str]]:
    """Yield the address of every page, relative to the report's folder, and its HTML."""
    templates = _templates()
    yield "index.html", templates.get_template("index.html.j2").render(report=report, root="")
    for suite in report.suites:
        page = templates.get_template("suite.html.j2").render(report=report, suite=suite, root="../")
        yield suite.href, page
    for one in report.pages:
        template = templates.get_template(f"{one.kind}.html.j2")
        yield one.href, template.render(report=report, page=one, root="../")
    for aside in report.asides:
        template = templates.get_template(f"{aside.kind}.html.j2")
        text = template.render(report=report, aside=aside, root="")
        yield aside.href, _NOT_TEXT.sub("\ufffd", text)


def _stylesheet() -> str:
    return (content("reports") / "style.css").read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(content("reports") / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _figure(picture: Picture, folder: Path) -> set[Path]:
    """Write one figure and its data; draw it only if the file that is there shows something else."""
    drawn, data = folder / f"{picture.stem}.svg", folder / f"{picture.stem}.csv"
    mark = f'data-digest="{figures.digest(picture.data)}"'
    there = drawn.read_text(encoding="utf-8", errors="replace") if drawn.is_file() else ""
    if mark not in there[:1000] or not there.endswith("</svg>\n"):
        _write(drawn, figures.draw(picture.data))
    _write(data, listings.as_csv(picture.data))
    return {drawn, data}


def _write(path: Path, text: str | bytes) -> None:
    """Replace a file wholly or not at all; without fsync, since a report can be rendered again."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = temporary_beside(path)
    part.write_bytes(text if isinstance(text, bytes) else text.encode())
    part.replace(path)


def _remove_former(out: Path, names: set[str]) -> None:
    """Remove what the last report in this folder wrote and this one does not have."""
    manifest = out / MANIFEST
    former = manifest.read_text(encoding="utf-8").splitlines() if manifest.is_file() else []
    for name in former:
        if name not in names and _OURS.fullmatch(name):
            (out / name).unlink(missing_ok=True)
