"""`tracehub list`: recent correlation ids, newest activity first."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table
from rich.text import Text

from tracehub.cli.columns import GAP, UNFOLDED, fitting
from tracehub.cli.command import command
from tracehub.cli.hub import Hub
from tracehub.cli.screen import Screen
from tracehub.cli.whole import Whole
from tracehub.cli.words import age, clean, duration

Json = dict[str, Any]
MOST_CHAINS = 1000  # of a list
NAMED_WIDTH = 100  # columns from which there is room for the names of sources
ID = "correlation id"
MOST_PAGES = 50  # of a filtered list, each of which may come back short


@command(
    "list",
    short_help="Recent correlation ids.",
    examples=[
        "{}  the recent chains",
        "{} --open  those that wait for an exit",
        "{} --errors  those in which something went wrong",
        "{} --source WK -n 100",
        "{} --grep req-12  those with this in their id",
        "{} --json | jq -r '.correlations[].correlation_id'",
    ],
)
@click.option("-n", "--limit", type=Whole(1, MOST_CHAINS), default=20, show_default=True, help="Chains.")
@click.option("--source", metavar="SOURCE", help="Only chains with an entry of this source.")
@click.option("--grep", "q", metavar="TEXT", help="Only chains with this in their id.")
@click.option("--open/--complete", "is_open", default=None, help="Only chains that wait for an exit, or that do not.")
@click.option("--errors", is_flag=True, help="Only chains with an entry that reports an error.")
def list_command(hub: Hub, limit: int, source: str | None, q: str | None, is_open: bool | None, errors: bool) -> int:
    """Recent correlation ids: age, duration, entries, sources, complete or not."""
    complete = None if is_open is None else not is_open
    return list_chains(hub, limit, {"source": source, "q": q, "complete": complete, "errors": errors or None})


def list_chains(hub: Hub, limit: int, filters: Json) -> int:
    """The table of recent chains, or what to do when there is none."""
    page = chains_like(hub, limit, filters)
    if hub.screen.json:
        hub.screen.data(page)
    elif page["correlations"]:
        hub.screen.show(_table(page["correlations"], hub.screen))
    else:
        _say_empty(hub, any(value is not None for value in filters.values()))
    return 0


def chains_like(hub: Hub, limit: int, filters: Json) -> Json:
    """A page of `limit` chains, over as many looks as the server takes."""
    page = hub.ask("/correlations", {"limit": limit, **filters})
    for _ in range(MOST_PAGES):
        if page["next"] is None or len(page["correlations"]) >= limit:
            break
        more = hub.ask("/correlations", {"limit": limit, **filters, "before": page["next"]})
        page["correlations"] = (page["correlations"] + more["correlations"])[:limit]
        page["next"] = more["next"]
    page["count"] = len(page["correlations"])
    return page


def _say_empty(hub: Hub, filtered: bool) -> None:
    if filtered and hub.ask("/correlations", {"limit": 1})["correlations"]:
        hub.screen.remark("no chain matches")
        return
    hub.screen.remark("no traces yet: send one with")
    hub.screen.remark('    eval "$(tracehub new --export)"')
    hub.screen.remark("    tracehub send '->' SH backup /var --data host=here")


def _table(chains: list[Json], screen: Screen) -> Table:
    named = screen.width >= NAMED_WIDTH
    rows = [_row(chain, named) for chain in chains]
    names = fitting(rows, () if named else ("src", "entries", "took"), screen.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim", expand=named)
    for name in names:
        if name == ID:
            table.add_column(name, overflow="fold", min_width=8, max_width=max(UNFOLDED, screen.width - 60))
        elif name == "src" and named:
            table.add_column("from", no_wrap=True, overflow="ellipsis", min_width=3, ratio=1)
        else:
            table.add_column(name, no_wrap=True, justify="left" if name in ("state", "src") else "right")
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


def _row(chain: Json, named: bool) -> dict[str, Text]:
    return {
        ID: Text(clean(chain["correlation_id"])),
        "last": Text(age(float(chain["last_ts"])), "dim"),
        "took": Text(duration(float(chain["duration_ms"]))),
        "entries": Text(f"{chain['trace_count']:,}"),
        "state": _state(chain),
        "src": _sources([clean(source) for source in chain["sources"]], named),
    }


def _state(chain: Json) -> Text:
    if chain["complete"] is None:
        state = Text("expired", "yellow")
    else:
        state = Text("complete", "green") if chain["complete"] else Text(_open(chain), "bold red")
    errors = int(chain.get("errors") or 0)
    return Text.assemble(state, (f", {errors:,} err", "red")) if errors else state


def _open(chain: Json) -> str:
    return "no entry" if int(chain.get("open") or 0) < 0 else "open"


def _sources(sources: list[str], named: bool) -> Text:
    if not named:
        return Text(str(len(sources)))
    return Text(f"{len(sources)}: ", "dim").append(", ".join(sources), "default not dim")
