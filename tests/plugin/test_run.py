"""The record and the report of a whole run: written as it goes, at its end, and when it is stopped."""

import json

import jsonschema
import pytest

from netprops import records

ONE = """
    @toy
    def test_it(subject, verdict):
        verdict.expect(measured(0.9, 0.01), at_least=0.5, source="Fig. 1")
"""


def test_run_json_follows_its_schema_and_names_what_decides(runs):
    runs.suite(ONE)
    runs.run("suites", "--netprops-report", "out", "--netprops-alpha", "0.03")
    record = runs.record("out")
    schema = json.loads((runs.path / "out" / "run.schema.json").read_text())
    jsonschema.validate(record, schema)
    assert record["schema_version"] == 1
    assert record["options"] == {"scale": "mini", "strict": False, "alpha": 0.03}
    assert (record["budget"]["tests"], record["budget"]["share"]) == (3, 0.01)
    assert record["summary"]["selected"] == record["summary"]["outcomes"]["PASS"] == 3
    assert not record["summary"]["interrupted"]
    assert [one["id"] for one in record["subjects"]] == [f"toy-here-w8-s{seed}" for seed in range(3)]


def test_no_report_writes_nothing_and_still_judges(runs):
    runs.suite(ONE)
    result = runs.run("suites", "--netprops-no-report")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["property tests: 3 of 3 ran: 3 PASS"])
    assert not (runs.path / "reports").exists()


def test_an_interrupted_run_keeps_what_was_there(runs):
    runs.suite(
        ONE
        + """
    @toy
    def test_then(subject, verdict):
        if subject.seed == 1:
            raise KeyboardInterrupt
    """
    )
    result = runs.run("suites", no_reraise_ctrlc=True)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    record = runs.record()
    assert record["summary"]["interrupted"]
    assert record["summary"]["selected"] == 6
    assert [test["outcome"] for test in record["tests"]] == ["PASS"] * 3 + ["ERROR"]
    result.stdout.fnmatch_lines(["property tests: 4 of 6 ran: 3 PASS, 1 ERROR"])


def test_lines_are_written_while_the_run_goes_on_and_make_a_record(runs):
    runs.suite(
        ONE
        + """
    @toy
    def test_then(subject, pytestconfig, verdict):
        text = (pytestconfig.rootpath / "reports/latest/run.jsonl").read_text()
        assert len(text.splitlines()) == 1 + 3 + subject.seed
        (pytestconfig.rootpath / "cut.jsonl").write_text(text)
        verdict.expect(measured(0.9, 0.01), at_least=0.5, source="Fig. 1")
    """
    )
    runs.run("suites").assert_outcomes(passed=6)
    folder = runs.path / "reports/latest"
    assert not (folder / "run.jsonl").exists()  # run.json has taken its place
    whole, cut = (
        records.without_times(records.read(path).model_dump())
        for path in (folder / "run.json", runs.path / "cut.jsonl")
    )
    assert cut["tests"] == whole["tests"][:5]
    assert cut["subjects"] == whole["subjects"]
    assert cut["summary"]["interrupted"]


def test_a_report_that_cannot_be_drawn_fails_the_run_and_keeps_the_record(runs):
    runs.suite(ONE)
    runs.write("no-report-please", "")
    result = runs.run("suites")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["the report could not be drawn from *run.json: RuntimeError: no ink"])
    assert len(runs.record()["tests"]) == 3


def test_a_foreign_folder_is_not_written_to(runs):
    runs.suite(ONE)
    runs.write("reports/latest/thesis.tex", "precious")
    result = runs.run("suites")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*reports/latest holds other files (thesis.tex)*"])


def test_a_failure_that_only_the_whole_budget_sees(runs):
    # p = 0.0040 at 2 tests and alpha = 0.006: above the share 0.003, within what the first test passes on.
    runs.suite("""
        @toy
        def test_clear(subject, verdict):
            verdict.expect(measured(0.1), at_least=0.5, source="Fig. 1")
        @toy
        def test_near(subject, verdict):
            verdict.expect(measured(0.4, 0.03, df=9.0), at_least=0.5, source="Fig. 1")
    """)
    result = runs.run("suites", "-k", "s0", "--netprops-alpha", "0.006")
    result.assert_outcomes(failed=1, skipped=1)
    result.stdout.fnmatch_lines(["FAIL by the whole run's budget: *test_near*quality = 0.4*"])
    near = runs.record()["tests"][1]
    assert (near["outcome"], near["expectations"][0]["promoted"]) == ("FAIL", True)
    assert near["expectations"][0]["p_value"] == pytest.approx(0.0042, abs=2e-4)


def test_a_promotion_alone_fails_the_run(runs):
    runs.suite("""
        @toy
        def test_clear(subject, verdict):
            verdict.expect(measured(0.1), at_least=0.5, source="Fig. 1")
        @toy
        def test_near(subject, verdict):
            verdict.expect(measured(0.4, 0.03, df=9.0), at_least=0.5, source="Fig. 1")
    """)
    runs.write(
        "suites/xfails.toml",
        """
        [[xfail]]
        test = "mine/test_mine.py::test_clear"
        subject = "*"
        scale = "mini"
        measured = "0.1"
        reason = "known"
    """,
    )
    result = runs.run("suites", "-k", "s0", "--netprops-alpha", "0.006")
    result.assert_outcomes(xfailed=1, skipped=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_a_promotion_of_a_known_failure_is_neither_a_failure_nor_said_to_be_one(runs):
    runs.suite("""
        @toy
        def test_clear(subject, verdict):
            verdict.expect(measured(0.1), at_least=0.5, source="Fig. 1")
        @toy
        def test_near(subject, verdict):
            verdict.expect(measured(0.4, 0.03, df=9.0), at_least=0.5, source="Fig. 1")
    """)
    runs.write(
        "suites/xfails.toml",
        """
        [[xfail]]
        test = "mine/test_mine.py::test_clear"
        subject = "*"
        scale = "mini"
        measured = "0.1"
        reason = "known"

        [[xfail]]
        test = "mine/test_mine.py::test_near"
        subject = "*"
        scale = "mini"
        measured = "0.4"
        reason = "known"
    """,
    )
    result = runs.run("suites", "-k", "s0", "--netprops-alpha", "0.006")
    assert result.ret == pytest.ExitCode.OK
    assert [test["outcome"] for test in runs.record()["tests"]] == ["XFAIL", "XFAIL"]
    assert runs.record()["tests"][1]["expectations"][0]["promoted"]
    result.stdout.no_fnmatch_line("FAIL by the whole run's budget*")


def test_families_of_a_broken_file_are_refused_once(runs):
    runs.suite(ONE)
    runs.write("families/wrong.py", "FAMILIES = 1/0\n")
    result = runs.run("suites")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: */families/wrong.py cannot be imported: ZeroDivisionError: *"])


def test_the_engines_warnings_are_seen_although_pytest_captures(runs):
    runs.suite("""
        import logging
        @toy
        def test_it(subject):
            logging.getLogger("netprops").warning("%s was damaged", "weights.safetensors")
    """)
    runs.run("suites", "-k", "s0").stdout.fnmatch_lines(["netprops: weights.safetensors was damaged"])
