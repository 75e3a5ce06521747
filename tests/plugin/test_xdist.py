"""Several workers say and write the same as one process; only the controller writes."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from netprops import records
from netprops.plugin.session import PropertySession

SUITE = """
    from netprops.errors import MeasurementError

    @toy
    def test_it(subject, verdict):
        verdict.expect(measured(0.9, 0.01), at_least=0.5 + 0.2 * subject.seed, source="Fig. 1")
        verdict.note(f"a note on {subject.id}")

    @toy
    def test_broken(subject, verdict):
        raise MeasurementError("layer hidden.3 is constant")

    @pytest.mark.netprops(on="family", families=("toy", "lost"), variant=None)
    def test_family(family, verdict):
        narrow = family.subjects(2)
        verdict.expect(measured(float(len(narrow)), name="networks"), at_most=1, source="made up")
"""


def test_two_workers_give_the_same_record_as_none(runs):
    runs.suite(SUITE)
    alone = runs.run("suites", "--netprops-report", "alone")
    spread = runs.run("suites", "--netprops-report", "spread", "-n", "2")
    assert alone.ret == spread.ret == pytest.ExitCode.TESTS_FAILED
    assert alone.parseoutcomes() == {"passed": 2, "failed": 1, "errors": 3, "skipped": 2}
    assert spread.parseoutcomes() == alone.parseoutcomes()
    for result in (alone, spread):
        result.stdout.fnmatch_lines(
            [
                "netprops: scale mini, device cpu, property tests: 8; networks: 7 needed, 3 cached, 4 to *",
                "*netprops: mine*",
                "toy-here *networks * 2 *FAIL",
                "property tests: 8 of 8 ran: *",
            ]
        )
    assert records.without_times(runs.record("alone")) == records.without_times(runs.record("spread"))


def test_a_worker_that_dies_leaves_an_error_in_the_record(runs):
    runs.suite("""
        import os
        @toy
        def test_it(subject):
            if subject.seed == 1:
                os._exit(7)
    """)
    result = runs.run("suites", "-n", "1")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    tests = runs.record()["tests"]
    assert [test["outcome"] for test in tests] == ["PASS", "ERROR", "PASS"]
    assert "crashed" in tests[1]["reason"]
    assert tests[1]["claim"] == "it"


def test_what_a_worker_refuses_is_a_usage_error_of_the_run(runs):
    runs.suite(SUITE)
    result = runs.run("suites", "-n", "1", "-k", "toi")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["ERROR: no test matches 'toi': 'toi' is in no name; did you mean 'toy'?*"])
    assert not (runs.path / "reports").exists()


def test_an_unrelated_run_with_workers_is_left_alone(runs):
    runs.write("test_other.py", "def test_other():\n    pass\n")
    result = runs.run("-n", "1", "test_other.py")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*netprops: *")


@pytest.mark.parametrize(("worker", "index"), [("", 0), ("gw0", 0), ("gw13", 13)])
def test_workers_are_spread_over_devices_by_their_number(monkeypatch, worker, index):
    devices = ModuleType("netprops.training.device")
    devices.worker_device = lambda name, number: f"{name}:{number}"
    monkeypatch.setitem(sys.modules, "netprops.training.device", devices)
    session = PropertySession(SimpleNamespace(workerinput={"workerid": worker}))
    session.options = SimpleNamespace(device="cuda")
    assert session.device == f"cuda:{index}"
