"""What waits to be sent: at most 10,000 entries and 16 MiB. Full: the oldest go, and each one is counted.

Producers only ever append to a deque and try a lock without waiting for it, so a signal handler, a finalizer or a
process forked at the wrong moment cannot hang in here. An entry is bytes as captured, or str once it is JSON.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NamedTuple, Union

Item = Union[bytes, str]

MAX_ENTRIES = 10_000
MAX_BYTES = 16 * 2**20
_LOOK_AT = 32  # entries that may wait unbounded and uncounted
_LARGE = 16 * 2**10  # bytes of an entry that is bounded and counted at once
_PATIENCE_S = 0.5  # who holds the lock does so for microseconds, unless interrupted


class Counts(NamedTuple):
    """enqueued = sent + dropped + pending, at any time. `failed` counts attempts that the server did not accept."""

    enqueued: int
    sent: int
    dropped: int
    pending: int
    failed: int


class Backlog:
    """Entries in the order in which they came: waiting, or out with the sender until it settles them."""

    def __init__(self, max_entries: int = MAX_ENTRIES, max_bytes: int = MAX_BYTES) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._inbox: deque[Item] = deque()
        self._waiting: deque[Item] = deque()
        self._bytes = 0
        self._out_count = 0
        self._on_disk = 0
        self._sent = 0
        self._dropped = 0
        self._failed = 0
        self._apart = 0  # of all, those that are settled out of turn: adopted, refused, or too large
        self._lock = threading.Lock()
        self._due = self.look_at = 1  # entries in memory, in the inbox: `put` asks for attention
        self.lost_to_bounds = 0  # entries dropped because there was no room

    def put(self, item: Item) -> bool:
        """Take `item` in; true when someone should look: a batch is there, one is large, or nobody is awake."""
        inbox = self._inbox
        inbox.append(item)
        return len(inbox) >= self.look_at or len(item) > _LARGE

    def relax(self, batch_size: int) -> None:
        """Somebody is awake: ask for attention once a batch has gathered."""
        with self._held():
            self._due = batch_size
            self._admit()

    def watch(self) -> None:
        """Nobody will look by themselves: ask for attention with the next entry."""
        self.relax(1)

    def uncounted(self) -> list[Item]:
        """What came in and was not counted yet."""
        return list(self._inbox)

    def count_in(self) -> None:
        """Bound and count what came in. Who finds the lock taken leaves it to its holder."""
        while self._inbox and self._lock.acquire(False):
            try:
                self._admit()
            finally:
                self._let_go()

    def take(self, most: int, most_bytes: int) -> list[Item]:
        """Up to `most` of the oldest entries, at least one where there is one; they stay pending until settled."""
        with self._held():
            self._admit()
            taken: list[Item] = []
            size = 0
            while self._waiting and len(taken) < most:
                size += len(self._waiting[0])
                if taken and size > most_bytes:
                    break
                taken.append(self._waiting.popleft())
                self._bytes -= len(taken[-1])
            self._out_count += len(taken)
            return taken

    def settle(self, sent: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """So many of the taken entries have met their fate, in so many attempts that the server did not accept."""
        with self._held():
            self._out_count -= sent + dropped
            self._sent += sent
            self._dropped += dropped
            self._failed += failed

    def give_up(self) -> None:
        """Drop what is taken."""
        with self._held():
            self._dropped += self._out_count
            self._out_count = 0

    def put_back(self, items: Sequence[Item]) -> None:
        """What was taken and could not be sent is the oldest again, and the first to go when there is no room."""
        with self._held():
            self._waiting.extendleft(reversed(items))
            self._bytes += sum(map(len, items))
            self._out_count -= len(items)
            self._admit()

    def drop_oldest(self, count: int) -> int:
        """Drop up to `count` waiting entries; how many there were."""
        with self._held():
            self._admit()
            return self._drop(count)

    def refuse(self) -> None:
        """Count an entry that was never taken in."""
        with self._held():
            self._dropped += 1
            self._apart += 1

    def spooled(self, written: int = 0, adopted: int = 0, sent: int = 0, dropped: int = 0, failed: int = 0) -> None:
        """Entries on disk stay pending: `written` were taken before, `adopted` come from another process."""
        with self._held():
            self._out_count -= written
            self._on_disk += written + adopted - sent - dropped
            self._apart += adopted
            self._sent += sent
            self._dropped += dropped
            self._failed += failed

    @property
    def waiting(self) -> int:
        """Entries in memory that nobody has taken."""
        return len(self._waiting) + len(self._inbox)

    def counts(self) -> Counts:
        with self._held():
            self._admit()
            pending = len(self._waiting) + self._out_count + self._on_disk
            return Counts(self._sent + self._dropped + pending, self._sent, self._dropped, pending, self._failed)

    def mark(self) -> int:
        """Where the row of entries ends now: when `settled` comes up to it, none of them is pending any more."""
        with self._held():
            self._admit()
            return self._settled() + self._out_count + self._on_disk + len(self._waiting)

    def settled(self) -> int:
        """How far the row of entries is settled. What was adopted goes before all that is here."""
        with self._held():
            return self._settled()

    def expire(self, mark: int) -> int:
        """Drop what waits in memory since before `mark`; how many entries there were."""
        with self._held():
            self._admit()
            return self._drop(mark - self._settled() - self._out_count - self._on_disk)

    def _settled(self) -> int:
        return self._sent + self._dropped - self._apart

    def _admit(self) -> None:
        inbox = self._inbox
        count = len(inbox)  # aim first: who puts meanwhile may ask in vain; none is missed
        self.look_at = min(-(len(self._waiting) + count) % self._due or self._due, _LOOK_AT)
        came = [inbox.popleft() for _ in range(count)]
        self._waiting.extend(came)
        self._bytes += sum(map(len, came))
        if self._bytes > self._max_bytes:
            self._drop_giants(came)
        while self._waiting and self._is_over():
            self._drop_one()
            self.lost_to_bounds += 1

    def _is_over(self) -> bool:
        return len(self._waiting) + self._out_count > self._max_entries or self._bytes > self._max_bytes

    def _drop_giants(self, came: list[Item]) -> None:
        """One entry of half the room would drive out all others, and the server would refuse it."""
        for item in came:
            if len(item) > self._max_bytes // 2:
                self._waiting.remove(item)
                self._bytes -= len(item)
                self._dropped += 1
                self._apart += 1
                self.lost_to_bounds += 1

    def _drop(self, count: int) -> int:
        count = max(0, min(count, len(self._waiting)))
        for _ in range(count):
            self._drop_one()
        return count

    def _drop_one(self) -> None:
        self._bytes -= len(self._waiting.popleft())
        self._dropped += 1

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._lock.acquire(timeout=_PATIENCE_S)
        try:
            yield
        finally:
            self._let_go()

    def _let_go(self) -> None:
        with suppress(RuntimeError):  # somebody's patience was at its end, and the lock was theirs meanwhile
            self._lock.release()
