"""Matrices as images, bars and histograms: drawn, said in words, listed; and every kind as a PDF file."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from netprops import captions, figures, images, listings, plotdata
from netprops.figure_records import AnyFigure
from netprops.looks import INK
from netprops.measurement import Measurement
from netprops.svg import DARK

SVG = "{http://www.w3.org/2000/svg}"
HEAD = {"name": "one", "title": "One", "caption": "C"}


def matrices(**labelled: Any) -> dict[str, Any]:
    kept, (low, high) = plotdata.panels(labelled)
    names = {"value_name": "kernel", "row_name": "sample", "column_name": "other sample"}
    return {"kind": "images", **HEAD, "panels": kept, **names, "low": low, "high": high}


def bars(**values: tuple[float, float]) -> dict[str, Any]:
    drawn = [
        {
            "label": label,
            "measurement": Measurement(
                name="FP", value=value, low=value - half, high=value + half, n=5, n_of="seeds", how="mean"
            ).to_json(),
        }
        for label, (value, half) in values.items()
    ]
    return {"kind": "bars", **HEAD, "bars": drawn, "value_name": "accuracy", "levels": {"guessing": 0.1}}


def densities() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    curves = plotdata.histogram({f"W = {w}": rng.normal(size=500) for w in (16, 64)}, bins=10, x_name="z")
    scales = {"x_scale": "linear", "y_scale": "linear"}
    return {**HEAD, **scales, "curves": [one.to_json() for one in curves]}


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter(f"{SVG}text")]


def paths(svg: str, **fields: str) -> list[ET.Element]:
    found = ET.fromstring(svg).iter(f"{SVG}path")
    return [one for one in found if all(one.get(k.replace("_", "-")) == v for k, v in fields.items())]


def length(path: ET.Element) -> float:
    return sum(float(part) for part in re.findall(r"h(-?[\d.]+)", path.get("d", "")))


def test_equal_cells_have_one_colour_and_cover_the_panel() -> None:
    svg = figures.draw(matrices(a=[[0.0, 1.0], [1.0, 0.0]]))
    sharp = paths(svg, shape_rendering="crispEdges")
    dark, light = ("#00224e", "#fee838")
    cells = {one.get("stroke"): length(one) for one in sharp if one.get("stroke-width") != "10.2"}
    assert set(cells) == {dark, light}
    _, (place,) = images.layout(matrices(a=[[0.0, 1.0], [1.0, 0.0]]))
    assert cells[dark] == cells[light] == pytest.approx(2 * place.cell)
    assert {"a", "kernel", "rows: sample; columns: other sample"} <= set(texts(svg))


def test_one_scale_holds_for_all_panels() -> None:
    svg = figures.draw(matrices(a=np.zeros((3, 3)), b=np.full((3, 3), 2.0), c=np.ones((3, 3))))
    widths = {one.get("stroke-width") for one in paths(svg, shape_rendering="crispEdges")}
    assert len(widths) == 2  # the cells' height, and the bar's
    assert (
        len([one for one in paths(svg, shape_rendering="crispEdges") if one.get("stroke-width") != "10.2"])
        == 3
    )


def test_a_figure_of_many_cells_stays_small_and_one_of_equal_cells_is_drawn() -> None:
    rng = np.random.default_rng(0)
    noise = matrices(**{f"W{w}": rng.normal(size=(100, 100)) for w in range(4)})
    assert len(figures.draw(noise)) < 60_000
    assert len(listings.as_csv(noise)) < 45_000
    assert "3" in texts(figures.draw(matrices(a=[[3.0, 3.0]])))


@pytest.mark.parametrize("count", range(1, 9))
def test_panels_lie_on_the_page_and_apart(count: int) -> None:
    figure = matrices(**{f"p{i}": np.eye(5 + i) for i in range(count)})
    height, places = images.layout(figure)
    boxes = [
        (p.left, p.top, p.cell * len(one["rows"])) for p, one in zip(places, figure["panels"], strict=True)
    ]
    assert all(x >= 0 and y >= 0 and x + size <= 400 and y + size < height - 40 for x, y, size in boxes)
    for i, (x, y, size) in enumerate(boxes):
        assert not [
            other for other in boxes[i + 1 :] if x <= other[0] < x + size and y <= other[1] < y + size
        ]


def test_the_words_say_how_alike_matrices_are() -> None:
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(20, 20))
    text = captions.text_alternative(matrices(narrow=-wide, middle=wide + 0.0, wide=wide), ["Verdict: pass."])
    assert "Correlated with wide: narrow by -1, middle by 1." in text
    assert "lighter is larger" in text
    assert text.endswith("Verdict: pass.")
    assert "Correlated" not in captions.text_alternative(matrices(a=np.eye(3), b=np.eye(4)))
    (first, *_), titles = listings.listing(matrices(a=-wide, b=wide)).rows, ("Panel", "size")
    assert first[:2] == ("a", "20 × 20")
    assert first[-1] == "-1"
    assert listings.listing(matrices(a=-wide, b=wide)).titles[:2] == titles


def test_the_csv_of_matrices_has_a_line_a_row() -> None:
    text = listings.as_csv(matrices(**{"=a": [[1.0, 2.0], [3.0, 4.0]]}))
    rows = list(csv.reader(line for line in text.splitlines() if line[0] != "#"))
    assert rows == [["panel", "row", "0", "1"], ["'=a", "0", "1", "2"], ["'=a", "1", "3", "4"]]


def test_bars_begin_at_zero_and_are_as_long_as_their_values() -> None:
    svg = figures.draw(bars(first=(0.4, 0.1), second=(0.8, 0.0)))
    filled = [one for one in paths(svg) if (one.get("d") or "").endswith("z")]
    long = [float(re.search(r"h([\d.]+)", one.get("d", ""))[1]) for one in filled]  # type: ignore[index]
    assert long[1] == pytest.approx(2 * long[0], rel=0.01)
    assert len({one.get("d", "")[1:].split(" ")[0] for one in filled}) == 1
    assert {"first", "second", "0.4", "0.8", "0", "accuracy", "guessing = 0.1"} <= set(texts(svg))
    whiskers = [one for one in paths(svg) if one.get("stroke-width") == "1.4"]
    assert len(whiskers) == 1  # the second is exact


def test_negative_bars_go_the_other_way() -> None:
    svg = figures.draw(bars(down=(-0.5, 0.1), up=(0.5, 0.1)))
    down, up = [one.get("d", "") for one in paths(svg) if one.get("d", "").endswith("z")]
    assert re.match(r"M[\d.]+ [\d.]+h-", down)
    assert re.match(r"M[\d.]+ [\d.]+h\d", up)
    assert "−0.5" in texts(svg)


def test_the_words_and_numbers_of_bars() -> None:
    figure = bars(narrow=(0.4, 0.1), wide=(0.8, 0.1))
    text = captions.text_alternative(figure)
    assert "narrow: 0.4 [0.3, 0.5]. wide: 0.8 [0.7, 0.9]. Largest: wide; smallest: narrow." in text
    assert "Marked: guessing at 0.1." in text
    assert listings.listing(figure).rows[0] == ("narrow", "0.4", "[0.3, 0.5]", "5 seeds")
    assert "narrow,0.4,0.3,0.5" in listings.as_csv(figure)
    assert captions.hidden(figure) == 0


def test_a_histogram_is_drawn_in_steps_and_told_by_mean_and_spread() -> None:
    figure = densities()
    svg = figures.draw(figure)
    (group,) = [one for one in ET.fromstring(svg).iter() if one.get("clip-path")]
    steps = [one.get("d", "") for one in group if one.get("fill") == "none"]
    assert len(steps) == 2
    assert all(re.fullmatch(r"M[\d.]+ [\d.]+(h[\d.]+|v-?[\d.]+)+", one) for one in steps)
    assert re.search(
        r"W = 16 has mean -?0\.0\d+ and spread 0\.9\d+|1\.0\d+", captions.text_alternative(figure)
    )


def test_a_long_curve_is_drawn_by_what_can_be_seen_of_it() -> None:
    y = np.sin(np.arange(50_000) / 3)
    y[20_000] = 9.0
    curve = densities()["curves"][0] | {
        "x": np.arange(1.0, 50_001).tolist(),
        **dict.fromkeys(("y", "low", "high"), y.tolist()),
        "details": {},
    }
    svg = figures.draw({**densities(), "curves": [curve]})
    assert len(svg) < 60_000
    drawn = next(one for one in paths(svg) if one.get("clip-path")).get("d", "")
    assert len(re.findall(r"[vl][\d.]*-1[0-9]{2}", drawn)) == 1  # up to the one value that is far off


@pytest.mark.parametrize("figure", [matrices(a=np.eye(4)), bars(a=(0.5, 0.1)), densities()])
def test_every_kind_is_a_pdf_file_a_record_and_a_look_in_the_dark(figure: dict[str, Any]) -> None:
    first = figures.pdf(figure)
    assert first.startswith(b"%PDF-")
    assert first == figures.pdf(figure)
    assert b"/Subtype /Image" not in first  # vector throughout
    kept = TypeAdapter(AnyFigure).validate_python(figure)
    assert figures.draw(kept.model_dump(mode="json")) == figures.draw(
        TypeAdapter(AnyFigure).validate_python(kept.model_dump(mode="json")).model_dump(mode="json")
    )
    svg = figures.draw(figure)
    for part, paint in set(re.findall(r' (fill|stroke)="(#[0-9a-f]{6})"', svg)):
        if paint in DARK:
            assert f':target [{part}="{paint}"]' in svg or paint == INK
    within = figures.element(figure, prefix="f1", label='said "so" <b>')
    assert "<title" not in within
    assert 'aria-label="said &quot;so&quot; &lt;b&gt;"' in within
    assert not re.search(r'id="(?!f1)|url\(#(?!f1)', within)
    ET.fromstring(within)


def test_a_figure_of_no_kind_or_of_two_is_refused() -> None:
    check = TypeAdapter(AnyFigure).validate_python
    assert check({**densities()}).kind == "curves"  # as the first records have it
    with pytest.raises(ValidationError, match="does not match any of the expected tags"):
        check({**bars(a=(1, 0)), "kind": "pie"})
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        check({**bars(a=(1, 0)), "curves": []})
