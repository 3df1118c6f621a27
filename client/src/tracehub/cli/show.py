"""`tracehub show [ID]`: one chain as a timeline, or the recent ones."""

from __future__ import annotations

from itertools import islice
from typing import Any

import click
from rich.text import Text

from tracehub.cli.chains import MOST_CHAINS, chains_like, list_chains
from tracehub.cli.clocks import ahead_of_first, clocks_of
from tracehub.cli.command import command, complete_id
from tracehub.cli.drawing import Lanes, drawn, heading, legend, open_steps, slowest, told_clocks
from tracehub.cli.hub import Hub
from tracehub.cli.screen import Screen
from tracehub.cli.timeline import Step, rows_of, steps_of, time_of, trouble_of
from tracehub.cli.whole import Whole
from tracehub.cli.words import age, clean, clock, duration, several
from tracehub.errors import TraceHubError
from tracehub.query import quoted

Json = dict[str, Any]
MOST_FOLLOWED = 3000  # entries whose order of arrival is looked at
FOLLOWED_S = 5.0  # that they may take to come
SHORTEST = 4  # characters of an id that may stand for all of it


@command(
    "show",
    short_help="Recent chains, or one as a timeline.",
    examples=[
        "{}  the recent chains",
        "{} req-12345  where it was, how long, what is open",
        "{} req-12345 -v  with the data of each step",
        "{} 88ebfb  the start of an id, if no other begins so",
        "{} req-12345 --source WK",
        "{} req-12345 --json | jq '.traces[].endpoint'",
    ],
)
@click.argument("correlation_id", metavar="[ID]", required=False, shell_complete=complete_id)
@click.option("--source", metavar="SOURCE", help="Only entries of this source.")
@click.option("-v", "--verbose", is_flag=True, help="Data, host and time of each entry; nothing folded.")
@click.option("-n", "--limit", type=Whole(1, MOST_CHAINS), default=20, show_default=True, help="Chains, without an ID.")
def show_command(hub: Hub, correlation_id: str | None, source: str | None, verbose: bool, limit: int) -> int:
    """Recent chains or, with an ID, one chain: a timeline with a column for each source.

    Steps are entries with their exits, nested; an entry without one is open, and its age is shown.
    """
    if correlation_id is None:
        return list_chains(hub, limit, {"source": source})
    with hub.screen.patience(f"asking {hub.reading} ..."):
        chain, texts = _asked(hub, correlation_id, source)
        arrived = [] if source or hub.screen.json else _arrived(hub, chain)
    if not (texts or chain["traces"]):
        return _begins_so(hub, correlation_id, source, verbose)
    if hub.screen.json:
        hub.screen.page(chain, texts)
    else:
        _draw(hub.screen, chain, arrived, verbose)
    return 0


def _asked(hub: Hub, correlation_id: str, source: str | None) -> tuple[Json, list[str]]:
    """The chain: its entries for people or, for programs, to the letter."""
    if hub.screen.json:
        return hub.reader.chain(correlation_id, source)
    return hub.reader.get_traces(correlation_id, source), []


def _begins_so(hub: Hub, start: str, source: str | None, verbose: bool) -> int:
    """The chain whose id begins so, if there is one alone among the recent ones; for programs an id is whole."""
    near: list[str] = []
    if not hub.screen.json and len(start) >= SHORTEST:
        found = chains_like(hub, MOST_CHAINS, {"q": start})["correlations"]
        near = [id for id in (str(chain["correlation_id"]) for chain in found) if id != start and id.startswith(start)]
    if len(near) == 1:
        chain = hub.reader.get_traces(near[0], source)
        if chain["traces"]:
            _draw(hub.screen, chain, [] if source else _arrived(hub, chain), verbose)
            return 0
    told = f"no entries for {start}" + (f" from {source}" if source else "") + f" at {hub.reading}"
    hub.screen.remark(f"{told}; recent ones begin so:" if near else told)
    for id in near[:10]:
        hub.screen.remark(f"    {id}")
    return 1


def _arrived(hub: Hub, chain: Json) -> list[Json]:
    """The entries of several hosts in the order in which they were stored; none of a long chain or a part of one."""
    count, hosts = len(chain["traces"]), {entry.get("hostname") for entry in chain["traces"]}
    if count > MOST_FOLLOWED or chain.get("expired") or len(hosts) < 2:
        return []
    path = f"/traces/{quoted(chain['correlation_id'])}/stream"
    stored = hub.reader.follow(path, {}, "0", lambda *_: None, lambda _: None, timeout_s=FOLLOWED_S)
    try:
        return [entry for _, entry in islice(stored, count)]
    except TraceHubError:
        return []


def _draw(screen: Screen, chain: Json, arrived: list[Json], verbose: bool) -> None:
    entries, width = chain["traces"], screen.width
    steps = steps_of(entries)
    if clocks := clocks_of(steps, arrived):
        ahead = ahead_of_first(clocks)
        steps = steps_of(sorted(entries, key=lambda entry: time_of(entry, ahead)), ahead)
    rows = list(rows_of(steps, fold=not verbose))
    lanes = Lanes(steps, width)
    screen.show(_head(chain, steps, len(lanes.sources)))
    screen.show(*legend(lanes, steps, width), Text(), heading(lanes))
    for line in drawn(rows, lanes, width, verbose):
        screen.line(line)
    if len(rows) > screen.out.height - 6 and screen.out.is_terminal:
        screen.show(heading(lanes), *legend(lanes, steps, width), _head(chain, steps, len(lanes.sources)))
    slow = slowest(steps)
    screen.show(*told_clocks(clocks), *open_steps(steps), *([slow] if slow else []))


def _head(chain: Json, steps: list[Step], sources: int) -> Text:
    """Two lines: what it is, and how large and how old."""
    entries = chain["traces"]
    first, last = float(entries[0]["timestamp"]), float(entries[-1]["timestamp"])
    head = Text.assemble((clean(chain["correlation_id"]), "bold"))
    head.append("  ").append_text(_state(chain, steps))
    errors = sum(bool(trouble_of(entry)) for entry in entries)
    head.append(f", {errors:,} err" if errors else "", "red")
    head.append(f"  {duration(last - first)}\n")
    head.append(
        f"{several(len(entries), 'entry', 'entries')}, {several(len(steps), 'step')}, {several(sources, 'source')}  "
    )
    return head.append(f"{clock(first, day=True)}, {age(first)}", "dim")


def _state(chain: Json, steps: list[Step]) -> Text:
    if chain.get("complete") is None:
        return Text(f"{chain.get('expired') or 'some'} expired", "yellow")
    if chain["complete"]:
        return Text("complete", "green")
    if any(step.entry is not None and step.is_open for step in steps):
        return Text("open", "bold red")
    return Text("no entry" if any(step.entry is None for step in steps) else "incomplete elsewhere", "bold red")
