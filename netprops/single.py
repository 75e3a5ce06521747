"""A report as one HTML file: every page a section, every figure and every table of numbers within.

Words: a *sheet* is the section that one page of the report has become; its id is the page's address, and an
anchor ``b`` of the page ``a.html`` is ``a.html~b`` here.

The file needs nothing beside it. Its ``meta`` element holds the policy ``default-src 'none'`` with the hash of
its one stylesheet: no script, no request, no other style. Figures are drawn inline, so that one stylesheet
gives them their dark look; CSV files are links that carry their data.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from netprops.svg import DARK, inline

_WITHIN = re.compile(r'<header class="top">(?P<top>.*?)</header>\s*<main[^>]*>(?P<main>.*)</main>', re.DOTALL)
_ADDRESS = re.compile(r' (id|href|aria-labelledby)="([^"]*)"')
_PICTURE = re.compile(
    r'<picture>.*?<img src="[^"]*?figures/(?P<stem>[^"]*)\.svg"[^>]* alt="(?P<alt>[^"]*)">.*?</picture>',
    re.DOTALL,
)
_FILES = re.compile(
    r'<a href="[^"]*?figures/(?P<stem>[^"]*)\.csv">(?P<name>.*?)</a> · <a href="[^"]*\.svg">.*?</a>'
)


def policy(stylesheet: str) -> str:
    """Return the policy under which a page may use this stylesheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(stylesheet.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def stylesheet(shared: str) -> str:
    """Return the report's stylesheet with the dark look of figures, which are part of the page here."""
    rules = "\n".join(
        f'  .drawing [{part}="{light}"] {{ {part}: {dark}; }}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    )
    return f"{shared}\n@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"


def sheets(
    pages: Iterable[tuple[str, str]], drawings: Mapping[str, str], tables: Mapping[str, str]
) -> Iterable[tuple[str, str]]:
    """Yield the sheets of a report's pages.

    Args:
        pages: Address of each page relative to the report's folder, and its HTML. The templates quote every
            attribute and escape every quotation mark in text, which is what is relied on here.
        drawings: SVG file of each figure, by the name of the file without its ending.
        tables: CSV file of each figure, likewise.

    Yields:
        The id of a sheet and the HTML within it.
    """
    count = 0

    def drawn(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return inline(drawings[match["stem"]], f"f{count}", match["alt"])

    def carried(match: re.Match[str]) -> str:
        stem = match["stem"]
        name = match["name"]
        return f'<a download="{stem}.csv" href="data:text/csv;charset=utf-8,{quote(tables[stem])}">{name}</a>'

    for address, page in pages:
        parts = _WITHIN.search(page)
        if parts is None:
            raise ValueError(f"{address} has no header and main element")
        body = f'<div class="top">{parts["top"]}</div>\n{parts["main"]}'
        body = _ADDRESS.sub(lambda match, here=address: _moved(match, here), body)  # type: ignore[misc]
        yield address, _FILES.sub(carried, _PICTURE.sub(drawn, body))


def _moved(match: re.Match[str], here: str) -> str:
    """Return an attribute that names a place, for a file in which all pages are sections."""
    part, value = match.groups()
    if part != "href":
        return f' {part}="{here}~{value}"'
    path, _, anchor = value.partition("#")
    page = posixpath.normpath(posixpath.join(posixpath.dirname(here), path)) if path else here
    if page.startswith("figures/"):
        return match[0]
    return f' href="#{page}{f"~{anchor}" if anchor else ""}"'
