"""What one subscriber is handed: gathered while it is busy with the file, then poured straight into its connection.

No task wakes up for an event: the tail calls `push`, which writes. Who takes no more falls behind.
"""

import asyncio
from collections.abc import Callable
from functools import cached_property
from typing import Final

from shared.storage.reader import Reader
from shared.wire import StoredEntry, encode

PENDING_BYTES: Final = 256 * 1024  # that wait for one subscriber; past it, it is served from the file


def frame(row_id: int, entry: StoredEntry) -> bytes:
    """The entry as a Server-Sent Event; JSON has no line break, so it is one `data:` line."""
    return b"id: %d\ndata: %b\n\n" % (row_id, encode(entry))


class Frames:
    """Frames of entries in the order of their row ids, joined once for all who are handed them."""

    def __init__(self, numbered: list[tuple[int, bytes]]) -> None:
        self._numbered = numbered
        self.size = sum(len(frame) for _, frame in numbered)
        self.first = numbered[0][0]
        self.last = numbered[-1][0]

    @cached_property
    def body(self) -> bytes:
        """As they are."""
        return b"".join([frame for _, frame in self._numbered])

    @cached_property
    def chunk(self) -> bytes:
        """As one chunk of an HTTP/1.1 body."""
        return b"%x\r\n%b\r\n" % (len(self.body), self.body)

    def after(self, row_id: int) -> "Frames | None":
        """Those behind a row id."""
        left = [numbered for numbered in self._numbered if numbered[0] > row_id]
        return Frames(left) if left else None


Outlet = Callable[[Frames], bool]  # takes frames at once, or says that it cannot


class Subscription:
    """What one subscriber has yet to take, from the tail's cursor `start` on.

    When more than PENDING_BYTES wait for it, or an entry is longer than that, it falls behind: nothing is added any
    more, and it goes on from the file after row id `behind`.
    """

    def __init__(self, reader: Reader, start: int, had: int) -> None:
        self.reader = reader  # of the file that the ids belong to
        self.start = start
        self._had = had  # up to this row id, which the tail may not have reached yet at first
        self.behind: int | None = None
        self._over = False
        self._pending: list[bytes] = []
        self._bytes = 0
        self._outlet: Outlet | None = None
        self._changed = asyncio.Event()

    def push(self, frames: Frames) -> None:
        """Hand over frames, but for those that the subscriber had before, unless it is behind."""
        if self._over:
            return
        if frames.first <= self._had:
            left = frames.after(self._had)
            if left is None:
                return
            frames = left
        is_short = frames.size <= PENDING_BYTES
        if is_short and (self._outlet(frames) if self._outlet else self._gather(frames)):
            self._had = frames.last
        else:
            self.fall_behind(frames.first - 1)

    def fall_behind(self, row_id: int) -> None:
        """Add nothing more: what comes after this row id is for the subscriber to read from the file."""
        if not self._over:
            self.behind = max(row_id, self._had)
            self.end()

    def end(self) -> None:
        """Add nothing more."""
        self._over = True
        self._changed.set()

    def take(self) -> bytes:
        """What has gathered since the last call."""
        frames = b"".join(self._pending)
        self._pending.clear()
        self._bytes = 0
        return frames

    async def frames(self) -> bytes:
        """What has gathered, waiting for something; empty when the subscription is over."""
        await self._changed.wait()
        if not self._over:
            self._changed.clear()
        return self.take()

    async def pour(self, outlet: Outlet) -> None:
        """From now on hand frames to the outlet the moment they come; returns when the subscription is over."""
        self._outlet = outlet
        while not self._over:
            self._changed.clear()
            await self._changed.wait()

    def _gather(self, frames: Frames) -> bool:
        if self._bytes + frames.size > PENDING_BYTES:
            return False
        self._pending.append(frames.body)
        self._bytes += frames.size
        self._changed.set()
        return True
