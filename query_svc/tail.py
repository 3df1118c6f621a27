"""The tail: one loop with one cursor, which hands every new entry, encoded once, to whoever subscribed.

A commit rings the doorbell; without a ring the tail looks POLL_S after its last look, and POLL_WITHOUT_BELL_S after it
where no bell can be hung. While nobody listens it looks every POLL_S whether the file is still the same, and reads no
entries. The cursor and the set of subscriptions change under one lock, so that what a subscription is handed begins
exactly behind its start.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from query_svc.filters import EVERYTHING, Filter, Test
from query_svc.subscription import PENDING_BYTES, Frames, Subscription, frame
from shared.answers import TailLag
from shared.doorbell import Listener
from shared.errors import TraceHubError, Unavailable
from shared.log import Endless
from shared.storage.reader import Reader
from shared.storage.rows import Numbered
from shared.storage.tail_reader import TailReader

POLL_S: Final = 0.25  # between looks when no bell rings
POLL_WITHOUT_BELL_S: Final = 0.01  # the same where none can be hung, while anyone listens
AT_A_STRETCH: Final = 50  # subscriptions that are handed something before others get their turn of the event loop
TESTS: Final = 10_000  # of entries by filters, likewise

Framed = tuple[Numbered, bytes]
_log = logging.getLogger("tracehub.query")


class Tail:
    """The open file of this process, and the subscriptions to what is committed to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._reader: Reader | None = None
        self._tail_reader: TailReader | None = None
        self._closing: list[Reader] = []
        self._why_not: TraceHubError = Unavailable(f"{path} is being opened")
        self._lock = asyncio.Lock()
        self._rung = asyncio.Event()
        self._by_filter: dict[Filter, tuple[Test, set[Subscription]]] = {}
        self._by_chain: dict[str, set[Subscription]] = {}
        self.cursor = 0
        self.subscribers = 0
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
        """How many entries are committed and not handed out yet, and for how long there have been any."""
        return self._lag

    @contextlib.asynccontextmanager
    async def subscription(
        self, correlation_id: str | None = None, wanted: Filter = EVERYTHING, had: int = 0
    ) -> AsyncIterator[Subscription]:
        """What is committed from now on: to one chain, to all, or what of all passes the filter. Raises Unavailable.

        The subscriber has everything up to row id `had`.
        """
        async with self._lock:
            if not self.subscribers:
                self.cursor = self._look.newest()
            subscription = Subscription(self.reader, self.cursor, had)
            if correlation_id is None:
                _, listeners = self._by_filter.setdefault(wanted, (wanted.test(), set()))
            else:
                listeners = self._by_chain.setdefault(correlation_id, set())
            listeners.add(subscription)
            self.subscribers += 1
        self._rung.set()
        try:
            yield subscription
        finally:
            subscription.end()
            listeners.discard(subscription)
            self.subscribers -= 1
            if not listeners and correlation_id is None:
                del self._by_filter[wanted]
            elif not listeners and correlation_id is not None:
                del self._by_chain[correlation_id]

    async def open(self) -> None:
        """Open the file if it is there, or the one that has taken its place; `reader` says how that went."""
        if self._tail_reader is None or not self._tail_reader.is_current():
            await self._open()

    async def run(self) -> None:
        """Look at the file at every ring and every so often, for as long as the service lives."""
        listener = Listener(self._path, self._hear)
        poll_s = POLL_S if listener.listens else POLL_WITHOUT_BELL_S
        endless = Endless(_log, "the tail")
        try:
            while True:
                self._rung.clear()
                with endless.turn():
                    await self._turn()
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
    def _look(self) -> TailReader:
        if self._tail_reader is None:
            raise self._why_not
        return self._tail_reader

    async def _turn(self) -> None:
        await self.open()
        if self._tail_reader is None:
            return
        more = True
        while more and self.subscribers:
            async with self._lock:
                entries, more = self._look.entries_after(self.cursor)
                await self._hand_out(entries)
            if more:
                self._lag = TailLag(self._look.newest() - self.cursor, time.monotonic() - self._kept_up_at)
                await asyncio.sleep(0)  # however far behind, others get their turn of the event loop
        self._lag = TailLag(0, 0.0)
        self._kept_up_at = time.monotonic()

    async def _open(self) -> None:
        if self._tail_reader is not None:
            _log.info("%s is another file now", self._path)
            await self._close()
        async with self._lock:
            try:
                self._tail_reader = TailReader(self._path)
                self._reader = await Reader.open(self._path)
                self.cursor = self._tail_reader.newest()
                if not self._tail_reader.is_current():
                    raise Unavailable(f"{self._path} was replaced while it was opened")
            except BaseException as error:
                await self._close()
                if not isinstance(error, TraceHubError):
                    raise
                if str(error) != str(self._why_not):
                    _log.info("%s", error)
                self._why_not = error
                return
            for subscription in self._subscriptions():
                subscription.end()

    async def _close(self) -> None:
        if self._tail_reader is not None:
            self._tail_reader.close()
        if self._reader is not None:
            self._closing.append(self._reader)
        self._tail_reader = self._reader = None
        while self._closing:
            await self._closing[-1].close()
            self._closing.pop()

    async def _hand_out(self, entries: list[Numbered]) -> None:
        """Hand the next entries to all who want them, as large a part at a time as a subscriber may have waiting."""
        if not entries:
            return
        if entries[0][0] > self.cursor + 1:  # retention was faster: the file, and what it says of the gap, goes first
            for subscription in self._subscriptions():
                subscription.fall_behind(self.cursor)
        pushes = 0
        for some in _parts([(numbered, frame(*numbered)) for numbered in entries]):
            async for subscriptions, frames in self._shares(some):
                for subscription in tuple(subscriptions):
                    subscription.push(frames)
                    pushes += 1
                    if pushes % AT_A_STRETCH == 0:
                        await asyncio.sleep(0)
            self.cursor = some[-1][0][0]

    async def _shares(self, some: list[Framed]) -> AsyncIterator[tuple[set[Subscription], Frames]]:
        """Subscriptions with the frames that they want, joined once for all that want the same."""
        tests = 0
        for test, subscriptions in tuple(self._by_filter.values()):
            if share := [(id, frame) for (id, entry), frame in some if test(entry)]:
                yield subscriptions, Frames(share)
            tests += len(some)
            if tests >= TESTS:
                tests = 0
                await asyncio.sleep(0)
        by_chain: defaultdict[str, list[tuple[int, bytes]]] = defaultdict(list)
        if self._by_chain:
            for (id, entry), frame in some:
                if entry.correlation_id in self._by_chain:
                    by_chain[entry.correlation_id].append((id, frame))
        for correlation_id, share in by_chain.items():
            yield self._by_chain.get(correlation_id, set()), Frames(share)

    def _subscriptions(self) -> list[Subscription]:
        groups = (*(listeners for _, listeners in self._by_filter.values()), *self._by_chain.values())
        return list(itertools.chain.from_iterable(groups))


def _parts(framed: list[Framed]) -> Iterator[list[Framed]]:
    """Runs of not more than PENDING_BYTES, or of one entry."""
    part: list[Framed] = []
    size = 0
    for one in framed:
        if part and size + len(one[1]) > PENDING_BYTES:
            yield part
            part, size = [], 0
        part.append(one)
        size += len(one[1])
    yield part
