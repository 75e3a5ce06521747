"""What a property test says through the fixture ``verdict``, and how it ends.

Words: as in ``netprops/verdict.py``; a test *concludes* when its body is done: all its expectations are
judged together, and the worst of them is what the test comes to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import pytest

from netprops.errors import MissingDataError, NetpropsError, UndeterminedError, UsageError
from netprops.verdict import Bound, Outcome, Verdict, judge_all, overall

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from netprops.measurement import Curve, Measurement

_Scale = Literal["log", "linear"]


class VerdictFailure(pytest.fail.Exception):  # type: ignore[name-defined, misc]  # an attribute to mypy
    """A claim does not hold: the message has every expectation with value, interval, bound and source."""

    __module__ = "builtins"  # so that pytest prints the bare name, as it does for its own outcomes

    def __init__(self, msg: str) -> None:
        super().__init__(msg, pytrace=False)


class Expectations:
    """The fixture ``verdict``: collects expectations, figures and notes of one test.

    Args:
        target: Id of the network or family under test.
        alpha: The test's share of the run's false-alarm budget.
        strict: Whether an inconclusive test fails.

    Attributes:
        inconclusive: Whether the test was skipped because nothing failed and something is undecided.
    """

    def __init__(self, target: str, alpha: float, *, strict: bool) -> None:
        self._target, self._alpha, self._strict = target, alpha, strict
        self._expected: list[tuple[Measurement, Bound]] = []
        self._figures: list[dict[str, Any]] = []
        self._notes: list[str] = []
        self.inconclusive = False

    def expect(
        self,
        measurement: Measurement,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        source: str,
        calibration: str | None = None,
    ) -> None:
        """Hold a measurement against a bound; it is judged when the test's body is done.

        Args:
            measurement: The measured value with its interval.
            at_least: Lower end of the bound, in the measurement's unit.
            at_most: Upper end of the bound.
            source: Where the bound comes from.
            calibration: How its number was chosen at this scale, where the source does not give it.

        Raises:
            UsageError: If the first argument is not a Measurement, or the bound is not one.
        """
        from netprops.measurement import Measurement

        if not isinstance(measurement, Measurement):
            raise UsageError(
                f"verdict.expect needs a Measurement, got {type(measurement).__name__}; "
                "Measurement.exact makes one from a number without sampling error"
            )
        bound = Bound(at_least=at_least, at_most=at_most, source=source, calibration=calibration)
        self._expected.append((measurement, bound))

    def figure(
        self,
        name: str,
        curves: Curve | Sequence[Curve],
        *,
        title: str,
        caption: str,
        x_scale: _Scale = "log",
        y_scale: _Scale = "linear",
        lines: Mapping[str, float] | None = None,
        levels: Mapping[str, float] | None = None,
        bands: Mapping[str, tuple[float, float]] | None = None,
    ) -> None:
        """Attach the data of a figure to the record.

        Args:
            name: File name without ending: lower-case words joined by hyphens, unique in the test.
            curves: One curve or several.
            title: Heading of the figure.
            caption: What is to be seen in it.
            x_scale: ``"log"`` or ``"linear"``.
            y_scale: ``"log"`` or ``"linear"``.
            lines: Vertical lines: label to x.
            levels: Horizontal lines: label to y.
            bands: Shaded ranges of x: label to (from, to).

        Raises:
            UsageError: If the name is taken or malformed, or a scale is unknown.
        """
        from netprops.measurement import Curve

        for scale in (x_scale, y_scale):
            if scale not in ("log", "linear"):
                raise UsageError(f"figure {name}: a scale is 'log' or 'linear', got {scale!r}")
        shown = [curves] if isinstance(curves, Curve) else list(curves)
        self._attach(
            "curves",
            name,
            title,
            caption,
            x_scale=x_scale,
            y_scale=y_scale,
            curves=[curve.to_json() for curve in shown],
            lines=dict(lines or {}),
            levels=dict(levels or {}),
            bands={label: list(ends) for label, ends in (bands or {}).items()},
        )

    def histogram(
        self,
        name: str,
        samples: Mapping[str, ArrayLike],
        *,
        title: str,
        caption: str,
        x_name: str,
        n_of: str = "samples",
        bins: int = 40,
        within: tuple[float, float] | None = None,
        y_scale: _Scale = "linear",
        lines: Mapping[str, float] | None = None,
    ) -> None:
        """Attach the distributions of several sets of samples; the record keeps their densities alone.

        Args:
            name: As for :meth:`figure`.
            samples: Label to an array of real numbers, of any shape: preactivations of each width.
            title: Heading of the figure.
            caption: What is to be seen in it.
            x_name: Name and unit of what was sampled.
            n_of: What the samples are.
            bins: Number of bins, the same for all labels.
            within: Range that the bins divide; from the smallest to the largest sample if None.
            y_scale: ``"log"`` to show the tails, or ``"linear"``.
            lines: Vertical lines: label to x.

        Raises:
            UsageError: If the name is taken or malformed, or there are no samples, bins or range.
            MeasurementError: If a sample is not a finite number.
        """
        from netprops.plotdata import histogram

        curves = histogram(samples, bins=bins, within=within, x_name=x_name, n_of=n_of)
        self.figure(
            name, curves, title=title, caption=caption, x_scale="linear", y_scale=y_scale, lines=lines
        )

    def images(
        self,
        name: str,
        panels: Mapping[str, ArrayLike] | Sequence[tuple[str, ArrayLike]],
        *,
        title: str,
        caption: str,
        value_name: str,
        row_name: str = "",
        column_name: str = "",
        limits: tuple[float, float] | None = None,
        most: int | None = None,
    ) -> None:
        """Attach matrices as images side by side, of one colour scale: kernels, attention maps.

        Args:
            name: As for :meth:`figure`.
            panels: Label and (R, C) array of real numbers of 1 to 8 panels, narrow widths first.
            title: Heading of the figure.
            caption: What is to be seen in it.
            value_name: Name and unit of the entries.
            row_name: What the rows are.
            column_name: What the columns are.
            limits: Ends of the colour scale, such as (-1, 1) for correlations; those of the entries if None.
            most: Largest number of rows and columns that is kept, at most 64; of a larger matrix means over
                blocks are. If None, 64 of one panel, 32 of each of four.

        Raises:
            UsageError: If the name is taken or malformed, a label comes twice, or a panel is not a matrix.
            MeasurementError: If an entry is not a finite number.
        """
        from netprops.plotdata import panels as reduced

        given = list(panels.items()) if isinstance(panels, Mapping) else list(panels)
        if len(dict(given)) != len(given):
            raise UsageError(f"figure {name}: each panel has a label of its own")
        kept, (low, high) = reduced(dict(given), most=most, limits=limits)
        self._attach(
            "images",
            name,
            title,
            caption,
            panels=kept,
            value_name=value_name,
            row_name=row_name,
            column_name=column_name,
            low=low,
            high=high,
        )

    def bars(
        self,
        name: str,
        measured: Mapping[str, Measurement],
        *,
        title: str,
        caption: str,
        value_name: str = "",
        levels: Mapping[str, float] | None = None,
    ) -> None:
        """Attach measurements of several categories as bars from zero, with their intervals.

        Args:
            name: As for :meth:`figure`.
            measured: Label to the measurement of each category, in the order of drawing.
            title: Heading of the figure.
            caption: What is to be seen in it.
            value_name: Name and unit of the values; of the first measurement if empty.
            levels: Values that the bars are held against: label to value.

        Raises:
            UsageError: If the name is taken or malformed, or there is no bar or one is not a Measurement.
        """
        from netprops.measurement import Measurement

        if not measured or not all(isinstance(one, Measurement) for one in measured.values()):
            raise UsageError(f"figure {name}: bars are one or more labels, each with a Measurement")
        first = next(iter(measured.values()))
        self._attach(
            "bars",
            name,
            title,
            caption,
            bars=[{"label": label, "measurement": one.to_json()} for label, one in measured.items()],
            value_name=value_name or f"{first.name}{f' ({first.unit})' if first.unit else ''}",
            levels=dict(levels or {}),
        )

    def _attach(self, kind: str, name: str, title: str, caption: str, **data: Any) -> None:
        """Keep a figure's data under a name that is its own."""
        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise UsageError(f"a figure's name is lower-case words joined by hyphens, got {name!r}")
        if any(figure["name"] == name for figure in self._figures):
            raise UsageError(f"this test already has a figure {name!r}")
        self._figures.append({"kind": kind, "name": name, "title": title, "caption": caption, **data})

    def note(self, text: str) -> None:
        """Add a sentence to the test's record."""
        self._notes.append(str(text))

    def judged(self) -> list[Verdict]:
        """Return the verdicts over what is expected so far, in order."""
        return judge_all(self._expected, self._alpha)

    def give_up(self, error: NetpropsError) -> NoReturn:
        """End a test whose measurement came to an error.

        Raises:
            NetpropsError: The error itself, unless it says that the samples do not determine the number.
            VerdictFailure: If they do not, and the run is strict.
            pytest.skip.Exception: If they do not, and it is not: the test is inconclusive; or if data are
                missing.
        """
        if isinstance(error, MissingDataError):
            raise pytest.skip.Exception(str(error), _use_item_location=True) from error
        if not isinstance(error, UndeterminedError):
            raise error
        if self._strict:
            raise VerdictFailure(f"{error} (inconclusive, and the run is strict)") from error
        self.inconclusive = True
        raise pytest.skip.Exception(str(error), _use_item_location=True) from error

    def conclude(self) -> None:
        """Judge all expectations together.

        Raises:
            VerdictFailure: If one does not hold, or none failed but one is undecided in a strict run.
            pytest.skip.Exception: If none failed and one is undecided.
            UsageError: If the test expected nothing.
        """
        if not self._expected:
            raise UsageError(
                f"the test asked for `verdict` but expected nothing of {self._target}; "
                "call verdict.expect, or return pytest.skip with the reason"
            )
        verdicts = self.judged()
        outcome = overall([verdict.outcome for verdict in verdicts])
        if outcome is Outcome.PASS:
            return
        if outcome is Outcome.INCONCLUSIVE and not self._strict:
            self.inconclusive = True
            raise pytest.skip.Exception(first_sentence(verdicts, outcome), _use_item_location=True)
        raise VerdictFailure(self._message(verdicts, outcome))

    def _message(self, verdicts: list[Verdict], outcome: Outcome) -> str:
        """Return one line for the worst expectation, then one for every expectation with its source."""
        strict = " (inconclusive, and the run is strict)" if outcome is Outcome.INCONCLUSIVE else ""
        lines = [f"{first_sentence(verdicts, outcome)}{strict}", "", f"All expectations of {self._target}:"]
        for verdict, (measured, bound) in zip(verdicts, self._expected, strict=True):
            calibrated = f"; calibrated: {bound.calibration}" if bound.calibration else ""
            lines.append(f"  {verdict.outcome:12} {verdict.sentence}")
            lines.append(f"  {'':12} {measured.n} {measured.n_of}, {measured.how}")
            lines.append(f"  {'':12} bound from: {bound.source}{calibrated}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Return expectations, figures and notes as the record has them."""
        expectations = []
        for verdict, (measured, bound) in zip(self.judged(), self._expected, strict=True):
            effect = verdict.detectable_effect
            expectations.append(
                {
                    "measurement": measured.to_json(),
                    "bound": {
                        "at_least": bound.at_least,
                        "at_most": bound.at_most,
                        "source": bound.source,
                        "calibration": bound.calibration,
                    },
                    "outcome": str(verdict.outcome),
                    "sentence": verdict.sentence,
                    "p_value": verdict.p_value,
                    "detectable_effect": effect if effect is not None and math.isfinite(effect) else None,
                    "outside": verdict.outside,
                }
            )
        return {"expectations": expectations, "figures": self._figures, "notes": self._notes}


def first_sentence(verdicts: Sequence[Verdict], outcome: Outcome) -> str:
    """Return the sentence of the first expectation with this outcome."""
    return next(verdict.sentence for verdict in verdicts if verdict.outcome is outcome)
