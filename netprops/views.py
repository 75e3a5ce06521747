"""What the pages of a report show: plain values and words, without HTML.

Words: a *page* is about one network (subject) or one family; a *card* is one property test on a page; an
*anchor* names a card within its page and stays the same from run to run; a *strip* is the small picture of an
interval against its bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from netprops import captions, figures
from netprops.listings import Listing, listing
from netprops.records import BoundRecord, ExpectationRecord, MeasurementRecord
from netprops.wording import said, sentence, words

if TYPE_CHECKING:
    from netprops.asides import Aside


@dataclass(frozen=True)
class Mark:
    """An outcome as symbol and word; its name is also the class that the stylesheet colours."""

    symbol: str
    word: str
    name: str


MARKS = {
    "PASS": Mark("✓", "pass", "pass"),
    "FAIL": Mark("✗", "fail", "fail"),
    "INCONCLUSIVE": Mark("?", "inconclusive", "inconclusive"),
    "XFAIL": Mark("≠", "known failure", "known"),
    "XPASS": Mark("‼", "unexpected pass", "fail"),
    "ERROR": Mark("!", "error", "fail"),
    "SKIPPED": Mark("–", "skipped", "skipped"),
}


@dataclass(frozen=True)
class Strip:
    """Where the ends of the bound, the interval and the value lie on a strip, in shares of its length."""

    bound: tuple[float, float]
    interval: tuple[float, float]
    value: float


@dataclass(frozen=True)
class Expectation:
    """One measurement held against one bound, in words."""

    name: str
    mark: Mark
    measured: str
    bound: str
    sentence: str
    strip: Strip
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """One figure: its data and what is said beside it. ``stem`` is its file name without the ending."""

    stem: str
    title: str
    caption: str
    alternative: str
    data: dict[str, Any]
    numbers: Listing
    width: int
    height: int


@dataclass(frozen=True)
class Link:
    """A name and where it leads, relative to the report's folder; an empty address is a name alone."""

    text: str
    href: str = ""


@dataclass(frozen=True)
class Card:
    """One property test."""

    id: str
    href: str
    anchor: str
    property: str
    suite: str
    target: str
    label: str
    claim: str
    explanation: list[str]
    mark: Mark
    reason: str
    expected_failure: str
    expectations: list[Expectation]
    pictures: list[Picture]
    notes: list[str]
    subjects: list[Link]
    facts: list[tuple[str, str]]
    reproduce: str


@dataclass(frozen=True)
class Page:
    """One network or one family."""

    kind: str
    id: str
    href: str
    family: Link
    facts: list[tuple[str, str]]
    recipe: list[tuple[str, str]]
    pictures: list[Picture]
    cards: list[Card]
    related: list[tuple[str, list[Card]]]
    networks: list[Network] = field(default_factory=list)


@dataclass(frozen=True)
class Network:
    """One line of a table of networks."""

    anchor: str
    link: Link
    family: Link
    width: str
    seed: str
    variant: str
    parameters: str
    train: str
    test: str
    outcomes: list[tuple[Mark, int]]


@dataclass(frozen=True)
class Column:
    """One property of a suite: a column of its matrix."""

    anchor: str
    title: str
    claim: str
    file: str


@dataclass(frozen=True)
class Matrix:
    """Families by properties of one suite; a cell holds the cards of one family and one property."""

    suite: str
    href: str
    columns: list[Column]
    rows: list[tuple[Link, list[list[Card]]]]


@dataclass(frozen=True)
class Claim:
    """One claim of a suite: what it says, what would count against it, and every network's answer."""

    column: Column
    explanation: list[str]
    cards: list[Card]


@dataclass(frozen=True)
class SuitePage:
    """The claims of one suite, after a few sentences on how to read them."""

    suite: str
    href: str
    reading: list[str]
    claims: list[Claim]


@dataclass(frozen=True)
class Overview:
    """The first page."""

    counts: list[tuple[Mark, int]]
    verdict: str
    summary: str
    matrices: list[Matrix]
    failed: list[Card]
    undecided: list[tuple[Card, list[str]]]
    known: list[tuple[str, str, list[Card]]]
    skipped: list[Card]
    networks: list[Network]
    others: int
    missing: list[str]
    facts: list[tuple[str, str]]
    environment: list[tuple[str, str]]


@dataclass(frozen=True)
class Report:
    """Everything that the templates are given."""

    title: str
    started: str
    version: str
    overview: Overview
    pages: list[Page]
    suites: list[SuitePage]
    asides: list[Aside]

    def pictures(self) -> Iterable[Picture]:
        """Yield every figure once."""
        for aside in self.asides:
            yield from aside.pictures
        for page in self.pages:
            yield from page.pictures
            for card in page.cards:
                yield from card.pictures


def measured(m: MeasurementRecord) -> str:
    """Return value, interval and unit."""
    unit = f" {m.unit}" if m.unit else ""
    return f"{m.value:.4g}{unit}" if m.low == m.high else f"{m.value:.4g} [{m.low:.4g}, {m.high:.4g}]{unit}"


def bounded(bound: BoundRecord, unit: str) -> str:
    """Return what was expected."""
    end = f" {unit}" if unit else ""
    if bound.at_least is not None and bound.at_most is not None:
        return f"between {bound.at_least:.4g} and {bound.at_most:.4g}{end}"
    if bound.at_least is not None:
        return f"at least {bound.at_least:.4g}{end}"
    return f"at most {bound.at_most:.4g}{end}" if bound.at_most is not None else "–"


def strip(m: MeasurementRecord, bound: BoundRecord) -> Strip:
    """Return the picture of an interval against its bound, with a margin on both sides."""
    points = [m.low, m.high, m.value, *(end for end in (bound.at_least, bound.at_most) if end is not None)]
    low, high = min(points), max(points)
    span = (high - low) or abs(high) or 1.0
    start, length = low - 0.25 * span, 1.5 * span

    def place(value: float) -> float:
        return round((value - start) / length, 4)

    return Strip(
        bound=(
            0.0 if bound.at_least is None else place(bound.at_least),
            1.0 if bound.at_most is None else place(bound.at_most),
        ),
        interval=(place(m.low), place(m.high)),
        value=place(m.value),
    )


def expectation(record: ExpectationRecord) -> Expectation:
    """Return one expectation in words."""
    m, bound = record.measurement, record.bound
    exact = m.low == m.high and m.standard_error == 0
    effect = record.detectable_effect
    unit = f" {m.unit}" if m.unit else ""
    facts = [
        ("Interval", "exact: no sampling error" if exact else f"{100 * m.confidence:g} %"),
        ("n", f"{m.n} {m.n_of}"),
        ("Estimator", m.how),
        ("Source of the bound", bound.source),
        ("Calibration", bound.calibration or "none: the source's own value"),
        ("Could be detected", "–" if effect is None else f"a distance of {effect:.3g}{unit} from the bound"),
        (
            "p outside the bound",
            f"{record.p_value:.2g}" + (" (by the whole run's budget)" if record.promoted else ""),
        ),
    ]
    if m.definition != "default":
        facts.append(("Definition", m.definition))
    facts += [(words(name), said(value)) for name, value in m.details.items()]
    return Expectation(
        name=m.name,
        mark=MARKS[record.outcome],
        measured=measured(m),
        sentence=record.sentence,
        bound=bounded(bound, m.unit),
        strip=strip(m, bound),
        facts=facts,
    )


def picture(stem: str, figure: Mapping[str, Any], findings: Sequence[str] = ()) -> Picture:
    """Return one figure with its caption, text alternative and numbers."""
    hidden = captions.hidden(figure)
    parts = [sentence(figure["caption"].strip()), *(sentence(one) for one in _origins(figure))]
    if hidden:
        one = hidden == 1
        parts.append(
            f"{hidden} {'point lies' if one else 'points lie'} at or below zero, where a logarithmic axis "
            f"cannot show {'it' if one else 'them'}; the table has {'it' if one else 'them'}."
        )
    width, height = figures.size(figure)
    return Picture(
        stem=stem,
        title=figure["title"],
        caption=" ".join(filter(None, parts)),
        numbers=listing(figure),
        alternative=captions.text_alternative(figure, findings),
        data=dict(figure),
        width=round(width),
        height=round(height),
    )


def _origins(figure: Mapping[str, Any]) -> list[str]:
    """Return in words how a figure's numbers were found, and from how many of what."""
    if figures.kind(figure) == "images":
        cut: dict[str, list[str]] = {}
        for one in figure["panels"]:
            if tuple(one["shape"]) != (len(one["rows"]), len(one["rows"][0])):
                cut.setdefault(" × ".join(map(str, one["shape"])), []).append(one["label"])
        said = (f"{size} entries, drawn as means over blocks: {', '.join(of)}" for size, of in cut.items())
        return ["; ".join(said)] if cut else []
    bars = figures.kind(figure) == "bars"
    measured = [one["measurement"] for one in figure["bars"]] if bars else figure["curves"]
    found = dict.fromkeys(f"{m['how']}, n = {m['n']} {m['n_of']}" for m in measured if m["n"] > 1)
    return ["; ".join(found)] if found else []
