"""A folder with a suite, a family and a zoo without networks, for inner pytest runs."""

import json
import textwrap
from pathlib import Path

import pytest

# Imported here once: pytester forgets what an inner run imports, and numpy cannot be imported twice.
import netprops.measurement
import netprops.plugin.controller
import netprops.plugin.item
import netprops.plugin.selection
import netprops.plugin.terminal
import netprops.records
import netprops.statistics  # noqa: F401

TOY = """
    from netprops import Family, Recipe, Variant

    recipe = Recipe(epochs=3, batch=4, optimizer="sgd", lr=0.1)
    common = dict(architecture="toy", source="made up", recipe=recipe)
    plain = Variant(changes={"weight_decay": 0.0}, widths=(4, 8), seeds=2, why="a control")
    FAMILIES = (
        Family(name="toy", data="here", scale="mini", widths=(2, 4, 8), seeds=2, widest_seeds=3,
               variants={"nodecay": plain}, **common),
        Family(name="toy", data="faraway", scale="paper", widths=(2, 4), seeds=1, **common),
        Family(name="lost", data="nowhere", scale="mini", widths=(2, 4), seeds=1, **common),
        Family(name="broken", data="here", scale="mini", widths=(13,), seeds=1, **common),
        Family(name="fleeting", data="vanishing", scale="mini", widths=(2,), seeds=1, **common),
    )
"""


class PropertyRuns:
    """Runs pytest on a suite with the families ``toy`` (seeds 0..2 of the widest), ``lost`` and others."""

    def __init__(self, pytester):
        self.pytester = pytester
        self.path = pytester.path
        self.write("families/toy.py", TOY)
        here = str(Path(__file__).parent)
        self.write(
            "conftest.py",
            f"""
            import sys
            sys.path.insert(0, {here!r})
            import fakes
            fakes.install()
        """,
        )
        self.write(
            "pytest.ini",
            """
            [pytest]
            addopts = --import-mode=importlib
            netprops_fixtures = families
        """,
        )

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def suite(self, text, name="suites/mine/test_mine.py"):
        """Write a test file; ``toy`` is the marker of a test on the widest toy network."""
        head = (
            "import pytest\nfrom fakes import measured\n"
            "toy = pytest.mark.netprops(on='widest', families=('toy',))\n"
        )
        return self.write(name, head + textwrap.dedent(text))

    def run(self, *args, **kwargs):
        # The other plugins of this environment only cost time here.
        quick = ("-p", "no:hypothesispytest", "-p", "no:timeout")
        return self.pytester.runpytest_inprocess(*quick, *map(str, args), **kwargs)

    def record(self, folder="reports/latest"):
        return json.loads((self.path / folder / "run.json").read_text())


@pytest.fixture
def runs(pytester, monkeypatch):
    for name in ("NETPROPS_DATA", "NETPROPS_CACHE", "PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    return PropertyRuns(pytester)
