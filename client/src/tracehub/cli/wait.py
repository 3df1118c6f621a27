"""`tracehub wait ID`: for tests and scripts, until a chain is complete, has a certain entry, or is quiet."""

from __future__ import annotations

import math
import queue
import re
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Callable, Union

import click
from rich.text import Text

from tracehub.cli.command import command, complete_id
from tracehub.cli.drawing import open_steps
from tracehub.cli.hub import Hub
from tracehub.cli.matching import Pattern
from tracehub.cli.timeline import steps_of
from tracehub.cli.words import clean, duration, several
from tracehub.errors import TraceHubError
from tracehub.query import quoted

Entry = dict[str, Any]
Arrival = Union[Entry, TraceHubError, str, None]  # a text is the name of an event, LOST or CONNECTED
LOST, CONNECTED = "lost", "connected"
UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0}
WAITING = 1000  # entries between the two threads
AGAIN_S = 1.0  # until the server is asked again what it could not answer


def seconds(text: str, option: str) -> float:
    """The seconds that the text of an option stands for."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|)", text.strip(), re.ASCII)
    if not found:
        raise click.BadParameter(f"expected a time such as 30, 2s, 500ms or 1m, not {text!r}", param_hint=option)
    return min(float(found[1]) * UNITS_S[found[2]], threading.TIMEOUT_MAX)


class Goal(ABC):
    """What is waited for: `reached` is asked of each entry, `holds` when nothing has come for `again_s`."""

    quiet_s = math.inf
    again_s = math.inf

    def __init__(self, hub: Hub, correlation_id: str) -> None:
        self._hub, self._id = hub, correlation_id

    def reached(self, _entry: Entry) -> bool:
        """Whether this entry makes it so."""
        return False

    def holds(self) -> bool:
        """Whether it is so by now."""
        return False

    def forget(self) -> None:  # noqa: B027  # most goals remember nothing
        """The database was replaced: nothing of what was asked about is there any more."""

    @abstractmethod
    def missing(self, count: int) -> str:
        """What there is instead, after so many entries."""


class Complete(Goal):
    """Every entry has its exit. The server has the last word: what is stored comes one by one, and may only look so."""

    def __init__(self, hub: Hub, correlation_id: str) -> None:
        super().__init__(hub, correlation_id)
        self._balance: Counter[tuple[str, ...]] = Counter()
        self._seen = 0
        self._incomplete = 0  # entries with which the server said that the chain is not complete

    def reached(self, entry: Entry) -> bool:
        self._seen += 1
        key = tuple(str(entry[name]) for name in ("source_id", "operation", "endpoint"))
        self._balance[key] += 1 if entry["direction"] == "->" else -1
        if not self._balance[key]:
            del self._balance[key]
        return self.holds()

    def holds(self) -> bool:
        self.again_s = math.inf
        if self._balance or self._seen < self._incomplete:
            return False
        try:
            chain = self._hub.reader.ask(f"/traces/{quoted(self._id)}", {"limit": 1})
        except TraceHubError as error:
            if not error.may_pass:
                raise
            self.again_s = AGAIN_S
            return False
        self._incomplete = int(chain["count"])
        return bool(chain["complete"])

    def forget(self) -> None:
        self._balance.clear()
        self._seen = self._incomplete = 0
        self.again_s = math.inf

    def missing(self, count: int) -> str:
        left = sum(abs(balance) for balance in self._balance.values())
        return f"{left} of {several(count, 'entry', 'entries')} without a counterpart"


class Seen(Goal):
    """An entry like this one."""

    def __init__(self, hub: Hub, correlation_id: str, pattern: Pattern, text: str) -> None:
        super().__init__(hub, correlation_id)
        self._pattern, self._text = pattern, text

    def reached(self, entry: Entry) -> bool:
        return self._pattern.takes(entry)

    def missing(self, count: int) -> str:
        return f"none of {several(count, 'entry', 'entries')} is {self._text!r}"


class Quiet(Goal):
    """No entry for so long, after at least one."""

    def __init__(self, hub: Hub, correlation_id: str, quiet_s: float) -> None:
        super().__init__(hub, correlation_id)
        self.quiet_s = quiet_s

    def missing(self, count: int) -> str:
        return f"not quiet for {duration(self.quiet_s * 1000)}: {several(count, 'entry', 'entries')} so far"


@command(
    "wait",
    short_help="Wait until a chain completes, has an entry or goes quiet.",
    examples=[
        "{} req-12345  until every entry has its exit",
        "{} req-12345 --until 'WK <- /run'  until WK has left /run",
        "{} req-12345 --until quiet=2s --timeout 1m",
        "{} $(tracehub current) || tracehub show $(tracehub current)",
    ],
)
@click.argument("correlation_id", metavar="ID", shell_complete=complete_id)
@click.option(
    "--until",
    "text",
    default="complete",
    show_default=True,
    metavar="WHAT",
    help="complete, quiet=2s, or an entry: 'SOURCE <- [OPERATION] ENDPOINT' with * and ?.",
)
@click.option("--timeout", "timeout", default="30s", show_default=True, help="The longest to wait.")
def wait_command(hub: Hub, correlation_id: str, text: str, timeout: str) -> int:
    """Wait for a chain, which need not exist yet. Exit code 0 when it is as asked, 1 when the time is over.

    Then it says what is missing.
    """
    within_s = seconds(timeout, "--timeout")
    if not within_s:
        raise click.BadParameter("it must be above 0", param_hint="--timeout")
    goal = _goal(hub, correlation_id, text)
    began = time.monotonic()
    entries: list[Entry] = []
    with hub.screen.patience(f"waiting for {correlation_id}: {text} ..."):
        reached = _wait(hub, correlation_id, goal, began + within_s, entries)
    waited = time.monotonic() - began
    missing = "" if reached else goal.missing(len(entries)) if entries else "no entry yet"
    if hub.screen.json:
        told = {"reached": reached, "until": text, "entries": len(entries), "waited_s": round(waited, 3)}
        hub.screen.data({**told, "missing": missing, "open": _open(entries)})
    elif reached:
        hub.screen.show(
            Text(clean(f"{text} after {duration(waited * 1000)}, {several(len(entries), 'entry', 'entries')}"))
        )
    else:
        hub.screen.remark(f"{correlation_id}: {missing}, after {duration(waited * 1000)}")
        for line in open_steps(steps_of(sorted(entries, key=lambda entry: float(entry["timestamp"])))):
            hub.screen.err.print(line)
    return 0 if reached else 1


def _goal(hub: Hub, correlation_id: str, text: str) -> Goal:
    if text == "complete":
        return Complete(hub, correlation_id)
    if text.startswith("quiet="):
        return Quiet(hub, correlation_id, seconds(text[6:], "--until"))
    try:
        return Seen(hub, correlation_id, Pattern.read(text), text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--until") from error


def _wait(hub: Hub, correlation_id: str, goal: Goal, until: float, entries: list[Entry]) -> bool:
    arrivals: queue.Queue[Arrival] = queue.Queue(WAITING)
    left = max(1, math.ceil(until - time.monotonic()) + 1)
    threading.Thread(target=_read, args=(hub, correlation_id, left, arrivals.put), daemon=True).start()
    is_connected = True
    while True:
        quiet_s = goal.quiet_s if entries and is_connected else math.inf
        left_s = until - time.monotonic()
        if left_s <= 0:  # however much is stored
            return False
        try:
            arrival = arrivals.get(timeout=min(left_s, quiet_s, goal.again_s))
        except queue.Empty:
            if quiet_s <= left_s or (goal.again_s <= left_s and goal.holds()):
                return True
            continue
        if isinstance(arrival, TraceHubError):
            raise arrival
        if arrival is None:
            return False
        if isinstance(arrival, str):
            is_connected = arrival != LOST
            if arrival == "reset":
                entries.clear()
                goal.forget()
            continue
        entries.append(arrival)
        if goal.reached(arrival):
            return True


def _read(hub: Hub, correlation_id: str, timeout_s: int, put: Callable[[Arrival], None]) -> None:
    """Runs in a thread, so that silence can be told from waiting."""
    try:
        for _, entry in hub.reader.follow(
            f"/traces/{quoted(correlation_id)}/stream",
            parameters={},
            after="",
            on_event=lambda name, _: put(name),
            on_connection=lambda why: put(LOST if why else CONNECTED),
            timeout_s=timeout_s,
        ):
            put(entry)
        put(None)
    except TraceHubError as error:
        put(error)


def _open(entries: list[Entry]) -> list[Entry]:
    steps = steps_of(sorted(entries, key=lambda entry: float(entry["timestamp"])))
    return [step.entry for step in steps if step.entry is not None and step.is_open]
