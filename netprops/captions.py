"""What a figure says to somebody who does not see it: a text alternative, a table, a CSV file.

Words: a *figure* is the dict that a record holds; its *rows* are (curve, x, y, low, high), with the ends
None where a curve has no interval; *hidden* points are those that a log axis cannot show.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netprops.figures import drawable, scales
from netprops.measurement import Curve

Row = tuple[str, float, float, float | None, float | None]


def curves_of(figure: Mapping[str, Any]) -> list[Curve]:
    """Return the curves of a record's figure."""
    return [Curve.from_json(fields) for fields in figure["curves"]]


def text_alternative(figure: Mapping[str, Any], findings: Sequence[str] = ()) -> str:
    """Return what the figure shows, in sentences: axes, course of every curve, marks, findings.

    Args:
        figure: The figure of a record.
        findings: Sentences of the verdicts that rest on it.
    """
    curves = curves_of(figure)
    if not curves:
        return f"{figure['title']}: no curve was recorded."
    axes = dict(zip(("horizontal", "vertical"), scales(figure, curves), strict=True))
    logs = [name for name, scale in axes.items() if scale == "log"]
    note = {0: "", 1: f", {logs[0]} axis logarithmic" if logs else "", 2: ", both axes logarithmic"}[
        len(logs)
    ]
    parts = [f"{figure['title']}: {curves[0].y_name} against {curves[0].x_name}{note}."]
    parts += [f"{curve.name} {course(curve)}." for curve in curves]
    marks = [f"{label} at {x:.4g}" for label, x in figure.get("lines", {}).items()]
    marks += [f"{label} at the level {y:.4g}" for label, y in figure.get("levels", {}).items()]
    marks += [f"{label} from {a:.4g} to {b:.4g}" for label, (a, b) in figure.get("bands", {}).items()]
    if marks:
        parts.append(f"Marked: {'; '.join(marks)}.")
    return " ".join([*parts, *findings])


def course(curve: Curve) -> str:
    """Return in words where a curve begins, where it ends, and what lies between.

    >>> course(Curve.plain("loss", [1, 2, 3], [4, 2, 1], x_name="epoch", y_name="loss", how="mean"))
    'falls from 4 at 1 to 1 at 3'
    """
    (x0, x1), (y0, y1) = curve.x[[0, -1]], curve.y[[0, -1]]
    if len(curve) == 1:
        interval = f" [{curve.low[0]:.4g}, {curve.high[0]:.4g}]" if curve.high[0] > curve.low[0] else ""
        return f"is {y0:.4g}{interval} at {x0:.4g}"
    steps = np.diff(curve.y)
    if not steps.any():
        return f"stays at {y0:.4g} from {x0:.4g} to {x1:.4g}"
    span = f"from {y0:.4g} at {x0:.4g} to {y1:.4g} at {x1:.4g}"
    if (steps <= 0).all():
        return f"falls {span}"
    if (steps >= 0).all():
        return f"rises {span}"
    lowest, highest = int(curve.y.argmin()), int(curve.y.argmax())
    return (
        f"goes {span}; lowest {curve.y[lowest]:.4g} at {curve.x[lowest]:.4g}, "
        f"highest {curve.y[highest]:.4g} at {curve.x[highest]:.4g}"
    )


def hidden(figure: Mapping[str, Any]) -> int:
    """Return how many points lie at or below zero on a log axis and are therefore not drawn."""
    curves = curves_of(figure)
    if not curves:
        return 0
    across, up = scales(figure, curves)
    return sum(int((~(drawable(c.x, across) & drawable(c.y, up))).sum()) for c in curves)


def rows(figure: Mapping[str, Any], longest: int | None = None) -> list[Row]:
    """Return the numbers behind a figure.

    Args:
        figure: The figure of a record.
        longest: Most points of a curve to return: evenly spread ones, the first and the last among them.
    """
    out: list[Row] = []
    for curve in curves_of(figure):
        whole = (curve.high > curve.low).any()
        kept = range(len(curve))
        if longest is not None and len(curve) > longest:
            kept = sorted({round(float(i)) for i in np.linspace(0, len(curve) - 1, longest)})  # type: ignore[assignment]
        out += [
            (
                curve.name,
                float(curve.x[i]),
                float(curve.y[i]),
                float(curve.low[i]) if whole else None,
                float(curve.high[i]) if whole else None,
            )
            for i in kept
        ]
    return out


def as_csv(figure: Mapping[str, Any]) -> str:
    """Return every number of a figure as CSV, its axes and marks in comment lines that begin with ``#``.

    A text that a spreadsheet would take for a formula is preceded by an apostrophe.
    """
    out = io.StringIO()
    curves = curves_of(figure)
    comments = [("x", curves[0].x_name), ("y", curves[0].y_name)] if curves else []
    comments += [(curve.name, f"{curve.n} {curve.n_of}; {curve.how}") for curve in curves]
    comments += [(label, f"x = {x!r}") for label, x in figure.get("lines", {}).items()]
    comments += [(label, f"y = {y!r}") for label, y in figure.get("levels", {}).items()]
    comments += [(label, f"x from {a!r} to {b!r}") for label, (a, b) in figure.get("bands", {}).items()]
    for label, text in comments:
        out.write(f"# {_plain(label)}: {_plain(text)}\n")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["curve", "x", "y", "low", "high"])
    for name, *numbers in rows(figure):
        safe = _plain(name)
        writer.writerow(
            [
                f"'{safe}" if safe[:1] in tuple("=+-@\t\r") and safe else safe,
                *("" if v is None else f"{v:.10g}" for v in numbers),
            ]
        )
    return out.getvalue()


def _plain(text: str) -> str:
    """Return text on one line, so that it cannot end a comment."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
