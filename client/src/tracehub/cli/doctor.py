"""`tracehub doctor`: what is wrong here, and what to do about it. The server's program looks at the file."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from ssl import SSLError
from typing import NamedTuple

from rich.table import Table
from rich.text import Text

from tracehub.cli import server
from tracehub.cli.command import command
from tracehub.cli.hub import PROBE_S, Hub, database, offer_nothing
from tracehub.cli.reading import Reader
from tracehub.cli.running import _DB
from tracehub.cli.words import clean, duration, plainly
from tracehub.connection import Place
from tracehub.errors import NoAddress, TraceHubError, Unreachable
from tracehub.following import NO_REASON
from tracehub.settings import read_secret

CLOCK_S = 2.0  # an answer's Date is in whole seconds
STYLES = {"ok": "green", "warning": "bold yellow", "problem": "bold red"}
LOCAL = ("127.0.0.1", "localhost", "::1")


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: str
    name: str
    detail: str
    remedy: str = ""


@command(
    "doctor",
    short_help="Diagnose this installation.",
    examples=["{}", "{} --url http://tracehub:8099", "{} --json | jq '.findings[] | select(.level != \"ok\")'"],
)
@_DB
def doctor_command(hub: Hub, db: str | None) -> int:
    """Look at ports, secrets, clocks and versions and, where the server is installed, at its file: permissions,
    integrity, other writers, disk space. Exit code 1 when there is a problem; warnings are none.
    """
    with hub.screen.patience("looking ..."):
        findings = [Finding("ok", "python", sys.version.split()[0]), *_ports(hub), *_file(hub, db)]
    bad = any(finding.level == "problem" for finding in findings)
    if hub.screen.json:
        hub.screen.data({"healthy": not bad, "findings": [finding._asdict() for finding in findings]})
        return int(bad)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0), width=hub.screen.width)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold", ratio=1)
    for level, name, detail, remedy in findings:
        told = Text(clean(detail)).append(f"\n-> {clean(remedy)}" if remedy else "", STYLES.get(level, ""))
        table.add_row(Text(level, STYLES.get(level, "")), Text(clean(name)), told)
    hub.screen.show(table)
    return int(bad)


def _ports(hub: Hub) -> list[Finding]:
    ports = hub.ports()
    findings: list[Finding] = []
    for name, url, variable in (
        ("ingest", ports.ingest, "TRACEHUB_SECRET"),
        ("query", ports.query, "TRACEHUB_QUERY_SECRET"),
    ):
        try:
            asked = time.time()
            status, told, at = ports.health(name, read_secret(variable))
        except NoAddress:
            raise
        except Unreachable as error:
            remedy = "" if isinstance(error.__cause__, SSLError) else "tracehub start, or --url"
            findings.append(Finding("problem", name, f"no answer from {url}: {plainly(error)}", remedy))
            continue
        if status == 200:
            findings.append(
                Finding("ok", name, f"healthy at {url}, version {told.get('version', 'not told without the secret')}")
            )
        else:
            findings.append(Finding("problem", name, f"{url} answers {status}: {told.get('detail', NO_REASON)}"))
        if name == "query" and at is not None:
            findings.append(_clock((asked + time.time()) / 2 - at - 0.5))
        findings += _secret(name, url, variable)
    return findings


def _clock(behind_s: float) -> Finding:
    if abs(behind_s) <= CLOCK_S:
        return Finding("ok", "clock", "no more than two seconds from the server's")
    way = "ahead of" if behind_s > 0 else "behind"
    told = f"this machine is {duration(abs(behind_s) * 1000)} {way} the server"
    return Finding("warning", "clock", told, "entries of several hosts will not sort well: run an NTP client")


def _secret(name: str, url: str, variable: str) -> list[Finding]:
    """Whether this port takes the secret, by a call that changes nothing."""
    given, known = read_secret(variable), Place.at(url)
    try:
        if name == "query":
            Reader(url, timeout=PROBE_S).ask("/stats")
            status = 200
        else:
            status = offer_nothing(url, given).status
    except TraceHubError as error:
        status = getattr(error, "status", 0)
    if status == 401:
        return [Finding("problem", f"{name} secret", "the port wants a secret and none is set here", f"set {variable}")]
    if status == 403:
        return [
            Finding("problem", f"{name} secret", "the port refuses the secret that is set here", f"correct {variable}")
        ]
    if given and known.scheme == "http" and known.host not in LOCAL:
        return [Finding("warning", f"{name} secret", f"it travels unencrypted to {url}", "put a TLS proxy in front")]
    told = "set, and taken" if given else "not set here, not required"
    return [Finding("ok", f"{name} secret", told)] if status == 200 else []


def _file(hub: Hub, db: str | None) -> list[Finding]:
    if not db and not os.environ.get("TRACEHUB_DB") and Place.at(hub.reading).host not in LOCAL:
        return [Finding("ok", "database", "on another machine: run tracehub doctor there")]
    path: Path = database(hub, db)
    try:
        told = server.told(path, "doctor")
    except server.NotInstalled as error:
        return [Finding("ok", "database", f"not looked at: {error}")]
    except TraceHubError as error:
        return [Finding("problem", "database", f"{path}: {error}")]
    return [Finding(**finding) for finding in told["findings"]]
