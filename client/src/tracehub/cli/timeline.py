"""A chain as steps: which exit belongs to which entry, and which step happened within which. Pure.

Entries carry no parent. An exit belongs to the latest open entry of the same (source, operation, endpoint) and host, or
to the one whose `data` names the same `span_id`; one that is left over, to an open entry of another host. A step lies
within the latest one that began before it and ended after it; one without an exit lies within the latest that was open
when it began.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Entry = dict[str, Any]

DEEPEST = 200  # open steps that are looked at for the one around a step


@dataclass(eq=False)
class Step:
    """An entry and its exit; one of them may be missing. `begins` and `ends` are places in the order of time."""

    key: tuple[str, str, str]
    begins: int
    ends: float
    entry: Entry | None = None
    exit: Entry | None = None
    depth: int = 0
    parent: Step | None = None
    own_ms: float = 0.0  # while no step that began later was under way
    has_inner: bool = False

    @property
    def source(self) -> str:
        return self.key[0]

    @property
    def name(self) -> str:
        """Operation and endpoint."""
        return " ".join(part for part in self.key[1:] if part) or "-"

    @property
    def host(self) -> str:
        """Where it ran."""
        return str((self.entry or self.exit or {}).get("hostname"))

    @property
    def start_ms(self) -> float:
        """When it began or, without an entry, was left."""
        return float((self.entry or self.exit or {}).get("timestamp", 0.0))

    @property
    def is_open(self) -> bool:
        return self.exit is None

    @property
    def took_ms(self) -> float | None:
        """None where an end is missing. Never negative: clocks of two hosts may differ."""
        if self.entry is None or self.exit is None:
            return None
        return max(0.0, float(self.exit["timestamp"]) - float(self.entry["timestamp"]))

    @property
    def trouble(self) -> str:
        """The error that its data report, empty if none."""
        return trouble_of(self.exit) or trouble_of(self.entry)


@dataclass
class Row:
    """One step, or several alike in a row."""

    steps: list[Step] = field(default_factory=list)

    @property
    def first(self) -> Step:
        return self.steps[0]


def steps_of(entries: list[Entry], ahead: Mapping[str, float] = {}) -> list[Step]:
    """The steps of a chain whose entries are in order of time, in the order in which they began.

    `ahead`: milliseconds by which the clocks of hosts are so; the order is that of one clock then.
    """
    steps = _paired(entries)
    around: list[Step] = []
    for step in steps:
        around = [outer for outer in around[-DEEPEST:] if outer.ends > step.begins]
        outer = next((outer for outer in reversed(around) if step.is_open or outer.ends > step.ends), None)
        if outer is not None:
            step.parent, step.depth = outer, outer.depth + 1
            outer.has_inner = True
        around.append(step)
    _share_time(steps, entries, ahead)
    return steps


def _paired(entries: list[Entry]) -> list[Step]:
    steps: list[Step] = []
    open_at: dict[tuple[str, ...], list[Step]] = {}  # by step and host
    spans: dict[tuple[str, ...], Step] = {}
    lone: list[Step] = []
    for place, entry in enumerate(entries):
        key = (str(entry["source_id"]), str(entry["operation"]), str(entry["endpoint"]))
        here = (*key, str(entry.get("hostname")))
        data = entry.get("data")
        span = data.get("span_id") if isinstance(data, dict) else None
        if entry["direction"] == "->":
            step = Step(key, place, math.inf, entry=entry)
            steps.append(step)
            open_at.setdefault(here, []).append(step)
            if isinstance(span, str):
                spans[(*here, span)] = step
            continue
        named = spans.get((*here, span)) if isinstance(span, str) else None
        ended = named if named and named.is_open else _latest_open(open_at.get(here, []))
        if ended:
            ended.exit, ended.ends = entry, place
        else:
            lone.append(Step(key, place, place, exit=entry))
    return sorted([*steps, *_left_alone(steps, lone)], key=lambda step: step.begins)


def _latest_open(steps: list[Step]) -> Step | None:
    while steps:
        step = steps.pop()
        if step.is_open:
            return step
    return None


def _left_alone(steps: list[Step], lone: list[Step]) -> list[Step]:
    """The exits that end nothing, once each has got an entry that its host left open, if there is one."""
    open_of: dict[tuple[str, str, str], list[Step]] = {}
    for step in steps:
        if step.is_open:
            open_of.setdefault(step.key, []).append(step)
    early = []
    for left in lone:  # by another host: a worker that another one took over from
        stack = open_of.get(left.key, [])
        at = next((at for at in reversed(range(len(stack))) if stack[at].start_ms <= left.start_ms), None)
        if at is None:
            early.append(left)
        else:
            step = stack.pop(at)
            step.exit, step.ends = left.exit, left.begins
    alone = []
    for left in early:  # before its entry: of one instant, or by another clock
        stack = open_of.get(left.key, [])
        if stack:
            step = stack.pop(0)
            step.exit, step.ends = left.exit, step.begins
        else:
            alone.append(left)
    return alone


def time_of(entry: Entry, ahead: Mapping[str, float]) -> float:
    """When it was written, by one clock for all hosts."""
    return float(entry["timestamp"]) - ahead.get(str(entry.get("hostname")), 0.0)


def _share_time(steps: list[Step], entries: list[Entry], ahead: Mapping[str, float]) -> None:
    """Each moment belongs to the step under way that began last: the sum of all is the time in which anything was."""
    begins = {step.begins: step for step in steps if step.entry is not None}
    ends = {int(step.ends): step for step in steps if step.entry is not None and step.ends > step.begins and step.exit}
    active: list[Step] = []
    before = 0.0
    for place, entry in enumerate(entries):
        now = time_of(entry, ahead)
        if active:
            active[-1].own_ms += now - before
        before = now
        if place in begins:
            active.append(begins[place])
        elif place in ends and ends[place] in active:
            active.remove(ends[place])


def rows_of(steps: list[Step], fold: bool = True) -> Iterator[Row]:
    """One row for each step; three and more alike in a row, complete and with nothing within, share one."""
    at = 0
    while at < len(steps):
        upto = at + 1
        while fold and upto < len(steps) and _alike(steps[at], steps[upto]):
            upto += 1
        row = steps[at:upto] if upto - at >= 3 else steps[at : at + 1]
        yield Row(row)
        at += len(row)


def _alike(one: Step, other: Step) -> bool:
    plain = not any(step.has_inner or step.took_ms is None or step.trouble for step in (one, other))
    return plain and one.key == other.key and one.depth == other.depth and one.parent is other.parent


def trouble_of(entry: Entry | None) -> str:
    """The error that an entry's data report, empty if none."""
    data = (entry or {}).get("data")
    if not isinstance(data, dict):
        return ""
    for name in ("error", "exception"):
        if data.get(name):
            return str(data[name])
    for name in ("status", "status_code"):
        status = data.get(name)
        if isinstance(status, str) and status.lower() in ("error", "failed"):
            return status
        if isinstance(status, (int, float)) and not isinstance(status, bool) and status >= 500:
            return f"status {status}"
    return ""
