"""Measured values: one number with its interval, or a curve of them.

Words: a *measurement* is a value with an interval and the number of independent units behind it; a
*curve* is a series of such values over sizes, epochs or widths; *replicates* are the independent
repetitions (permutations of neurons, seeds) of a whole curve, kept so that an interval can resample them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netprops.errors import MeasurementError, UsageError

Detail = float | int | str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """One measured number, its interval, and how both were found.

    Args:
        name: What was measured, in the field's words, such as ``"R2 at w*"``.
        value: The point estimate, in ``unit``.
        low: Lower end of the interval at ``confidence``.
        high: Upper end of the interval at ``confidence``.
        standard_error: Standard error of ``value``; 0 for an exact value (a count, a deterministic fact).
        df: Degrees of freedom of ``standard_error``; infinity for the normal approximation.
        confidence: Coverage of ``[low, high]``, in (0, 1).
        n: Independent units behind the interval.
        n_of: What the units are: ``"permutations"``, ``"seeds"``, ``"test samples"``.
        unit: Unit of ``value``; empty for a pure number.
        how: One phrase: the estimator and the interval's construction.
        definition: ``"default"`` for the sound definition, ``"reference"`` for the authors' rule.
        details: Further facts for the record, such as dropped units or the floor of a null.

    Raises:
        MeasurementError: If the value or an end of the interval is not a finite number, or the ends do not
            enclose the value.
    """

    name: str
    value: float
    low: float
    high: float
    standard_error: float = 0.0
    df: float = math.inf
    confidence: float = 0.95
    n: int
    n_of: str
    unit: str = ""
    how: str
    definition: str = "default"
    details: Mapping[str, Detail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("value", "low", "high", "standard_error"):
            if not math.isfinite(getattr(self, part)):
                raise MeasurementError(
                    f"{self.name}: {part} is {getattr(self, part)}, expected a finite number; "
                    f"measured from {self.n} {self.n_of} by {self.how}"
                )
        slack = 1e-9 * max(1.0, abs(self.value))
        if not self.low - slack <= self.value <= self.high + slack:
            raise MeasurementError(
                f"{self.name}: the value {self.value:g} lies outside its interval "
                f"[{self.low:g}, {self.high:g}]"
            )

    @classmethod
    def exact(
        cls,
        name: str,
        value: float,
        *,
        n: int,
        n_of: str,
        how: str,
        unit: str = "",
        details: Mapping[str, Detail] | None = None,
    ) -> Measurement:
        """Return a measurement without sampling error: a count, or a fact about given weights and data."""
        return cls(
            name=name,
            value=float(value),
            low=float(value),
            high=float(value),
            n=n,
            n_of=n_of,
            how=how,
            unit=unit,
            details=details or {},
        )

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types; an infinite ``df`` becomes None."""
        return {
            "name": self.name,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "standard_error": self.standard_error,
            "df": self.df if math.isfinite(self.df) else None,
            "confidence": self.confidence,
            "n": self.n,
            "n_of": self.n_of,
            "unit": self.unit,
            "how": self.how,
            "definition": self.definition,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Measurement:
        """Rebuild a measurement from :meth:`to_json`."""
        known = dict(fields)
        known["df"] = math.inf if known.get("df") is None else float(known["df"])
        return cls(**known)

    def named(self, name: str) -> Measurement:
        """Return the same measurement under another name."""
        return replace(self, name=name)

    def shifted(self, by: float) -> Measurement:
        """Return the measurement plus an exact number: the same errors about another value."""
        return replace(self, value=self.value + by, low=self.low + by, high=self.high + by)

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        if self.low == self.high == self.value:
            return f"{self.value:.4g}{unit}"
        return f"{self.value:.4g} [{self.low:.4g}, {self.high:.4g}]{unit}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """A measured quantity over sizes, epochs or widths, with an interval at every point.

    Args:
        name: What was measured.
        x: (P,) float64, strictly increasing.
        y: (P,) float64, the mean over replicates (or the single value).
        low: (P,) lower ends of the pointwise intervals.
        high: (P,) upper ends of the pointwise intervals.
        x_name: Name and unit of ``x``, such as ``"chunk size w (neurons)"``.
        y_name: Name and unit of ``y``.
        n: Number of replicates.
        n_of: What the replicates are.
        how: One phrase: estimator and interval.
        definition: ``"default"`` or ``"reference"``.
        replicates: (R, P) float64 or None: every repetition of the curve; not written to JSON.
        details: Further facts for the record.

    Raises:
        MeasurementError: If shapes differ, ``x`` does not increase or a value is not finite.
    """

    name: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    x_name: str
    y_name: str
    n: int
    n_of: str
    how: str
    definition: str = "default"
    replicates: NDArray[np.float64] | None = None
    details: Mapping[str, Detail] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for part in ("x", "y", "low", "high"):
            object.__setattr__(self, part, np.asarray(getattr(self, part), dtype=np.float64))
            values = getattr(self, part)
            if values.shape != self.x.shape or values.ndim != 1:
                raise MeasurementError(
                    f"{self.name}: {part} has shape {values.shape}, expected {self.x.shape} as x has"
                )
            if not np.isfinite(values).all():
                at = int(np.flatnonzero(~np.isfinite(values))[0])
                raise MeasurementError(f"{self.name}: {part}[{at}] is {values[at]}, expected a finite number")
        if (np.diff(self.x) <= 0).any():
            raise MeasurementError(f"{self.name}: x does not increase: {self.x.tolist()}")

    def __len__(self) -> int:
        return len(self.x)

    def at(self, x: float) -> Measurement:
        """Return the measurement at one point of the curve.

        Args:
            x: A value that ``self.x`` holds.

        Returns:
            The value there with its pointwise interval; the standard error comes from the replicates.

        Raises:
            UsageError: If the curve was not measured at ``x``.
        """
        hits = np.flatnonzero(np.isclose(self.x, x, rtol=1e-9))
        if not len(hits):
            raise UsageError(f"{self.name} was not measured at {x:g}; it was at {self.x.tolist()}")
        i = int(hits[0])
        error, df = 0.0, math.inf
        if self.replicates is not None and len(self.replicates) > 1:
            column = self.replicates[:, i]
            error = float(column.std(ddof=1) / math.sqrt(len(column)))
            df = float(len(column) - 1)
        return Measurement(
            name=f"{self.name} at {x:g}",
            value=float(self.y[i]),
            low=float(self.low[i]),
            high=float(self.high[i]),
            standard_error=error,
            df=df,
            n=self.n,
            n_of=self.n_of,
            how=self.how,
            definition=self.definition,
            details=dict(self.details),
        )

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types, without the replicates."""
        return {
            "name": self.name,
            "x": self.x.tolist(),
            "y": self.y.tolist(),
            "low": self.low.tolist(),
            "high": self.high.tolist(),
            "x_name": self.x_name,
            "y_name": self.y_name,
            "n": self.n,
            "n_of": self.n_of,
            "how": self.how,
            "definition": self.definition,
            "details": dict(self.details),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Curve:
        """Rebuild a curve from :meth:`to_json`; it has no replicates."""
        return cls(**fields)

    @classmethod
    def plain(
        cls,
        name: str,
        x: Sequence[float],
        y: Sequence[float],
        *,
        x_name: str,
        y_name: str,
        how: str,
        n: int = 1,
        n_of: str = "network",
    ) -> Curve:
        """Return a curve without intervals, such as a training loss over epochs."""
        values = np.asarray(y, dtype=np.float64)
        return cls(
            name=name,
            x=np.asarray(x, dtype=np.float64),
            y=values,
            low=values,
            high=values,
            x_name=x_name,
            y_name=y_name,
            n=n,
            n_of=n_of,
            how=how,
        )
