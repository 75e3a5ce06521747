"""Two records compared: what is worse, what is not comparable, and how often an equal one is flagged."""

from __future__ import annotations

import copy
import dataclasses
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from netprops import kept, planted
from netprops.baseline import Comparison, check, compare
from netprops.cli import main
from netprops.errors import UsageError
from netprops.measurement import Measurement
from netprops.measures.chunks import chunk_error
from netprops.measures.reconstruction import reconstruction_curve
from netprops.measures.scaling import clones, critical_width
from netprops.plugin.expectations import Expectations
from netprops.records import Record, SubjectRecord, assemble
from netprops.records import TestRecord as RecordedTest
from netprops.tolerances import Tolerances, parse
from netprops.trends import over_checkpoints
from netprops.verdict import Outcome, overall

HEAD: dict[str, Any] = {
    "environment": {
        "netprops": "0.1.0",
        "python": "3.11.2",
        "platform": "Linux",
        "processors": 2,
        "device": "cpu",
        "packages": {},
    },
    "options": {"scale": "mini", "strict": False, "alpha": 0.01},
    "started": "2024-05-01T12:00:00+00:00",
    "suites": {"mitosis": "aa"},
}


def measured(value: float, error: float = 0.01, name: str = "R2") -> Measurement:
    if not error:
        return Measurement.exact(name, value, n=1, n_of="network", how="counted")
    ends = {"low": value - 2 * error, "high": value + 2 * error}
    return Measurement(
        name=name, value=value, **ends, standard_error=error, n=100, n_of="draws", how="by hand"
    )


def a_test(
    *expected: tuple[Measurement, dict[str, float]],
    name: str = "test_it",
    about: str = "net-w8-s0",
    outcome: str | None = None,
    **fields: Any,
) -> RecordedTest:
    verdict = Expectations(about, 0.01, strict=False)
    for measurement, bound in expected:
        verdict.expect(measurement, **bound, source="a test")
    said = verdict.to_json()
    found = [Outcome(one["outcome"]) for one in said["expectations"]]
    return RecordedTest.model_validate(
        {
            **said,
            "id": f"suites/mitosis/test_a.py::{name}[{about}]",
            "suite": "mitosis",
            "file": "suites/mitosis/test_a.py",
            "name": name,
            "claim": "It holds.",
            "subjects": [about],
            "family": "net",
            "outcome": outcome or str(overall(found)),
            "seconds": 0.1,
            "reproduce": "pytest",
            **fields,
        }
    )


def record(*tests: RecordedTest, subjects: dict[str, Any] | None = None, **head: Any) -> Record:
    known = {"width": 8, "architecture": "net", "data": "digits", **(subjects or {})}
    networks = [
        SubjectRecord.model_validate({"id": one, "family": "net", **known})
        for one in {about for test in tests for about in test.subjects}
    ]
    return assemble({**HEAD, **head}, copy.deepcopy(tests), networks, selected=len(tests), seconds=1.0)


def only(before: RecordedTest, after: RecordedTest, **tolerances: str) -> str:
    """The kind of the one row of two tests."""
    given = Tolerances(parse([f"mitosis/test_a.py::{name}={amount}" for name, amount in tolerances.items()]))
    (row,) = compare(record(before), record(after), tolerances=given).rows
    return row.kind


LEAST = {"at_least": 0.5}


@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        ("PASS", "PASS", "same"),
        ("PASS", "FAIL", "regression"),
        ("PASS", "ERROR", "regression"),
        ("PASS", "INCONCLUSIVE", "change"),
        ("PASS", "XFAIL", "change"),
        ("PASS", "SKIPPED", "gone"),
        ("SKIPPED", "FAIL", "new"),
        ("SKIPPED", "SKIPPED", "same"),
        ("INCONCLUSIVE", "FAIL", "regression"),
        ("INCONCLUSIVE", "ERROR", "regression"),
        ("INCONCLUSIVE", "PASS", "change"),
        ("FAIL", "ERROR", "regression"),
        ("FAIL", "INCONCLUSIVE", "change"),
        ("FAIL", "PASS", "improvement"),
        ("ERROR", "FAIL", "change"),
        ("ERROR", "PASS", "improvement"),
        ("XFAIL", "FAIL", "change"),
        ("XFAIL", "XPASS", "improvement"),
        ("XFAIL", "ERROR", "regression"),
        ("XPASS", "FAIL", "regression"),
    ],
)
def test_the_order_of_verdicts(before: str, after: str, kind: str) -> None:
    assert only(a_test(outcome=before), a_test(outcome=after)) == kind


@pytest.mark.parametrize(
    ("bound", "was", "now", "kind"),
    [
        ({"at_least": 0.5}, 0.9, 0.9, "same"),
        ({"at_least": 0.5}, 0.9, 0.87, "same"),  # the intervals meet
        ({"at_least": 0.5}, 0.9, 0.8, "regression"),
        ({"at_least": 0.5}, 0.8, 0.9, "improvement"),
        ({"at_most": 1.5}, 0.8, 0.9, "regression"),
        ({"at_most": 1.5}, 0.9, 0.8, "improvement"),
        ({"at_least": 0.0, "at_most": 1.0}, 0.45, 0.6, "regression"),
        ({"at_least": 0.0, "at_most": 1.0}, 0.3, 0.45, "improvement"),
        ({"at_least": 0.0, "at_most": 1.0}, 0.44, 0.57, "change"),  # through the middle: neither in nor out
        ({"at_least": -9.0}, 0.9, 0.8, "same"),  # less than a tenth of the margin
        ({"at_least": 2.0}, 0.9, 0.7, "regression"),  # further outside a bound that it never kept
    ],
)
def test_a_measurement_moves_away_from_its_bound_or_into_it(
    bound: dict[str, float], was: float, now: float, kind: str
) -> None:
    known = {"xfail": "known"} if was < bound.get("at_least", -1) else {}
    assert only(a_test((measured(was), bound), **known), a_test((measured(now), bound), **known)) == kind


def test_a_tolerance_of_the_users_decides() -> None:
    before, after = (a_test((measured(value), LEAST)) for value in (0.9, 0.8))
    assert only(before, after, test_it="0.1") == "same"
    assert only(before, after, test_it="0.09") == "regression"
    assert only(before, after, test_it="30%") == "same"
    assert only(before, after, test_it="20%") == "regression"
    precise = {"test_it": "0.09", "test_it[net-w8-s0]::R2": "0.2"}
    assert only(before, after, **precise) == "same"


def test_one_clear_change_is_found_among_many_equal_rows_and_listed_first() -> None:
    def run(value: float) -> Record:
        same = [a_test((measured(0.9, name=f"part {i}"), LEAST), name=f"test_{i}") for i in range(200)]
        return record(*same, a_test((measured(value), LEAST), name="test_other"))

    found = compare(run(0.9), run(0.8))
    assert [row.test.partition("::")[2] for row in found.of("regression")] == ["test_other[net-w8-s0]"]
    assert found.rows[0].kind == "regression"
    assert found.rows[0].difference is not None
    assert found.rows[0].difference.value == pytest.approx(-0.1)
    assert found.rows[0].difference.low < -0.1 < found.rows[0].difference.high < 0


def test_more_important_losses_come_first() -> None:
    def run(*values: float) -> Record:
        return record(*(a_test((measured(x), LEAST), name=f"test_{i}") for i, x in enumerate(values)))

    found = compare(run(0.9, 0.9, 0.9), run(0.8, 0.6, 0.9))
    assert [row.test.partition("::")[2][:6] for row in found.rows] == ["test_1", "test_0", "test_2"]


def test_exact_values_need_no_interval() -> None:
    before, after = (a_test((measured(value, 0), {"at_most": 0.01})) for value in (0.0, 1 / 897))
    assert only(before, after) == "regression"
    assert only(before, before) == "same"
    assert only(after, before) == "improvement"
    dust = a_test((measured(1e-12, 0), {"at_most": 0.01}))
    assert only(before, dust) == "same"


def test_a_verdict_that_only_the_draws_decided_is_no_regression() -> None:
    astride, outside = measured(0.46, 0.02), measured(0.44, 0.01)
    before, after = (a_test((one, LEAST), outcome=None) for one in (astride, outside))
    assert [test.outcome for test in (before, after)] == ["INCONCLUSIVE", "FAIL"]
    assert only(before, after) == "change"
    # A bound that became stricter is no matter of draws.
    stricter = a_test((astride, {"at_least": 0.7}))
    (row,) = compare(record(before), record(stricter)).rows
    assert (row.kind, row.marks) == ("regression", ("the bound has changed",))


def test_what_xfails_declares_is_a_change() -> None:
    before = a_test((measured(0.9), LEAST))
    after = a_test((measured(0.2), LEAST), outcome="XFAIL", xfail="it bends")
    (row,) = compare(record(before), record(after)).rows
    # The verdict is declared, but the measurement is still worse than it was.
    assert row.kind == "regression"
    assert "lost 0.7 of a margin of 0.4" in row.why


def test_a_value_measured_at_another_place_is_judged_by_its_verdict() -> None:
    names = [f"R2 from chunks of {size}" for size in (32, 64)]
    before, after = (a_test((measured(0.99 - i / 5, name=name), LEAST)) for i, name in enumerate(names))
    (row,) = compare(record(before), record(after)).rows
    assert row.kind == "same"
    assert row.difference is None
    assert "measured elsewhere: 'R2 from chunks of 32' before" in row.marks[0]


def test_two_expectations_of_one_name_keep_their_order() -> None:
    twice = a_test((measured(0.9), LEAST), (measured(0.7), LEAST))
    assert {row.kind for row in compare(record(twice), record(twice)).rows} == {"same"}
    more = a_test((measured(0.9), LEAST), (measured(0.7), LEAST), (measured(0.6, name="new"), LEAST))
    assert [row.kind for row in compare(record(twice), record(more)).rows] == ["new", "same", "same"]


@pytest.mark.parametrize(
    ("then", "now", "why"),
    [
        (
            {"origin": {"data_digest": "ab" * 32}},
            {"origin": {"data_digest": "cd" * 32}},
            "other data: digest cdcd",
        ),
        ({"data_digest": "ab" * 32}, {"data_digest": "cd" * 32}, "other data: digest cdcd"),
        ({}, {"width": 16}, "another network: width 16 instead of 8"),
        ({}, {"architecture": "other"}, "another network: architecture other instead of net"),
    ],
)
def test_other_data_or_another_network_is_not_compared(
    then: dict[str, Any], now: dict[str, Any], why: str
) -> None:
    before, after = a_test((measured(0.9), LEAST)), a_test((measured(0.1), LEAST))
    (row,) = compare(record(before, subjects=then), record(after, subjects=now)).rows
    assert row.kind == "incomparable"
    assert row.why.startswith(why)


def test_another_checkpoint_of_the_same_network_is_compared_and_said() -> None:
    before = a_test((measured(0.9), LEAST), about="mine-last")
    after = a_test((measured(0.6), LEAST), about="mine-damaged")
    found = compare(record(before), record(after))
    assert found.notes == ["mine-damaged is compared with mine-last"]
    assert [(row.kind, row.marks) for row in found.rows] == [("regression", ("compared with mine-last",))]
    wider = record(after, subjects={"parameters": 5})
    assert compare(record(before, subjects={"parameters": 4}), wider).rows[0].kind == "incomparable"


def test_the_id_in_a_measurements_name_does_not_keep_two_checkpoints_apart() -> None:
    before, after = (
        a_test((measured(value, name=f"R2 of {about}"), LEAST), about=about)
        for value, about in ((0.9, "mine-epoch5-ab12cd3"), (0.6, "mine-epoch10-4ef56ab"))
    )
    (row,) = compare(record(before), record(after)).rows
    assert (row.kind, row.difference is None) == ("regression", False)
    (trend,) = over_checkpoints(record(before, after))
    assert [[point.x for point in series.points] for series in trend.series] == [[5, 10]]


def test_another_suite_version_and_another_release_are_said_before_and_after() -> None:
    one = a_test((measured(0.9), LEAST))
    older = record(one, suites={"mitosis": "bb"}, environment={**HEAD["environment"], "netprops": "0.0.9"})
    found = compare(older, record(one))
    assert found.notes == [
        "the baseline is of netprops 0.0.9, this is 0.1.0",
        "the suite mitosis has changed since the baseline was saved",
    ]
    assert found.rows[0].marks == ("the suite has changed",)


def test_a_baseline_of_something_else_is_refused() -> None:
    mine = record(a_test(about="mine-s0"), a_test(about="mine-s1"))
    arguments = {"scale": "mini", "suites": {}, "version": "0.1.0"}
    with pytest.raises(
        UsageError, match=r"no test of this run is in the baseline main: it is about mine-s0, min"
    ):
        check(mine, "main", tests=["suites/mitosis/test_a.py::test_it[other-w4-s0]"], **arguments)
    with pytest.raises(UsageError, match=r"main was measured at scale mini, this run is at scale paper"):
        check(mine, "main", tests=[mine.tests[0].id], **{**arguments, "scale": "paper"})
    known = [mine.tests[0].id, "suites/mitosis/test_a.py::test_new[mine-s0]"]
    assert check(mine, "main", tests=known, **arguments) == [
        "1 of 2 tests of this run are not in the baseline"
    ]


def test_what_fails_a_run() -> None:
    def found(was: float, now: float) -> Comparison:
        return compare(record(a_test((measured(was), LEAST))), record(a_test((measured(now), LEAST))))

    fails = {
        on: [found(*pair).fails(on) for pair in ((0.9, 0.6), (0.6, 0.9), (0.9, 0.9))]
        for on in ("regression", "change", "never")
    }
    assert fails == {
        "regression": [True, False, False],
        "change": [True, True, False],
        "never": [False, False, False],
    }


# How often an equal network is flagged, and whether a damaged one is

LAYER = planted.clones(96, seed=1, noise=0.3)


def damaged(layer: planted.Planted, *, noise: float, zeroed: bool) -> planted.Planted:
    """A copy with noise on its neurons, or one half of them zeroed, or both."""
    rng = np.random.default_rng(0)
    kept = np.arange(layer.width) < (layer.width // 2 if zeroed else layer.width)
    layers = {
        split: ((values + noise * rng.standard_normal(values.shape)) * kept).astype(np.float32)
        for split, values in layer.layers.items()
    }
    return dataclasses.replace(layer, layers=layers)


def measured_with(layer: planted.Planted, seed: int) -> Record:
    """A record of a layer as a suite measures it, with chunks drawn by this seed."""
    rng = np.random.default_rng(seed)
    features, labels = layer.features("test")[:150], layer.labels("test")[:150]
    weight, bias = layer.readout.weight, layer.readout.bias
    error = chunk_error(features, weight, bias, labels, sizes=(6, 12, 24, 48), draws=30, rng=rng)
    r2 = reconstruction_curve(features, sizes=(8, 16), draws=12, rng=rng, surrogate=False).r2
    return record(
        a_test(
            (measured(layer.error("test"), 0, name="test error"), {"at_most": 0.1}),
            (clones(layer.width, critical_width(error, 0.05)), {"at_least": 1.5}),
            (error.at(12).named("error of chunks of 12"), {"at_most": 0.5}),
            (error.at(24).named("error of chunks of 24"), {"at_most": 0.3}),
            (r2.at(8).named("R2 from chunks of 8"), {"at_least": 0.5}),
            (r2.at(16).named("R2 from chunks of 16"), {"at_least": 0.5}),
            about=layer.id,
        )
    )


def test_an_identical_copy_is_never_flagged_over_50_resamplings_and_a_damaged_one_always() -> None:
    runs = [measured_with(LAYER, seed) for seed in range(51)]
    flagged = [compare(runs[0], one).fails("regression") for one in runs[1:]]
    flagged += [compare(one, other).fails("regression") for one, other in pairwise(runs)]
    assert flagged == [False] * 100
    for noise, zeroed in ((0.5, False), (0.0, True), (0.3, True)):
        worse = damaged(LAYER, noise=noise, zeroed=zeroed)
        assert all(compare(runs[0], measured_with(worse, seed)).fails("regression") for seed in range(5))


# The command


def test_the_command_compares_and_its_exit_code_says_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("before", 0.9), ("after", 0.8)):
        kept.save(record(a_test((measured(value), LEAST))), tmp_path / "baselines" / f"{name}.json")
    assert main(["compare", "before", "before"]) == 0
    assert capsys.readouterr().out == "against the baseline before: 1 same\n"
    assert main(["compare", "before", "after"]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "against the baseline before: 1 regression"
    assert out[2].split() == ["what", "test", "property", "was", "now", "change", "why"]
    assert "lost 0.1 of a margin of 0.4, tolerance 0.04" in out[3]
    assert main(["compare", "before", "after", "--fail-on", "never"]) == 0
    assert main(["compare", "after", "before", "--fail-on", "change"]) == 1
    key = "mitosis/test_a.py::test_it"
    assert main(["compare", "before", "after", "--tolerance", f"{key}=30%"]) == 0
    capsys.readouterr()
    assert main(["compare", "before", "after", "--tolerance", "mitosis/test_b.py::test_it=1"]) == 4
    assert f"did you mean '{key}'" in capsys.readouterr().err
    assert main(["compare", "before", "after", "--format", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["counts"] == {"regression": 1}
    assert found["rows"][0]["difference"]["value"] == pytest.approx(-0.1)
    assert found["rows"][0]["now"]["value"] == 0.8
    assert main(["compare", "before", "after", "--format", "markdown"]) == 1
    assert "| regression | mitosis/test\\_a.py" in capsys.readouterr().out


def test_tolerances_of_a_file_count_for_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in (("before", 0.9), ("after", 0.8)):
        kept.save(record(a_test((measured(value), LEAST))), tmp_path / f"{name}.json")
    (tmp_path / "netprops.toml").write_text('[tolerances]\n"mitosis/test_a.py" = 0.2\n"gone/test_b.py" = 1\n')
    assert main(["compare", "before.json", "after.json"]) == 0
    assert main(["compare", "before.json", "after.json", "--tolerance", "mitosis/test_a.py=0.01"]) == 1
