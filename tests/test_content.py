"""Content is found in a wheel and in a checkout, and fixtures are read by path."""

import shutil
from pathlib import Path

import pytest

from netprops import content as home
from netprops.content import content, families, nearest, suite_digest, suites
from netprops.errors import UsageError

FILE = """
from netprops import Family, Recipe
FAMILIES = (
    Family(name="{name}", architecture="toy", data="here", scale="{scale}", widths=(1,), seeds=1,
           source="made up", recipe=Recipe(epochs=1, batch=1, optimizer="sgd", lr=1)),
)
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A place where the package seems to be installed, without content."""
    (tmp_path / "netprops").mkdir()
    monkeypatch.setattr(home, "_PACKAGE", tmp_path / "netprops")
    return tmp_path


def write(folder: Path, name="toy", scale="mini", file="toy.py"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_text(FILE.format(name=name, scale=scale))
    return folder


def test_a_checkout_has_its_content_beside_the_package(elsewhere):
    write(elsewhere / "fixtures")
    assert content("fixtures") == elsewhere / "fixtures"
    assert not home.from_wheel()


def test_a_wheel_has_its_content_inside(elsewhere):
    write(elsewhere / "fixtures", name="outside")
    write(elsewhere / "netprops" / "_content" / "fixtures", name="inside")
    assert [one.id for one in families()] == ["inside-here"]
    assert home.from_wheel()


def test_missing_content_says_where_it_was_looked_for(elsewhere):
    with pytest.raises(UsageError, match=r"suites was found neither at .*_content/suites \(a wheel\) nor at"):
        content("suites")
    with pytest.raises(UsageError, match="'fixture'; did you mean 'fixtures'"):
        content("fixture")


def test_suites_are_folders_with_plain_names(elsewhere):
    for name in ("mitosis", "__pycache__", ".hidden"):
        (elsewhere / "suites" / name).mkdir(parents=True)
    (elsewhere / "suites" / "xfails.toml").touch()
    assert list(suites()) == ["mitosis"]


def test_families_by_scale_and_from_further_folders(elsewhere):
    write(elsewhere / "fixtures", "small")
    write(elsewhere / "fixtures", "large", "paper", "large.py")
    mine = write(elsewhere / "mine", "own")
    assert [one.name for one in families("mini", [mine])] == ["small", "own"]
    assert [one.name for one in families("paper", [mine])] == ["large"]
    assert len(families(None, [mine])) == 3


def test_a_changed_file_is_read_again(elsewhere):
    import os

    folder = write(elsewhere / "fixtures", "before")
    assert [one.name for one in families()] == ["before"]
    write(folder, "after")
    os.utime(folder / "toy.py", ns=(1, 1))
    assert [one.name for one in families()] == ["after"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FAMILIES = [", "broken.py cannot be imported: SyntaxError"),
        ("import no_such_module_at_all", "broken.py cannot be imported: ModuleNotFoundError"),
        ("FAMILY = ()", "must define FAMILIES, a tuple of netprops.Family; it has NoneType"),
        ("FAMILIES = (1,)", "must define FAMILIES"),
    ],
)
def test_a_file_that_declares_nothing(elsewhere, text, message):
    write(elsewhere / "fixtures")
    (elsewhere / "fixtures" / "broken.py").write_text(text)
    with pytest.raises(UsageError, match=message):
        families()


def test_one_id_in_two_files_and_a_folder_that_is_not_there(elsewhere):
    write(elsewhere / "fixtures")
    with pytest.raises(UsageError, match=r"toy-here is declared twice at scale mini: in .*fixtures.* and "):
        families("mini", [write(elsewhere / "mine")])
    shutil.rmtree(elsewhere / "mine")
    with pytest.raises(UsageError, match="mine does not exist"):
        families("mini", [elsewhere / "mine"])


def test_the_nearest_name_or_all_of_them():
    assert nearest("minni", ["mini", "paper"]) == "; did you mean 'mini'? known: mini, paper"
    assert nearest("zzz", ["mini", "paper"]) == "; known: mini, paper"
    assert nearest("x", []) == "; known: none"


def test_what_this_checkout_ships():
    assert {"fc5", "wrn28"} <= {one.name for one in families("mini")}
    assert "mitosis" in suites()


def test_a_suite_s_digest_follows_its_files_and_not_their_line_ends(tmp_path):
    (tmp_path / "test_a.py").write_bytes(b"one\ntwo\n")
    digest = suite_digest(tmp_path)
    (tmp_path / "notes.md").write_text("not a test")
    (tmp_path / "test_a.py").write_bytes(b"one\r\ntwo\r\n")
    assert suite_digest(tmp_path) == digest
    (tmp_path / "conftest.py").touch()
    assert suite_digest(tmp_path) != digest
    (tmp_path / "conftest.py").unlink()
    (tmp_path / "test_a.py").rename(tmp_path / "test_b.py")
    assert suite_digest(tmp_path) != digest
