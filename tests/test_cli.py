"""The command: what it runs, builds, lists and refuses, and with which exit code."""

import subprocess
import sys
from pathlib import Path

import pytest

from netprops import cli
from netprops.cache import Cache
from netprops.cli import main
from netprops.data.gegenbauer import Gegenbauer
from netprops.errors import UsageError
from netprops.selector import selector

TINY = """
from netprops import Family, Recipe

tiny = dict(
    name="tiny", architecture="fc5", scale="mini", source="a test",
    recipe=Recipe(epochs=1, batch=128, optimizer="adam", lr=0.001, loss="squared-hinge"),
)
FAMILIES = (
    Family(data="pdigits", widths=(2, 4), seeds=2, **tiny),
    Family(data="pmnist", widths=(2,), seeds=1, **tiny),
)
"""


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options of a cache and of fixtures of one's own."""
    monkeypatch.delenv("NETPROPS_DATA", raising=False)
    monkeypatch.delenv("NETPROPS_CACHE", raising=False)
    (tmp_path / "families").mkdir()
    (tmp_path / "families" / "tiny.py").write_text(TINY)
    return ["--fixtures", str(tmp_path / "families"), "--cache", str(tmp_path / "cache"), "--device", "cpu"]


@pytest.fixture
def pytest_arguments(monkeypatch):
    """The arguments that pytest would have got."""
    seen = []

    def run(arguments):
        seen.extend(arguments)
        return pytest.ExitCode.TESTS_FAILED

    monkeypatch.setattr(pytest, "main", run)
    return seen


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("", ["fc5-d-w4-s0", "fc5-d-w4-s1", "wrn28-d-w0.25-s0"]),
        ("fc5", ["fc5-d-w4-s0", "fc5-d-w4-s1"]),
        ("FC5 and not s1", ["fc5-d-w4-s0"]),
        ("not (fc5 and (s0 or s1))", ["wrn28-d-w0.25-s0"]),
        ("w0.25 or s1", ["fc5-d-w4-s1", "wrn28-d-w0.25-s0"]),
        ("0.25", ["wrn28-d-w0.25-s0"]),
    ],
)
def test_an_expression_selects_by_parts_of_ids(expression, found):
    ids = ["fc5-d-w4-s0", "fc5-d-w4-s1", "wrn28-d-w0.25-s0"]
    assert [one for one in ids if selector(expression)(one)] == found


@pytest.mark.parametrize("expression", ["fc5 s1", "fc5 (s1)", "and", "(fc5", "not", "fc5 or", "()"])
def test_what_is_no_expression(expression):
    with pytest.raises(UsageError, match="is not an expression"):
        selector(expression)


def test_run_hands_everything_to_pytest(pytest_arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "mitosis", "-k", "fc5 and s0", "-n", "2", "--netprops-strict"]) == 1
    place, *rest = pytest_arguments
    assert Path(place).name == "mitosis"
    assert rest[:2] == [f"--rootdir={tmp_path}", "--import-mode=importlib"]
    assert rest[-5:] == ["-k", "fc5 and s0", "-n", "2", "--netprops-strict"]


@pytest.mark.parametrize(
    ("name", "text", "used"),
    [
        ("pytest.ini", "", True),
        ("pyproject.toml", "[tool.pytest.ini_options]\n", True),
        ("pyproject.toml", "[tool.other]\n", False),
        ("tox.ini", "[pytest]\n", True),
        ("setup.cfg", "[pytest]\n", False),
        ("setup.cfg", "[tool:pytest]\n", True),
    ],
)
def test_run_uses_the_users_own_configuration(pytest_arguments, tmp_path, monkeypatch, name, text, used):
    (tmp_path / name).write_text(text)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    main(["run", "mitosis"])
    assert (str(tmp_path / name) in pytest_arguments) == used


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "mitosi"], "no suite is called 'mitosi'; did you mean 'mitosis'?"),
        (["run", "mitosis/test_clone.py"], "did you mean 'mitosis/test_clones.py'?"),
        (["run", ".."], "no suite is called '..'"),
        (["list", "--scale", "minni"], "unknown scale 'minni'; did you mean 'mini'?"),
        (["build", "-k", "wnr28"], "matches -k 'wnr28'; did you mean 'wrn28'? Families at this scale"),
        (["build", "-k", "fc5", "--data-root", "/no/such/folder"], "root /no/such/folder is not a folder"),
        (["build", "-k", "fc5", "--fixtures", "/no/such/folder"], "/no/such/folder does not exist"),
        (["report", "none.json"], "no record can be read from none.json"),
        (["compare", "main", "none.json"], "no baseline is called 'main'"),
        (["compare", "./main.json", "none.json"], "main.json does not exist"),
    ],
)
def test_a_wrong_name_or_path_is_answered_with_exit_code_4(capsys, arguments, message):
    assert main(arguments) == 4
    assert message in capsys.readouterr().err


def test_a_stream_that_runs_dry_is_refused_with_exit_code_4_before_a_plan(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Gegenbauer, "chunks", 3)
    wanted = ["build", "--dry-run", "-k", "mlp-gegenbauer", "--cache", str(tmp_path)]
    assert main(wanted) == 4
    said = capsys.readouterr()
    assert "the stream of gegenbauer:2:16 runs dry: it has 3,000 samples" in said.err
    assert not said.out


@pytest.mark.parametrize("arguments", [["cach"], [], ["cache"], ["build", "--dry"], ["list", "--k", "x"]])
def test_a_wrong_usage_has_exit_code_4(capsys, arguments):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 4
    assert "usage: netprops" in capsys.readouterr().err


def test_help_teaches_by_examples_and_says_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--help"])
    text = capsys.readouterr().out
    assert left.value.code == 0
    for part in ("netprops run mitosis -k fc5", "--dry-run", "exit codes:", "4  a wrong option"):
        assert part in text


def test_build_says_what_it_would_train_then_trains_and_then_has_nothing_to_do(options, capsys):
    selected = ["-k", "tiny and not s1", *options]
    assert main(["build", "--dry-run", *selected]) == 0
    out, err = capsys.readouterr()
    assert "networks: 2, cached: 0, to train: 2" in out
    assert "tiny-pdigits-w4-s0" in out
    assert err.startswith("tiny-pmnist: ")
    assert not list(Cache(Path(options[3])).entries())
    assert main(["build", *selected]) == 0
    assert "training tiny-pdigits-w2-s0: epoch 1/1" in capsys.readouterr().out
    assert main(["build", *selected]) == 0
    out = capsys.readouterr().out
    assert "networks: 2, cached: 2, to train: 0" in out
    assert "training" not in out


def test_the_cache_is_looked_after(options, capsys):
    cache = options[2:4]
    assert main(["build", "-k", "tiny-pdigits-w2-s0", *options]) == 0
    assert main(["list", "-k", "tiny-pdigits", *options]) == 0
    assert "mitosis: test_" in capsys.readouterr().out
    assert main(["cache", "size", *cache]) == 0
    assert f"{cache[1]}: 1 entries, " in capsys.readouterr().out
    assert main(["cache", "list", *cache]) == 0
    assert capsys.readouterr().out.endswith("  tiny-pdigits-w2-s0\n")
    assert main(["cache", "verify", *cache]) == 0
    assert capsys.readouterr().out == "all entries are sound\n"
    (entry,) = Cache(Path(cache[1])).entries()
    weights = next(entry.path.rglob("*.safetensors"))
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    assert main(["cache", "verify", *cache]) == 1
    assert "damaged and moved aside: 1" in capsys.readouterr().out
    assert main(["cache", "prune", "--all", *cache]) == 0
    assert "removed: 0 entries, " in capsys.readouterr().out


def test_missing_data_of_everything_selected(options, capsys):
    assert main(["build", "-k", "tiny-pmnist", *options]) == 4
    assert "the data of every selected network are missing" in capsys.readouterr().err


def test_an_interrupted_command_says_that_nothing_is_lost(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_list", interrupted)
    assert main(["list"]) == 2
    assert "what was trained is kept" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "words"), [(999, "999 B"), (2.5e6, "2.5 MB"), (3e9, "3 GB")])
def test_sizes(count, words):
    assert cli._size(count) == words


def test_a_wrong_expression_from_an_empty_folder_is_answered_at_once_and_leaves_nothing(tmp_path):
    code = "import sys; from netprops.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "run", "mitosis", "-k", "fc6", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "ERROR: no test matches 'fc6': 'fc6' is in no name; did you mean 'fc5'? Known:" in done.stderr
    assert "Warning" not in done.stdout + done.stderr
    assert not list(tmp_path.iterdir())
