"""The numbers behind a figure, as a table on a page and as a CSV file beside the drawing.

Words: a *listing* has column titles and rows of text; a text that a spreadsheet would take for a formula is
preceded by an apostrophe in CSV; numbers have as many significant digits there as in a record: five, those of
x seven.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops.figures import kind
from netprops.looks import MEMBER
from netprops.measurement import Curve, Measurement

Panel = tuple[str, tuple[int, int], NDArray[np.float64]]

ROWS = 5
"""Most points of a curve that a page lists; the CSV file beside the figure has all of them."""

MOST = 16
"""Most rows of a figure of many curves that a page lists, unless two points of each are more."""


@dataclass(frozen=True)
class Listing:
    """A table of a figure's numbers; ``left_out`` says which numbers only the CSV file has, if any."""

    titles: tuple[str, ...]
    rows: list[tuple[str, ...]]
    left_out: str = ""

    def groups(self) -> list[tuple[str, list[tuple[str, ...]]]]:
        """Return the rows, without their first cell, by the curve, panel or bar that it names."""
        return [(name, [row[1:] for row in rows]) for name, rows in groupby(self.rows, key=lambda r: r[0])]


def curves_of(figure: Mapping[str, Any]) -> list[Curve]:
    """Return the curves of a record's figure."""
    return [Curve.from_json(fields) for fields in figure["curves"]]


def panels_of(figure: Mapping[str, Any]) -> list[Panel]:
    """Return label, shape of the matrix and kept values of each panel of a record's figure."""
    return [
        (one["label"], (one["shape"][0], one["shape"][1]), np.asarray(one["rows"], dtype=np.float64))
        for one in figure["panels"]
    ]


def likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """Return the correlation of two panels' entries; None if they differ in shape or one is constant."""
    if one.shape != other.shape or np.ptp(one) == 0 or np.ptp(other) == 0:
        return None
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def listing(figure: Mapping[str, Any], longest: int = ROWS) -> Listing:
    """Return a figure's numbers as a page lists them.

    Args:
        figure: The figure of a record.
        longest: Most points of a curve: evenly spread ones, the first and the last among them.
    """
    if kind(figure) == "images":
        return _matrices(figure)
    if kind(figure) == "bars":
        return _bars(figure)
    curves = curves_of(figure)
    by_place: dict[tuple[str, bytes], list[Curve]] = {}
    for curve in curves:
        by_place.setdefault((curve.name, curve.x.tobytes()), []).append(curve)
    members = list(dict.fromkeys(str(one.details.get(MEMBER, "")) for one in curves))
    longest = max(2, min(longest, MOST // max(len(by_place), 1)))
    rows: list[tuple[str, ...]] = []
    cut = False
    for alike in by_place.values():
        places = np.linspace(0, len(alike[0]) - 1, min(longest, len(alike[0])))
        cut = cut or len(places) < len(alike[0])
        own = {str(one.details.get(MEMBER, "")): one for one in alike}
        for i in np.unique(np.round(places).astype(int)):
            said = [_at(own[who], i) if who in own else "–" for who in members]
            rows.append((alike[0].name, f"{alike[0].x[i]:.6g}", *said))
    titles = ("Curve", "x", *members) if len(members) > 1 else ("Curve", "x", "y and interval")
    return Listing(titles, rows, "every point of a curve" if cut else "")


def _at(curve: Curve, i: int) -> str:
    """Return a point of a curve, with its interval if the curve has any."""
    interval = f" [{curve.low[i]:.3g}, {curve.high[i]:.3g}]" if (curve.high > curve.low).any() else ""
    return f"{curve.y[i]:.4g}{interval}"


def _matrices(figure: Mapping[str, Any]) -> Listing:
    panels = panels_of(figure)
    rows: list[tuple[str, ...]] = []
    for label, shape, values in panels:
        alike = likeness(values, panels[-1][2])
        rows.append(
            (
                label,
                f"{shape[0]} × {shape[1]}",
                f"{values.min():.6g} to {values.max():.6g}",
                f"{values.mean():.6g}",
                "–" if alike is None else f"{alike:.4g}",
            )
        )
    titles = ("Panel", "size", "range", "mean", f"correlation with {panels[-1][0]}")
    return Listing(titles, rows, "every cell")


def _bars(figure: Mapping[str, Any]) -> Listing:
    measured = [(one["label"], Measurement.from_json(one["measurement"])) for one in figure["bars"]]
    rows: list[tuple[str, ...]] = [
        (
            label,
            f"{m.value:.6g}",
            f"[{m.low:.6g}, {m.high:.6g}]" if m.high > m.low else "–",
            f"{m.n} {m.n_of}",
        )
        for label, m in measured
    ]
    return Listing(("Bar", "value", "interval", "n"), rows)


def as_csv(figure: Mapping[str, Any]) -> str:
    """Return every number of a figure as CSV, its axes and marks in comment lines that begin with ``#``."""
    comments, titles, rows = {"images": _csv_of_images, "bars": _csv_of_bars}.get(
        kind(figure), _csv_of_curves
    )(figure)
    out = io.StringIO()
    for label, text in comments:
        out.write(f"# {_plain(label)}: {_plain(text)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(_safe, titles))
    for name, *numbers in rows:
        first = str(name) if isinstance(name, str) and _is_number(name) else _safe(str(name))
        writer.writerow([first, *map(_digits, numbers)])
    return out.getvalue()


_Table = tuple[list[tuple[str, str]], Sequence[str], Iterable[Sequence[object]]]


def _csv_of_curves(figure: Mapping[str, Any]) -> _Table:
    curves = curves_of(figure)
    comments = [("x", curves[0].x_name), ("y", curves[0].y_name)] if curves else []
    comments += dict.fromkeys((curve.name, f"{curve.n} {curve.n_of}; {curve.how}") for curve in curves)
    comments += [(label, f"x = {x!r}") for label, x in figure.get("lines", {}).items()]
    comments += [(label, f"y = {y!r}") for label, y in figure.get("levels", {}).items()]
    comments += [(label, f"x from {a!r} to {b!r}") for label, (a, b) in figure.get("bands", {}).items()]
    titles, columns = ["x"], list[dict[float, object]]()
    for curve in curves:
        who = curve.details.get(MEMBER)
        name = f"{curve.name}, {who}" if who else curve.name
        parts = {"": curve.y}
        if (curve.high > curve.low).any():
            parts |= {" low": curve.low, " high": curve.high}
        titles += [f"{name}{part}" for part in parts]
        columns += [dict(zip(curve.x.tolist(), values, strict=True)) for values in parts.values()]
    xs = sorted({x for column in columns for x in column})
    return comments, titles, ((f"{x:.7g}", *(column.get(x) for column in columns)) for x in xs)


def _csv_of_images(figure: Mapping[str, Any]) -> _Table:
    panels = panels_of(figure)
    comments = [("values", figure["value_name"])]
    comments += [
        (part, figure[key])
        for part, key in (("rows", "row_name"), ("columns", "column_name"))
        if figure.get(key)
    ]
    comments += [
        (label, f"{shape[0]} by {shape[1]}, as {values.shape[0]} by {values.shape[1]} means over blocks")
        for label, shape, values in panels
        if shape != values.shape
    ]
    widest = max(values.shape[1] for _, _, values in panels)
    rows = [(label, i, *row) for label, _, values in panels for i, row in enumerate(values)]
    return comments, ("panel", "row", *map(str, range(widest))), rows


def _csv_of_bars(figure: Mapping[str, Any]) -> _Table:
    measured = [(one["label"], Measurement.from_json(one["measurement"])) for one in figure["bars"]]
    comments = [("value", figure["value_name"])]
    comments += [(label, f"{m.n} {m.n_of}; {m.how}") for label, m in measured]
    comments += [(label, f"value = {x!r}") for label, x in (figure.get("levels") or {}).items()]
    return (
        comments,
        ("bar", "value", "low", "high"),
        [(label, m.value, m.low, m.high) for label, m in measured],
    )


def _digits(value: Any) -> str:
    return "" if value is None else f"{value:.5g}"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _safe(text: str) -> str:
    """Return text on one line that no spreadsheet takes for a formula."""
    plain = _plain(text)
    return f"'{plain}" if plain.startswith(tuple("=+-@")) else plain


def _plain(text: str) -> str:
    """Return text on one line, so that it cannot end a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
