"""What a property test comes to, on the screen and in the record."""

import xml.etree.ElementTree as ET

import pytest


def outcomes(runs):
    return {test["id"].rpartition("::")[2]: test["outcome"] for test in runs.record()["tests"]}


@pytest.mark.parametrize(
    ("call", "shown", "outcome", "code"),
    [
        ("verdict.expect(measured(0.9, 0.01), at_least=0.5, source='Fig. 1')", {"passed": 3}, "PASS", 0),
        ("verdict.expect(measured(0.1, 0.01), at_least=0.5, source='Fig. 1')", {"failed": 3}, "FAIL", 1),
        ("verdict.expect(measured(0.5, 1), at_least=0, source='Fig. 1')", {"skipped": 3}, "INCONCLUSIVE", 0),
        ("assert subject.width == 3, 'not three'", {"failed": 3}, "FAIL", 1),
        ("raise MeasurementError('layer hidden.3: constant')", {"errors": 3}, "ERROR", 1),
        ("raise TypeError('a defect of the test')", {"errors": 3}, "ERROR", 1),
        ("pytest.skip('not today')", {"skipped": 3}, "SKIPPED", 0),
        ("pass", {"errors": 3}, "ERROR", 1),
        ("raise ExceptionGroup('two', [AssertionError('a'), AssertionError('b')])", {"failed": 3}, "FAIL", 1),
        ("verdict.expect(0.5, at_least=0.5, source='Fig. 1')", {"errors": 3}, "ERROR", 1),
    ],
)
def test_the_worst_of_a_test_decides(runs, call, shown, outcome, code):
    runs.suite(f"""
        from netprops.errors import MeasurementError
        @toy
        def test_it(subject, verdict):
            {call}
    """)
    result = runs.run("suites")
    result.assert_outcomes(**shown)
    assert result.ret == code
    assert set(outcomes(runs).values()) == {outcome}


def test_all_expectations_are_judged_before_the_test_fails(runs):
    runs.suite("""
        @toy
        def test_three(subject, verdict):
            verdict.expect(measured(0.1, 0.001, name="first"), at_least=0.5, source="Fig. 1",
                           calibration="10 seeds")
            verdict.expect(measured(0.9, name="second"), at_most=1.0, source="Fig. 2")
            verdict.expect(measured(1.0, 0.1, name="third"), at_most=1.0, source="Fig. 3")
    """)
    result = runs.run("suites", "-k", "s0")
    result.stdout.fnmatch_lines(
        [
            "first = 0.1 [[]0.098, 0.102], expected ≥ 0.5: does not hold (p = *",
            "All expectations of toy-here-w8-s0:",
            "  FAIL         first = *",
            "*10 draws, made by hand",
            "*bound from: Fig. 1; calibrated: 10 seeds",
            "  PASS         second = 0.9, expected ≤ 1: holds",
            "  INCONCLUSIVE third = *astride the bound; with 10 draws a distance of * would be decided",
        ]
    )
    (test,) = runs.record()["tests"]
    assert [one["outcome"] for one in test["expectations"]] == ["FAIL", "PASS", "INCONCLUSIVE"]
    assert test["expectations"][1]["detectable_effect"] is None
    assert test["expectations"][2]["detectable_effect"] > 0.1
    assert test["expectations"][1]["measurement"]["df"] is None


def test_an_inconclusive_test_says_what_it_could_have_seen_and_fails_a_strict_run(runs):
    runs.suite("""
        @toy
        def test_it(subject, verdict):
            verdict.expect(measured(0.5, 0.01), at_least=0.5, source="Fig. 1")
    """)
    result = runs.run("suites", "-rs", "-v")
    result.stdout.fnmatch_lines(["*toy-here-w8-s1[]] INCONCLUSIVE*"])
    result.stdout.fnmatch_lines(["INCONCLUSIVE [[]3] suites/mine/test_mine.py:*astride*; with 10 draws*"])
    strict = runs.run("suites", "--netprops-strict")
    strict.assert_outcomes(failed=3)
    strict.stdout.fnmatch_lines(["*inconclusive, and the run is strict*"])
    test = runs.record()["tests"][0]
    assert test["outcome"] == "FAIL"
    assert test["expectations"][0]["outcome"] == "INCONCLUSIVE"
    assert "--netprops-strict" in test["reproduce"]


def test_an_error_names_layer_and_cause_and_keeps_what_was_measured_before(runs):
    runs.suite("""
        from netprops.errors import MeasurementError
        @toy
        def test_it(subject, verdict):
            verdict.expect(measured(0.9), at_least=0.5, source="Fig. 1")
            verdict.note("so far so good")
            raise MeasurementError("layer hidden.3: sample 17 is NaN")
    """)
    result = runs.run("suites", "-k", "s0")
    result.stdout.fnmatch_lines(
        [
            "*ERROR at call of test_it*",
            "*MeasurementError: layer hidden.3: sample 17 is NaN",
            "toy-here-w8-s0  it        *ERROR: MeasurementError: layer hidden.3: sample 17 is NaN",
            "toy-here-w8-s0  quality * PASS",
            "ERROR suites/mine/test_mine.py::test_it*",
        ]
    )
    (test,) = runs.record()["tests"]
    assert test["reason"] == "MeasurementError: layer hidden.3: sample 17 is NaN"
    assert test["expectations"][0]["outcome"] == "PASS"
    assert test["notes"] == ["so far so good"]


def test_a_measurement_that_does_not_know_its_layer_is_told(runs):
    runs.suite("""
        from netprops.errors import MeasurementError
        @toy
        def test_it(subject, verdict):
            raise MeasurementError("at least four live units are needed, got 0")
    """)
    runs.run("suites", "-k", "s0")
    (test,) = runs.record()["tests"]
    assert test["outcome"] == "ERROR"
    assert test["reason"] == (
        "MeasurementError: toy-here-w8-s0, layer hidden.3: at least four live units are needed, got 0"
    )


def test_a_number_that_the_samples_do_not_determine_is_inconclusive_and_fails_a_strict_run(runs):
    runs.suite("""
        from netprops.errors import UndeterminedError
        @toy
        def test_it(subject, verdict):
            raise UndeterminedError("the exponent is undefined in 90 of 1000 resamples; draw more")
    """)
    runs.run("suites", "-k", "s0").assert_outcomes(skipped=1)
    (test,) = runs.record()["tests"]
    assert test["outcome"] == "INCONCLUSIVE"
    assert "undefined in 90 of 1000 resamples; draw more" in test["reason"]
    runs.run("suites", "-k", "s0", "--netprops-strict").assert_outcomes(failed=1)


def test_a_training_that_fails_and_data_that_vanish(runs):
    runs.suite("""
        @pytest.mark.netprops(on="widest", families=("broken", "fleeting"))
        def test_it(subject):
            pass
    """)
    runs.run("suites").assert_outcomes(errors=1, skipped=1)
    broken, fleeting = runs.record()["tests"]
    assert broken["outcome"] == "ERROR"
    assert "the loss is nan after step 3" in broken["reason"]
    assert broken["subjects"] == ["broken-here-w13-s0"]
    assert (fleeting["outcome"], fleeting["reason"]) == ("SKIPPED", "vanishing is gone")


def test_an_error_after_a_passing_test_counts(runs):
    runs.suite("""
        @pytest.fixture
        def leaky():
            yield
            raise OSError("no room")
        @toy
        def test_it(leaky, subject, verdict):
            verdict.expect(measured(0.9), at_least=0.5, source="Fig. 1")
    """)
    runs.run("suites", "-k", "s0").assert_outcomes(passed=1, errors=1)
    assert runs.record()["tests"][0]["reason"] == "OSError: no room"


def test_the_record_holds_claim_figures_notes_and_subjects(runs):
    runs.suite('''
        import numpy as np
        from netprops import Curve
        @toy
        def test_it_grows(subject, verdict):
            """Wide networks are
            better.

            What would count against it: a narrow one that is as good.
            """
            curve = Curve.plain("error", [1, 2, 4], [0.3, 0.2, 0.1], x_name="w", y_name="error", how="us")
            verdict.expect(measured(0.9).named("gain"), at_least=0.5, at_most=1, source="Fig. 1")
            verdict.figure("error-over-width", curve, title="T", caption="C", lines={"w*": np.float64(2)},
                           bands={"range": (1, 2)})
            verdict.note("a note")
    ''')
    runs.run("suites", "-k", "s2")
    record = runs.record()
    (test,) = record["tests"]
    assert test["id"] == "suites/mine/test_mine.py::test_it_grows[toy-here-w8-s2]"
    assert (test["suite"], test["family"], test["subjects"]) == ("mine", "toy-here", ["toy-here-w8-s2"])
    assert test["claim"] == "Wide networks are better."
    assert test["explanation"].startswith("What would count against it")
    (figure,) = test["figures"]
    assert figure["curves"][0]["y"] == [0.3, 0.2, 0.1]
    assert (figure["lines"], figure["bands"]) == ({"w*": 2.0}, {"range": [1.0, 2.0]})
    assert test["reproduce"] == 'pytest suites/mine/test_mine.py -k "test_it_grows[toy-here-w8-s2]"'
    assert [one["id"] for one in record["subjects"]] == ["toy-here-w8-s2"]
    assert record["environment"]["device"] == "cpu"
    assert "torch" in record["environment"]["packages"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("'Bad Name', []", "lower-case words"),
        ("'good', [], x_scale='cubic'", "'log' or 'linear', got 'cubic'"),
    ],
)
def test_a_figure_that_could_not_be_drawn_is_refused(runs, call, message):
    runs.suite(f"""
        @toy
        def test_it(subject, verdict):
            verdict.figure({call}, title="T", caption="C")
    """)
    runs.run("suites", "-k", "s0").assert_outcomes(errors=1)
    assert message in runs.record()["tests"][0]["reason"]


def test_reproduce_runs_the_same_test_with_the_same_share(runs):
    runs.suite("""
        @toy
        def test_it(subject, verdict):
            verdict.expect(measured(0.1, 0.1, df=4.0), at_least=0.5, source="Fig. 1")
    """)
    runs.run("suites", "--netprops-alpha", "0.02", "--netprops-data-root", ".")
    before = runs.record()["tests"][1]
    assert before["outcome"] == "INCONCLUSIVE"
    assert "--netprops-data-root . --netprops-alpha 0.00666667" in before["reproduce"]
    _, *args = before["reproduce"].split()
    runs.run(*(arg.strip('"') for arg in args))
    (after,) = runs.record()["tests"]
    assert (after["id"], after["outcome"]) == (before["id"], before["outcome"])
    assert after["expectations"][0]["sentence"] == before["expectations"][0]["sentence"]


def test_junit_gets_sentences_and_not_the_whole_record(runs):
    runs.suite("""
        @toy
        def test_it(subject, verdict):
            verdict.expect(measured(0.9), at_least=0.5, source="Fig. 1")
    """)
    runs.run("suites", "-k", "s0", "--junit-xml", "junit.xml")
    found = ET.parse(runs.path / "junit.xml").iter("property")
    assert [(one.get("name"), one.get("value")) for one in found] == [
        ("netprops", "PASS"),
        ("quality", "quality = 0.9, expected ≥ 0.5: holds"),
    ]


def test_the_table_has_a_row_an_expectation_and_the_path_of_the_report(runs):
    runs.suite("""
        @toy
        def test_it(subject, verdict):
            verdict.expect(measured(0.9, 0.01), at_least=0.5, source="Fig. 1")
            verdict.expect(measured(3, name="count"), at_most=4, source="Fig. 1")
    """)
    result = runs.run("suites", "-k", "s0")
    result.stdout.fnmatch_lines(
        [
            "*netprops: mine*",
            "subject * property * value * bound * verdict",
            "toy-here-w8-s0  quality   0.9 [[]0.88, 0.92]  ≥ 0.5  PASS",
            "toy-here-w8-s0  count     3                 ≤ 4    PASS",
            "property tests: 1 of 1 ran: 1 PASS",
            f"report: {runs.path}/reports/latest/index.html",
        ]
    )


def test_a_property_test_may_judge_by_assertions_alone(runs):
    runs.suite("""
        @toy
        def test_it(subject):
            assert subject.width == 8
    """)
    runs.run("suites", "-k", "s0").assert_outcomes(passed=1)
    assert outcomes(runs) == {"test_it[toy-here-w8-s0]": "PASS"}
