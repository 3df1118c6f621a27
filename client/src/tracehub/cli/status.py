"""`tracehub status`: are both services up, since when, how much they hold."""

from __future__ import annotations

from typing import Any

from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from tracehub.cli.columns import GAP, fitting
from tracehub.cli.command import command
from tracehub.cli.hub import Hub, Ports
from tracehub.cli.program import DOWN
from tracehub.cli.reading import Reader
from tracehub.cli.words import clean, duration, plainly, several, size
from tracehub.errors import NoAddress, Refused, TraceHubError, Unreachable
from tracehub.settings import read_secret

Json = dict[str, Any]


@command(
    "status",
    short_help="Show whether both are up, and what they hold.",
    examples=["{}", "{} --url http://tracehub:8099", "{} --json | jq .stats.entries", "{} >/dev/null || page-someone"],
)
def status_command(hub: Hub) -> int:
    """Each service: up or down, address, pid, uptime, version. What they hold, and how fast it comes in.

    Exit code 0 when both are up, 3 when not.
    """
    with hub.screen.patience("asking both ports ..."):
        ports = hub.ports()
        services = {
            "ingest": service(ports, "ingest", "TRACEHUB_SECRET"),
            "query": service(ports, "query", "TRACEHUB_QUERY_SECRET"),
        }
        stats = _stats(ports.query) if services["query"]["up"] else {"detail": "the query service is down"}
    up = all(told["up"] for told in services.values())
    if hub.screen.json:
        hub.screen.data({"up": up, "services": services, "stats": stats})
    else:
        hub.screen.show(_table(services, hub.screen.width))
        hub.screen.show(Text(), *_held(stats, services))
    return 0 if up else DOWN


def service(ports: Ports, name: str, secret_name: str) -> Json:
    """What a port says of itself; `up` when it is healthy."""
    url: str = getattr(ports, name)
    try:
        status, told, _ = ports.health(name, read_secret(secret_name))
    except NoAddress:
        raise
    except Unreachable as error:
        return {"up": False, "url": url, "detail": plainly(error)}
    return {"up": status == 200, "url": url, **told}


def _stats(url: str) -> Json:
    try:
        return Reader(url).ask("/stats")
    except Refused as error:
        if error.status in (401, 403):
            return {"detail": f"TRACEHUB_QUERY_SECRET is needed for what it holds ({error.detail})"}
        return {"detail": error.detail}
    except TraceHubError as error:
        return {"detail": plainly(error)}


def _table(services: dict[str, Json], width: int) -> Table:
    rows = [_row(name, told) for name, told in services.items()]
    names = fitting(rows, ("version", "up for", "pid"), width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="dim")
    for name in names:
        justify: JustifyMethod = "right" if name in ("pid", "up for") else "left"
        table.add_column(name, justify=justify, no_wrap=name != "address", overflow="fold")
    for row, told in zip(rows, services.values()):
        table.add_row(*(row[name] for name in names))
        if told.get("detail"):
            table.add_row("", "", Text(clean(told["detail"]), "red"))
    return table


def _row(name: str, told: Json) -> dict[str, Text]:
    uptime = told.get("uptime_s")
    return {
        "service": Text(name),
        "": Text("up", "bold green") if told["up"] else Text("down", "bold red"),
        "address": Text(clean(told["url"])),
        "pid": Text(str(told.get("pid", ""))),
        "up for": Text(_uptime(uptime) if isinstance(uptime, (int, float)) else ""),
        "version": Text(clean(told.get("version", ""))),
    }


def _held(stats: Json, services: dict[str, Json]) -> list[Text]:
    if "entries" not in stats:
        return [Text(clean(stats.get("detail", "")), "yellow")]
    db = services["query"].get("db") or services["ingest"].get("db")
    lines = [
        ("holds", f"{several(stats['entries'], 'entry', 'entries')} in {several(stats['chains'], 'chain')}"),
        ("rate", f"{_rate(stats['rate'])} entries/s over the last minute"),
        ("database", f"{size(stats['db_bytes'])}, WAL {size(stats['wal_bytes'])}"),
        ("retention", f"{stats['retention_hours']:g} hours from arrival"),
        ("live", f"{several(stats['subscribers'], 'subscriber')}, {_behind(stats.get('tail_lag') or {})}"),
    ]
    if stats.get("ingesting") is False:
        lines.append(("takes in", f"nothing: {clean(stats.get('why_not') or '')}"))
    if db:
        lines.append(("file", clean(db)))
    if stats.get("dropped"):
        lines.append(("dropped", f"{several(stats['dropped'], 'entry', 'entries')}, by their senders' own report"))
    return [Text.assemble((f"{name:<10}", "dim"), text) for name, text in lines]


def _rate(rate: float) -> str:
    """A few entries a minute are not none."""
    return f"{rate:,.1f}" if rate >= 0.1 else f"{rate:.2g}"


def _uptime(seconds: float) -> str:
    return f"{seconds:.0f}s" if seconds < 60 else duration(seconds * 1000)


def _behind(lag: Json) -> str:
    entries, seconds = lag.get("entries", 0), lag.get("seconds", 0.0)
    return f"{several(entries, 'entry', 'entries')} and {seconds:.1f} s behind" if entries else "not behind"
