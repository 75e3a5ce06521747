"""What a record keeps of measured values and of figures: curves, matrices, bars.

Words: a *kind* of figure is ``"curves"``, ``"images"`` (matrices side by side) or ``"bars"``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator

from netprops.plotdata import significant

Detail = float | int | str | bool | None


class Part(BaseModel):
    """A part of a record: unknown names are refused, so that a typing error cannot lose a value."""

    model_config = ConfigDict(extra="forbid")


class MeasurementRecord(Part):
    """A :class:`netprops.measurement.Measurement` in JSON; an infinite ``df`` is null."""

    name: str
    value: float
    low: float
    high: float
    standard_error: float
    df: float | None
    confidence: float
    n: int
    n_of: str
    unit: str = ""
    how: str
    definition: str = "default"
    details: dict[str, Detail] = {}


class CurveRecord(Part):
    """A :class:`netprops.measurement.Curve` in JSON, without its replicates, with five significant digits.

    A curve without ``low`` and ``high`` has no interval: both are y.
    """

    name: str
    x: list[float]
    y: list[float]
    low: list[float] = []
    high: list[float] = []
    x_name: str
    y_name: str
    n: int
    n_of: str
    how: str
    definition: str = "default"
    details: dict[str, Detail] = {}

    @model_validator(mode="after")
    def _round(self) -> CurveRecord:
        x = [significant(value, 7) for value in self.x]
        self.x = x if len(set(x)) == len(set(self.x)) else self.x
        self.y = [significant(value, 5) for value in self.y]
        self.low = [significant(value, 5) for value in self.low] or self.y
        self.high = [significant(value, 5) for value in self.high] or self.y
        return self


class FigureRecord(Part):
    """What every figure has, of whatever kind."""

    name: str = Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")
    title: str
    caption: str


class ChartRecord(FigureRecord):
    """Curves with vertical lines, horizontal levels and shaded ranges of x."""

    kind: Literal["curves"] = "curves"
    x_scale: Literal["log", "linear"]
    y_scale: Literal["log", "linear"]
    curves: list[CurveRecord]
    lines: dict[str, float] = {}
    levels: dict[str, float] = {}
    bands: dict[str, tuple[float, float]] = {}


class PanelRecord(Part):
    """One matrix: its ``shape``, and its entries or their means over blocks, row by row."""

    label: str
    shape: tuple[int, int]
    rows: list[list[float]] = Field(min_length=1, max_length=64)


class ImagesRecord(FigureRecord):
    """Matrices side by side as images of one colour scale, which goes from ``low`` to ``high``."""

    kind: Literal["images"]
    panels: list[PanelRecord] = Field(min_length=1, max_length=8)
    value_name: str
    row_name: str = ""
    column_name: str = ""
    low: float
    high: float


class BarRecord(Part):
    """One category of a figure of bars."""

    label: str
    measurement: MeasurementRecord


class BarsRecord(FigureRecord):
    """Categories as bars from zero, each with its interval."""

    kind: Literal["bars"]
    bars: list[BarRecord] = Field(min_length=1)
    value_name: str
    levels: dict[str, float] = {}


def _kind(figure: Any) -> Any:
    """Return a figure's kind; records of the first versions have curves alone and do not say so."""
    return figure.get("kind", "curves") if isinstance(figure, dict) else getattr(figure, "kind", None)


AnyFigure = Annotated[
    Annotated[ChartRecord, Tag("curves")]
    | Annotated[ImagesRecord, Tag("images")]
    | Annotated[BarsRecord, Tag("bars")],
    Discriminator(_kind),
]
