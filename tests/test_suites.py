"""The shipped suite on a small family of real networks: cold in two processes, then warm in one."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from netprops.content import content
from netprops.records import without_times

FAMILY = """
from netprops import Family, Recipe, Variant

FAMILIES = (
    Family(
        name="tiny", architecture="fc5", data="pdigits", scale="mini", widths=(16, 64, 128), seeds=2,
        recipe=Recipe(
            epochs=24, batch=128, optimizer="adam", lr=3e-3, weight_decay=1e-3, schedule="cosine",
            loss="squared-hinge",
        ),
        per_width={128: {"snapshots": (1, 2, 4, 8, 14)}},
        variants={"nodecay": Variant(changes={"weight_decay": 0.0}, widths=(128,), seeds=2, why="control")},
        source="a test",
    ),
)
"""
DEAD = """
import numpy as np
import pytest

from netprops.measures.reconstruction import reconstruction_curve


@pytest.mark.netprops(on="widest", families=("tiny",))
@pytest.mark.parametrize("rows", [40, 1])
def test_it(subject, verdict, rows):
    features = np.ones((rows, subject.width), dtype=np.float32)
    reconstruction_curve(features, rng=subject.rng("dead"))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a copy of the suite for the family ``tiny``, and with a suite about a dead layer."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(content("suites") / "mitosis", folder / "suites" / "mitosis")
    (folder / "suites" / "mitosis" / "test_underfit.py").unlink()
    for file in (folder / "suites" / "mitosis").glob("test_*.py"):
        file.write_text(re.sub(r'families=(\([^)]*\)|"[\w-]+")', 'families="tiny"', file.read_text()))
    (folder / "suites" / "dead").mkdir()
    (folder / "suites" / "dead" / "test_dead.py").write_text(DEAD)
    (folder / "families").mkdir()
    (folder / "families" / "tiny.py").write_text(FAMILY)
    return folder


def run(folder, *arguments):
    environment = {**os.environ, "NETPROPS_CACHE": str(folder / "cache")}
    environment.pop("NETPROPS_DATA", None)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "suites",
        "-q",
        "-p",
        "no:cacheprovider",
        "--import-mode=importlib",
        "--netprops-fixtures",
        "families",
        *arguments,
    ]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    record = json.loads((folder / "reports" / "latest" / "run.json").read_text())
    return done, record


@pytest.fixture(scope="module")
def runs(folder):
    """Of a cold run in two processes and a warm one in one: output, record, and entries of the cache."""
    found = []
    for arguments in (("-n", "2"), ()):
        done, record = run(folder, *arguments)
        entries = sorted(path.parent.name for path in (folder / "cache").rglob("manifest.json"))
        found.append((done, record, entries))
    return found


def test_two_processes_and_one_give_the_same_record_and_train_each_network_once(folder, runs):
    (cold, first, entries), (warm, second, after) = runs
    assert "8 to train" in cold.stdout, cold.stdout + cold.stderr
    assert len(entries) == 8
    assert "8 cached" in warm.stdout, warm.stdout + warm.stderr
    assert after == entries
    assert warm.returncode == cold.returncode
    assert without_times(second) == without_times(first)
    shipped = [test for test in first["tests"] if test["suite"] == "mitosis"]
    outcomes = {test["name"]: test["outcome"] for test in shipped}
    assert len(shipped) == 14 + 2 * 10
    assert "ERROR" not in outcomes.values(), json.dumps(shipped, indent=1)
    assert outcomes["test_random_chunks_interpolate_the_training_set"] == "PASS"
    assert outcomes["test_chunks_reconstruct_the_layer"] == "PASS"
    assert (folder / "reports" / "latest" / "index.html").is_file()


def test_a_layer_without_live_units_is_an_error_that_names_network_layer_and_cause(runs):
    for done, record, _ in runs:
        assert done.returncode == 1
        tests = [test for test in record["tests"] if test["suite"] == "dead"]
        assert [test["outcome"] for test in tests] == ["ERROR"] * 4
        for test in tests:
            (network,) = test["subjects"]
            assert test["reason"].startswith(f"MeasurementError: {network}, layer hidden: ")
        assert any("live units" in test["reason"] for test in tests)
