"""Group commit: whatever waits is written in one transaction, and the next group gathers meanwhile.

There is no delay to tune: an idle service commits at once, a busy one in larger groups.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from ingest_svc.writing import WriterThread
from shared.doorbell import Doorbell
from shared.wire import Entry

GROUP_ENTRIES: Final = 20_000  # that a transaction takes before it leaves the rest to the next

Report = tuple[str, int]  # of a sender: its id, and the entries it dropped since its start
_Waiting = tuple[Sequence[Entry], Report | None, asyncio.Future[int]]
_log = logging.getLogger("tracehub.ingest")


class GroupCommit:
    """Takes batches, settles each when it is durable. What waits here is bounded, in bytes, by the Intake before it."""

    def __init__(self, writer: WriterThread, doorbell: Doorbell) -> None:
        self._writer = writer
        self._doorbell = doorbell
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self.commits = 0
        self.inserted = 0
        self.duplicates = 0
        self.commit_seconds = 0.0

    async def commit(self, entries: Sequence[Entry], report: Report | None = None) -> int:
        """Store the entries; returns, once they are committed and synced, how many were new. On an error: none is."""
        settled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, report, settled))
        self._arrived.set()
        return await settled

    async def run(self) -> None:
        """Take, write, settle, for as long as the service lives."""
        while True:
            await self._arrived.wait()
            group = self._take()
            try:
                counts = await self._write(group)
            except Exception as error:  # the turn of an endless loop: whoever waits is told
                for *_, settled in group:
                    settled.set_exception(error)
                continue
            for (*_, settled), count in zip(group, counts, strict=True):
                settled.set_result(count)

    def _take(self) -> list[_Waiting]:
        group: list[_Waiting] = []
        entries = 0
        while self._waiting and entries < GROUP_ENTRIES:
            group.append(self._waiting.popleft())
            entries += len(group[-1][0])
        if not self._waiting:
            self._arrived.clear()
        return group

    async def _write(self, group: list[_Waiting]) -> list[int]:
        started = time.perf_counter()
        batches = [entries for entries, _, _ in group]
        drops = dict(sorted(report for _, report, _ in group if report is not None))
        counts = await self._writer.call(lambda writer: writer.write(batches, time.time_ns() // 1_000_000, drops))
        self._doorbell.ring()
        self.commit_seconds += time.perf_counter() - started
        self.commits += 1
        self.inserted += sum(counts)
        self.duplicates += sum(map(len, batches)) - sum(counts)
        return counts
