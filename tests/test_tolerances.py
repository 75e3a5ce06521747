"""Tolerances: their form, which of several counts, and names that fit nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from netprops.errors import UsageError
from netprops.tolerances import DEFAULT, Tolerance, Tolerances, from_toml, parse

TEST = "suites/mitosis/test_a.py::test_it[net-w8]"


def test_the_most_precise_key_counts() -> None:
    keys = [
        "mitosis/test_a.py",
        "suites/mitosis/test_a.py::test_it",
        "mitosis/test_a.py::test_it::R2 = high",
        "mitosis/test_a.py::test_it[net-w8]",
        "mitosis/test_a.py::test_it[net-w8]::R2 = high",
    ]
    given = {}
    for amount, key in enumerate(keys, 1):
        given |= parse([f"{key}={amount}"])
        assert Tolerances(given).of(TEST, "R2 = high") == Tolerance(float(amount), share=False)
    assert Tolerances(given).of(TEST, "other").amount == 4
    assert Tolerances(given).of("suites/mitosis/test_b.py::test_it", "R2 = high") is DEFAULT


def test_a_share_is_of_the_margin_and_an_amount_is_not() -> None:
    assert Tolerance(0.2, share=True).of(-0.5) == pytest.approx(0.1)
    assert Tolerance(0.2, share=False).of(-0.5) == 0.2


@pytest.mark.parametrize("text", ["0.1", "=0.1", "a=", "a=b", "a=-1", "a=nan", "a=inf", "a=1e999", "a=1 %%"])
def test_what_is_no_tolerance(text: str) -> None:
    with pytest.raises(UsageError, match=r"'mitosis/test_x\.py::test_y=0\.02'.*got '"):
        parse([text])


def test_tables_of_both_files(tmp_path: Path) -> None:
    assert from_toml(tmp_path) == {}
    (tmp_path / "pyproject.toml").write_text(
        '[tool.netprops.tolerances]\n"a/test_a.py" = 0.02\n"b/test_b.py" = "20%"\n'
    )
    (tmp_path / "netprops.toml").write_text('[tolerances]\n"a/test_a.py" = 1\n')
    assert from_toml(tmp_path) == {"a/test_a.py": Tolerance(1.0, False), "b/test_b.py": Tolerance(0.2, True)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[tolerances\n", r"netprops\.toml is not TOML"),
        ("tolerances = 3\n", "tolerances must be a table"),
        ('[tolerances]\n"a.py" = true\n', r"got 'a\.py = True in .*netprops\.toml'"),
        ('[tolerances]\n"a.py" = "lots"\n', r"got \"a\.py = 'lots' in .*netprops\.toml\""),
    ],
)
def test_tables_that_are_wrong(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "netprops.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        from_toml(tmp_path)


def test_a_key_that_fits_nothing_is_refused_with_the_nearest_one() -> None:
    known = {TEST: ["R2"]}
    for key in ("mitosis/test_a.py", "mitosis/test_a.py::test_it::R2", "mitosis/test_a.py::test_it[net-w8]"):
        Tolerances(parse([f"{key}=1"])).refuse_unknown(known)
    for key in ("mitosis/test_a.py::test_ti", "mitosis/test_a.py::test_it::R3"):
        with pytest.raises(
            UsageError, match=r"no such test.* is here; did you mean 'mitosis/test_a\.py::test_it"
        ):
            Tolerances(parse([f"{key}=1"])).refuse_unknown(known)
    # A test that has not run yet has no names of expectations.
    Tolerances(parse(["mitosis/test_a.py::test_it::R3=1"])).refuse_unknown({TEST: []})
