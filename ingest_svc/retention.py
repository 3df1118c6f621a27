"""Retention: what arrived too long ago is deleted in slices, each between two commits."""

import asyncio
import logging
import time
from typing import Final

from ingest_svc.desk import Desk
from shared.errors import TraceHubError
from shared.storage.writer import Writer

SLICE_ENTRIES: Final = 500  # larger slices make commits wait
SLICE_PAGES: Final = 256  # of 4 KiB, given back at a time
MAX_PAUSE_S: Final = 60.0  # between two looks; a hundredth of the retention if that is less
SPARE_PART: Final = 8  # one page in so many may lie unused for what comes in next

_log = logging.getLogger("tracehub.ingest")


class Retention:
    """Deletes entries `retention_ms` after their arrival."""

    def __init__(self, desk: Desk, retention_ms: float) -> None:
        self._desk = desk
        self._retention_ms = retention_ms
        self._one_at_a_time = asyncio.Lock()
        self.deleted = 0

    async def run(self) -> None:
        """Look, delete, pause, for as long as the service lives."""
        pause_s = min(MAX_PAUSE_S, self._retention_ms / 1000 / 100)
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.delete()
                await self.give_back(spare_part=SPARE_PART)
            except TraceHubError as error:
                _log.warning("retention waits: %s", error)
            except Exception:  # the turn of an endless loop: the next one may do better
                _log.exception("retention stumbled")

    async def cleanup(self) -> int:
        """Delete all that is past retention and give its pages back, now; returns the number of entries."""
        deleted = await self.delete()
        await self.give_back(spare_part=None)
        return deleted

    async def delete(self) -> int:
        """Delete all that is past retention; returns the number of entries."""
        deleted = 0
        async with self._one_at_a_time:
            now_ms = time.time() * 1000
            horizon = await self._desk.call(lambda writer: writer.horizon(now_ms - self._retention_ms, now_ms))
            while count := await self._desk.call(lambda writer: writer.expire(horizon, SLICE_ENTRIES)):
                deleted += count
                self.deleted += count
                await asyncio.sleep(0)  # commits come first
        return deleted

    async def give_back(self, spare_part: int | None) -> None:
        """Return unused pages to the file system, but for one in `spare_part` of the file's."""

        def some(writer: Writer) -> int:
            return writer.give_back(spare_part, SLICE_PAGES)

        while await self._desk.call(some):  # noqa: ASYNC110 - no condition is waited for, commits come first
            await asyncio.sleep(0)
