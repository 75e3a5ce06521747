"""A report as one HTML file: every page a section, every figure and every table of numbers within.

Words: a *sheet* is the section that one page of the report has become; its id is the page's address, and an
anchor ``b`` of the page ``a.html`` is ``a.html~b`` here.

The file needs nothing beside it. Its ``meta`` element holds the policy ``default-src 'none'`` with the hash
of its one stylesheet: no script, no request, no other style. Figures are drawn inline, so that one stylesheet
gives them their dark look; CSV files are links that carry their data.
"""

from __future__ import annotations

import base64
import hashlib
import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from html import unescape
from urllib.parse import quote

from netprops.looks import INK
from netprops.svg import DARK

_WITHIN = re.compile(r'<header class="top">(?P<top>.*?)</header>\s*<main[^>]*>(?P<main>.*)</main>', re.DOTALL)
_ADDRESS = re.compile(r' (id|href|aria-labelledby)="([^"]*)"')
_PICTURE = re.compile(
    r'<picture>.*?<img src="[^"]*?figures/(?P<stem>[^"]*)\.svg"[^>]* alt="(?P<alt>[^"]*)">.*?</picture>',
    re.DOTALL,
)
_FILES = re.compile(r'<a href="[^"]*?figures/(?P<stem>[^"]*)\.csv">(?P<name>.*?)</a>')


def policy(stylesheet: str) -> str:
    """Return the policy under which a page may use this stylesheet and nothing else."""
    digest = base64.b64encode(hashlib.sha256(stylesheet.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"


def stylesheet(shared: str) -> str:
    """Return the report's stylesheet with the dark look of figures, which are part of the page here."""
    rules = f"  .drawing {{ fill: {DARK[INK]}; }}\n" + "\n".join(
        f'  .drawing [{part}="{light}"] {{ {part}: {dark}; }}'
        for light, dark in DARK.items()
        for part in ("fill", "stroke")
    )
    return f"{shared}\n@media screen and (prefers-color-scheme: dark) {{\n{rules}\n}}\n"


def sheets(
    pages: Iterable[tuple[str, str]],
    drawn: Callable[[str, str, str], str],
    tables: Mapping[str, str],
) -> Iterable[tuple[str, str]]:
    """Yield the sheets of a report's pages.

    Args:
        pages: Address of each page relative to the report's folder, and its HTML. The templates quote every
            attribute and escape every quotation mark in text, which is what is relied on here.
        drawn: From the name of a figure's file without its ending, a prefix for ids and the text alternative
            to the figure as an element of the page.
        tables: CSV file of each figure, by the name of its file without the ending.

    Yields:
        The id of a sheet and the HTML within it.
    """
    count = 0

    def inline(match: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return drawn(match["stem"], f"f{count}", unescape(match["alt"]))

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
        yield address, _FILES.sub(carried, _PICTURE.sub(inline, body))


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
