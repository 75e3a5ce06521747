"""The plugin's options: names, where a value may come from, and what is refused before anything is collected.

Words: a *setting* is one option with its ini name and perhaps an environment variable; an option on the
command line beats the environment, which beats the ini file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from netprops.errors import NetpropsError, UsageError
from netprops.plugin.model_options import ModelOptions, chosen

if TYPE_CHECKING:
    from netprops.tolerances import Tolerance

SCALES = ("mini", "paper")
DEVICES = ("auto", "cpu", "cuda", "cuda:0", "mps")
MARKER = (
    "netprops(on='widest'|'family', families=None, variant=None, needs='widths'|'widest', uses=()): a "
    "property test "
    "of trained networks. on='widest' runs it on every seed of the widest network (fixture `subject`), "
    "on='family' once a family (fixture `family`); families names those it is for, or a role that they "
    "declare; variant is the training variant that it needs; needs says which networks a family test trains, "
    "all widths or only the widest; uses=('train', 'seeds', 'snapshots') says what it cannot do without, so "
    "that it is left out for a user's network that has none."
)
_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_INI = re.compile(r"""^\s*["']?(netprops_\w+)["']?\s*=""", re.MULTILINE)


@dataclass(frozen=True)
class Setting:
    """One option: its name after ``--netprops-``, its help, and the kind of its value."""

    name: str
    help: str
    kind: Literal["text", "texts", "flag", "path", "paths"] = "text"
    metavar: str | None = None
    env: str | None = None

    @property
    def option(self) -> str:
        """The name on the command line."""
        return f"--netprops-{self.name}"

    @property
    def ini(self) -> str:
        """The name in an ini file, and of the parsed option."""
        return f"netprops_{self.name.replace('-', '_')}"


SETTINGS = (
    Setting("scale", "recipes: mini (minutes on a CPU; default) or paper (the papers' own)", metavar="SCALE"),
    Setting(
        "device",
        "where networks are trained and measured: auto (default), cpu, cuda, cuda:N or mps",
        metavar="DEVICE",
    ),
    Setting("data-root", "folder of the data sets (also: NETPROPS_DATA)", "path", "DIR", "NETPROPS_DATA"),
    Setting(
        "cache",
        "folder of trained networks (also: NETPROPS_CACHE; default: the user's cache folder)",
        "path",
        "DIR",
        "NETPROPS_CACHE",
    ),
    Setting("remote", "URL of a shared cache that is read through", metavar="URL"),
    Setting("report", "folder of the report (default: reports/latest)", "path", "DIR"),
    Setting("baseline", "a record, or a saved name, to hold this run against", metavar="FILE_OR_NAME"),
    Setting("save", "keep this run's record as a baseline of that name", metavar="NAME"),
    Setting("baselines", "folder of saved baselines (default: baselines)", "path", "DIR"),
    Setting(
        "tolerance",
        "how far a measurement may move from the baseline: 'mitosis/test_x.py::test_y=0.02' in its unit, "
        "'...=20%%' of its margin to the bound (default: 10%%); repeatable",
        "texts",
        "KEY=AMOUNT",
    ),
    Setting(
        "history", "folder that keeps the record of every run; the report shows the last 20", "path", "DIR"
    ),
    Setting("no-report", "write neither a record nor a report", "flag"),
    Setting("strict", "count an inconclusive test as failed", "flag"),
    Setting("alpha", "probability of any false alarm in the whole run (default: 0.01)", metavar="P"),
    Setting("download", "allow data sets to be downloaded", "flag"),
    Setting("fixtures", "folder of further families, in the form of fixtures/; repeatable", "paths", "DIR"),
    Setting(
        "model",
        "test a network of your own: pkg.mod:builder, file.py:builder, torchvision:NAME or timm:NAME",
        metavar="BUILDER",
    ),
    Setting("model-kwargs", "arguments of the builder, such as '{\"depth\": 20}'", metavar="JSON"),
    Setting("checkpoint", "its weights: a file, or a pattern of files; repeatable", "paths", "GLOB"),
    Setting("checkpoint-key", "name of the weights in the file, such as model_ema", metavar="KEY"),
    Setting(
        "data",
        "what it is tested on: pkg.mod:function, cifar10, imagefolder:PATH or torchvision:CIFAR10",
        metavar="DATA",
    ),
    Setting("samples", "use a random N samples of each split at most; the report says so", metavar="N"),
    Setting("layer", "path of its last hidden layer, where it is not found by itself", metavar="NAME"),
    Setting("readout", "path of its last Linear, likewise (see `netprops layers`)", metavar="NAME"),
    Setting(
        "models", "a table [tool.netprops.models.NAME] of your own networks; repeatable", "texts", "NAME"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Options:
    """The settings of a run, resolved."""

    scale: str
    device: str
    data_root: Path | None
    cache: Path | None
    remote: str | None
    report: Path
    baseline: Path | None
    save: Path | None
    tolerances: Mapping[str, Tolerance]
    history: Path | None
    no_report: bool
    strict: bool
    alpha: float
    download: bool
    fixtures: tuple[Path, ...]
    models: ModelOptions | None


@contextmanager
def refused() -> Iterator[None]:
    """Turn what netprops refuses into pytest's own usage error: one line, exit code 4."""
    try:
        yield
    except NetpropsError as error:
        raise pytest.UsageError(str(error)) from error


def add(parser: pytest.Parser) -> None:
    """Add the options and their ini names to pytest's parser."""
    group = parser.getgroup("netprops", "property tests for trained neural networks")
    repeated = {"action": "append"}
    kinds: dict[str, dict[str, Any]] = {
        "flag": {"action": "store_true"},
        "paths": repeated,
        "texts": repeated,
    }
    for setting in SETTINGS:
        value = kinds.get(setting.kind, {})
        if setting.kind != "flag":
            value = {**value, "metavar": setting.metavar}
        group.addoption(setting.option, dest=setting.ini, default=None, help=setting.help, **value)
        if setting.kind == "flag":
            parser.addini(setting.ini, setting.help, type="bool", default=False)
        elif setting.kind == "paths":
            parser.addini(setting.ini, setting.help, type="args", default=[])
        elif setting.kind == "texts":
            parser.addini(setting.ini, setting.help, type="linelist", default=[])
        else:
            parser.addini(setting.ini, setting.help, type="string", default="")


def refuse_unknown(args: Sequence[str]) -> None:
    """Refuse an option ``--netprops-...`` that there is not, with the nearest one.

    Raises:
        UsageError: For the first unknown one.
    """
    known = [setting.option for setting in SETTINGS]
    for arg in args:
        name = arg.partition("=")[0]
        if name.startswith("--netprops") and name not in known:
            raise UsageError(f"unknown option {name}{_nearest(name, known)}")


def check(config: pytest.Config) -> None:
    """Check what the command line and the ini file say, before anything is collected.

    Environment variables are left until a property test is there: they must not fail an unrelated run.

    Raises:
        UsageError: For an unknown ini name, or a value that is wrong.
    """
    _refuse_unknown_ini(config)
    if any(_given(config, setting) is not None for setting in SETTINGS):
        options = resolve(config, {})
        if not hasattr(config, "workerinput") and config.getoption("netprops_report") is not None:
            check_report(options.report)
        if options.device not in ("auto", "cpu") and config.getoption("netprops_device") is not None:
            check_device(options.device)


def resolve(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Options:
    """Return the settings of a run.

    Args:
        config: pytest's configuration.
        environ: The environment variables to look at.

    Raises:
        UsageError: If a value is not one that the setting can have, or a folder is not there.
    """
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        name = setting.ini.removeprefix("netprops_")
        values[name] = _value(config, setting, environ)
    scale = values["scale"] or "mini"
    if scale not in SCALES:
        raise UsageError(f"unknown scale {scale!r}{_nearest(scale, SCALES)}")
    device = values["device"] or "auto"
    if not _DEVICE.fullmatch(device):
        raise UsageError(f"unknown device {device!r}{_nearest(device, DEVICES)}")
    data_root, cache = values["data_root"], values["cache"]
    if data_root is not None and not data_root.is_dir():
        raise UsageError(f"the data root {data_root} is not a folder")
    if cache is not None:
        _check_writable(cache, "cache")
    for folder in values["fixtures"] or ():
        if not folder.is_dir():
            raise UsageError(f"the folder of fixtures {folder} does not exist")
    baselines = values["baselines"] or config.rootpath / "baselines"
    if values["history"] is not None:
        _check_writable(values["history"], "history")
    return Options(
        scale=scale,
        device=device,
        data_root=data_root,
        cache=cache,
        remote=values["remote"],
        report=values["report"] or config.rootpath / "reports" / "latest",
        baseline=_baseline(config, values["baseline"], baselines),
        save=_saved(values["save"], baselines),
        tolerances=_tolerances(config, values["tolerance"] or ()),
        history=values["history"],
        no_report=bool(values["no_report"]),
        strict=bool(values["strict"]),
        alpha=_alpha(values["alpha"] or "0.01"),
        download=bool(values["download"]),
        fixtures=tuple(values["fixtures"] or ()),
        models=chosen(values, config.invocation_params.dir, (config.rootpath, config.invocation_params.dir)),
    )


def check_report(folder: Path) -> None:
    """Refuse a folder of the report that cannot be written, or that holds something else.

    Raises:
        UsageError: If so.
    """
    _check_writable(folder, "report")
    names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    if names and not names & {"run.json", "run.jsonl", "index.html"}:
        raise UsageError(
            f"the report folder {folder} holds other files ({', '.join(sorted(names)[:3])}); "
            "name an empty or new folder, or an older report"
        )


def check_device(name: str) -> None:
    """Refuse a device that this machine has not; imports torch.

    Raises:
        UsageError: If it is not there.
    """
    from netprops.training.device import resolve as resolve_device

    resolve_device(name)


def _value(config: pytest.Config, setting: Setting, environ: Mapping[str, str]) -> Any:
    """Return a setting's value, paths made absolute; None where nobody set it."""
    chosen = config.getoption(setting.ini)
    base = config.invocation_params.dir
    if chosen is None and setting.env:
        chosen = environ.get(setting.env) or None
    if chosen is None:
        chosen = _given(config, setting)
        base = config.inipath.parent if config.inipath else config.rootpath
    if chosen is None or setting.kind in ("text", "texts", "flag"):
        return chosen
    if setting.kind == "path":
        return _absolute(base, chosen)
    return [_absolute(base, one) for one in chosen]


def _given(config: pytest.Config, setting: Setting) -> Any:
    """Return what the command line or else the ini file says, as it is written; None where neither does."""
    chosen = config.getoption(setting.ini)
    return chosen if chosen is not None else (config.getini(setting.ini) or None)


def _absolute(base: Path, path: str) -> Path:
    return Path(os.path.abspath(base / Path(path).expanduser()))  # noqa: PTH100  (links stay as they were given)


def _baseline(config: pytest.Config, named: str | None, folder: Path) -> Path | None:
    """Return the file of the baseline; what it is about is checked when the tests are known."""
    if not named:
        return None
    from netprops import kept

    path = kept.find(named, folder, config.invocation_params.dir)
    kept.read(path)
    return path


def _saved(name: str | None, folder: Path) -> Path | None:
    """Return where this run's record is kept as a baseline."""
    if not name:
        return None
    from netprops import kept

    _check_writable(folder, "baselines")
    return kept.baseline_path(name, folder)


def _tolerances(config: pytest.Config, texts: Sequence[str]) -> Mapping[str, Tolerance]:
    """Return the tolerances of the configuration's tables and of the option, which wins."""
    if not texts and not any(
        (config.rootpath / name).is_file() for name in ("pyproject.toml", "netprops.toml")
    ):
        return {}
    from netprops import tolerances

    return {**tolerances.from_toml(config.rootpath), **tolerances.parse(texts)}


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = 0.0
    if not 0 < alpha <= 0.5:
        raise UsageError(f"the false-alarm budget must be a probability in (0, 0.5], got {text!r}")
    return alpha


def _check_writable(folder: Path, what: str) -> None:
    """Refuse a folder that is a file, or that can neither be written nor made."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"the {what} folder {folder} is a file")
    there = next(place for place in (folder, *folder.parents) if place.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(f"the {what} folder {folder} cannot be written: {there} may not be changed by you")


def _refuse_unknown_ini(config: pytest.Config) -> None:
    """Refuse a name ``netprops_...`` of the ini file, or of ``-o``, that there is not."""
    known = [setting.ini for setting in SETTINGS]
    text = "\n".join(config.getoption("override_ini") or ())
    if config.inipath is not None:
        text += "\n" + config.inipath.read_text(encoding="utf-8", errors="replace")
    for name in _INI.findall(text):
        if name not in known:
            where = config.inipath or "the command line"
            raise UsageError(f"unknown ini name {name} in {where}{_nearest(name, known)}")


def _nearest(name: str, known: Sequence[str]) -> str:
    """Return the end of a message that refuses a name; difflib is imported only here, for a quick start."""
    from netprops.content import nearest

    return nearest(name, known)
