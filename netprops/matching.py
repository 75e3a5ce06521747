"""Which tests, expectations and networks of two records belong together.

Words: what a test is *about* is the network or family in its brackets; the *shape* of a name is the name with
its numbers left out: ``R2 from chunks of 32`` and ``R2 from chunks of 64`` are one property at two places.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from netprops.records import ExpectationRecord

_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SAME_NETWORK = ("architecture", "width", "seed", "variant", "parameters")


def about(test: str) -> str:
    """Return the network or family that a test is about, from its id.

    >>> about("suites/mitosis/test_clones.py::test_it[fc5-digits-w4-s0]")
    'fc5-digits-w4-s0'
    """
    return test.partition("[")[2].removesuffix("]")


def shape(name: str) -> str:
    """Return a name without its numbers.

    >>> shape("R2 from chunks of 32")
    'R# from chunks of #'
    """
    return _NUMBER.sub("#", name)


def pairs_of(
    before: Iterable[str], after: Iterable[str]
) -> tuple[list[tuple[str, str]], list[str], list[str]]:
    """Return which tests belong together: by id, or where a property was tested once in each, by property.

    Args:
        before: Ids of the baseline's tests.
        after: Ids of the run's tests.

    Returns:
        Pairs (baseline's id, run's id), what only the baseline has, and what only the run has, all sorted. A
        pair of different ids is another checkpoint at best: :func:`obstacle` says whether it may be compared.
    """
    old, new = set(before), set(after)
    pairs = [(one, one) for one in old & new]
    properties: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, ids in enumerate((old, new)):
        for one in ids:
            properties[one.partition("[")[0]][side].append(one)
    pairs += [
        (then[0], now[0])
        for then, now in properties.values()
        if len(then) == len(now) == 1 and then != now and about(then[0]) and about(now[0])
    ]
    gone = old - {then for then, _ in pairs}
    added = new - {now for _, now in pairs}
    return sorted(pairs), sorted(gone), sorted(added)


def impersonal(name: str, network: str) -> str:
    """Return the name of a measurement without the id of the network that it was made on.

    >>> impersonal("training error of net-epoch5", "net-epoch5")
    'training error of the network'
    """
    return name.replace(network, "the network") if network else name


def alike(before: ExpectationRecord, after: ExpectationRecord, networks: tuple[str, str]) -> bool:
    """Return whether two measurements have one name, but for the ids of their networks."""
    old, new = (
        impersonal(one.measurement.name, network)
        for one, network in zip((before, after), networks, strict=True)
    )
    return old == new


def expectations(
    before: Sequence[ExpectationRecord],
    after: Sequence[ExpectationRecord],
    networks: tuple[str, str] = ("", ""),
) -> list[tuple[ExpectationRecord | None, ExpectationRecord | None]]:
    """Return which expectations of one test belong together: by name, then by its shape, in order.

    ``networks`` are the ids that the test is about, before and after; names that hold them are equal without
    them. Two of one name are told apart by their order. What one side lacks is None.
    """
    left, pairs = list(range(len(before))), {}
    old, new = (
        [impersonal(one.measurement.name, network) for one in side]
        for side, network in zip((before, after), networks, strict=True)
    )
    for key in (str, shape):
        for j, name in enumerate(new):
            if j in pairs:
                continue
            match = next((i for i in left if key(old[i]) == key(name)), None)
            if match is not None:
                pairs[j] = match
                left.remove(match)
    found: list[tuple[ExpectationRecord | None, ExpectationRecord | None]] = [
        (before[pairs[j]] if j in pairs else None, now) for j, now in enumerate(after)
    ]
    return found + [(before[i], None) for i in left]


def obstacle(
    before: Sequence[Mapping[str, Any] | None], after: Sequence[Mapping[str, Any] | None], *, renamed: bool
) -> str:
    """Return why what was measured on two sets of networks cannot be compared; empty if it can.

    Args:
        before: Summaries of the baseline's networks; None where a record does not hold one.
        after: Those of the run.
        renamed: Whether the ids differ, so that the summaries alone tell whether it is the same network.

    Returns:
        A phrase that names the first thing that differs: number of networks, architecture, data.
    """
    if len(before) != len(after):
        return f"{len(after)} networks instead of {len(before)}"
    for old, new in zip(before, after, strict=True):
        if old is None or new is None:
            continue
        for name in _SAME_NETWORK:
            if old.get(name) != new.get(name) and (renamed or name != "parameters"):
                return f"another network: {name} {new.get(name)} instead of {old.get(name)}"
        then, now = _data(old), _data(new)
        if then and now and then != now:
            return f"other data: digest {now[:12]} instead of {then[:12]}"
        if renamed and old.get("data") != new.get("data"):
            return f"other data: {new.get('data')} instead of {old.get('data')}"
    return ""


def _data(summary: Mapping[str, Any]) -> str:
    """Return the digest of the data that a summary names, of itself or of its origin."""
    origin = summary.get("origin")
    inner = origin.get("data_digest") if isinstance(origin, Mapping) else None
    return str(summary.get("data_digest") or inner or "")
