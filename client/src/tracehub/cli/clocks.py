"""Which hosts' clocks differ, as far as a chain shows it: what came first is dated later. Pure.

A step came after the step that called it, which is told by its name: of steps of one name in two sources the n-th
called the n-th, and who calls does so within another step. An exit came after its entry, and an entry after those of
other hosts that had arrived before it, unless it came late.
"""

from __future__ import annotations

import re
from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from tracehub.cli.timeline import Step

Entry = dict[str, Any]
Pairs = Iterable[tuple[Entry, Entry]]

LEAST_MS = 100.0  # what is less is not told
LATE_MS = 3_000.0  # what was overtaken by an entry dated so much later may have waited with its sender
NEXT_MS = 0.01  # after a call at the earliest it is served
NOBODY = "unknown"  # hosts that are not named may be many
ADDRESS = re.compile(r"^([A-Z]+ )?(\w+://)?[^/\s]*(?=/)")


class Difference(NamedTuple):
    """What the clock of a host is ahead of another's, or behind below 0.

    `late`: unless the entries of the one that is behind came late.
    """

    host: str
    other: str
    ms: float
    late: bool = False

    @property
    def turned(self) -> Difference:
        """The same, of the other host."""
        return Difference(self.other, self.host, -self.ms, self.late)


Found = dict[tuple[str, str], Difference]


def clocks_of(steps: Sequence[Step], arrived: Sequence[Entry] = ()) -> list[Difference]:
    """The differences, from the host with most steps on; `arrived`: entries in the order in which they were stored."""
    pairs = [(step.entry, step.exit) for step in steps if step.entry and step.exit]
    sure = _ahead([*pairs, *_calls(steps)], late=False)
    overtaken = _ahead(_overtakings(arrived), late=True)
    told = [*_told(sure, sure, LEAST_MS), *_told(overtaken, sure, LATE_MS)]
    return list(_spanning(told, Counter(step.host for step in steps)))


def ahead_of_first(clocks: Iterable[Difference]) -> dict[str, float]:
    """What each host's clock is ahead of the first one's, in milliseconds."""
    ahead: dict[str, float] = {}
    for each in clocks:
        ahead[each.host] = ahead.get(each.other, 0.0) + each.ms
    return ahead


def _told(found: Found, sure: Found, least: float) -> Iterator[Difference]:
    for each in found.values():
        turned = (each.other, each.host)
        opposed = turned in found and found[turned].ms >= least
        disproved = turned in sure and sure[turned].ms > -each.ms
        if each.ms >= least and not opposed and not disproved:
            yield each


def _ahead(pairs: Pairs, late: bool) -> Found:
    """What clocks are ahead of others at least, by entries of which the first of a pair came first."""
    found: Found = {}
    for before, after in pairs:
        host, other = str(before.get("hostname")), str(after.get("hostname"))
        ms = float(before["timestamp"]) - float(after["timestamp"]) + NEXT_MS
        if host == other or NOBODY in (host, other):
            continue
        if (host, other) not in found or found[host, other].ms < ms:
            found[host, other] = Difference(host, other, ms, late)
    return found


def _overtakings(arrived: Sequence[Entry]) -> Iterator[tuple[Entry, Entry]]:
    """Each entry, behind those of other hosts that are dated much later and had arrived."""
    newest: list[tuple[float, int, Entry]] = []  # of each host, the latest at the end
    known: dict[str, tuple[float, int, Entry]] = {}
    for number, entry in enumerate(arrived):
        host, timestamp = str(entry.get("hostname")), float(entry["timestamp"])
        for before in reversed(newest):
            if before[0] - timestamp + NEXT_MS < LATE_MS:
                break
            yield before[2], entry
        had = known.get(host)
        if had and had[0] > timestamp:
            continue
        if had:
            del newest[bisect_left(newest, had)]
        known[host] = timestamp, number, entry
        insort(newest, known[host])


def _spanning(differences: Sequence[Difference], steps: Counter[str]) -> Iterator[Difference]:
    """Each host compared once, with one that is known already."""
    hosts = [host for each in differences for host in (each.host, each.other)]
    known = sorted(hosts, key=lambda host: -steps[host])[:1]
    for at in known:  # and those that become known meanwhile
        for each in differences:
            for way in (each, each.turned):
                if way.other == at and way.host not in known:
                    known.append(way.host)
                    yield way


def _calls(steps: Sequence[Step]) -> Iterator[tuple[Entry, Entry]]:
    """Entries of steps that call another source, and of the steps of their name that serve it."""
    inner = set(map(id, _inner(steps)))
    named: dict[str, dict[str, list[Step]]] = {}
    for step in steps:
        named.setdefault(ADDRESS.sub("", step.key[2]), {}).setdefault(step.source, []).append(step)

    def share(alike: Sequence[Step]) -> float:
        return sum(id(step) in inner for step in alike) / len(alike)

    for sources in named.values():
        if len(sources) != 2:
            continue
        callees, callers = sorted(sources.values(), key=share)
        if share(callees) == share(callers) or len(callees) > len(callers):
            continue
        yield from ((one.entry, other.entry) for one, other in zip(callers, callees) if one.entry and other.entry)


def _inner(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps that began while another step of their process was under way."""
    under: dict[tuple[str, str], Step] = {}
    for step in steps:
        around = under.get((step.source, step.host))
        if around is None or around.ends < step.ends:
            under[step.source, step.host] = step
        if around is not None and around.ends > step.begins and around.key != step.key:
            yield step
