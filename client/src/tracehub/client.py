"""Sending entries: `TraceHubClient`, and the one of this process that the environment sets up.

from tracehub.client import create_trace_entry, send_trace
send_trace(create_trace_entry("MA", "req-1", 1706803200123.0, "x7K", "->", "REST", "/api/agents"))
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from secrets import token_hex
from types import TracebackType
from typing import Callable

from tracehub import processes
from tracehub.backlog import Backlog, Counts, Item
from tracehub.connection import Connection, Place
from tracehub.delivery import Delivery
from tracehub.encoding import BeforeSend, Encoder
from tracehub.entry import Fields, TraceEntry, create_trace_entry, freeze, this_host, valid_time
from tracehub.errors import NoAddress
from tracehub.query import TraceHubQueryClient
from tracehub.redaction import Redaction
from tracehub.sender import Sender
from tracehub.settings import first_secret, number, read_numbers, read_secret, read_spool, read_url, read_words
from tracehub.spool import Spool
from tracehub.trouble import say

__all__ = [
    "TraceEntry",
    "TraceHubClient",
    "TraceHubQueryClient",
    "close_tracehub_client",
    "create_trace_entry",
    "get_tracehub_client",
    "is_tracehub_enabled",
    "send_trace",
]

_INFINITY = float("inf")
_WAIT_S = 5.0  # for what is pending, unless another time is given


class TraceHubClient:
    """Sends entries from a thread of its own. `send` never blocks and never raises, whatever it is given.

    A batch leaves when `batch_size` entries wait or `flush_interval` seconds have passed; what gathers while it is on
    its way leaves together. At most 10,000 entries and 16 MiB wait, the oldest are dropped first. `timeout` is seconds
    for one answer; after `retry_count` quick retries it tries more slowly, for ten minutes.

    `secret` is TRACEHUB_SECRET where it is None. `redact` adds to the words that mark a key of `data` as secret, see
    `Redaction`. `before_send` gets each entry as a dict, on the sender's thread, and returns what is sent, or None.
    `spool` is the directory for what cannot be sent, TRACEHUB_SPOOL where it is None, empty for none. Without a
    `base_url` a client does nothing. A number that cannot be used is logged, and None is the default.
    """

    def __init__(
        self,
        base_url: str | None,
        batch_size: int = 10,
        flush_interval: float = 1.0,
        timeout: float = 5.0,
        retry_count: int = 2,
        *,
        secret: str | None = None,
        redact: Iterable[str] = (),
        before_send: BeforeSend | None = None,
        spool: str | None = None,
    ) -> None:
        self.base_url = (base_url or "").strip().rstrip("/")
        self.batch_size = number("batch_size", batch_size, int, 10, 1)
        self.flush_interval = number("flush_interval", flush_interval, float, 1.0, 0.0)
        self.timeout = number("timeout", timeout, float, 5.0, 0.001)
        self.retry_count = number("retry_count", retry_count, int, 2, 0)
        self._secret = secret
        self._redact = tuple(redact)
        self._before_send = before_send
        self._spool = spool
        self._place = _place_at(self.base_url)
        self._enabled = self._place is not None
        self.start_anew()
        processes.remember(self)

    def start_anew(self) -> None:
        """Begin as in a new process: nothing pending, nothing counted. What a forked child does by itself."""
        self._pid = os.getpid()
        name = f"{_header_word(this_host())}.{self._pid}.{token_hex(4)}"
        self._backlog = Backlog()
        redaction = Redaction((*read_words("TRACEHUB_REDACT"), *self._redact))
        self._is_secret = redaction.is_secret
        self._sender = Sender(
            self._backlog,
            Encoder(redaction, self._before_send),
            Delivery(name, self._place.url("") if self._place else "", self._connect),
            self.batch_size,
            self.flush_interval,
            self.retry_count,
            self._make_spool(name),
        )
        self._put: Callable[[Item], bool] = self._backlog.put if self._enabled else _ignore

    def send(self, entry: TraceEntry) -> None:
        """Take `entry`, with its `data` as it is now."""
        try:
            timestamp = entry.timestamp
            if type(timestamp) is not float or not 0.0 <= timestamp < _INFINITY:
                timestamp = valid_time(timestamp)
            record = freeze(
                (
                    entry.source_id, entry.correlation_id, timestamp, entry.suffix, entry.direction, entry.operation,
                    entry.endpoint, entry.data, entry.hostname, entry.raw_line,
                ),
                self._is_secret,
            )  # fmt: skip
            if self._put(record):
                self._attend()
        except Exception as error:
            self._refuse(error)

    def send_fields(self, fields: Fields) -> None:
        """`send` without the object: the entry's ten fields in their order, the timestamp a float."""
        try:
            if self._put(freeze(fields, self._is_secret)):
                self._attend()
        except Exception as error:
            self._refuse(error)

    def flush(self, timeout: float | None = _WAIT_S) -> bool:
        """Wait up to `timeout` seconds; true when nothing sent before is pending any more, in flight or waiting."""
        return not self._enabled or self._own_sender().flush(_WAIT_S if timeout is None else timeout)

    def close(self, timeout: float | None = _WAIT_S) -> bool:
        """Flush and end the thread; what is sent later is dropped, and so is what cannot be sent within `timeout`."""
        processes.forget(self)
        return not self._enabled or self._own_sender().close(_WAIT_S if timeout is None else timeout)

    def leave(self, timeout: float) -> None:
        """Flush because the process ends: no longer than `timeout` seconds, and less when the server is away."""
        if not self._enabled:
            return
        flushed = False
        try:
            flushed = self._own_sender().flush(timeout, leaving=True)
        finally:  # a second Ctrl-C ends the waiting
            if not flushed:
                self._own_sender().rescue()

    def abandon(self) -> None:
        """In a forked child: what is pending belongs to the parent."""
        self._sender.abandon()
        self.start_anew()

    def counts(self) -> Counts:
        """All counters at one instant."""
        return self._backlog.counts()

    @property
    def sent(self) -> int:
        return self.counts().sent

    @property
    def dropped(self) -> int:
        return self.counts().dropped

    @property
    def pending(self) -> int:
        return self.counts().pending

    @property
    def failed(self) -> int:
        """Attempts that the server did not accept; their entries are pending, sent or dropped like any other."""
        return self.counts().failed

    def __enter__(self) -> TraceHubClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _attend(self) -> None:
        processes.hook()
        self._own_sender().attend()

    def _own_sender(self) -> Sender:
        if self._pid != os.getpid():  # forked by something that does not run Python's hooks
            came = self._backlog.uncounted()
            self.abandon()
            for item in came:
                self._backlog.put(item)
        return self._sender

    def _connect(self, answer_within_s: float | None) -> Connection:
        secret = read_secret("TRACEHUB_SECRET") if self._secret is None else self._secret
        timeout_s = self.timeout if answer_within_s is None else min(self.timeout, answer_within_s)
        return Connection(self.base_url, timeout_s, first_secret(secret))

    def _make_spool(self, name: str) -> Spool | None:
        directory, megabytes = read_spool()
        chosen = directory if self._spool is None else self._spool
        return Spool(chosen, name, megabytes * 2**20) if chosen else None

    def _refuse(self, error: Exception) -> None:
        self._backlog.refuse()
        say("refused", "an entry could not be taken: %s: %s", type(error).__name__, error)


_made: dict[str, TraceHubClient] = {}  # the client of this process, once there is one


def get_tracehub_client() -> TraceHubClient | None:
    """The client of this process, made when first asked for; None while TRACEHUB_URL is empty."""
    client = _made.get("client")
    if client is not None or not (url := read_url()):
        return client
    made = TraceHubClient(url, **read_numbers())
    return _made.setdefault("client", made)  # of two threads one wins, without a lock that a fork could leave taken


def close_tracehub_client(timeout: float | None = _WAIT_S) -> bool:
    """Close the client of this process; the next use reads the settings anew. True when all was sent."""
    client = _made.pop("client", None)
    return client is None or client.close(timeout)


def send_trace(entry: TraceEntry) -> None:
    """Send `entry` through the client of this process, where one is configured."""
    client = get_tracehub_client()
    if client is not None:
        client.send(entry)


def is_tracehub_enabled() -> bool:
    """Whether TRACEHUB_URL says where to send to."""
    return bool(read_url())


def _ignore(item: Item) -> bool:  # noqa: ARG001
    return False


def _place_at(url: str) -> Place | None:
    try:
        return Place.at(url) if url else None
    except NoAddress as error:
        say("address", "nothing will be sent: %s", error)
        return None


def _header_word(text: str) -> str:
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "-_") else "-" for letter in text)[:64]
