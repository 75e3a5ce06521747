import pytest

from netprops.errors import UsageError
from netprops.settings import document, sections


def test_a_section_of_both_files_netprops_toml_first(tmp_path):
    assert list(sections(tmp_path, "models")) == []
    (tmp_path / "pyproject.toml").write_text("[tool.netprops.models]\na = 1\n[tool.other]\nb = 2\n")
    (tmp_path / "netprops.toml").write_text("[models]\na = 3\n")
    assert [(path.name, found) for path, found in sections(tmp_path, "models")] == [
        ("netprops.toml", {"a": 3}),
        ("pyproject.toml", {"a": 1}),
    ]
    assert [found for _, found in sections(tmp_path, "tolerances")] == [{}, {}]


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("netprops.toml", b"models = 3", r"netprops\.toml: models must be a table, got 3"),
        ("pyproject.toml", b"[tool]\nnetprops = 3", r"pyproject\.toml: netprops must be a table, got 3"),
        ("pyproject.toml", b"tool = []", r"pyproject\.toml: tool must be a table, got \[\]"),
        ("netprops.toml", b"[models", r"netprops\.toml is not TOML: "),
        ("netprops.toml", b"a = '\xff'", r"netprops\.toml is not TOML: 'utf-8' codec"),
    ],
)
def test_files_that_are_wrong(tmp_path, file, text, message):
    (tmp_path / file).write_bytes(text)
    with pytest.raises(UsageError, match=message):
        list(sections(tmp_path, "models"))


def test_a_document(tmp_path):
    (tmp_path / "a.toml").write_text("[[x]]\ny = 1\n", encoding="utf-8")
    assert document(tmp_path / "a.toml") == {"x": [{"y": 1}]}
