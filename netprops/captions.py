"""What a figure says to somebody who does not see it, in sentences.

Words: a *figure* is the dict that a record holds; its *course* is where a curve begins, where it ends and
what lies between; *hidden* points are those that a log axis cannot show.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from netprops.charts import drawable, scales
from netprops.figures import kind
from netprops.listings import curves_of, likeness, panels_of
from netprops.measurement import Curve, Measurement

_FULL = 2
"""Most curves of which a text alternative says more than where they begin and end."""


def text_alternative(figure: Mapping[str, Any], findings: Sequence[str] = ()) -> str:
    """Return what the figure shows, in sentences: axes, every curve, panel or bar, marks, findings.

    Args:
        figure: The figure of a record.
        findings: Sentences of the verdicts that rest on it.
    """
    shown = {"images": _images, "bars": _bars}.get(kind(figure), _chart)(figure)
    return " ".join([*shown, *findings])


def _chart(figure: Mapping[str, Any]) -> list[str]:
    curves = curves_of(figure)
    if not curves:
        return [f"{figure['title']}: no curve was recorded."]
    axes = dict(zip(("horizontal", "vertical"), scales(figure, curves), strict=True))
    logs = [name for name, scale in axes.items() if scale == "log"]
    note = {0: "", 1: f", {logs[0]} axis logarithmic" if logs else "", 2: ", both axes logarithmic"}[
        len(logs)
    ]
    parts = [f"{figure['title']}: {curves[0].y_name} against {curves[0].x_name}{note}."]
    by_name: dict[str, list[Curve]] = {}
    for curve in curves:
        by_name.setdefault(curve.name, []).append(curve)
    brief = len(by_name) > _FULL
    parts += [f"{name} {courses(alike, brief=brief)}." for name, alike in by_name.items()]
    marks = [f"{label} at {x:.4g}" for label, x in figure.get("lines", {}).items()]
    marks += [f"{label} at the level {y:.4g}" for label, y in figure.get("levels", {}).items()]
    marks += [f"{label} from {a:.4g} to {b:.4g}" for label, (a, b) in figure.get("bands", {}).items()]
    if marks:
        parts.append(f"Marked: {'; '.join(marks)}.")
    return parts


def _images(figure: Mapping[str, Any]) -> list[str]:
    panels = panels_of(figure)
    what = f"{figure['title']}: {figure['value_name']} as images of one colour scale"
    parts = [f"{what} from {figure['low']:.4g} to {figure['high']:.4g}, lighter is larger."]
    for label, shape, values in panels:
        size = f"{shape[0]} by {shape[1]}"
        parts.append(
            f"{label}, {size}: from {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}."
        )
    alike = [(label, likeness(values, panels[-1][2])) for label, _, values in panels[:-1]]
    said = [f"{label} by {r:.3g}" for label, r in alike if r is not None]
    return [*parts, f"Correlated with {panels[-1][0]}: {', '.join(said)}."] if said else parts


def _bars(figure: Mapping[str, Any]) -> list[str]:
    bars = [(one["label"], Measurement.from_json(one["measurement"])) for one in figure["bars"]]
    parts = [f"{figure['title']}: {figure['value_name']} as bars.", *(f"{label}: {m}." for label, m in bars)]
    most, least = (choose(bars, key=lambda one: one[1].value)[0] for choose in (max, min))
    if most != least:
        parts.append(f"Largest: {most}; smallest: {least}.")
    marks = [f"{label} at {x:.4g}" for label, x in (figure.get("levels") or {}).items()]
    return [*parts, f"Marked: {'; '.join(marks)}."] if marks else parts


def course(curve: Curve) -> str:
    """Return in words where a curve begins, where it ends, and what lies between.

    >>> course(Curve.plain("loss", [1, 2, 3], [4, 2, 1], x_name="epoch", y_name="loss", how="mean"))
    'falls from 4 at 1 to 1 at 3'
    """
    (x0, x1), (y0, y1) = curve.x[[0, -1]], curve.y[[0, -1]]
    if curve.details.get("line") == "steps" and curve.y.sum() > 0:
        share = curve.y / curve.y.sum()
        mean = float(share @ curve.x)
        spread = float(np.sqrt(share @ (curve.x - mean) ** 2))
        top = int(curve.y.argmax())
        peak = f"highest, {curve.y[top]:.4g}, at {curve.x[top]:.4g}"
        return f"has mean {mean:.4g} and spread {spread:.4g}, is {peak}"
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


def courses(curves: Sequence[Curve], *, brief: bool) -> str:
    """Return in words where the curves of several networks begin and end; the course of a single one."""
    if len(curves) == 1 and not brief:
        return course(curves[0])
    first, last = ([curve.y[end] for curve in curves] for end in (0, -1))
    begin, end = (_range(ys) for ys in (first, last))
    at = [_range([curve.x[i] for curve in curves]) for i in (0, -1)]
    if len(curves) == 1:
        return f"goes from {begin} at {at[0]} to {end} at {at[1]}"
    return f"in {len(curves)} networks: {begin} at {at[0]}, {end} at {at[1]}"


def _range(values: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{value:.4g}" for value in (min(values), max(values)))
    return " to ".join(ends)


def hidden(figure: Mapping[str, Any]) -> int:
    """Return how many points lie at or below zero on a log axis and are therefore not drawn."""
    curves = curves_of(figure) if kind(figure) == "curves" else []
    if not curves:
        return 0
    across, up = scales(figure, curves)
    return sum(int((~(drawable(c.x, across) & drawable(c.y, up))).sum()) for c in curves)
