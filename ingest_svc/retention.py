"""Retention: what arrived too long ago, or is more than the file may hold, is deleted in slices between commits."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Final

from ingest_svc.desk import Desk
from shared.errors import TraceHubError
from shared.storage.writer import Writer

SLICE_ENTRIES: Final = 1_000  # 2.5 ms: the first slice, and all where the file has a size, so that not too much goes
LEAST_ENTRIES: Final = 500  # in a slice while others write
MOST_ENTRIES: Final = 3_000  # 5 ms; larger slices make commits wait
SLICE_PAGES: Final = 256  # of 4 KiB, given back at a time
MAX_PAUSE_S: Final = 60.0  # between two looks; a hundredth of the retention if that is less
SPARE_PART: Final = 8  # one page in so many may lie unused for what comes in next
OTHERS_SHARE: Final = 2.0  # of the time of a slice, kept free after it for commits
LEAST_SHARE: Final = 0.5  # the same when deleting has fallen behind what comes in
SIZE_PAUSE_S: Final = 1.0  # between two looks at the size, where that has a limit

_log = logging.getLogger("tracehub.ingest")


class Retention:
    """Deletes entries `retention_ms` after their arrival, and the oldest while the file has more than `max_bytes`.

    Of these, entries get what leaves room for the spare part; 0 is no limit.
    """

    def __init__(self, desk: Desk, retention_ms: float, max_bytes: int = 0) -> None:
        self._desk = desk
        self._retention_ms = retention_ms
        self._used_bytes = max_bytes - max_bytes // SPARE_PART
        self._pause_s = min(MAX_PAUSE_S, retention_ms / 1000 / 100, SIZE_PAUSE_S if max_bytes else MAX_PAUSE_S)
        self._one_at_a_time = asyncio.Lock()
        self.deleted = 0

    async def run(self) -> None:
        """Look, delete, pause, for as long as the service lives."""
        while True:
            await asyncio.sleep(self._pause_s)
            try:
                await self.delete()
                await self.give_back(spare_part=SPARE_PART)
            except TraceHubError as error:
                _log.warning("retention waits: %s", error)
            except Exception:  # the turn of an endless loop: the next one may do better
                _log.exception("retention stumbled")

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
            horizon = await self._desk.call(lambda writer: writer.horizon(now_ms - self._retention_ms, now_ms))
            await self._slice_by_slice(lambda writer, limit: writer.expire(horizon, limit))
            if self._used_bytes:
                await self._slice_by_slice(self._expire_what_is_too_much)
            return self.deleted - before

    async def _slice_by_slice(self, expire: Callable[[Writer, int], int]) -> None:
        async for count in self._slices(expire, SLICE_ENTRIES, MOST_ENTRIES):
            self.deleted += count

    async def _slices(self, function: Callable[[Writer, int], int], first: int, most: int) -> AsyncIterator[int]:
        """What the function gives, up to a limit each time, until that is 0.

        While others call as well they have two thirds of the time, and less the longer this takes beyond a pause. A
        slice is as long as makes up for what others really had: they may keep the event loop beyond their time.
        """
        begun, calls, limit = time.monotonic(), self._desk.calls, first
        while True:
            started = time.monotonic()
            count, took_s = await self._desk.call(partial(_timed, function, limit))
            if not count:
                return
            yield count
            is_alone = self._desk.calls == calls + 1
            calls = self._desk.calls
            share = max(LEAST_SHARE, OTHERS_SHARE * min(1.0, self._pause_s / (started - begun + took_s)))
            await asyncio.sleep(0 if is_alone else share * took_s)
            due_s = (time.monotonic() - started - took_s) / share
            limit = first if is_alone else min(most, max(LEAST_ENTRIES, int(limit * due_s / took_s)))

    def _expire_what_is_too_much(self, writer: Writer, limit: int) -> int:
        is_too_large = writer.used_bytes() > self._used_bytes
        return writer.expire(writer.newest + 1, min(limit, SLICE_ENTRIES)) if is_too_large else 0

    async def give_back(self, spare_part: int | None) -> None:
        """Return unused pages to the file system, but for one in `spare_part` of the file's."""

        def some(writer: Writer, limit: int) -> int:
            return writer.give_back(spare_part, limit)

        async for _ in self._slices(some, SLICE_PAGES, SLICE_PAGES):
            pass


def _timed(function: Callable[[Writer, int], int], limit: int, writer: Writer) -> tuple[int, float]:
    started = time.perf_counter()
    return function(writer, limit), time.perf_counter() - started
