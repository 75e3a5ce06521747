"""The command ``netprops``: run shipped suites, build networks ahead, look after the cache and records.

Words: as in ``zoo.py`` and ``cache.py``. Exit codes are pytest's: 0 all is well, 1 a claim failed or an entry
was damaged, 2 interrupted, 3 a defect of pytest or a plugin, 4 a wrong option, name or path, 5 nothing to do.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from netprops import layers_command, record_commands, settings
from netprops.content import content, did_you_mean, families, nearest, suites
from netprops.errors import NetpropsError, UsageError
from netprops.plugin.progress import Aloud
from netprops.selector import selector

if TYPE_CHECKING:
    from netprops.cache import Cache
    from netprops.declaration import Spec
    from netprops.plan import PlanRow
    from netprops.zoo import Zoo

_EXAMPLES = """\
examples:
  netprops list                              suites, families and networks, and what is cached
  netprops run mitosis -k fc5                train what is missing, test, write reports/latest
  netprops run mitosis -k wrn28 -n 2         the same in two processes
  netprops build -k "fc5 and not s1" --dry-run    what would be trained, and how long it takes
  netprops cache prune --unused-days 30      free the disk
  netprops report reports/latest/run.json -o elsewhere
  netprops compare main reports/latest/run.json   what got worse since the baseline main was saved

exit codes:
  0  all is well             3  a defect of pytest or of a plugin
  1  a claim failed, a       4  a wrong option, name or path; missing data
     comparison found a      5  no tests were collected
     regression, or an
     entry was damaged
  2  interrupted
"""
_OWN_CONFIGS = ("pytest.toml", ".pytest.toml", "pytest.ini", ".pytest.ini")
_SHARED_CONFIGS = ("pyproject.toml", "tox.ini", "setup.cfg")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Arguments after the command's name; those of the process where None.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    # A pytest run shows by itself what the engine says.
    aloud = None if command is _run else Aloud(_say)
    try:
        return command(arguments)
    except NetpropsError as error:
        print(f"netprops: {error}", file=sys.stderr)
        return 4
    except KeyboardInterrupt:
        print("netprops: interrupted; what was trained is kept", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has seen enough; Python must not complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        if aloud is not None:
            aloud.close()


class _Parser(argparse.ArgumentParser):
    """A parser that leaves with pytest's exit code for a wrong usage."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.print_usage(sys.stderr)
        self.exit(4, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="netprops",
        description="Property tests for trained neural networks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    from netprops import __version__

    parser.add_argument("--version", action="version", version=f"netprops {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    run = commands.add_parser(
        "run",
        help="run a suite that netprops ships",
        allow_abbrev=False,
        description="Run a shipped suite, or one file of it, with pytest: all that follows its name goes to "
        "pytest. The report is written to ./reports/latest.",
    )
    run.add_argument("suite", metavar="SUITE", help="a suite such as mitosis, or mitosis/test_clones.py")
    run.add_argument("pytest", nargs=argparse.REMAINDER, metavar="...", help="pytest's own arguments, -k fc5")
    run.set_defaults(command=_run)

    build = commands.add_parser("build", help="train networks ahead of the tests", allow_abbrev=False)
    _selecting(build)
    build.add_argument("--dry-run", action="store_true", help="only say what would be trained")
    build.add_argument("--download", action="store_true", help="allow data sets to be downloaded")
    build.set_defaults(command=_build)

    listing = commands.add_parser("list", help="suites, families and networks", allow_abbrev=False)
    _selecting(listing)
    listing.set_defaults(command=_list, download=False)

    cache = commands.add_parser("cache", help="look after trained networks", allow_abbrev=False)
    what = cache.add_subparsers(required=True, metavar="size|list|verify|prune", parser_class=_Parser)
    for name, action, text in (
        ("size", _cache_size, "how much it holds"),
        ("list", _cache_list, "every entry"),
        ("verify", _cache_verify, "read every file; damaged entries are moved aside"),
        ("prune", _cache_prune, "remove damaged entries and leftovers, and what the options name"),
    ):
        one = what.add_parser(name, help=text, description=text, allow_abbrev=False)
        _placing(one)
        one.set_defaults(command=action)
        if name == "prune":
            one.add_argument("--unused-days", type=float, metavar="DAYS", help="entries unused for so long")
            one.add_argument("--max-gb", type=float, metavar="GB", help="oldest entries, until the rest fits")
            one.add_argument("--all", action="store_true", help="everything")

    record_commands.add(commands)
    layers_command.add(commands)
    return parser


def _selecting(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", metavar="EXPR", default="", help='such as "fc5 and not s1"; parts of ids')
    parser.add_argument("--scale", default="mini", metavar="SCALE", help="mini (default) or paper")
    parser.add_argument("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--data-root", type=Path, metavar="DIR", help="folder of the data (or NETPROPS_DATA)")
    parser.add_argument(
        "--fixtures",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="folder of further families; may be repeated",
    )
    _placing(parser)


def _placing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cache", type=Path, metavar="DIR", dest="root", help="folder of the cache (or NETPROPS_CACHE)"
    )
    parser.add_argument("--remote", metavar="URL", help="a shared cache that is read through")


def _run(arguments: argparse.Namespace) -> int:
    import pytest

    name = arguments.suite.removeprefix("suites/").rstrip("/")
    known = suites()
    place = content("suites") / name
    if name.partition("/")[0] not in known or not place.exists():
        files = [f"{one}/{path.name}" for one, folder in known.items() for path in folder.glob("test_*.py")]
        hint = nearest(name, files if "/" in name else known)
        raise UsageError(f"no suite is called {arguments.suite!r}{hint}")
    here = Path.cwd()
    config = _configuration(here)
    ours = [
        str(place),
        f"--rootdir={here}",
        "--import-mode=importlib",
        # This command has imported parts of the plugin; that pytest cannot rewrite their asserts is no news.
        "-W",
        "ignore:Module already imported so cannot be rewritten:pytest.PytestAssertRewriteWarning",
    ]
    return int(pytest.main([*ours, *(("-c", str(config)) if config else ()), *arguments.pytest]))


def _configuration(here: Path) -> Path | None:
    """Return the pytest configuration that a run in this folder would use: the suite lies elsewhere."""
    for folder in (here, *here.parents):
        for name in (*_OWN_CONFIGS, *_SHARED_CONFIGS):
            path = folder / name
            if path.is_file() and _configures_pytest(path):
                return path
    return None


def _configures_pytest(path: Path) -> bool:
    """Return whether a file is a pytest configuration, by pytest's own rules."""
    if path.name in _OWN_CONFIGS:
        return True
    if path.suffix == ".toml":
        return "pytest" in settings.document(path).get("tool", {})
    text = path.read_text(encoding="utf-8", errors="replace")
    section = "pytest" if path.name == "tox.ini" else "tool:pytest"
    return re.search(rf"^\[{section}\]", text, re.MULTILINE) is not None


def _build(arguments: argparse.Namespace) -> int:
    specs = _selected(arguments)
    zoo = _zoo(arguments)
    specs = _with_data(specs, arguments)
    zoo.refuse_dry(specs)
    rows = zoo.plan(specs)
    missing = [row for row in rows if not row.cached]
    _table(rows)
    if arguments.dry_run or not missing:
        return 0
    try:
        zoo.ensure(specs)
    finally:
        zoo.close()
    print(f"built: {len(missing)}")
    return 0


def _list(arguments: argparse.Namespace) -> int:
    print("suites:")
    for name, folder in suites().items():
        print(f"  {name}: {', '.join(sorted(path.name for path in folder.glob('test_*.py')))}")
    specs = _selected(arguments)
    print(f"families at scale {arguments.scale}:")
    for family in dict.fromkeys(spec.family.id for spec in specs):
        variants = sorted({spec.variant for spec in specs if spec.variant and spec.family.id == family})
        print(f"  {family}{' with ' + ', '.join(variants) if variants else ''}")
    specs = _with_data(specs, arguments)
    _table(_zoo(arguments).plan(specs))
    return 0


def _selected(arguments: argparse.Namespace) -> list[Spec]:
    """Return the networks of a scale that an expression selects.

    Raises:
        UsageError: If the scale is unknown, or nothing is selected.
    """
    from netprops.plugin.options import SCALES

    if arguments.scale not in SCALES:
        raise UsageError(f"unknown scale {arguments.scale!r}{nearest(arguments.scale, SCALES)}")
    declared = families(arguments.scale, arguments.fixtures)
    specs = [spec for family in declared if not family.planted for spec in family.all_specs()]
    matches = selector(arguments.k)
    chosen = [spec for spec in specs if matches(spec.id)]
    if not chosen:
        parts = {part for spec in specs for part in (spec.id, *spec.id.split("-"))}
        known = ", ".join(dict.fromkeys(spec.family.id for spec in specs))
        hint = did_you_mean(arguments.k, parts) or "."
        raise UsageError(f"no network matches -k {arguments.k!r}{hint} Families at this scale: {known}")
    return chosen


def _with_data(specs: Iterable[Spec], arguments: argparse.Namespace) -> list[Spec]:
    """Return the networks whose data are there; say once what is missing of the others."""
    from netprops.data import check

    root = _data_root(arguments)
    kept, said = [], set()
    for spec in specs:
        sentence = None if arguments.download else check(spec.data, root)
        if sentence is None:
            kept.append(spec)
        elif sentence not in said:
            said.add(sentence)
            print(f"{spec.family.id}: {sentence}", file=sys.stderr)
    if not kept:
        raise UsageError("the data of every selected network are missing")
    return kept


def _data_root(arguments: argparse.Namespace) -> Path | None:
    named = arguments.data_root or os.environ.get("NETPROPS_DATA")
    root = Path(named).expanduser().absolute() if named else None
    if root is not None and not root.is_dir():
        raise UsageError(f"the data root {root} is not a folder")
    return root


def _cache(arguments: argparse.Namespace) -> Cache:
    from netprops.cache import Cache, default_root

    return Cache(
        arguments.root.expanduser().absolute() if arguments.root else default_root(), remote=arguments.remote
    )


def _zoo(arguments: argparse.Namespace) -> Zoo:
    from netprops.companion import spare_cores
    from netprops.plugin.progress import Lines
    from netprops.zoo import Zoo

    lines = Lines(_say)
    return Zoo(
        _cache(arguments),
        data_root=_data_root(arguments),
        device=arguments.device,
        progress=lines,
        download=arguments.download,
        companions=spare_cores(),
    )


def _say(text: str) -> None:
    print(text, flush=True)


def _table(rows: Sequence[PlanRow]) -> None:
    """Print one row a network, and what the missing ones would take together."""
    from netprops.plugin.progress import duration

    width = max((len(row.id) for row in rows), default=0)
    for row in rows:
        state = "cached" if row.cached else f"to train, about {duration(row.seconds)}"
        print(
            f"{row.id:{width}}  {row.parameters:>11,} parameters  {row.epochs:>5} epochs  "
            f"{_size(row.bytes):>9}  {state}"
        )
    missing = [row for row in rows if not row.cached]
    size, seconds = sum(row.bytes for row in missing), sum(row.seconds for row in missing)
    print(
        f"networks: {len(rows)}, cached: {len(rows) - len(missing)}, to train: {len(missing)}, "
        f"{_size(size)}, about {duration(seconds)}"
    )


def _cache_size(arguments: argparse.Namespace) -> int:
    cache = _cache(arguments)
    size = cache.size()
    print(
        f"{cache.root}: {size.entries} entries, {_size(size.bytes)}; trainings under way "
        f"{_size(size.workspace_bytes)}; damaged {_size(size.damaged_bytes)}"
    )
    return 0


def _cache_list(arguments: argparse.Namespace) -> int:
    for entry in sorted(_cache(arguments).entries(), key=lambda one: str(one.manifest.get("id"))):
        print(
            f"{entry.key[:12]}  {_size(entry.bytes()):>9}  {entry.manifest.get('created', '')}  "
            f"{entry.manifest.get('id', '')}"
        )
    return 0


def _cache_verify(arguments: argparse.Namespace) -> int:
    problems = _cache(arguments).verify()
    for problem in problems:
        print(problem)
    print("all entries are sound" if not problems else f"damaged and moved aside: {len(problems)}")
    return 1 if problems else 0


def _cache_prune(arguments: argparse.Namespace) -> int:
    limit = None if arguments.max_gb is None else int(arguments.max_gb * 1e9)
    removed = _cache(arguments).prune(
        unused_days=arguments.unused_days, max_bytes=limit, everything=arguments.all
    )
    print(f"removed: {len(removed.entries)} entries, {_size(removed.bytes)}")
    return 0


def _size(count: float) -> str:
    """Return bytes in words.

    Example:
        >>> _size(1_500_000)
        '1.5 MB'
    """
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"
