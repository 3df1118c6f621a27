"""Entries so long that they cannot be held for each client that takes its time.

One that is being sent is held once for all who send it, and only so many bytes of them are held. Who finds no room
waits in line, and holds nothing meanwhile.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from itertools import starmap
from typing import Final

from aiohttp import web

from shared.storage.reader import Reader
from shared.storage.rows import Numbered, text_size
from shared.wire import StoredEntry

LONG_BYTES: Final = 256 * 1024  # from which an entry is long
HELD_BYTES: Final = 64 * 2**20  # of all; a longer one is held alone

Text = Callable[[int, StoredEntry], bytes]  # an entry as it is sent


def is_long(entries: list[Numbered]) -> bool:
    """Whether this is one entry that is too long to be held like others."""
    return len(entries) == 1 and text_size(entries) > LONG_BYTES


class LongEntries:
    """Those that are being sent."""

    def __init__(self) -> None:
        self._sent: dict[tuple[Reader, Text, int], _Sent] = {}
        self._line: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.held = 0

    @contextlib.asynccontextmanager
    async def sent(self, reader: Reader, entries: list[Numbered], text: Text) -> AsyncIterator[bytes]:
        """A block that sends the one entry of a list, as text; empty if it has expired. The list is emptied."""
        row_id = entries[0][0]
        entry = self._sent.setdefault((reader, text, row_id), _Sent(text_size(entries)))
        entry.clients += 1
        try:
            if entry.reading.locked():
                entries.clear()
            async with entry.reading:
                await self._hold(entry, reader, entries, text, row_id)
            yield entry.text or b""
        finally:
            entry.clients -= 1
            if not entry.clients:
                del self._sent[reader, text, row_id]
                if entry.has_room:
                    self._give_back(entry.size)

    async def _hold(self, entry: "_Sent", reader: Reader, had: list[Numbered], text: Text, row_id: int) -> None:
        if not entry.has_room:
            if self._line or not self._fits(entry.size):
                had.clear()
            await self._room(entry.size)
            entry.has_room = True
        if entry.text is None:
            had[:] = had or (await reader.entries([row_id], entry.size))[0]
            entry.text = b"".join(starmap(text, had))
        had.clear()

    def _fits(self, size: int) -> bool:
        return not self.held or self.held + size <= HELD_BYTES

    async def _room(self, size: int) -> None:
        if not self._line and self._fits(size):
            self.held += size
            return
        place = size, asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place[1]
        except asyncio.CancelledError:
            if place in self._line:
                self._line.remove(place)
                size = 0
            self._give_back(size)  # those behind may fit
            raise

    def _give_back(self, size: int) -> None:
        self.held -= size
        while self._line and self._fits(self._line[0][0]):
            size, place = self._line.popleft()
            self.held += size
            if not place.done():
                place.set_result(None)


class _Sent:
    """An entry and how many send it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.has_room = False
        self.clients = 0
        self.text: bytes | None = None
        self.reading = asyncio.Lock()


LONG_ENTRIES = web.AppKey("long_entries", LongEntries)
