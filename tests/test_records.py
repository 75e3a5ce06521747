"""The record: its schema, its way to disk and back, and what two equal runs share."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops import records
from netprops.errors import UsageError
from netprops.measurement import Curve, Measurement
from netprops.records import Record, SubjectRecord, TestRecord, assemble, read, without_times

HEAD = {
    "environment": {
        "netprops": "0",
        "python": "3",
        "platform": "x",
        "processors": 1,
        "device": "cpu",
        "packages": {"torch": "2"},
    },
    "options": {"scale": "mini", "strict": False, "alpha": 0.01},
    "started": "2020-01-01T00:00:00+00:00",
    "selected": 2,
    "missing": [],
}


def expectation(p_value=0.5, *, outside=False, outcome="PASS"):
    measured = Measurement.exact("q", 1.0, n=1, n_of="networks", how="counted", details={"a": 1, "b": True})
    bound = {"at_least": 1, "source": "Fig. 1"}
    return {
        "measurement": measured.to_json(),
        "bound": bound,
        "outcome": outcome,
        "sentence": "q = 1",
        "p_value": p_value,
        "detectable_effect": None,
        "outside": outside,
    }


def outcome_of(name, outcome, *expectations, **others):
    return TestRecord.model_validate(
        {
            "id": f"suites/s/test_x.py::{name}",
            "suite": "s",
            "file": "suites/s/test_x.py",
            "name": name,
            "claim": "c",
            "subjects": ["n"],
            "family": "f",
            "outcome": outcome,
            "seconds": 1.5,
            "expectations": expectations,
            "reproduce": "pytest",
            **others,
        }
    )


def network(name):
    return SubjectRecord(id=name, family="f", history=[{"epoch": 1, "seconds": 3.0}])


def whole(*tests, selected=2, **others):
    return assemble(HEAD, tests, [network("n")], selected=selected, seconds=3.0, **others)


def test_measurements_and_curves_fit_the_schema():
    curve = Curve.plain("loss", [1, 2], [0.5, 0.25], x_name="epoch", y_name="loss", how="logged")
    figure = {
        "name": "loss",
        "title": "T",
        "caption": "C",
        "x_scale": "linear",
        "y_scale": "log",
        "curves": [curve.to_json()],
        "bands": {"b": [1, 2]},
    }
    record = whole(outcome_of("a", "PASS", expectation(), figures=[figure]))
    jsonschema.validate(json.loads(record.model_dump_json()), Record.model_json_schema())
    kept = record.tests[0]
    assert Measurement.from_json(kept.expectations[0].measurement.model_dump()).df == float("inf")
    assert kept.expectations[0].measurement.details == {"a": 1, "b": True}
    assert kept.expectations[0].measurement.details["b"] is True
    assert Curve.from_json(kept.figures[0].curves[0].model_dump()).y.tolist() == [0.5, 0.25]


def test_a_record_comes_back_from_disk(tmp_path):
    record = whole(outcome_of("a", "PASS"))
    path = record.save(tmp_path)
    assert read(path) == record
    assert json.loads((tmp_path / "run.schema.json").read_text()) == Record.model_json_schema()
    assert not list(tmp_path.glob("*part*"))


def test_a_text_that_looks_like_the_name_of_a_shared_one_comes_back_as_it_was(tmp_path):
    long = "a text of more letters than a name has"
    said = (long, long, "#1", "#2")
    tests = [outcome_of(name, "PASS", expectation()) for name in "abcd"]
    for test, how in zip(tests, said, strict=True):
        test.expectations[0].measurement.how = how
    path = whole(*tests, selected=4).save(tmp_path)
    assert json.loads(path.read_text())["shared"]
    assert tuple(one.expectations[0].measurement.how for one in read(path).tests) == said


def test_the_order_in_which_tests_ended_does_not_matter():
    one, two = outcome_of("a", "PASS"), outcome_of("b", "ERROR")
    assert whole(one, two) == whole(two, one)
    assert [test.name for test in whole(two, one).tests] == ["a", "b"]


def test_a_test_that_ran_twice_counts_once():
    record = whole(outcome_of("a", "ERROR"), outcome_of("a", "PASS"))
    assert record.summary.outcomes["PASS"] == 1
    assert record.summary.outcomes["ERROR"] == 0


def test_what_only_the_whole_budget_rejects_becomes_a_failure():
    clear = outcome_of("clear", "FAIL", expectation(1e-9, outside=True, outcome="FAIL"))
    near = outcome_of("near", "INCONCLUSIVE", expectation(0.008, outside=True, outcome="INCONCLUSIVE"))
    record = whole(clear, near)
    assert [test.outcome for test in record.tests] == ["FAIL", "FAIL"]
    assert record.tests[1].expectations[0].promoted
    assert "rejected by the whole run's budget" in record.tests[1].reason
    assert record.budget.promoted == 1


@pytest.mark.parametrize(
    ("before", "p_value", "outside", "xfail", "after"),
    [
        ("INCONCLUSIVE", 0.008, True, "known", "XFAIL"),
        ("INCONCLUSIVE", 0.008, False, "", "INCONCLUSIVE"),
        ("INCONCLUSIVE", 0.02, True, "", "INCONCLUSIVE"),
        ("ERROR", 0.008, True, "", "ERROR"),
    ],
)
def test_what_does_not_become_a_failure(before, p_value, outside, xfail, after):
    undecided = expectation(p_value, outside=outside, outcome="INCONCLUSIVE")
    near = outcome_of("near", before, undecided, xfail=xfail)
    clear = outcome_of("clear", "FAIL", expectation(1e-9, outside=True, outcome="FAIL"))
    assert whole(clear, near).tests[1].outcome == after


def test_without_a_clear_failure_nothing_is_promoted():
    near = outcome_of("near", "INCONCLUSIVE", expectation(0.008, outside=True, outcome="INCONCLUSIVE"))
    assert whole(outcome_of("fine", "PASS", expectation()), near).budget.promoted == 0


def lines(*tests):
    networks = [network("n").model_dump()]
    parts = [{"test": test.model_dump(mode="json"), "subjects": networks} for test in tests]
    return [json.dumps(part) for part in (HEAD, *parts)]


def test_lines_of_a_run_that_was_cut_off_make_a_record(tmp_path):
    path = tmp_path / "run.jsonl"
    path.write_text("\n".join(lines(outcome_of("a", "PASS"))) + '\n{"test": {"id": "b')
    record = read(path)
    assert [test.name for test in record.tests] == ["a"]
    assert record.summary.interrupted
    path.write_text("\n".join(lines(outcome_of("a", "PASS"), outcome_of("b", "PASS"))))
    assert not read(path).summary.interrupted


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("run.json", "{", "not a record of schema version 1"),
        ("run.json", '{"schema_version": 2}', "not a record of schema version 1"),
        ("run.jsonl", "", "not a record"),
        ("run.jsonl", "{}\n{}", "not a record"),
        ("run.jsonl", "{\n{}", "not a record"),
    ],
)
def test_what_is_no_record_is_refused(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=message):
        read(tmp_path / name)


def test_a_record_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"no record can be read from .*none\.json: No such file"):
        read(tmp_path / "none.json")


def test_an_unknown_field_is_refused():
    with pytest.raises(ValueError, match="outcom"):
        outcome_of("a", "PASS", outcom="PASS")


NAMES = st.sampled_from([*records.TIMES, "a", "b"])
TREES = st.recursive(
    st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=8,
)


@given(TREES)
@settings(max_examples=50, deadline=None)
def test_times_are_left_out_at_any_depth_and_nothing_else(tree):
    left = without_times(tree)
    assert without_times(left) == left
    text = json.dumps(left)
    assert not any(f'"{name}":' in text for name in records.TIMES)
    if not any(f'"{name}":' in json.dumps(tree) for name in records.TIMES):
        assert left == tree
