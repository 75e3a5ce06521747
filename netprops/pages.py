"""From a record to the pages of its report.

Words: a *page* is about one network (subject) or one family, and a *card* is one property test; a test of one
network is on that network's page, every other on its family's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from netprops.asides import asides
from netprops.baseline import Comparison
from netprops.histories import family_figures, training_figures
from netprops.records import Record, TestRecord
from netprops.views import (
    MARKS,
    Card,
    Claim,
    Column,
    Link,
    Matrix,
    Network,
    Overview,
    Page,
    Report,
    SuitePage,
    expectation,
    picture,
)
from netprops.wording import count, duration, moment, number_of, percent, said, slug, words

_PAGES = 60
"""Most networks of a record that get a page each; of more, only those that a test is about alone do, and the
others have their line on the family's page."""

RECIPE_ORDER = ("epochs", "batch", "optimizer", "lr", "momentum", "weight_decay", "schedule", "loss")


def family_link(family: str) -> Link:
    """Return the link to a family's page."""
    return Link(family or "no family", f"families/{slug(family)}.html")


def suite_href(suite: str) -> str:
    """Return the address of a suite's page."""
    return f"suites/{slug(suite)}.html"


def _narrow_first(subject: dict[str, Any]) -> tuple[str, str, float, float, str]:
    """Return the key by which networks are listed: family, plain before variants, narrow first, then seed."""
    numbers = [
        value if isinstance(value := subject.get(name), int | float) else math.inf
        for name in ("width", "seed")
    ]
    return (
        str(subject.get("family")),
        str(subject.get("variant") or ""),
        numbers[0],
        numbers[1],
        subject["id"],
    )


def _kinship(subject: dict[str, Any]) -> tuple[str, str, str]:
    """Return what networks that share a line have in common: family, variant and width."""
    return str(subject.get("family")), str(subject.get("variant") or ""), said(subject.get("width"))


def _spread(errors: Sequence[object]) -> str:
    """Return the smallest and the largest of several errors."""
    known = [e for e in errors if isinstance(e, int | float)]
    ends = list(dict.fromkeys([percent(min(known)), percent(max(known))])) if known else ["–"]
    return " to ".join(ends)


def _by_property(cards: Sequence[Card]) -> list[tuple[str, list[Card]]]:
    """Return cards by what they claim, in order."""
    found: dict[str, list[Card]] = {}
    for card in cards:
        found.setdefault(card.claim or card.property, []).append(card)
    return list(found.items())


def _known(cards: Sequence[Card]) -> list[tuple[str, str, list[Card]]]:
    """Return cards of failures that were expected by claim and reason, in order."""
    found: dict[tuple[str, str], list[Card]] = {}
    for card in cards:
        found.setdefault((card.claim or card.property, card.expected_failure), []).append(card)
    return [(claim, reason, together) for (claim, reason), together in found.items()]


class Reader:
    """A record with its subjects and tests by name and page; builds every view.

    Args:
        record: A valid record.
        comparison: With a baseline, if there is one.
        past: Earlier runs, the oldest first.
    """

    def __init__(
        self, record: Record, comparison: Comparison | None = None, past: Sequence[Record] = ()
    ) -> None:
        self.record, self.comparison, self.past = record, comparison, past
        self._taken: set[tuple[str, str]] = set()
        networks = [s.model_dump(mode="json") for s in record.subjects]
        self.subjects = {s["id"]: s for s in sorted(networks, key=_narrow_first)}
        families = {f["family"]: None for f in self.subjects.values()} | {
            t.family: None for t in record.tests
        }
        self.families = sorted(families)
        own = {about for kind, about in map(self.page_of, record.tests) if kind == "subject"}
        self._with_page = own if len(self.subjects) > _PAGES else set(self.subjects)
        self.cards = [self._card(test) for test in record.tests]

    def page_of(self, test: TestRecord) -> tuple[str, str]:
        """Return kind and id of the page that a test is shown on: its one network's, or its family's."""
        about = test.id.rpartition("[")[2].removesuffix("]")
        if about in self.subjects:
            return "subject", about
        if len(test.subjects) == 1 and about != test.family and test.subjects[0] in self.subjects:
            return "subject", test.subjects[0]
        return "family", test.family

    def subject_link(self, id: str) -> Link:
        """Return the link to a network's page, or to its line on the family's; none if it is not recorded."""
        if id in self._with_page and id in self.subjects:
            return Link(id, f"subjects/{slug(id)}.html")
        if id not in self.subjects:
            return Link(id)
        subject = self.subjects[id]
        return Link(id, f"{family_link(subject['family']).href}#{self._line_of(subject)}")

    def _card(self, test: TestRecord) -> Card:
        kind, about = self.page_of(test)
        href = f"{'subjects' if kind == 'subject' else 'families'}/{slug(about)}.html"
        file = test.file.rpartition("/")[2].removesuffix(".py").removeprefix("test_")
        named = f"{test.suite}-{file}-{test.name.removeprefix('test_')}"
        anchor = slug(re.sub("[_.]", "-", named))
        if (href, anchor) in self._taken:  # one test with several parameters for one network
            anchor = f"{anchor}-{slug(test.id)[-8:]}"
        self._taken.add((href, anchor))
        expectations = [expectation(e) for e in test.expectations]
        stem = f"{slug(about)}.{anchor}"
        findings = [f"Verdict: {MARKS[test.outcome].word}.", *(f"{e.sentence}." for e in expectations)]
        return Card(
            id=test.id,
            href=f"{href}#{anchor}",
            anchor=anchor,
            property=words(test.name) + self._parameter(test),
            suite=test.suite,
            target=about,
            label=about.removeprefix(f"{test.family}-") if kind == "subject" else "",
            claim=test.claim,
            explanation=[p for p in re.split(r"\n\s*\n", test.explanation.strip()) if p],
            mark=MARKS[test.outcome],
            reason=test.reason,
            expected_failure=test.xfail,
            expectations=expectations,
            pictures=[picture(f"{stem}.{f.name}", f.model_dump(mode="json"), findings) for f in test.figures],
            notes=test.notes,
            subjects=[self.subject_link(s) for s in test.subjects],
            facts=[
                ("Networks", str(len(test.subjects))),
                ("Seeds", self._seeds(test)),
                ("File", test.file),
                ("Time", duration(test.seconds)),
            ],
            reproduce=test.reproduce,
        )

    @staticmethod
    def _parameter(test: TestRecord) -> str:
        """Return what else than its family a test of a family is parametrised with, in brackets."""
        rest = test.id.rpartition("[")[2].removesuffix("]").removeprefix(f"{test.family}-")
        named = not test.family or rest == test.family or any(rest in one for one in test.subjects)
        return "" if named or "[" not in test.id else f" ({words(rest)})"

    def _seeds(self, test: TestRecord) -> str:
        seeds = {s["seed"] for s in map(self.subjects.get, test.subjects) if s and s.get("seed") is not None}
        return ", ".join(map(str, sorted(seeds, key=str))) or "–"

    def report(self) -> Report:
        """Return everything that the templates are given."""
        record = self.record
        pages = [self._family_page(f) for f in self.families] + [
            self._subject_page(s) for id, s in self.subjects.items() if id in self._with_page
        ]
        return Report(
            title=f"netprops: {record.options.scale} scale",
            started=moment(record.started),
            version=record.environment.netprops,
            overview=self._overview(),
            pages=pages,
            suites=self._suites(),
            asides=asides(self.record, self.comparison, self.past, self._address(), self.subject_link),
        )

    def _address(self) -> Callable[[str], str]:
        """Return from a test's id to the address of its card; of a test that this run has not, to nothing."""
        addresses = {card.id: card.href for card in self.cards}
        return lambda id: addresses.get(id, "")

    def _overview(self) -> Overview:
        record = self.record
        by_mark = {
            name: [c for c, t in zip(self.cards, record.tests, strict=True) if t.outcome == name]
            for name in MARKS
        }
        undecided = [
            (card, [e.sentence for e in card.expectations if e.mark.name == "inconclusive"] or [card.reason])
            for card in by_mark["INCONCLUSIVE"]
        ]
        red = len(by_mark["FAIL"]) + len(by_mark["ERROR"]) + len(by_mark["XPASS"])
        none = "No property failed" + (" unexpectedly" if by_mark["XFAIL"] else "")
        verdict = f"{red} of {len(self.cards)} property tests failed" if red else none
        verdict = verdict if self.cards else "No property was tested"
        if record.summary.interrupted:
            verdict += f"; the run was interrupted after {len(self.cards)} of {record.summary.selected}"
        budget = record.budget
        return Overview(
            counts=[(MARKS[name], len(cards)) for name, cards in by_mark.items() if cards],
            verdict=verdict,
            summary=f"{number_of(self.cards, 'test', 'tests')} of "
            f"{number_of(self.subjects, 'network', 'networks')} in "
            f"{number_of(self.families, 'family', 'families')} · {record.options.scale} scale · "
            f"{duration(record.seconds)} · {moment(record.started)}",
            matrices=self._matrices(),
            failed=by_mark["FAIL"] + by_mark["ERROR"] + by_mark["XPASS"],
            undecided=undecided,
            known=_known(by_mark["XFAIL"]),
            skipped=by_mark["SKIPPED"],
            networks=[self._network(s) for id, s in self.subjects.items() if id in self._with_page],
            others=len(set(self.subjects) - self._with_page),
            missing=record.summary.missing,
            facts=[
                ("Started", moment(record.started)),
                ("Duration", duration(record.seconds)),
                *((words(k), said(v)) for k, v in record.options.model_dump().items()),
                (
                    "False-alarm budget",
                    f"{budget.alpha:g} over {budget.tests} tests, {budget.share:.2g} each: "
                    f"{budget.procedure}",
                ),
            ],
            environment=[(words(k), said(v)) for k, v in record.environment.model_dump().items()],
        )

    def _suites(self) -> list[SuitePage]:
        """Return a page for every suite: how to read it, and its claims in the order of files."""
        pairs = sorted(
            zip(self.cards, self.record.tests, strict=True), key=lambda p: (p[1].suite, p[1].file, p[1].name)
        )
        found = []
        for suite, in_suite in groupby(pairs, key=lambda p: p[1].suite):
            claims: dict[tuple[str, str], Claim] = {}
            for card, test in in_suite:
                column = Column(card.anchor, card.property, card.claim, test.file)
                claim = claims.setdefault((test.file, test.name), Claim(column, card.explanation, []))
                claim.cards.append(card)
            about = self.record.about.get(suite, "")
            reading = [p for p in re.split(r"\n\s*\n", about.strip()) if p]
            found.append(SuitePage(suite, suite_href(suite), reading, list(claims.values())))
        return found

    def _matrices(self) -> list[Matrix]:
        matrices = []
        pairs = sorted(
            zip(self.cards, self.record.tests, strict=True), key=lambda p: (p[1].suite, p[1].file, p[1].name)
        )
        for suite, in_suite in groupby(pairs, key=lambda p: p[1].suite):
            members = list(in_suite)
            columns = {c.anchor: Column(c.anchor, c.property, c.claim, t.file) for c, t in members}
            rows = []
            for family in self.families:
                own = [c for c, t in members if t.family == family]
                if own:
                    rows.append((family_link(family), [[c for c in own if c.anchor == a] for a in columns]))
            matrices.append(Matrix(suite, suite_href(suite), list(columns.values()), rows))
        return matrices

    def _about(self, id: str, kind: str) -> tuple[list[Card], list[Card]]:
        """Return a page's own cards and those of other pages that used the same network."""
        own, related = [], []
        for card, test in zip(self.cards, self.record.tests, strict=True):
            if self.page_of(test) == (kind, id):
                own.append(card)
            elif (id in test.subjects) if kind == "subject" else test.family == id:
                related.append(card)
        return own, related

    def _subject_page(self, s: dict[str, Any]) -> Page:
        own, related = self._about(s["id"], "subject")
        facts = [
            ("Test error", percent(s.get("test_error"))),
            ("Training error", percent(s.get("train_error"))),
            ("Width of the last hidden layer", said(s.get("width"))),
            ("Parameters", count(s.get("parameters"))),
            ("Architecture", said(s.get("architecture"))),
            ("Data", said(s.get("data"))),
            ("Seed", said(s.get("seed"))),
            ("Variant", said(s.get("variant"))),
            ("Scale", said(s.get("scale"))),
            ("Origin", said(s.get("origin"))),
            ("Key", said(s.get("key"))[:16]),
        ]
        recipe: dict[str, Any] = s.get("recipe") or {}
        names = sorted(
            recipe, key=lambda n: (RECIPE_ORDER.index(n) if n in RECIPE_ORDER else len(RECIPE_ORDER), n)
        )
        return Page(
            kind="subject",
            id=s["id"],
            href=self.subject_link(s["id"]).href,
            family=family_link(s["family"]),
            facts=facts,
            recipe=[(words(n), said(recipe[n])) for n in names],
            cards=own,
            related=_by_property(related),
            pictures=[picture(f"{slug(s['id'])}.{f['name']}", f) for f in training_figures(s) if own],
        )

    def _family_page(self, family: str) -> Page:
        own, related = self._about(family, "family")
        members = [s for s in self.subjects.values() if s["family"] == family]
        widths = sorted({s["width"] for s in members if isinstance(s.get("width"), int | float)})
        facts = [
            ("Networks", str(len(members))),
            ("Widths of the last hidden layer", said(widths)),
            *(
                (name.capitalize(), said(list(dict.fromkeys(said(s.get(name)) for s in members))))
                for name in ("architecture", "data", "scale")
            ),
        ]
        return Page(
            kind="family",
            id=family,
            href=family_link(family).href,
            family=family_link(family),
            facts=facts,
            recipe=[],
            cards=own,
            related=_by_property(related),
            networks=self._networks(members),
            pictures=[picture(f"{slug(family)}.{f['name']}", f) for f in family_figures(family, members)],
        )

    def _networks(self, members: Sequence[dict[str, Any]]) -> list[Network]:
        """Return a line for each network with a page, and for each width of the others together."""
        with_page = [s for s in members if s["id"] in self._with_page]
        others = [s for s in members if s["id"] not in self._with_page]
        lines = [self._network(s) for s in with_page]
        for _, alike in groupby(others, key=_kinship):
            together = list(alike)
            first = self._network(together[0])
            seeds = [s.get("seed") for s in together]
            if len(together) > 1:
                first = replace(
                    first,
                    anchor=self._line_of(together[0]),
                    link=Link(f"{together[0]['id']} and {len(together) - 1} more"),
                    seed=f"{said(seeds[0])} to {said(seeds[-1])}",
                    train=_spread([s.get("train_error") for s in together]),
                    test=_spread([s.get("test_error") for s in together]),
                    outcomes=[],
                )
            lines.append(replace(first, anchor=self._line_of(together[0])))
        return lines

    @staticmethod
    def _line_of(s: dict[str, Any]) -> str:
        """Return the anchor of the line about a network without a page, which its whole width shares."""
        return f"network-{slug('-'.join(map(str, _kinship(s))))}"

    def _network(self, s: dict[str, Any]) -> Network:
        own, _ = self._about(s["id"], "subject")
        tally = {mark: sum(c.mark == mark for c in own) for mark in MARKS.values()}
        return Network(
            anchor=f"network-{slug(s['id'])}",
            link=self.subject_link(s["id"]),
            family=family_link(s["family"]),
            width=said(s.get("width")),
            seed=said(s.get("seed")),
            variant=said(s.get("variant")),
            parameters=count(s.get("parameters")),
            train=percent(s.get("train_error")),
            test=percent(s.get("test_error")),
            outcomes=[(m, n) for m, n in tally.items() if n],
        )
