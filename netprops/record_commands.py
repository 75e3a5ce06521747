"""The commands about records: ``netprops report`` draws one, ``netprops compare`` holds one against another.

Words: as in ``baseline.py``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from netprops.records import Record

FORMATS = ("text", "json", "markdown")
REPORT = """Draw the report of a recorded run, from the record alone. The formats:

  html         a folder of pages, figures (SVG) and their numbers (CSV), without a script; opens from disk
               (-o DIR, usually the record's folder)
  single       one HTML file with everything in it, to send by mail
               (-o FILE.html, usually report.html in the record's folder)
  markdown     verdicts as a table, such as a job's summary shows; printed
  pdf-figures  a folder with every figure as a PDF file, for papers and slides
               (-o DIR, usually pdf-figures in the record's folder)

  netprops report reports/latest/run.json --format single -o for-alice.html
  netprops report reports/latest/run.json --baseline main --format html -o public/"""


def add(commands: Any) -> None:
    """Add both commands to a parser's subparsers."""
    report = commands.add_parser(
        "report",
        help="draw the report of a recorded run: pages, one file, Markdown or figures for a paper",
        allow_abbrev=False,
        description=REPORT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    report.add_argument("record", type=Path, metavar="RUN.JSON", help="run.json, or run.jsonl of a cut run")
    report.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="where to write; see above for what is usual"
    )
    report.add_argument(
        "--format",
        choices=("html", "markdown", "single", "pdf-figures"),
        default="html",
        help="default: html",
    )
    report.add_argument("--baseline", metavar="FILE_OR_NAME", help="a record to compare it with")
    report.add_argument("--history", type=Path, metavar="DIR", help="a history of runs to show beside it")
    _tolerating(report)
    report.set_defaults(command=_report)

    compare = commands.add_parser(
        "compare",
        help="hold one record against another",
        allow_abbrev=False,
        description="Hold the record B against the record A: which verdicts and measurements got worse, and "
        "by how much. Exit code 1 if there is what --fail-on names.",
    )
    compare.add_argument("a", metavar="A", help="the baseline: a record, a report's folder or a saved name")
    compare.add_argument("b", metavar="B", help="the record that is judged")
    compare.add_argument(
        "--fail-on",
        choices=("regression", "change", "never"),
        default="regression",
        help="what makes the exit code 1 (default: regression)",
    )
    compare.add_argument("--format", choices=FORMATS, default="text", help="default: text")
    _tolerating(compare)
    compare.set_defaults(command=_compare)


def _tolerating(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tolerance",
        action="append",
        default=[],
        metavar="KEY=AMOUNT",
        help="how far measurements may move: 'mitosis/test_x.py::test_y=0.02', in their unit, or '...=20%%', "
        "of the margin to the bound (default: 10%%); may be repeated",
    )
    parser.add_argument(
        "--baselines", type=Path, default=Path("baselines"), metavar="DIR", help="folder of saved baselines"
    )


def _read(named: str, arguments: argparse.Namespace) -> tuple[Record, str]:
    from netprops import kept

    path = kept.find(named, arguments.baselines, Path.cwd())
    return kept.read(path), named


def _comparison(arguments: argparse.Namespace, baseline: tuple[Record, str], run: Record) -> Any:
    from netprops import kept
    from netprops.baseline import compare
    from netprops.tolerances import Tolerances, from_toml, parse

    given = Tolerances(parse(arguments.tolerance))
    given.refuse_unknown(kept.names_of([*baseline[0].tests, *run.tests]))
    tolerances = Tolerances({**from_toml(Path.cwd()), **given.given})
    return compare(baseline[0], run, name=baseline[1], tolerances=tolerances)


def _compare(arguments: argparse.Namespace) -> int:
    from netprops import differences, markdown

    baseline = _read(arguments.a, arguments)
    comparison = _comparison(arguments, baseline, _read(arguments.b, arguments)[0])
    write = {"text": differences.text, "json": differences.to_json, "markdown": markdown.of_comparison}
    print(write[arguments.format](comparison))
    return 1 if comparison.fails(arguments.fail_on) else 0


def _report(arguments: argparse.Namespace) -> int:
    from netprops import kept, records, report

    comparison = None
    past: list[Record] = []
    if arguments.baseline is not None:
        comparison = _comparison(
            arguments, _read(arguments.baseline, arguments), records.read(arguments.record)
        )
    if arguments.format == "markdown":
        from netprops.markdown import summary

        print(summary(records.read(arguments.record), comparison))
        return 0
    if arguments.history is not None:
        past, problems = kept.history(arguments.history)
        print(*problems, sep="\n", end="\n" if problems else "")
    beside = arguments.record.parent
    write, usual = {
        "html": (report.render, beside),
        "single": (report.render_single, beside / "report.html"),
        "pdf-figures": (report.render_pdf_figures, beside / "pdf-figures"),
    }[arguments.format]
    out = arguments.output or usual
    if arguments.format == "single" and out.is_dir():
        out /= "report.html"
    print(write(arguments.record, out, comparison=comparison, past=past))
    return 0
