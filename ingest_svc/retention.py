"""Retention: what arrived too long ago, or is more than the file may hold, is deleted in slices between commits."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Final

from ingest_svc.desk import Desk
from shared.log import Endless

SLICE_ENTRIES: Final = 1_000  # 2 ms; larger slices make commits wait, and go with large ones only
ALONE_S: Final = 0.1  # without any other call, before deleting takes all of the time
SLICE_PAGES: Final = 256  # of 4 KiB, given back at a time
MAX_PAUSE_S: Final = 60.0  # between two looks; a hundredth of the retention if that is less
MIN_PAUSE_S: Final = 0.01  # of a retention of less than a second
SPARE_PART: Final = 8  # one page in so many may lie unused for what comes in next
OTHERS_SHARE: Final = 2.0  # of the time of a slice, kept free after it for commits
LEAST_SHARE: Final = 0.5  # the same when deleting has fallen behind what comes in
SIZE_PAUSE_S: Final = 0.2  # between two looks at the size, where that has a limit

_log = logging.getLogger("tracehub.ingest")


class Retention:
    """Deletes entries `retention_ms` after their arrival, and the oldest while the file has more than `max_bytes`.

    Of these, entries get what leaves room for the spare part; 0 is no limit.
    """

    def __init__(self, desk: Desk, retention_ms: float, max_bytes: int = 0) -> None:
        self._desk = desk
        self._retention_ms = retention_ms
        self._used_bytes = max_bytes - max_bytes // SPARE_PART
        pause_s = min(MAX_PAUSE_S, retention_ms / 1000 / 100, SIZE_PAUSE_S if max_bytes else MAX_PAUSE_S)
        self._pause_s = max(MIN_PAUSE_S, pause_s)
        self._one_at_a_time = asyncio.Lock()
        self.deleted = 0

    async def run(self) -> None:
        """Look, delete, pause, for as long as the service lives."""
        endless = Endless(_log, "retention")
        while True:
            await asyncio.sleep(self._pause_s)
            with endless.turn():
                await self.delete()
                await self.give_back(spare_part=SPARE_PART)

    async def cleanup(self) -> int:
        """Delete all that is past retention or too much and give its pages back, now; returns the number of entries."""
        deleted = await self.delete()
        await self.give_back(spare_part=None)
        return deleted

    async def delete(self) -> int:
        """Delete all that is past retention or too much; returns the number of entries."""
        async with self._one_at_a_time:
            before = self.deleted
            now_ms = time.time() * 1000
            await self._desk.call("find_horizon", now_ms - self._retention_ms, now_ms)
            async for count in self._slices("expire", SLICE_ENTRIES):
                self.deleted += count
            if self._used_bytes:
                async for count in self._slices("expire_while_larger", self._used_bytes, SLICE_ENTRIES):
                    self.deleted += count
            return self.deleted - before

    async def _slices(self, operation: str, *arguments: int | None) -> AsyncIterator[int]:
        """What the operation gives, up to the limit that is its last argument each time, until that is 0.

        While others call as well they have two thirds of the time, and less when this takes longer than a pause:
        deleting has fallen behind then.
        """
        begun, calls = time.monotonic(), self._desk.calls
        others_at = 0.0
        while True:
            started = time.monotonic()
            done = await self._desk.call(operation, *arguments)
            if not done.value:
                return
            if self._desk.calls > calls + 1:
                others_at = started
            is_alone = started - others_at > ALONE_S
            yield done.value
            calls = self._desk.calls
            behind = (started - begun) / self._pause_s
            share = max(LEAST_SHARE, OTHERS_SHARE / max(1.0, behind))
            await asyncio.sleep(0 if is_alone else share * done.seconds)

    async def give_back(self, spare_part: int | None) -> None:
        """Return unused pages to the file system, but for one in `spare_part` of the file's."""
        async for _ in self._slices("give_back", spare_part, SLICE_PAGES):
            pass
