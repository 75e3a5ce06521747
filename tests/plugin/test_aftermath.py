"""A run beside its report: held against a baseline, kept, and summed up for a job on GitHub."""

import json

import pytest

ONE = """
    import os
    @toy
    def test_it(subject, verdict):
        verdict.expect(measured(float(os.environ["QUALITY"]), 0.01), at_least=0.5, source="Fig. 1")
"""


@pytest.fixture
def quality(runs, monkeypatch):
    """Set what the networks come to."""
    runs.suite(ONE)
    monkeypatch.setenv("QUALITY", "0.9")
    return lambda value: monkeypatch.setenv("QUALITY", str(value))


def test_a_saved_baseline_is_small_and_a_worse_run_fails_against_it(runs, quality):
    result = runs.run("suites", "--netprops-save", "main", "--netprops-history", "past")
    path = runs.path / "baselines" / "main.json"
    result.stdout.fnmatch_lines([f"baseline saved: {path}"])
    kept = json.loads(path.read_text())
    assert [test["outcome"] for test in kept["tests"]] == ["PASS"] * 3
    assert "history" not in kept["subjects"][0]
    assert set(kept["suites"]) == {"mine"}

    result = runs.run("suites", "--netprops-baseline", "main", "--netprops-history", "past")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["against the baseline main: 3 same"])

    quality(0.7)
    result = runs.run("suites", "--netprops-baseline", "main", "--netprops-save", "main", "-rA")
    result.assert_outcomes(passed=3)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "against the baseline main: 3 regression",
            "regression  mine/test_mine.py::test_it* PASS 0.9 * PASS 0.7 * lost 0.2 of a margin of 0.4*",
            "*main.json was not replaced: this run has regressed from it",
        ]
    )
    assert json.loads(path.read_text()) == kept
    report = (runs.path / "reports/latest/index.html").read_text()
    assert report == "a report, against the baseline main: 3 regression, past 0"
    assert len(list((runs.path / "past").iterdir())) == 2


def test_a_baseline_of_something_else_is_refused_before_anything_runs(runs, quality):
    runs.run("suites", "-k", "s0", "--netprops-save", "main")
    runs.suite("@toy\ndef test_other(subject):\n    pass\n", name="suites/mine/test_other.py")
    result = runs.run("suites/mine/test_other.py", "--netprops-baseline", "main")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["ERROR: no test of this run is in the baseline main: it is about toy-here-w8-s0*"]
    )
    result.stdout.no_fnmatch_line("*test session starts*1 passed*")


def test_the_summary_of_a_job_is_appended_and_a_place_that_cannot_be_written_is_said(
    runs, quality, monkeypatch
):
    page = runs.write("page.md", "# before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert runs.run("suites", "-k", "s0", "--netprops-no-report").ret == 0
    text = page.read_text()
    assert text.startswith("# before\n## netprops: 1 pass\n")
    assert "| ✓ pass | mine/test\\_mine.py::test\\_it\\[toy-here-w8-s0\\] | quality |" in text

    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(runs.path / "nowhere" / "page.md"))
    result = runs.run("suites", "-k", "s0", "--netprops-no-report")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["netprops: warning: GITHUB_STEP_SUMMARY=*nowhere/page.md cannot be written;*"]
    )


def test_only_the_controller_of_workers_compares_and_keeps(runs, quality):
    runs.run("suites", "--netprops-save", "main", "--netprops-no-report")
    quality(0.7)
    keeping = ("--netprops-baseline", "main", "--netprops-history", "past", "--netprops-no-report")
    result = runs.run("suites", "-n", "1", *keeping)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["against the baseline main: 3 regression"])
    assert len(list((runs.path / "past").iterdir())) == 1

    runs.suite("@toy\ndef test_other(subject):\n    pass\n", name="suites/mine/test_other.py")
    result = runs.run("suites/mine/test_other.py", "-n", "1", *keeping)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["*no test of this run is in the baseline main*"])
    assert len(list((runs.path / "past").iterdir())) == 1


def test_a_tolerance_for_nothing_is_refused_and_one_for_a_test_counts(runs, quality):
    runs.run("suites", "--netprops-save", "main", "--netprops-no-report")
    quality(0.7)
    against = ("--netprops-baseline", "main", "--netprops-no-report", "--netprops-tolerance")
    result = runs.run("suites", *against, "mine/test_mine.py::test_ti=0.3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*but no such test is here; did you mean 'mine/test_mine.py::test_it*"])
    assert runs.run("suites", *against, "mine/test_mine.py::test_it=0.3").ret == 0
