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
            epochs=40, batch=128, optimizer="adam", lr=2e-3, weight_decay=1e-3, schedule="cosine",
            loss="squared-hinge",
        ),
        per_width={128: {"snapshots": (1, 2, 5, 10, 20)}},
        variants={"nodecay": Variant(changes={"weight_decay": 0.0}, widths=(128,), seeds=2, why="control")},
        source="a test",
    ),
)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a copy of the suite for the family ``tiny``."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(content("suites") / "mitosis", folder / "suites" / "mitosis")
    (folder / "suites" / "mitosis" / "test_underfit.py").unlink()
    for file in (folder / "suites" / "mitosis").glob("test_*.py"):
        file.write_text(re.sub(r'families=(\([^)]*\)|"[\w-]+")', 'families="tiny"', file.read_text()))
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


def test_two_processes_and_one_give_the_same_record_and_train_each_network_once(folder):
    cold, first = run(folder, "-n", "2")
    assert "8 to train" in cold.stdout, cold.stdout + cold.stderr
    entries = sorted(path.parent.name for path in (folder / "cache").rglob("manifest.json"))
    assert len(entries) == 8
    warm, second = run(folder)
    assert "8 cached" in warm.stdout, warm.stdout + warm.stderr
    assert sorted(path.parent.name for path in (folder / "cache").rglob("manifest.json")) == entries
    assert warm.returncode == cold.returncode
    assert without_times(second) == without_times(first)
    outcomes = {test["name"]: test["outcome"] for test in first["tests"]}
    assert len(first["tests"]) == 14 + 2 * 10
    assert "ERROR" not in outcomes.values(), json.dumps(first["tests"], indent=1)
    assert outcomes["test_random_chunks_interpolate_the_training_set"] == "PASS"
    assert outcomes["test_chunks_reconstruct_the_layer"] == "PASS"
    assert (folder / "reports" / "latest" / "index.html").is_file()


def test_a_layer_without_live_units_is_an_error_that_names_network_layer_and_cause(folder):
    (folder / "suites" / "test_dead.py").write_text("""
import numpy as np
import pytest

from netprops.measures.reconstruction import reconstruction_curve


@pytest.mark.netprops(on="widest", families=("tiny",))
@pytest.mark.parametrize("rows", [40, 1])
def test_it(subject, verdict, rows):
    features = np.ones((rows, subject.width), dtype=np.float32)
    reconstruction_curve(features, rng=subject.rng("dead"))
""")
    done, record = run(folder, "-k", "test_dead and s0")
    (folder / "suites" / "test_dead.py").unlink()
    assert done.returncode == 1
    reasons = [test["reason"] for test in record["tests"]]
    assert [test["outcome"] for test in record["tests"]] == ["ERROR", "ERROR"]
    for reason in reasons:
        assert reason.startswith("MeasurementError: tiny-pdigits-w128-s0, layer hidden: ")
    assert any("live units" in reason for reason in reasons)
