"""What the pages of a report show: plain values and words, without HTML.

Words: a *page* is about one family, or about the networks (subjects) that differ by their seed alone; a
*card* is one property on a page, with an *answer* for each of its tests, one a seed; an *anchor* names a card
or an answer within its page and stays the same from run to run; a *strip* is the small picture of intervals
against their bound.
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

    @property
    def usual(self) -> bool:
        """Whether the stylesheet draws the symbol, which is the one of its class."""
        return SYMBOLS.get(self.name) == self.symbol


SYMBOLS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "known": "≠", "skipped": "–"}
"""The symbol that the stylesheet draws before the words of a class."""


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
class Scale:
    """Places on a strip from 0 to 1: the part within the bound; (low, value, high) of each measurement."""

    bound: tuple[float, float]
    points: list[tuple[float, float, float]]


@dataclass(frozen=True)
class Expectation:
    """One measurement held against one bound, in words."""

    name: str
    mark: Mark
    measured: str
    bound: str
    sentence: str
    ends: tuple[float, float, float]
    limits: tuple[float | None, float | None]
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
class Answer:
    """What one property test found; ``who`` is its network's seed in words."""

    id: str
    href: str
    anchor: str
    target: str
    who: str
    mark: Mark
    reason: str
    expected_failure: str
    expectations: list[Expectation]
    notes: list[str]


@dataclass(frozen=True)
class Row:
    """One answer to an expectation, with what its card's other answers do not share."""

    who: str
    name: str
    bound: str
    expectation: Expectation
    facts: list[tuple[str, str]]


@dataclass(frozen=True)
class Held:
    """One expectation of a card: what all answers share, and a row for each."""

    name: str
    bound: str
    facts: list[tuple[str, str]]
    rows: list[Row]
    scale: Scale

    @property
    def marks(self) -> list[Mark]:
        """The different outcomes, in the order of the rows."""
        return list(dict.fromkeys(row.expectation.mark for row in self.rows))


Said = list[tuple[str, str]]
"""Texts, each with the words for those answers that say it; no words where all of them do."""


@dataclass(frozen=True)
class Card:
    """One property of one family, or of the networks that differ by their seed alone."""

    href: str
    anchor: str
    why: str
    property: str
    suite: str
    label: str
    claim: str
    explanation: list[str]
    answers: list[Answer]
    held: list[Held]
    pictures: list[Picture]
    reasons: Said
    known: Said
    notes: Said
    subjects: list[str]
    facts: str
    reproduce: Said
    tally: list[tuple[Mark, list[Answer]]]


@dataclass(frozen=True)
class Listed:
    """Answers to one claim, with the sentences that are said of all of them."""

    claim: str
    sentences: list[str]
    answers: list[Answer]


@dataclass(frozen=True)
class Page:
    """One family, or the networks that differ by their seed alone."""

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
    key: str
    outcomes: list[tuple[Mark, int]]


@dataclass(frozen=True)
class Column:
    """One property of a suite: a column of its matrix."""

    anchor: str
    title: str
    claim: str
    href: str


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
    failed: list[Listed]
    undecided: list[Listed]
    known: list[Listed]
    skipped: list[Listed]
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


def scale(
    measurements: Sequence[tuple[float, float, float]], limits: tuple[float | None, float | None]
) -> Scale:
    """Return where measurements (low, value, high) and their bound's limits lie on a strip."""
    known = [*(x for one in measurements for x in one), *(end for end in limits if end is not None)]
    low, high = min(known), max(known)
    span = (high - low) or abs(high) or 1.0
    start, length = low - 0.15 * span, 1.3 * span

    def place(value: float) -> float:
        return round((value - start) / length, 4)

    least, most = limits
    return Scale(
        bound=(0.0 if least is None else place(least), 1.0 if most is None else place(most)),
        points=[(place(a), place(b), place(c)) for a, b, c in measurements],
    )


def expectation(record: ExpectationRecord) -> Expectation:
    """Return one expectation in words."""
    m, bound = record.measurement, record.bound
    exact = m.low == m.high and m.standard_error == 0
    effect = record.detectable_effect
    unit = f" {m.unit}" if m.unit else ""
    facts = [
        ("n", f"{m.n} {m.n_of}, {'exact' if exact else f'{100 * m.confidence:g} % interval'}"),
        ("Estimator", m.how),
        ("Source of the bound", bound.source),
        ("Calibration", bound.calibration or "–"),
        ("Detectable distance", "–" if effect is None else f"{effect:.3g}{unit} from the bound"),
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
        ends=(m.low, m.value, m.high),
        limits=(bound.at_least, bound.at_most),
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
            f"cannot show {'it' if one else 'them'}; the CSV file has {'it' if one else 'them'}."
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
