"""The tail: one loop with one cursor, which hands every new entry, encoded once, to whoever subscribed.

A commit rings the doorbell; without one the tail looks POLL_S after its last look. While nobody listens it reads no
entries. The cursor and the set of subscriptions change under one lock, so that what a subscription is handed begins
exactly behind its start.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final

from shared.api import TailLag
from shared.doorbell import Listener
from shared.errors import TraceHubError, Unavailable
from shared.storage.reader import INFINITY, Numbered, Reader
from shared.wire import StoredEntry, encode

POLL_S: Final = 0.25  # between looks when no bell rings
POLL_WITHOUT_BELL_S: Final = 0.01
TURN_ENTRIES: Final = 500  # read and handed out at a time
PENDING_BYTES: Final = 256 * 1024  # that wait for one subscriber; past it, it is served from the file

Wanted = Callable[[StoredEntry], bool]
_log = logging.getLogger("tracehub.query")


def frame(row_id: int, entry: StoredEntry) -> bytes:
    """The entry as a Server-Sent Event; JSON has no line break, so it is one `data:` line."""
    return b"id: %d\ndata: %b\n\n" % (row_id, encode(entry))


class Subscription:
    """What one subscriber has yet to take, from the tail's cursor `start` on.

    When more than PENDING_BYTES wait for it, it falls behind: nothing is added any more, and it goes on from the file
    after row id `behind`.
    """

    def __init__(self, reader: Reader, start: int, had: int, wants: Wanted | None) -> None:
        self.reader = reader  # of the file that the ids belong to
        self.start = start
        self.wants = wants
        self._had = had  # up to this row id, which the tail may not have reached yet
        self.behind: int | None = None
        self.replaced = False  # the file is another one now: nothing is added any more
        self._pending: list[bytes] = []
        self._bytes = 0
        self._changed = asyncio.Event()

    def push(self, row_id: int, frame: bytes) -> None:
        """Hand over the frame of an entry, unless the subscriber is behind or had it before."""
        if self.behind is not None or self.replaced or row_id <= self._had:
            return
        if self._bytes + len(frame) > PENDING_BYTES and self._pending:
            self.fall_behind(row_id - 1)
        else:
            self._pending.append(frame)
            self._bytes += len(frame)
            self._changed.set()

    def fall_behind(self, row_id: int) -> None:
        """Add nothing more: what comes after this row id is for the subscriber to read from the file."""
        if self.behind is None:
            self.behind = max(row_id, self._had)
            self._changed.set()

    def start_over(self) -> None:
        """Tell the subscriber that ids have lost their meaning."""
        self.replaced = True
        self._changed.set()

    async def frames(self) -> bytes:
        """What has come since the last call, waiting for something; empty when the subscriber is behind or replaced."""
        await self._changed.wait()
        self._changed.clear()
        frames = b"".join(self._pending)
        self._pending.clear()
        self._bytes = 0
        if self.behind is not None or self.replaced:
            self._changed.set()
        return frames


class Tail:
    """The open file of this process, and the subscriptions to what is committed to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        self._own: Reader | None = None  # so that the tail never waits behind requests
        self._closing: list[Reader] = []
        self._why_not: TraceHubError = Unavailable(f"{path} is being opened")
        self._lock = asyncio.Lock()
        self._rung = asyncio.Event()
        self._all: set[Subscription] = set()
        self._by_chain: dict[str, set[Subscription]] = {}
        self.cursor = 0
        self._lag = TailLag(0, 0.0)
        self._kept_up_at = time.monotonic()

    @property
    def reader(self) -> Reader:
        """The file; raises Unavailable while there is none, or none that is set up."""
        if self._reader is None:
            raise self._why_not
        return self._reader

    @property
    def lag(self) -> TailLag:
        """How many entries are committed and not handed out yet, and since when there have been any."""
        return self._lag

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return len(self._all) + sum(map(len, self._by_chain.values()))

    @contextlib.asynccontextmanager
    async def subscription(
        self, correlation_id: str | None = None, wants: Wanted | None = None, had: int = 0
    ) -> AsyncIterator[Subscription]:
        """What is committed from now on: to one chain, to all, or what is wanted of all. Raises Unavailable.

        The subscriber has everything up to row id `had`.
        """
        async with self._lock:
            if not self.subscribers:
                self.cursor = await self._look.newest()
            subscription = Subscription(self.reader, self.cursor, had, wants)
            self._listeners(correlation_id).add(subscription)
        self._rung.set()
        try:
            yield subscription
        finally:
            self._listeners(correlation_id).discard(subscription)
            if correlation_id is not None and not self._by_chain[correlation_id]:
                del self._by_chain[correlation_id]

    async def open(self) -> None:
        """Open the file if it is there, or the one that has taken its place; `reader` says how that went."""
        if self._own is None or not self._own.is_current():
            await self._open()

    async def run(self) -> None:
        """Look at the file at every ring and every so often, for as long as the service lives."""
        listener = Listener(self._path, self._hear)
        poll_s = POLL_S if listener.listens else POLL_WITHOUT_BELL_S
        try:
            while True:
                self._rung.clear()
                try:
                    await self._turn()
                except TraceHubError as error:
                    _log.warning("the tail waits: %s", error)
                except Exception:  # the turn of an endless loop: the next one may do better
                    _log.exception("the tail stumbled")
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(poll_s if self.subscribers else POLL_S):
                        await self._rung.wait()
        finally:
            listener.close()
            await self._close()

    def _hear(self) -> None:
        if self.subscribers:
            self._rung.set()

    @property
    def _look(self) -> Reader:
        if self._own is None:
            raise self._why_not
        return self._own

    async def _turn(self) -> None:
        await self.open()
        if self._own is None:
            return
        while self.subscribers:
            async with self._lock:
                entries = await self._look.entries_after(self.cursor, INFINITY, TURN_ENTRIES)
                self._hand_out(entries)
            if len(entries) < TURN_ENTRIES:
                break
            self._lag = TailLag(await self._look.newest() - self.cursor, time.monotonic() - self._kept_up_at)
        self._lag = TailLag(0, 0.0)
        self._kept_up_at = time.monotonic()

    async def _open(self) -> None:
        if self._own is not None:
            _log.info("%s is another file now", self._path)
            await self._close()
        async with self._lock:
            try:
                self._own = await Reader.open(self._path, connections=1)
                self._reader = await Reader.open(self._path)
                self.cursor = await self._own.newest()
            except TraceHubError as error:
                await self._close()
                if str(error) != str(self._why_not):
                    _log.info("%s", error)
                self._why_not = error
                return
            for subscription in self._subscriptions():
                subscription.start_over()

    async def _close(self) -> None:
        self._closing += [reader for reader in (self._own, self._reader) if reader is not None]
        self._own = self._reader = None
        while self._closing:
            await self._closing[-1].close()
            self._closing.pop()

    def _hand_out(self, entries: list[Numbered]) -> None:
        if not entries:
            return
        if entries[0][0] > self.cursor + 1:  # retention was faster: the file, and what it says of the gap, goes first
            for subscription in self._subscriptions():
                subscription.fall_behind(self.cursor)
        for row_id, entry in entries:
            encoded = frame(row_id, entry)
            for subscription in self._all:
                if subscription.wants is None or subscription.wants(entry):
                    subscription.push(row_id, encoded)
            for subscription in self._by_chain.get(entry.correlation_id, ()):
                subscription.push(row_id, encoded)
        self.cursor = entries[-1][0]

    def _subscriptions(self) -> list[Subscription]:
        return [*self._all, *itertools.chain.from_iterable(self._by_chain.values())]

    def _listeners(self, correlation_id: str | None) -> set[Subscription]:
        return self._all if correlation_id is None else self._by_chain.setdefault(correlation_id, set())
