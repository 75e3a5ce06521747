"""The figures that a property test attaches to its record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from netprops.errors import MeasurementError, UsageError
from netprops.figure_records import AnyFigure
from netprops.measurement import Measurement
from netprops.plugin.expectations import Expectations

HEAD = {"title": "T", "caption": "C"}


@pytest.fixture
def verdict() -> Expectations:
    return Expectations("net-w4-s0", 0.01, strict=False)


def kept(verdict: Expectations) -> list[dict[str, Any]]:
    """What the record has of the figures, each of which its schema accepts."""
    found = verdict.to_json()["figures"]
    for one in found:
        TypeAdapter(AnyFigure).validate_python(one)
    return found


def measured(value: float, unit: str = "") -> Measurement:
    return Measurement.exact("FP", value, n=5, n_of="seeds", how="mean", unit=unit)


def test_matrices_are_kept_by_blocks_with_a_common_scale(verdict) -> None:
    wide = np.linspace(0, 1, 100 * 100).reshape(100, 100)
    verdict.images("kernels", [("W = 16", -wide), ("W = 64", wide)], value_name="K", row_name="x", **HEAD)
    verdict.images("own-scale", {"W = 16": wide}, value_name="K", limits=(-1, 1), most=8, **HEAD)
    first, second = kept(verdict)
    assert (first["kind"], first["row_name"], [one["label"] for one in first["panels"]]) == (
        "images",
        "x",
        ["W = 16", "W = 64"],
    )
    assert first["low"] == -first["high"] < -0.95
    assert (second["low"], second["high"], len(second["panels"][0]["rows"])) == (-1, 1, 8)


def test_samples_are_kept_as_densities(verdict) -> None:
    rng = np.random.default_rng(0)
    samples = {"W = 16": rng.normal(size=(50, 40)), "W = 64": rng.normal(size=1000)}
    verdict.histogram("preactivations", samples, x_name="z", bins=20, lines={"zero": 0.0}, **HEAD)
    (figure,) = kept(verdict)
    assert [len(one["x"]) for one in figure["curves"]] == [20, 20]
    assert figure["curves"][0]["x"] == figure["curves"][1]["x"]
    assert figure["curves"][0]["details"]["line"] == "steps"
    assert (figure["kind"], figure["curves"][0]["n"], figure["lines"]) == ("curves", 2000, {"zero": 0.0})


def test_bars_are_kept_with_their_intervals(verdict) -> None:
    verdict.bars("fp", {"narrow": measured(0.4, "points"), "wide": measured(0.8)}, levels={"g": 0.1}, **HEAD)
    (figure,) = kept(verdict)
    assert [(one["label"], one["measurement"]["value"]) for one in figure["bars"]] == [
        ("narrow", 0.4),
        ("wide", 0.8),
    ]
    assert (figure["kind"], figure["value_name"], figure["levels"]) == ("bars", "FP (points)", {"g": 0.1})


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda v: v.bars("a b", {"x": measured(1)}, **HEAD), "lower-case words joined by hyphens"),
        (lambda v: v.bars("a", {}, **HEAD), "figure a: bars are one or more labels"),
        (lambda v: v.bars("a", {"x": 0.5}, **HEAD), "each with a Measurement"),
        (lambda v: v.images("a", [], value_name="K", **HEAD), "1 to 8 panels, got 0"),
        (
            lambda v: v.images("a", [("x", [[1.0]]), ("x", [[2.0]])], value_name="K", **HEAD),
            "each panel has a label of its own",
        ),
        (lambda v: v.histogram("a", {}, x_name="z", **HEAD), "needs samples"),
    ],
)
def test_a_figure_that_could_not_be_drawn_is_refused(verdict, draw, message) -> None:
    with pytest.raises(UsageError, match=message):
        draw(verdict)


def test_what_is_no_number_and_a_name_that_is_taken_are_refused(verdict) -> None:
    with pytest.raises(MeasurementError, match=r"panel x: entry \[0, 1\] is inf"):
        verdict.images("a", {"x": [[0.0, np.inf]]}, value_name="K", **HEAD)
    verdict.bars("a", {"x": measured(1)}, **HEAD)
    with pytest.raises(UsageError, match="already has a figure 'a'"):
        verdict.images("a", {"x": [[0.0]]}, value_name="K", **HEAD)
