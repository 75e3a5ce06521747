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

        if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
            raise UsageError(f"a figure's name is lower-case words joined by hyphens, got {name!r}")
        if any(figure["name"] == name for figure in self._figures):
            raise UsageError(f"this test already has a figure {name!r}")
        for scale in (x_scale, y_scale):
            if scale not in ("log", "linear"):
                raise UsageError(f"figure {name}: a scale is 'log' or 'linear', got {scale!r}")
        shown = [curves] if isinstance(curves, Curve) else list(curves)
        self._figures.append(
            {
                "name": name,
                "title": title,
                "caption": caption,
                "x_scale": x_scale,
                "y_scale": y_scale,
                "curves": [curve.to_json() for curve in shown],
                "lines": dict(lines or {}),
                "levels": dict(levels or {}),
                "bands": {label: list(ends) for label, ends in (bands or {}).items()},
            }
        )

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
