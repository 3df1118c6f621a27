"""Which TraceHub a command talks to, over the client's own connection, and with which secrets."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import NamedTuple

import click

from tracehub.cli.reading import Reader
from tracehub.cli.screen import Screen
from tracehub.connection import Answer, Connection, Place
from tracehub.errors import Unreachable
from tracehub.following import Json, answered, refused
from tracehub.settings import read_secret

INGEST_PORT, QUERY_PORT = 8099, 8100
LAST_PORT = 65_535
ANSWER_S = 10.0
PROBE_S = 3.0
NOTHING = b'{"traces":[]}'


class Ports(NamedTuple):
    """Addresses of both ports."""

    ingest: str
    query: str

    def health(self, name: str, secret: str) -> tuple[int, Json, float | None]:
        """As the function `health`, of the port of this name.

        Where a proxy has one address for both, /health is the query port's: a batch of nothing tells of the other, as
        does a refusal of the secret.
        """
        if name == "query" or self.ingest != self.query:
            return health(self.query if name == "query" else self.ingest, secret)
        answer = offer_nothing(self.ingest, secret)
        if answer.status in (200, 401, 403, 429):
            return 200, {}, None
        return answer.status, {"detail": refused(answer).detail}, None


class Hub:
    """One TraceHub as a command sees it. `url` is of either port, empty for this machine's own."""

    def __init__(self, url: str, screen: Screen) -> None:
        self.screen = screen
        self._url = url.strip().rstrip("/")
        self._reader = Reader(self.reading)
        self.address = self.reading  # what a failure is about

    @property
    def reading(self) -> str:
        """Where questions go."""
        return self._url or _local("TRACEHUB_QUERY_PORT", QUERY_PORT)

    @property
    def sending(self) -> str:
        """Where entries go."""
        return self._url or _local("TRACEHUB_PORT", INGEST_PORT)

    @property
    def reader(self) -> Reader:
        """The client's own way of reading."""
        return self._reader

    def ask(self, path: str, parameters: Json | None = None) -> Json:
        """A question to the query port, with a spinner when the answer takes its time."""
        with self.screen.patience(f"asking {self.reading} ..."):
            return self._reader.ask(path, parameters)

    def sender(self, timeout_s: float = ANSWER_S) -> Connection:
        """A connection for what the ingest port takes."""
        self.address = self.sending
        return Connection(self.sending, timeout_s, read_secret("TRACEHUB_SECRET"))

    def ports(self) -> Ports:
        """Both addresses, found by what the one we know says of the other: each sends on what is the other's."""
        if not self._url:
            return Ports(self.sending, self.reading)
        known = Place.at(self._url).url("")
        query = _elsewhere(known, "GET", "/stats", None)
        if query == "":
            other = _neighbour(known)
            is_query = Place.at(known).port == Place.at(_local("TRACEHUB_QUERY_PORT", QUERY_PORT)).port
            return Ports(other, known) if is_query else Ports(known, other)
        if query is not None:
            return Ports(known, query)
        ingest = _elsewhere(known, "POST", "/ingest", NOTHING)
        return Ports(known if ingest is None else ingest or _neighbour(known), known)


def health(url: str, secret: str) -> tuple[int, Json, float | None]:
    """Status, what a port says of itself, and when, by its clock. Raises Unreachable."""
    from email.utils import parsedate_to_datetime

    connection = Connection(url, PROBE_S, secret)
    try:
        answer = connection.ask("GET", "/health")
    finally:
        connection.close()
    try:
        at = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (TypeError, ValueError):
        at = None
    try:
        told = answered(answer.body)
    except Unreachable:
        if answer.status == 200:
            raise
        told = {"detail": refused(answer).detail}
    return answer.status, told, at


def offer_nothing(url: str, secret: str) -> Answer:
    """What the ingest port says to a batch without entries, which changes nothing. Raises Unreachable."""
    connection = Connection(url, PROBE_S, secret)
    try:
        return connection.ask("POST", "/ingest", NOTHING, {"Content-Type": "application/json"})
    finally:
        connection.close()


def database(hub: Hub, given: str | None) -> Path:
    """The file meant: the one given, TRACEHUB_DB, the one that a server on this machine says it has, the user's own."""
    named = given or os.environ.get("TRACEHUB_DB", "").strip()
    if named:
        return Path(named).absolute()
    for url, name in ((hub.reading, "TRACEHUB_QUERY_SECRET"), (hub.sending, "TRACEHUB_SECRET")):
        try:
            told = Path(str(health(url, read_secret(name))[1].get("db") or ""))
        except Unreachable:
            continue
        if told.is_absolute() and _is_here(told):
            return told
    return own_database()


def _is_here(file: Path) -> bool:
    """Whether this machine has the file, or may have it where this user may not look."""
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError as error:
        return isinstance(error, PermissionError)


def own_database() -> Path:
    """Where this user's traces are kept unless something else is said."""
    return own_folder("XDG_DATA_HOME", ".local/share") / "tracehub.db"


def own_folder(variable: str, in_home: str) -> Path:
    """Where this user's files of one kind are. Raises FileNotFoundError for a user without a home, as in containers."""
    given = os.environ.get(variable, "")
    try:
        return (Path(given) if given.startswith("/") else Path.home() / in_home) / "tracehub"
    except RuntimeError:
        raise FileNotFoundError(errno.ENOENT, f"this user has none, set {variable}", "home") from None


def _local(variable: str, default: int) -> str:
    port = os.environ.get(variable, "").strip() or "0"
    if not (port.isascii() and port.isdigit() and int(port) <= LAST_PORT):
        raise click.UsageError(f"{variable}={port!r}: expected a port from 0 (the usual one) to {LAST_PORT}")
    return f"http://127.0.0.1:{int(port) or default}"


class _Moved(Exception):
    """The port sends this call on."""


class _Probe(Connection):
    """A connection that tells where it is sent on to, and does not go there."""

    def _follow(self, _place: Place, _path: str, location: str | None) -> tuple[Place, str]:
        raise _Moved(location or "")


def _elsewhere(url: str, method: str, path: str, body: bytes | None) -> str | None:
    """Where the port sends this call on to: None when it is its own, empty when nothing answers."""
    try:
        probe = _Probe(url, PROBE_S)
        try:
            probe.ask(method, path, body, {"Content-Type": "application/json"})
        finally:
            probe.close()
    except _Moved as moved:
        return str(moved).partition("?")[0].removesuffix(path)
    except Unreachable:
        return ""
    return None


def _neighbour(url: str) -> str:
    """The other port of one that does not answer: by the settings, or next to it."""
    known = Place.at(url)
    pair = [
        Place.at(_local("TRACEHUB_PORT", INGEST_PORT)).port,
        Place.at(_local("TRACEHUB_QUERY_PORT", QUERY_PORT)).port,
    ]
    other = pair[1 - pair.index(known.port)] if known.port in pair else known.port + 1
    return known._replace(port=other).url("")
