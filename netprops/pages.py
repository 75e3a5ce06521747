"""From a record to the pages of its report.

Words: a *page* is about one family, or about *kin*: the networks (subjects) that differ by their seed alone;
a *card* is one property; a test of one network is on the page of its kin, every other on its family's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from netprops.asides import asides
from netprops.baseline import Comparison
from netprops.cards import card, paragraphs, property_anchor, seed_of, stem
from netprops.histories import family_figures, training_figures
from netprops.records import Record, TestRecord
from netprops.seeds import joint, kin
from netprops.sorting import by_property, kinship, line_of_seed, listed, narrow_first, spread
from netprops.views import (
    MARKS,
    Answer,
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
        networks = [s.model_dump(mode="json") for s in record.subjects]
        self.subjects = {s["id"]: s for s in sorted(networks, key=narrow_first)}
        families = {f["family"]: None for f in self.subjects.values()} | {
            t.family: None for t in record.tests
        }
        self.families = sorted(families)
        self.kin = {id: kin(s) for id, s in self.subjects.items()}
        own = {self.kin[about] for kind, about in map(self.page_of, record.tests) if kind == "subject"}
        many = len(self.subjects) > _PAGES
        self._with_page = {id for id, of in self.kin.items() if not many or of in own}
        self.cards = self._cards()
        self._answers: dict[str, list[Answer]] = {}
        for answer in (answer for one in self.cards for answer in one.answers):
            self._answers.setdefault(answer.target, []).append(answer)

    def page_of(self, test: TestRecord) -> tuple[str, str]:
        """Return kind and id of the page that a test is shown on: its one network's, or its family's."""
        about = test.id.rpartition("[")[2].removesuffix("]")
        if about in self.subjects:
            return "subject", about
        if len(test.subjects) == 1 and about != test.family and test.subjects[0] in self.subjects:
            return "subject", test.subjects[0]
        return "family", test.family

    def subject_link(self, id: str) -> Link:
        """Return the link to a network's line on its page or its family's; none if it is not recorded."""
        if id not in self.subjects:
            return Link(id)
        subject = self.subjects[id]
        if id in self._with_page:
            line = "" if subject.get("seed") is None else f"#{line_of_seed(subject)}"
            return Link(id, f"{self._address_of('subject', id)}{line}")
        return Link(id, f"{family_link(subject['family']).href}#{self._line_of(subject)}")

    def _address_of(self, kind: str, about: str) -> str:
        """Return the address of the page of a network or a family."""
        return f"subjects/{slug(self.kin[about])}.html" if kind == "subject" else family_link(about).href

    def _cards(self) -> list[Card]:
        """Return a card for every property of a family, and of networks that differ by their seed alone."""
        together: dict[tuple[str, ...], list[tuple[TestRecord, str]]] = {}
        for test in self.record.tests:
            kind, about = self.page_of(test)
            bracket = test.id.rpartition("[")[2].removesuffix("]") if "[" in test.id else ""
            rest = bracket.replace(about, "") if kind == "subject" else test.id
            key = (self._address_of(kind, about), kind, test.file, test.name, rest)
            together.setdefault(key, []).append((test, about))
        taken: set[tuple[str, str]] = set()
        found = []
        for (page, kind, *_), members in together.items():
            tests = [test for test, _ in members]
            anchor = common = property_anchor(tests[0])
            if (page, anchor) in taken:  # one test with several parameters for one network
                anchor = f"{anchor}-{slug(tests[0].id)[-8:]}"
            taken.add((page, anchor))
            one = card(
                tests,
                page=page,
                anchor=anchor,
                about=[about for _, about in members],
                label=self._label(tests[0], members[0][1]) if kind == "subject" else "",
                networks=self.subjects,
                why=f"{suite_href(tests[0].suite)}#property-{common}",
            )
            found.append(one)
        return found

    def _label(self, test: TestRecord, id: str) -> str:
        return self.kin[id].removeprefix(f"{test.family}-")

    def report(self) -> Report:
        """Return everything that the templates are given."""
        record = self.record
        kinds: dict[str, list[dict[str, Any]]] = {}
        for id, subject in self.subjects.items():
            if id in self._with_page:
                kinds.setdefault(self.kin[id], []).append(subject)
        pages = [self._family_page(f) for f in self.families]
        pages += [self._subject_page(of, members) for of, members in kinds.items()]
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
        addresses = {answer.id: answer.href for one in self.cards for answer in one.answers}
        return lambda id: addresses.get(id, "")

    def _overview(self) -> Overview:
        record = self.record
        answers = [(one.claim or one.property, answer) for one in self.cards for answer in one.answers]
        by_mark = {name: [(claim, a) for claim, a in answers if a.mark is MARKS[name]] for name in MARKS}
        undecided = [
            (claim, a, [e.sentence for e in a.expectations if e.mark.name == "inconclusive"] or [a.reason])
            for claim, a in by_mark["INCONCLUSIVE"]
        ]
        told = {
            name: listed((claim, a, [a.expected_failure, a.reason]) for claim, a in found)
            for name, found in by_mark.items()
        }
        red = len(by_mark["FAIL"]) + len(by_mark["ERROR"]) + len(by_mark["XPASS"])
        none = "No property failed" + (" unexpectedly" if by_mark["XFAIL"] else "")
        verdict = f"{red} of {len(answers)} property tests failed" if red else none
        verdict = verdict if answers else "No property was tested"
        if record.summary.interrupted:
            verdict += f"; the run was interrupted after {len(answers)} of {record.summary.selected}"
        budget = record.budget
        return Overview(
            counts=[(MARKS[name], len(found)) for name, found in by_mark.items() if found],
            verdict=verdict,
            summary=f"{number_of(answers, 'test', 'tests')} of "
            f"{number_of(self.subjects, 'network', 'networks')} in "
            f"{number_of(self.families, 'family', 'families')} · {record.options.scale} scale · "
            f"{duration(record.seconds)} · {moment(record.started)}",
            matrices=self._matrices(),
            failed=told["FAIL"] + told["ERROR"] + told["XPASS"],
            undecided=listed(undecided),
            known=listed((claim, a, [a.expected_failure]) for claim, a in by_mark["XFAIL"]),
            skipped=told["SKIPPED"],
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
        found = []
        for suite, in_suite in groupby(self._by_suite(), key=lambda p: p[1].suite):
            claims: dict[str, Claim] = {}
            for one, test in in_suite:
                anchor = property_anchor(test)
                column = Column(anchor, words(test.name), one.claim, one.why)
                claims.setdefault(anchor, Claim(column, one.explanation, [])).cards.append(one)
            reading = paragraphs(self.record.about.get(suite, ""))
            found.append(SuitePage(suite, suite_href(suite), reading, list(claims.values())))
        return found

    def _by_suite(self) -> list[tuple[Card, TestRecord]]:
        """Return every card and its first test, by suite, file and name."""
        tests = {test.id: test for test in self.record.tests}
        pairs = [(one, tests[one.answers[0].id]) for one in self.cards]
        return sorted(pairs, key=lambda pair: (pair[1].suite, pair[1].file, pair[1].name))

    def _matrices(self) -> list[Matrix]:
        matrices = []
        for suite, in_suite in groupby(self._by_suite(), key=lambda p: p[1].suite):
            members = list(in_suite)
            columns = {c.anchor: Column(c.anchor, c.property, c.claim, c.why) for c, _ in members}
            rows = []
            for family in self.families:
                own = [c for c, t in members if t.family == family]
                if own:
                    rows.append((family_link(family), [[c for c in own if c.anchor == a] for a in columns]))
            matrices.append(Matrix(suite, suite_href(suite), list(columns.values()), rows))
        return matrices

    def _about(self, kind: str, about: str) -> tuple[list[Card], list[Card]]:
        """Return a page's own cards and those of other pages that used the same networks."""
        page = self._address_of(kind, about)
        tests = {test.id: test for test in self.record.tests}
        own, related = [], []
        for one in self.cards:
            used = {id for a in one.answers for id in tests[a.id].subjects}
            if one.href.startswith(f"{page}#"):
                own.append(one)
            elif (
                any(self.kin.get(id) == self.kin[about] for id in used)
                if kind == "subject"
                else (tests[one.answers[0].id].family == about)
            ):
                related.append(one)
        return own, related

    def _subject_page(self, of: str, members: list[dict[str, Any]]) -> Page:
        first = members[0]
        own, related = self._about("subject", first["id"])
        named = {
            "Width of the last hidden layer": "width",
            "Architecture": "architecture",
            "Data": "data",
            "Variant": "variant",
            "Scale": "scale",
        }
        facts = [(name, said(first.get(part))) for name, part in named.items()]
        facts.insert(1, ("Parameters", count(first.get("parameters"))))
        origins = dict.fromkeys(said(s.get("origin")) for s in members)
        facts.append(("Origin", "; ".join(origins)))
        recipe: dict[str, Any] = first.get("recipe") or {}
        names = sorted(
            recipe, key=lambda n: (RECIPE_ORDER.index(n) if n in RECIPE_ORDER else len(RECIPE_ORDER), n)
        )
        page = self._address_of("subject", first["id"])
        curves: dict[str, list[tuple[str, dict[str, Any]]]] = {}
        for s in members if own else []:
            for one in training_figures(s):
                curves.setdefault(one["name"], []).append((seed_of(s), one))
        return Page(
            kind="subject",
            id=first["id"] if len(members) == 1 else of,
            href=page,
            family=family_link(first["family"]),
            facts=facts,
            recipe=[(words(n), said(recipe[n])) for n in names],
            cards=own,
            related=by_property(related),
            networks=[replace(self._network(s), anchor=line_of_seed(s)) for s in members],
            pictures=[
                picture(stem(page, one["name"]), one)
                for together in curves.values()
                for one in joint(together)
            ],
        )

    def _family_page(self, family: str) -> Page:
        own, related = self._about("family", family)
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
            related=by_property(related),
            networks=self._networks(members),
            pictures=[
                picture(stem(family_link(family).href, f["name"]), f) for f in family_figures(family, members)
            ],
        )

    def _networks(self, members: Sequence[dict[str, Any]]) -> list[Network]:
        """Return a line for each network with a page, and for each width of the others together."""
        with_page = [s for s in members if s["id"] in self._with_page]
        others = [s for s in members if s["id"] not in self._with_page]
        lines = [self._network(s) for s in with_page]
        for _, alike in groupby(others, key=kinship):
            together = list(alike)
            first = self._network(together[0])
            seeds = [s.get("seed") for s in together]
            if len(together) > 1:
                first = replace(
                    first,
                    anchor=self._line_of(together[0]),
                    link=Link(f"{together[0]['id']} and {len(together) - 1} more"),
                    seed=f"{said(seeds[0])} to {said(seeds[-1])}",
                    train=spread([s.get("train_error") for s in together]),
                    test=spread([s.get("test_error") for s in together]),
                    outcomes=[],
                )
            lines.append(replace(first, anchor=self._line_of(together[0])))
        return lines

    @staticmethod
    def _line_of(s: dict[str, Any]) -> str:
        """Return the anchor of the line about a network without a page, which its whole width shares."""
        return f"network-{slug('-'.join(map(str, kinship(s))))}"

    def _network(self, s: dict[str, Any]) -> Network:
        own = self._answers.get(s["id"], [])
        tally = {mark: sum(a.mark == mark for a in own) for mark in MARKS.values()}
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
            key=said(s.get("key"))[:16],
            outcomes=[(m, n) for m, n in tally.items() if n],
        )
