"""Options are refused, before anything is collected, with the nearest right one."""

import os

import pytest

from netprops.errors import UsageError
from netprops.plugin import options

PASSING = "def test_nothing():\n    raise SystemExit('collected and run')\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--netprops-scal", "mini"], "*unknown option --netprops-scal; did you mean '--netprops-scale'?*"),
        (["--netprops-reprt=x"], "*did you mean '--netprops-report'?*"),
        (["--netprops-scale", "minni"], "*unknown scale 'minni'; did you mean 'mini'?*"),
        (["--netprops-device", "cdua"], "*unknown device 'cdua'; did you mean 'cuda'?*"),
        (["--netprops-data-root", "nowhere"], "*data root */nowhere is not a folder*"),
        (["--netprops-cache", "plain.txt"], "*cache folder */plain.txt is a file*"),
        (["--netprops-cache", "plain.txt/below"], "*cache folder */plain.txt/below cannot be written*"),
        (["--netprops-report", "plain.txt"], "*report folder */plain.txt is a file*"),
        (["--netprops-report", "full"], "*report folder */full holds other files (thesis.tex)*"),
        (["--netprops-baseline", "nowhere.json"], "the baseline */nowhere.json does not exist"),
        (["--netprops-baseline", "main"], "no baseline is called 'main' in */baselines; known: none"),
        (
            ["--netprops-baseline", "plain.txt"],
            "*/plain.txt is not a record of schema version 1: it is no JSON*",
        ),
        (["--netprops-save", "../main"], "a baseline's name has letters, digits, *, got '../main'"),
        (["--netprops-tolerance", "mitosis=lots"], "a tolerance is a number from 0 on, *'mitosis=lots'"),
        (["--netprops-history", "plain.txt"], "the history folder */plain.txt is a file"),
        (["--netprops-alpha", "2"], "*a probability in (0, 0.5], got '2'*"),
        (["--netprops-alpha", "few"], "*a probability in (0, 0.5], got 'few'*"),
        (["--netprops-fixtures", "nowhere"], "*folder of fixtures */nowhere does not exist*"),
        (["-o", "netprops_scal=mini"], "*unknown ini name netprops_scal in *did you mean 'netprops_scale'?*"),
        (["-o", "netprops_scale=maxi"], "*unknown scale 'maxi'*known: mini, paper*"),
    ],
)
def test_a_wrong_value_is_a_usage_error_before_collection(runs, args, message):
    runs.write("plain.txt", "")
    runs.write("full/thesis.tex", "")
    runs.write("test_nothing.py", PASSING)
    result = runs.run(*args, "test_nothing.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    result.stdout.no_fnmatch_line("*collected*")


def test_an_unknown_name_in_the_ini_file(runs):
    runs.write("pytest.ini", "[pytest]\nnetprops_stricct = true\n")
    runs.write("test_nothing.py", PASSING)
    result = runs.run("test_nothing.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*netprops_stricct in *pytest.ini; did you mean 'netprops_strict'?*"])


def test_an_unknown_name_in_pyproject(pytester):
    pytester.makepyprojecttoml('[tool.pytest.ini_options]\nnetprops_alfa = "0.01"\n')
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*netprops_alfa*did you mean 'netprops_alpha'?*"])


def test_the_environment_is_checked_only_where_property_tests_are(runs, monkeypatch):
    monkeypatch.setenv("NETPROPS_DATA", "nowhere")
    runs.write("test_other.py", "def test_other():\n    pass\n")
    runs.suite("@toy\ndef test_it(subject):\n    pass\n")
    assert runs.run("test_other.py").ret == 0
    result = runs.run("suites")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: the data root */nowhere is not a folder"])


def test_the_command_line_beats_the_environment_which_beats_the_ini_file(pytester):
    for name in ("by-option", "by-environment", "sub/by-ini"):
        (pytester.path / name).mkdir(parents=True)
    pytester.path.joinpath("sub/pytest.ini").write_text(
        "[pytest]\nnetprops_data_root = by-ini\nnetprops_strict = true\nnetprops_fixtures = by-ini\n"
    )
    environ = {"NETPROPS_DATA": "by-environment"}
    ini = ["-c", "sub/pytest.ini", "-p", "no:cacheprovider"]
    config = pytester.parseconfig(*ini, "--netprops-data-root", "by-option")
    assert options.resolve(config, environ).data_root == pytester.path / "by-option"
    config = pytester.parseconfig(*ini)
    assert options.resolve(config, environ).data_root == pytester.path / "by-environment"
    resolved = options.resolve(config, {})
    assert resolved.data_root == pytester.path / "sub/by-ini"
    assert (resolved.strict, resolved.fixtures) == (True, (pytester.path / "sub/by-ini",))


def test_defaults(pytester):
    resolved = options.resolve(pytester.parseconfig(), {})
    assert (resolved.scale, resolved.device, resolved.alpha, resolved.strict) == ("mini", "auto", 0.01, False)
    assert resolved.report == pytester.path / "reports" / "latest"
    assert resolved.cache is resolved.data_root is resolved.remote is None


def test_an_older_report_may_be_replaced(tmp_path):
    (tmp_path / "run.jsonl").touch()
    (tmp_path / "anything").touch()
    options.check_report(tmp_path)
    options.check_report(tmp_path / "new" / "one")


def test_a_report_where_one_may_not_write(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(UsageError, match="may not be changed by you"):
        options.check_report(tmp_path / "report")


def test_help_and_markers_name_everything(pytester):
    text = pytester.runpytest_inprocess("--help").stdout.str()
    for setting in options.SETTINGS:
        assert setting.option in text
    assert "@pytest.mark.netprops(on=" in pytester.runpytest_inprocess("--markers").stdout.str()


def test_a_device_that_is_not_there_is_refused_before_collection(runs, monkeypatch):
    import sys
    from types import ModuleType

    fake = ModuleType("netprops.training.device")

    def resolve(name):
        raise UsageError(f"device {name!r} is not on this machine")

    fake.resolve = resolve
    monkeypatch.setitem(sys.modules, "netprops.training.device", fake)
    runs.write("conftest.py", "")
    runs.write("test_nothing.py", PASSING)
    result = runs.run("--netprops-device", "cuda:7", "test_nothing.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: device 'cuda:7' is not on this machine"])
