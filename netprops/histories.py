"""What the networks' summaries say of their training, and figures of it: training curves, errors over widths.

Words: a *summary* is the dict about one network in a record; its *history* has one row an epoch; the
figures have the form of a record's own figures.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from netprops.plotdata import significant

Summary = Mapping[str, Any]

EPOCHS = 24
"""Epochs that a record keeps of a long training, and as many of those that measured the test error."""

_SHOWN = ("epoch", "loss", "train_error", "test_error")


def thinned(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return what a record keeps of a training: evenly spread epochs, the first and the last among them.

    Args:
        history: One row an epoch. Rows of another form, as records from elsewhere may have, stay as they are.

    Returns:
        Epoch, loss and errors with four significant digits, and nothing where nothing was measured.

    >>> thinned([{"epoch": 1, "loss": 0.12345678, "lr": 0.1, "test_error": None}])
    [{'epoch': 1, 'loss': 0.1235}]
    """
    if not all("epoch" in row for row in history):
        return [dict(row) for row in history]
    every = range(len(history))
    kept = set(every) if len(history) <= 2 * EPOCHS else set[int]()
    for places in (every, [i for i in every if history[i].get("test_error") is not None]):
        last, count = len(places) - 1, min(EPOCHS, len(places))
        kept |= {places[round(i * last / max(count - 1, 1))] for i in range(count)}
    return [
        {
            name: significant(value, 4) if isinstance(value, float) else value
            for name in _SHOWN
            if (value := history[i].get(name)) is not None
        }
        for i in sorted(kept)
    ]


def drawn(summaries: Sequence[Summary], alone: Container[str]) -> set[str]:
    """Return the ids of the networks whose training a report draws.

    Args:
        summaries: Of all networks of a record.
        alone: Ids of the networks that a test is about alone.

    Returns:
        Those, and the first seed of every width of a family's plain recipe.
    """
    found = {str(one["id"]) for one in summaries if one["id"] in alone}
    first: dict[tuple[str, str, str], str] = {}
    for one in sorted(summaries, key=lambda s: (str(s.get("seed")), str(s["id"]))):
        kind = (str(one.get("family")), str(one.get("variant") or ""), str(one.get("width")))
        if not one.get("variant"):
            first.setdefault(kind, str(one["id"]))
    return found | set(first.values())


def columns(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]] | dict[str, list[Any]]:
    """Return the rows of a history as columns, null where nothing was measured; other rows as they are.

    >>> columns([{"epoch": 1, "loss": 0.5}, {"epoch": 2}])
    {'epoch': [1, 2], 'loss': [0.5, None]}
    """
    names = [name for name in _SHOWN if any(name in row for row in history)]
    if not history or any(set(row) - set(names) for row in history):
        return [dict(row) for row in history]
    return {name: [row.get(name) for row in history] for name in names}


def rows(history: Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return a history as rows, whichever way it is written."""
    if not isinstance(history, Mapping):
        return [dict(row) for row in history]
    return [
        {name: value for name, value in zip(history, row, strict=True) if value is not None}
        for row in zip(*history.values(), strict=True)
    ]


def training_figures(summary: Summary) -> list[dict[str, Any]]:
    """Return the loss and the errors of one network over epochs; nothing without a history."""
    loss = _over_epochs(summary, "loss", "training loss", y_name="training loss")
    errors = [
        _over_epochs(summary, "train_error", "training samples, while training", y_name="error (fraction)"),
        _over_epochs(summary, "test_error", "test set, after the epoch", y_name="error (fraction)"),
    ]
    return (
        [
            figure(
                "training-loss",
                "Training loss",
                "Mean over the samples of each epoch.",
                [loss],
                y_scale="log",
            ),
            figure(
                "training-errors",
                "Errors while training",
                "Training errors are those of the moving weights on augmented samples.",
                errors,
                y_scale="log",
            ),
        ]
        if loss
        else []
    )


_VARIANTS = 4  # more would be lines that nobody tells apart: then the plain recipe alone is drawn


def family_figures(family: str, summaries: Iterable[Summary]) -> list[dict[str, Any]]:
    """Return errors over widths and training curves of all widths of one family."""
    members = [s for s in summaries if isinstance(s.get("width"), int | float)]
    variants = sorted({str(s.get("variant") or "") for s in members})
    if len(variants) > _VARIANTS and "" in variants:
        variants = [""]
    errors = [
        _over_widths(
            [s for s in members if str(s.get("variant") or "") == variant],
            part,
            f"{name} error{f', {variant}' if variant else ''}",
        )
        for variant in variants
        for part, name in (("test_error", "test"), ("train_error", "training"))
    ]
    first: dict[float, Summary] = {}
    for s in sorted(members, key=lambda s: (s["width"], str(s.get("seed")))):
        if not s.get("variant"):
            first.setdefault(s["width"], s)
    dynamics = [
        _over_epochs(s, "test_error", f"W = {w:g}", y_name="test error (fraction)", width=w)
        for w, s in first.items()
    ]
    figures = [
        figure(
            "errors-over-widths",
            f"Errors over widths of {family}",
            "",
            errors,
            x_scale="log",
        ),
        figure(
            "training-over-widths",
            f"Test error while training, widths of {family}",
            "The first seed of every width.",
            dynamics,
            y_scale="log",
        ),
    ]
    return [one for one in figures if one["curves"] and len(first) > 1]


def figure(
    name: str,
    title: str,
    caption: str,
    curves: Sequence[dict[str, Any] | None],
    *,
    x_scale: str = "linear",
    y_scale: str = "linear",
    levels: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return a figure of those curves that there are, in the form of a record's own."""
    return {
        "name": name,
        "title": title,
        "caption": caption,
        "x_scale": x_scale,
        "y_scale": y_scale,
        "curves": [one for one in curves if one],
        "lines": {},
        "levels": dict(levels or {}),
        "bands": {},
    }


def curve(
    name: str,
    points: Sequence[tuple[float, float, float, float]],
    *,
    x_name: str,
    y_name: str,
    n: int,
    n_of: str,
    how: str,
    **details: object,
) -> dict[str, Any] | None:
    """Return a curve through points (x, y, low, high) in the form of a record's own; None without any."""
    if not points:
        return None
    x, y, low, high = (list(part) for part in zip(*points, strict=True))
    return {
        "name": name,
        "x": x,
        "y": y,
        "low": low,
        "high": high,
        "x_name": x_name,
        "y_name": y_name,
        "n": n,
        "n_of": n_of,
        "how": how,
        "definition": "default",
        "details": details,
    }


def _over_epochs(
    summary: Summary, part: str, name: str, *, y_name: str, **details: object
) -> dict[str, Any] | None:
    """Return one column of a history over epochs, without the epochs that did not measure it."""
    rows = {row["epoch"]: row[part] for row in summary.get("history") or [] if row.get(part) is not None}
    points = [(float(x), float(y), float(y), float(y)) for x, y in sorted(rows.items())]
    return curve(
        name, points, x_name="epoch", y_name=y_name, n=1, n_of="network", how="one training", **details
    )


def _over_widths(summaries: Sequence[Summary], part: str, name: str) -> dict[str, Any] | None:
    """Return mean, smallest and largest of the seeds for every width."""
    by_width: dict[float, list[float]] = {}
    for s in summaries:
        if s.get(part) is not None:
            by_width.setdefault(float(s["width"]), []).append(float(s[part]))
    points = [
        (w, sum(errors) / len(errors), min(errors), max(errors)) for w, errors in sorted(by_width.items())
    ]
    return curve(
        name,
        points,
        x_name="width W of the last hidden layer (units)",
        y_name="error (fraction)",
        n=max(map(len, by_width.values()), default=1),
        n_of="seeds",
        how="mean over seeds, band from the smallest to the largest",
    )
