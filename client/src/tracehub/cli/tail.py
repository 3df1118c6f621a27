"""`tracehub tail [ID]`: entries as they are committed, across lost connections, none missed and none twice."""

from __future__ import annotations

from collections import deque
from typing import Any, Callable
from zlib import crc32

import click
from rich.cells import cell_len, chop_cells
from rich.text import Text

from tracehub.cli.command import command, complete_id
from tracehub.cli.drawing import COLOURS
from tracehub.cli.hub import Hub
from tracehub.cli.matching import glob
from tracehub.cli.screen import Screen
from tracehub.cli.timeline import trouble_of
from tracehub.cli.whole import Whole
from tracehub.cli.words import clean, clock, duration, plainly, shown_json
from tracehub.following import parsed
from tracehub.query import quoted

Entry = dict[str, Any]
REMEMBERED = 10_000  # steps whose exits are given a duration
ALIKE = 100  # open entries of one step, as of calls side by side
LOOKED_AT = 1000  # newest entries among which those chosen are looked for
FULL_ID_WIDTH = 120  # columns from which ids are shown whole, up to LONG_ID letters
LONG_ID = 40
ID_COLUMNS = 20  # that an id may have on a narrower terminal
SHORT_ID = 12  # characters of one that is longer
SOURCE_COLUMNS = 20


@command(
    "tail",
    short_help="Follow entries live.",
    examples=[
        "{}  everything, from now on",
        "{} -n 20  the last 20 first",
        "{} req-12345  one chain: what is stored and what comes",
        "{} --source WK --endpoint '/api/*'",
        "{} --json --after 0 > everything.ndjson",
    ],
)
@click.argument("correlation_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option("--source", metavar="SOURCE", help="Only entries of this source.")
@click.option("--operation", metavar="OPERATION", help="Only this operation.")
@click.option("--endpoint", metavar="GLOB", help="Only this endpoint; * and ? as in a shell.")
@click.option(
    "-n", "--last", type=Whole(0, 1000), default=0, help="Begin with the last N entries stored, without an ID."
)
@click.option("--after", type=Whole(0), help="Begin after this row id; 0: with the oldest.")
@click.option("-v", "--verbose", is_flag=True, help="Show data, too.")
def tail_command(
    hub: Hub,
    correlation_id: str | None,
    source: str | None,
    operation: str | None,
    endpoint: str | None,
    last: int,
    after: int | None,
    verbose: bool,
) -> int:
    """Follow entries live, until Ctrl-C. A lost connection is taken up again where it was.

    Where the server cannot keep that promise it is said on standard error: a gap when retention removed what was
    missed, a reset when the database was replaced.
    """
    given = {"source": source, "operation": operation, "endpoint": endpoint}
    filters = {name: value for name, value in given.items() if value}
    wanted = _chosen(**filters)
    lines = Lines(hub.screen, verbose, one_chain=correlation_id is not None)
    lines.greeting = f"following {correlation_id or 'all chains'} at {hub.reading}, times in UTC; Ctrl-C ends"
    if correlation_id is not None:
        path, parameters, start = f"/traces/{quoted(correlation_id)}/stream", {}, "" if after is None else str(after)
    else:
        path, parameters = "/stream", filters
        start = str(_beginning(hub, last, filters, lines) if after is None else after)
    for event, entry in hub.reader.follow(
        path,
        parameters=parameters,
        after=start,
        on_event=lambda *told: _say(hub.screen, *told),
        on_connection=lines.say_connection,
    ):
        if wanted(entry):
            lines.add(event.id, entry, event.data)
    return 0


def _chosen(source: str = "", operation: str = "", endpoint: str = "*") -> Callable[[Entry], bool]:
    """Which entries are, as the server has it: an endpoint is a pattern, the others are taken to the letter."""
    matches = glob(endpoint)
    return lambda entry: (
        source in ("", entry["source_id"]) and operation in ("", entry["operation"]) and matches(entry["endpoint"])
    )


def _beginning(hub: Hub, last: int, filters: dict[str, str], lines: Lines) -> int:
    """The row id behind which to follow: from here on a lost connection loses nothing."""
    newest = int(hub.ask("/stats")["newest_id"])
    if last:
        source = {"source": filters["source"]} if "source" in filters else {}
        recent = hub.reader.recent({"limit": LOOKED_AT if filters else last, **source})
        newest = max([newest, *(id for id, _ in recent)])
        wanted, entries = _chosen(**filters), [(id, parsed(text), text) for id, text in recent]
        for id, entry, text in [one for one in entries if wanted(one[1])][-last:]:
            lines.add(str(id), entry, text)
    return newest


def _say(screen: Screen, name: str, told: dict[str, Any]) -> None:
    if name == "gap":
        lost = f": {told['lost']} entries" if "lost" in told else ""
        screen.remark(
            f"gap: retention removed what was missed, ids {told.get('from')} to {told.get('to')}{lost}", "yellow"
        )
    elif name == "reset":
        screen.remark("reset: the database was replaced; everything follows from its start", "yellow")


class Lines:
    """One line for each entry; an exit says how long its step took, if its entry went by."""

    def __init__(self, screen: Screen, verbose: bool, one_chain: bool) -> None:
        self._screen = screen
        self._verbose = verbose
        self._one_chain = one_chain
        self.greeting = "connected"
        self._open: dict[tuple[str, ...], deque[float]] = {}
        self._source_width = self._id_width = 2

    def add(self, id: str, entry: Entry, text: str) -> None:
        """Print one; for programs to the letter."""
        if self._screen.json:
            self._screen.entry(id, text)
            return
        line = self._line(entry)
        if self._screen.out.is_terminal and not self._verbose:
            line.truncate(self._screen.width, overflow="ellipsis")
        self._screen.line(line)

    def say_connection(self, why: str) -> None:
        """The stream is there, at first and again, or it is lost, for a reason."""
        if why:
            self._screen.remark(f"connection lost ({plainly(why)}), trying again ...", "yellow")
        else:
            self._screen.remark(self.greeting, "dim")
            self.greeting = "connected again, behind the last entry"

    def _line(self, entry: Entry) -> Text:
        source, trouble = clean(entry["source_id"]), trouble_of(entry)
        if self._screen.out.is_terminal and cell_len(source) > SOURCE_COLUMNS:
            source = chop_cells(source, SOURCE_COLUMNS - 1)[0] + "…"
        self._source_width = max(self._source_width, min(cell_len(source), SOURCE_COLUMNS))
        line = Text.assemble((clock(float(entry["timestamp"])), "dim"), " ")
        if not self._one_chain:
            id = self._short(clean(entry["correlation_id"]))
            self._id_width = max(self._id_width, min(cell_len(id), ID_COLUMNS))
            line.append(f"{_padded(id, self._id_width)} ", COLOURS[crc32(id.encode("utf-8", "replace")) % len(COLOURS)])
        line.append(f"{_padded(source, self._source_width)} ").append(
            entry["direction"], "bold" if entry["direction"] == "->" else ""
        )
        line.append(f" {clean(entry['operation'])} {clean(entry['endpoint'])}", "red" if trouble else "")
        took = self._took(entry)
        if took is not None:
            line.append(f"  {duration(took)}", "dim")
        if trouble:
            line.append(f"  {clean(trouble)}", "bold red")
        if self._verbose and entry.get("data") is not None:
            line.append(f"  {shown_json(entry['data'])}", "dim")
        return line

    def _short(self, id: str) -> str:
        """The start of an id that is long for this terminal; `tracehub show` takes that too."""
        if not self._screen.out.is_terminal:
            return id
        if self._screen.width >= FULL_ID_WIDTH:
            return id[:LONG_ID]
        return id if cell_len(id) <= ID_COLUMNS else id[:SHORT_ID]

    def _took(self, entry: Entry) -> float | None:
        key = tuple(str(entry[name]) for name in ("correlation_id", "source_id", "operation", "endpoint"))
        if entry["direction"] == "->":
            self._open.setdefault(key, deque(maxlen=ALIKE)).append(float(entry["timestamp"]))
            if len(self._open) > REMEMBERED:
                del self._open[next(iter(self._open))]
            return None
        waiting = self._open.get(key)
        if waiting is None:
            return None
        began = waiting.pop()
        if not waiting:
            del self._open[key]
        return float(entry["timestamp"]) - began


def _padded(text: str, columns: int) -> str:
    """As wide as so many columns, of which a letter may take two."""
    return text + " " * (columns - cell_len(text))
