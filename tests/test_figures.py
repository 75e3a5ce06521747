"""Figures as SVG, and what they say in words and numbers."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netprops import captions, figures, listings, looks
from netprops.errors import MeasurementError
from netprops.svg import DARK
from netprops.ticks import number, ticks

SVG = "{http://www.w3.org/2000/svg}"


def curve(
    name: str = "test error",
    x: Any = (2, 4, 8, 16),
    y: Any = (0.4, 0.1, 0.03, 0.01),
    spread: float = 0.1,
    **details: Any,
) -> dict[str, Any]:
    x, y = np.asarray(x, float), np.asarray(y, float)
    return {
        "name": name,
        "x": x.tolist(),
        "y": y.tolist(),
        "low": (y - spread * abs(y)).tolist(),
        "high": (y + spread * abs(y)).tolist(),
        "x_name": "chunk size w (neurons)",
        "y_name": "error (fraction)",
        "n": 500,
        "n_of": "permutations",
        "how": "mean over permutations",
        "definition": "default",
        "details": details,
    }


def figure(
    *curves: dict[str, Any], x_scale: str = "log", y_scale: str = "log", **marks: Any
) -> dict[str, Any]:
    return {
        "name": "chunk-error",
        "title": "Chunk error",
        "caption": "",
        "x_scale": x_scale,
        "y_scale": y_scale,
        "curves": list(curves) or [curve()],
        "lines": {},
        "levels": {},
        "bands": {},
        **marks,
    }


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def within(svg: str) -> list[ET.Element]:
    """Return the paths that are cut off at the axes, by themselves or as a group, in the order of drawing."""
    cut = [one for one in ET.fromstring(svg).iter() if one.get("clip-path")]
    return [path for one in cut for path in one.iter(f"{SVG}path")]


def colours(svg: str) -> list[str]:
    """Return the strokes of the curves in the order of drawing: those within the palette."""
    return [str(path.get("stroke")) for path in within(svg) if path.get("stroke") in looks.PALETTE]


def test_a_figure_shows_its_curves_axes_ticks_and_marks() -> None:
    svg = figures.draw(
        figure(
            curve("test"),
            curve("training", y=(0.3, 0.05, 0.004, 0.001)),
            lines={"w* = 8": 8, "knee": 4},
            levels={"floor": 0.002},
            bands={"below w*": (2, 8)},
        )
    )
    for text in (
        "test",
        "training",
        "w* = 8",
        "knee = 4",
        "floor",
        "below w*",
        "chunk size w (neurons)",
        "error (fraction)",
        "2",
        "4",
        "8",
        "16",
        "0.01",
        "0.1",
    ):
        assert text in texts(svg), text
    assert len(colours(svg)) >= 2


def test_the_same_figure_gives_the_same_bytes_whatever_was_drawn_before() -> None:
    one = figure(lines={"w*": 4}, levels={"floor": 0.02})
    first = figures.draw(one)
    figures.draw(
        figure(
            curve("a", width=64),
            curve("b", y=(1, 2, 3, 4)),
            x_scale="linear",
            y_scale="linear",
            bands={"band": (3, 5)},
        )
    )
    assert figures.draw(one) == first
    assert figures.draw(figure(levels={"floor": 0.02})) != first


def test_nothing_needs_inline_style_and_nothing_is_loaded() -> None:
    svg = figures.draw(figure(curve(), curve("second", line="dashed"), lines={"a": 4}, bands={"b": (2, 4)}))
    root = ET.fromstring(svg)
    assert not [e for e in root.iter() if e.get("style")]
    assert not [k for e in root.iter() for k in e.attrib if k.endswith("href")]
    assert set(re.findall(r"url\(([^)]*)\)", svg)) == {"#a"}
    assert len(svg) < 4000


def test_every_paint_of_the_light_look_has_a_dark_one() -> None:
    widths = [curve(f"W = {w}", width=w) for w in (16, 32, 64, 128, 256, 512, 1024)]
    svg = figures.draw(figure(*widths, lines={"a": 4}, levels={"c": 0.1}, bands={"b": (2, 4)}))
    paints = set(re.findall(r' (fill|stroke)="(#[0-9a-f]{6})"', svg))
    assert set(looks.PALETTE) <= {paint for _, paint in paints} <= set(DARK)
    assert ET.fromstring(svg).get("id") == "dark"
    assert f":target{{fill:{DARK[looks.INK]}}}" in svg
    for part, paint in paints:
        assert f':target [{part}="{paint}"]{{{part}:{DARK[paint]}}}' in svg or paint == looks.INK


def test_a_width_has_one_colour_in_every_figure() -> None:
    alone = colours(figures.draw(figure(curve("W = 64", width=64))))[0]
    family = figures.draw(figure(*(curve(f"net {w}", width=w) for w in (16, 64, 256))))
    assert colours(family)[1] == alone
    assert len(set(colours(family))) == 3
    by_name = figures.draw(figure(curve("training error, W = 64", x=(1, 2, 3, 4)), x_scale="linear"))
    assert colours(by_name)[0] == alone


def test_two_widths_of_one_figure_never_share_a_colour() -> None:
    svg = figures.draw(figure(*(curve(f"W = {w}", width=w) for w in (64, 80, 96))))
    assert len(set(colours(svg))) == 3


def test_points_at_or_below_zero_are_left_out_of_a_log_axis_and_said() -> None:
    with_zero = figure(curve(y=(0.4, 0.1, 0.0, -0.01)))
    without = figure(curve(x=(2, 4), y=(0.4, 0.1)))
    assert captions.hidden(with_zero) == 2
    assert captions.hidden(without) == 0
    assert captions.hidden(figure(curve(y=(0.4, 0.1, 0.0, -0.01)), y_scale="linear")) == 0

    def line(svg: str) -> int:
        paths = [path for path in within(svg) if path.get("stroke") in looks.PALETTE]
        return paths[-1].get("d", "").count("l")

    assert line(figures.draw(with_zero)) == line(figures.draw(without)) == 1


def test_an_interval_that_reaches_zero_does_not_flatten_a_log_axis() -> None:
    svg = figures.draw(figure({**curve(), "low": [0.3, 0.05, 0.0, -0.01]}))
    assert not [text for text in texts(svg) if "10⁻" in text or text in ("0.0001", "0.001")]


def test_what_rounding_left_of_zero_does_not_open_a_log_axis_without_end() -> None:
    rounded = figures.draw(figure(curve(y=(1.0, 0.1, 1e-30, 5e-324), spread=0)))
    assert not [text for text in texts(rounded) if "⁻²" in text or "⁻³" in text]


def test_a_log_axis_without_a_positive_point_becomes_linear() -> None:
    svg = figures.draw(figure(curve(y=(0, 0, 0, 0))))
    assert "0" in texts(svg)
    assert "logarithmic" in captions.text_alternative(figure(curve(y=(0, 0, 0, 0))))
    assert "both axes" not in captions.text_alternative(figure(curve(y=(0, 0, 0, 0))))


def test_a_single_point_and_no_curve_are_drawn() -> None:
    assert "16" in texts(figures.draw(figure(curve(x=(16,), y=(0.5,)))))
    assert texts(figures.draw({**figure(), "curves": []})) == []


def test_a_malformed_curve_is_refused() -> None:
    with pytest.raises(MeasurementError, match="x does not increase"):
        figures.draw(figure(curve(x=(4, 2, 8, 16))))
    with pytest.raises(MeasurementError, match="expected a finite number"):
        figures.draw(figure(curve(y=(0.4, float("nan"), 0.1, 0.2))))


HOSTILE = (
    "<script>alert(1)</script>",
    '"/><image href="http://x"/>',
    "]]>&lt;",
    "$\\frac{a}{",
    "$x_1$ ^_%",
    "\x00\x1b\u202e😀漢",
    "a\nb\tc",
    "_hidden",
    "x" * 500,
)


def test_hostile_names_add_no_element_and_are_shown_as_they_are() -> None:
    def drawn(text: str) -> ET.Element:
        marks = {"lines": {text: 4}, "levels": {text: 0.1}, "bands": {text: (2, 4)}}
        one = {**curve(text), "x_name": text, "y_name": text}
        return ET.fromstring(
            figures.draw({**figure(one, {**one, "name": text + "2"}, **marks), "title": text})
        )

    expected = {element.tag for element in drawn("harmless").iter()}
    for text in HOSTILE:
        root = drawn(text)
        assert {element.tag for element in root.iter()} <= expected, text
        assert len(list(root.iter(f"{SVG}text"))) > 4
    assert "$x_1$ ^_%" in texts(ET.tostring(drawn("$x_1$ ^_%"), encoding="unicode"))


@pytest.mark.parametrize(
    ("low", "high", "scale", "data", "expected"),
    [
        (0, 1, "linear", (), [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.9, 100, "linear", (), [20, 40, 60, 80, 100]),
        (1, 10, "linear", (), [2, 4, 6, 8, 10]),
        (1.8, 70, "log", (2, 4, 8, 64), [2, 4, 8, 16, 32, 64]),
        (1.8, 5000, "log", (2, 4096), [4, 16, 64, 256, 1024, 4096]),
        (1e-5, 1, "log", (), [1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]),
        (0.015, 0.5, "log", (), [0.02, 0.05, 0.1, 0.2, 0.5]),
        (10, 30, "log", (16,), [16]),
    ],
)
def test_ticks_are_round(
    low: float, high: float, scale: str, data: tuple[float, ...], expected: list[float]
) -> None:
    assert ticks(low, high, scale, data) == pytest.approx(expected)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-9, 1e9), st.floats(1.001, 1e12), st.sampled_from(["linear", "log"]))
def test_ticks_ascend_within_the_axis_and_are_few(low: float, factor: float, scale: str) -> None:
    high = low * factor
    found = ticks(low, high, scale)
    assert 2 <= len(found) <= 13
    assert found == sorted(set(found))
    slack = 1e-9 * high
    assert all(low - slack <= tick <= high + slack for tick in found)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.05, "0.05"), (512, "512"), (1e-6, "10⁻⁶"), (3e7, "3·10⁷"), (-2.5, "−2.5"), (0, "0")],
)
def test_numbers_of_ticks(value: float, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("y", "words"),
    [
        ((4, 3, 2, 1), "falls from 4 at 2 to 1 at 16"),
        ((1, 1, 2, 3), "rises from 1 at 2 to 3 at 16"),
        ((1, 1, 1, 1), "stays at 1 from 2 to 16"),
        ((2, 1, 5, 3), "goes from 2 at 2 to 3 at 16; lowest 1 at 4, highest 5 at 8"),
    ],
)
def test_the_alternative_says_how_a_curve_goes(y: tuple[float, ...], words: str) -> None:
    text = captions.text_alternative(figure(curve("error", y=y), lines={"w*": 8}), ["Verdict: pass."])
    assert f"error {words}." in text
    assert "Marked: w* at 8." in text
    assert text.endswith("Verdict: pass.")


def test_the_csv_has_every_number_and_no_formula() -> None:
    many = curve("=cmd()", x=range(1, 101), y=np.linspace(1, 0, 100), spread=0)
    text = listings.as_csv(figure(many, curve('ok, "quoted"\n# not a comment'), lines={"w*": 8}))
    comments = [line for line in text.splitlines() if line.startswith("#")]
    table = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert len(table) == 100
    assert table[0] == dict.fromkeys(table[0], "") | {"x": "1", "'=cmd()": "1"}
    other = 'ok, "quoted" # not a comment'
    assert list(table[0]) == ["x", "'=cmd()", other, f"{other} low", f"{other} high"]
    assert [table[15][name] for name in list(table[0])[2:]] == ["0.01", "0.009", "0.011"]
    assert "# w*: x = 8" in comments
    assert "# x: chunk size w (neurons)" in comments


def test_a_long_curve_is_listed_by_evenly_spread_points_with_both_ends() -> None:
    listed = listings.listing(figure(curve(x=range(1, 101), y=np.linspace(1, 2, 100))), longest=10)
    assert [float(row[1]) for row in listed.rows] == [1, 12, 23, 34, 45, 56, 67, 78, 89, 100]
    assert listed.left_out == "every point of a curve"
    assert listings.listing(figure(curve())).left_out == ""


def test_a_line_leaves_out_points_that_lie_on_it() -> None:
    straight = figure(curve(x=range(1, 101), y=range(1, 101), spread=0), x_scale="linear", y_scale="linear")
    bent = figure(
        curve(x=range(1, 101), y=[*range(1, 51), *range(50, 0, -1)], spread=0),
        x_scale="linear",
        y_scale="linear",
    )
    drawn = [len(re.findall("[lhv]", within(figures.draw(one))[-1].get("d", ""))) for one in (straight, bent)]
    assert drawn == [1, 3]
