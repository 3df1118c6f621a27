"""`tracehub start`, `stop` and `snapshot`: what the installed server does as a program of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

import click
from rich.text import Text

from tracehub.cli import server
from tracehub.cli.command import command
from tracehub.cli.hub import INGEST_PORT, QUERY_PORT, Hub, database, health, own_database
from tracehub.cli.words import clean, duration, several, size
from tracehub.errors import Unreachable
from tracehub.spool import make_private

START_S = 30.0  # for both services to answer
FLAGS = {"host": "TRACEHUB_HOST", "port": "TRACEHUB_PORT", "query_port": "TRACEHUB_QUERY_PORT"}
_DB = click.option(
    "--db", metavar="FILE", help="Database (TRACEHUB_DB, else the one of the server here, else your own)."
)


@command(
    "start",
    short_help="Start both services, supervised.",
    examples=[
        "{}  in the foreground, until Ctrl-C",
        "{} --detach  in the background, until tracehub stop",
        "{} --db /srv/traces.db --port 9099 --query-port 9100",
    ],
)
@click.option("--detach", is_flag=True, help="Go on in the background once both services answer.")
@click.option("--db", metavar="FILE", help="Database (TRACEHUB_DB, else tracehub/tracehub.db in your data folder).")
@click.option("--host", metavar="ADDRESS", help="Address to listen on (TRACEHUB_HOST, 127.0.0.1).")
@click.option("--port", metavar="PORT", help="Ingest port (TRACEHUB_PORT, 8099).")
@click.option("--query-port", metavar="PORT", help="Query port (TRACEHUB_QUERY_PORT, 8100).")
def start_command(hub: Hub, detach: bool, db: str | None, **flags: str | None) -> int:
    """Start the server: both services, supervised, restarted when they end."""
    words = server.command_line()
    path = Path(db or os.environ.get("TRACEHUB_DB", "").strip() or own_database()).absolute()
    with contextlib.suppress(FileNotFoundError):  # a user without a home has no other place
        if path == own_database():
            make_private(path.parent)
    environ = server.environment(path)
    environ.update({FLAGS[name]: value for name, value in flags.items() if value is not None})
    hub.screen.remark(f"database {path}", "dim")
    if not detach:
        os.execve(words[0], words, environ)
    return _detached(hub, words, environ, path)


def _detached(hub: Hub, words: list[str], environ: dict[str, str], db: Path) -> int:
    """Start in a session of its own, and wait until both services answer or it has ended."""
    urls = _addresses(environ)
    if any(not url.rpartition(":")[2].strip("0") for url in urls):
        raise click.UsageError("--detach: a port of 0 is any free one, and would not be known: name one")
    for url in filter(_answers, urls):
        hub.screen.remark(f"a server answers at {url} already: tracehub stop, or another port with TRACEHUB_PORT")
        return 1
    log = db.with_name(f"{db.name}.log")
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600), "ab") as output:
        begins = output.tell()
        process = subprocess.Popen(
            words, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    until = time.monotonic() + START_S
    with hub.screen.patience("starting ..."):
        while process.poll() is None and time.monotonic() < until and not all(map(_answers, urls)):
            time.sleep(0.1)
    if process.poll() is not None:
        lines = log.read_bytes()[begins:].decode("utf-8", "replace").strip().splitlines()
        hub.screen.remark(lines[-1] if lines else f"the server ended with {process.returncode}")
        return process.returncode or 1
    if hub.screen.json:
        hub.screen.data({"pid": process.pid, "db": str(db), "log": str(log), "ingest": urls[0], "query": urls[1]})
    else:
        state = "is up" if time.monotonic() < until else "is still starting"
        hub.screen.show(Text(clean(f"TraceHub {state}: ingest {urls[0]}, query {urls[1]}")))
        hub.screen.remark(f"pid {process.pid}, log {log}", "dim")
    return 0


def _addresses(environ: dict[str, str]) -> list[str]:
    host = environ.get("TRACEHUB_HOST", "").strip() or "127.0.0.1"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    host = f"[{host}]" if ":" in host else host
    ports = (("TRACEHUB_PORT", INGEST_PORT), ("TRACEHUB_QUERY_PORT", QUERY_PORT))
    return [f"http://{host}:{environ.get(name, '').strip() or port}" for name, port in ports]


def _answers(url: str) -> bool:
    try:
        return health(url, "")[0] == 200
    except Unreachable:
        return False


@command("stop", short_help="Stop both services.", examples=["{}", "{} --db /srv/tracehub/tracehub.db"])
@_DB
def stop_command(hub: Hub, db: str | None) -> int:
    """Stop the server of this database that `start` or `make run-all` began; returns when it has ended."""
    path = database(hub, db)
    with hub.screen.patience("stopping ..."):
        told = server.told(path, "stop")
    if hub.screen.json:
        hub.screen.data(told)
    else:
        hub.screen.show(Text(clean(f"stopped, pid {told['pid']}")))
    return 0


@command(
    "snapshot",
    short_help="Copy the live database.",
    examples=["{} monday.db", "{} /backup/tracehub-$(date +%F).db --json"],
)
@click.argument("file", type=click.Path(path_type=Path))
@_DB
def snapshot_command(hub: Hub, file: Path, db: str | None) -> int:
    """Copy the live database into FILE: consistent, compact, of mode 0600. The server goes on meanwhile.

    The file can be started from, or read with any SQLite. One that exists is not overwritten.
    """
    path = database(hub, db)
    began = time.monotonic()
    with hub.screen.patience(f"copying {path} ..."):
        told = server.told(path, "snapshot", str(file.absolute()))
    took = duration((time.monotonic() - began) * 1000)
    if hub.screen.json:
        hub.screen.data(told)
    else:
        entries = several(told["entries"], "entry", "entries")
        hub.screen.show(Text(clean(f"{file}: {entries}, {size(told['bytes'])}, in {took}, of {path}")))
    return 0
