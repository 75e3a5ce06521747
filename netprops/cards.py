"""From the tests of one property to its card: what the networks share is said once.

Words: as in ``views.py``; *kin* are networks that differ by their seed alone, as in ``seeds.py``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from netprops.records import TestRecord
from netprops.seeds import joint, joint_text, kin
from netprops.views import MARKS, Answer, Card, Held, Mark, Picture, Row, Said, expectation, picture, scale
from netprops.wording import duration, number_of, slug, words

Networks = Mapping[str, Mapping[str, Any]]


def stem(about: str, name: str) -> str:
    """Return the name of a figure's files: its own name and some digits of what it is about.

    >>> stem("families/mine.html#errors", "chunk-error")
    'chunk-error-9d9cb9dbbb'
    """
    return f"{name}-{hashlib.sha256(about.encode()).hexdigest()[:10]}"


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a text, which empty lines part."""
    return [p for p in re.split(r"\n\s*\n", text.strip()) if p]


def property_anchor(test: TestRecord) -> str:
    """Return the anchor of a test's property, the same for all networks."""
    file = test.file.rpartition("/")[2].removesuffix(".py").removeprefix("test_")
    return slug(re.sub("[_.]", "-", f"{test.suite}-{file}-{test.name.removeprefix('test_')}"))


def seed_of(network: Mapping[str, Any] | None) -> str:
    """Return a network's seed in words; its id where it has none."""
    seed = None if network is None else network.get("seed")
    return f"seed {seed}" if seed is not None else str((network or {}).get("id", ""))


def card(
    tests: Sequence[TestRecord],
    *,
    page: str,
    anchor: str,
    about: Sequence[str],
    label: str,
    networks: Networks,
    why: str,
) -> Card:
    """Return the card of one property.

    Args:
        tests: Its tests of one family, or of networks that differ by their seed alone; at least one.
        page: Address of its page.
        anchor: Its anchor there.
        about: Id of the network or name of the family that each test is about.
        label: What the card is about, in short; nothing on a family's card.
        networks: Summaries by id.
        why: Address of what is said about its claim.
    """
    first = tests[0]
    who = [seed_of(networks.get(one)) for one in about]
    answers = [
        Answer(
            id=test.id,
            anchor=(end := f"{anchor}{_short(networks.get(one))}"),
            href=f"{page}#{end}",
            target=one,
            who=seed,
            mark=MARKS[test.outcome],
            reason=test.reason,
            expected_failure=test.xfail,
            expectations=[expectation(e) for e in test.expectations],
            notes=test.notes,
        )
        for test, one, seed in zip(tests, about, who, strict=True)
    ]
    held = _held(answers)
    used = list(dict.fromkeys(one for test in tests for one in test.subjects))
    seeds = {s["seed"] for s in map(networks.get, used) if s and s.get("seed") is not None}
    return Card(
        href=f"{page}#{anchor}",
        anchor=anchor,
        why=why,
        property=words(first.name) + _parameter(first),
        suite=first.suite,
        label=label,
        claim=first.claim,
        explanation=paragraphs(first.explanation),
        answers=answers,
        held=held,
        pictures=_pictures(tests, answers, held, f"{page}#{anchor}"),
        reasons=_said(answers, [[a.reason] for a in answers]),
        known=_said(answers, [[a.expected_failure] for a in answers]),
        notes=_said(answers, [a.notes for a in answers]),
        subjects=list(dict.fromkeys(_kin(networks, one).removeprefix(f"{first.family}-") for one in used)),
        facts=" · ".join(
            [
                number_of(used, "network", "networks"),
                *([f"seeds {', '.join(map(str, sorted(seeds, key=str)))}"] if len(seeds) > 1 else []),
                duration(sum(test.seconds for test in tests)),
            ]
        ),
        tally=_tally(answers),
        reproduce=_commands(tests, about, who),
    )


def _tally(answers: Sequence[Answer]) -> list[tuple[Mark, list[Answer]]]:
    """Return the answers by their mark."""
    found: dict[Mark, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.mark, []).append(answer)
    return list(found.items())


def _kin(networks: Networks, id: str) -> str:
    return kin(networks[id]) if id in networks else id


def _short(network: Mapping[str, Any] | None) -> str:
    seed = (network or {}).get("seed")
    return f"-s{slug(str(seed))}" if seed is not None else ""


def _parameter(test: TestRecord) -> str:
    """Return what else than its family a test of a family is parametrised with, in brackets."""
    rest = test.id.rpartition("[")[2].removesuffix("]").removeprefix(f"{test.family}-")
    named = not test.family or rest == test.family or any(rest in one for one in test.subjects)
    return "" if named or "[" not in test.id else f" ({words(rest)})"


def _said(answers: Sequence[Answer], texts: Sequence[Sequence[str]]) -> Said:
    """Return every text once, with whose it is."""
    found: dict[str, list[str]] = {}
    for answer, own in zip(answers, texts, strict=True):
        for text in filter(None, own):
            found.setdefault(text, []).append(answer.who)
    return [("" if len(who) == len(answers) else ", ".join(who), text) for text, who in found.items()]


def _held(answers: Sequence[Answer]) -> list[Held]:
    """Return the expectations by their place in the test, the one that all tests have at that place."""
    found = []
    for place in range(max((len(a.expectations) for a in answers), default=0)):
        own = [(a.who, a.expectations[place]) for a in answers if place < len(a.expectations)]
        shared = [fact for fact in own[0][1].facts if all(fact in e.facts for _, e in own)]
        same_name, same_bound = (len({part(e) for _, e in own}) == 1 for part in (_name, _bound))
        rows = [
            Row(
                who=who,
                name="" if same_name else e.name,
                bound="" if same_bound else e.bound,
                expectation=e,
                facts=[fact for fact in e.facts if fact not in shared],
            )
            for who, e in own
        ]
        name, bound = (joint_text([part(e) for _, e in own]) for part in (_name, _bound))
        limits = own[0][1].limits if same_bound else (None, None)
        found.append(Held(name, bound, shared, rows, scale([e.ends for _, e in own], limits)))
    return found


def _name(e: Any) -> str:
    return str(e.name)


def _bound(e: Any) -> str:
    return str(e.bound)


def _pictures(
    tests: Sequence[TestRecord], answers: Sequence[Answer], held: Sequence[Held], about: str
) -> list[Picture]:
    """Return the figures of all tests, those of one name together."""
    by_name: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for test, answer in zip(tests, answers, strict=True):
        for one in test.figures:
            by_name.setdefault(one.name, []).append((answer.who, one.model_dump(mode="json")))
    found = dict.fromkeys(a.mark.word for a in answers)
    counts = [
        f"{word} {n}" if (n := sum(a.mark.word == word for a in answers)) > 1 else word for word in found
    ]
    findings = [f"Verdict: {', '.join(counts)}."]
    findings += [
        f"{one.name} {'; '.join(row.expectation.measured for row in one.rows)}, expected {one.bound}."
        for one in held
    ]
    return [
        picture(stem(about, one["name"]), one, findings)
        for members in by_name.values()
        for one in joint(members)
    ]


def _commands(tests: Sequence[TestRecord], about: Sequence[str], who: Sequence[str]) -> Said:
    """Return the commands that repeat the tests; of those that differ by the network alone, the first."""
    found: dict[str, tuple[str, list[str]]] = {}
    for test, one, seed in zip(tests, about, who, strict=True):
        alike = re.sub(r" --netprops-alpha \S+", "", test.reproduce)
        alike = alike.replace(one, "*") if one else alike
        found.setdefault(alike, (test.reproduce, []))[1].append(seed)
    return [
        (f"the same for {', '.join(others)}" if (others := seeds[1:]) else "", command)
        for command, seeds in found.values()
    ]
