"""Group commit: whatever waits is written in one transaction, and what comes meanwhile is the next group.

There is no delay to tune: an idle service commits at once, a busy one in larger groups.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from ingest_svc.desk import Desk
from shared.doorbell import Doorbell
from shared.errors import TraceHubError
from shared.storage.writer import Writer
from shared.wire import Entry

GROUP_ENTRIES: Final = 2_000  # that a transaction takes before it leaves the rest to the next; a larger batch is long
GAP_ENTRIES: Final = 5_000  # new ones since the last time, before a gap is used to fold the WAL into the file

Report = tuple[str, int]  # of a sender: its id, and the entries it dropped since its start
_Waiting = tuple[Sequence[Entry], Report | None, bool, asyncio.Future[int]]


class GroupCommit:
    """Takes batches, settles each when it is durable. What waits here is bounded, in bytes, by the Intake before it."""

    def __init__(self, desk: Desk, doorbell: Doorbell) -> None:
        self._desk = desk
        self._doorbell = doorbell
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._unfolded = 0
        self.commits = 0
        self.inserted = 0
        self.duplicates = 0
        self.commit_seconds = 0.0

    async def commit(self, entries: Sequence[Entry], report: Report | None = None, *, is_long: bool = False) -> int:
        """Store the entries; returns, once they are committed and synced, how many were new. On an error: none is.

        `is_long`: they are large, and writing them would hold the event loop up.
        """
        settled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((entries, report, is_long, settled))
        self._arrived.set()
        return await settled

    async def run(self) -> None:
        """Take, write, settle, for as long as the service lives."""
        while True:
            await self._gather()
            group = self._take()
            counts: Sequence[int | Exception]
            try:
                counts = await self._write(group)
            except Exception as error:  # the turn of an endless loop: whoever waits is told
                counts = [error] * len(group)
            for (*_, settled), count in zip(group, counts, strict=True):
                _settle(settled, count)
            await self._use_the_gap()

    async def _gather(self) -> None:
        """Wait for a batch, and then for as long as every turn of the event loop brings more that was on its way."""
        await self._arrived.wait()
        gathered = 0
        while len(self._waiting) > gathered:
            gathered = len(self._waiting)
            await asyncio.sleep(0)

    async def _use_the_gap(self) -> None:
        """While nobody waits, do what a commit would have to do later: fold the WAL into the file."""
        if self._waiting or self._unfolded < GAP_ENTRIES:
            return
        self._unfolded = 0
        with contextlib.suppress(TraceHubError):  # the desk has logged it, and opens the file anew
            await self._desk.call(Writer.checkpoint, is_long=True)

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
        batches = [entries for entries, *_ in group]
        drops = dict(sorted(report for _, report, *_ in group if report is not None))
        counts = await self._desk.call(
            lambda writer: writer.write(batches, time.time_ns() // 1_000_000, drops),
            is_long=sum(map(len, batches)) > 2 * GROUP_ENTRIES or any(is_long for _, _, is_long, _ in group),
        )
        self._doorbell.ring()
        self.commit_seconds += time.perf_counter() - started
        self.commits += 1
        self._unfolded += sum(counts)
        self.inserted += sum(counts)
        self.duplicates += sum(map(len, batches)) - sum(counts)
        return counts


def _settle(settled: asyncio.Future[int], count: int | Exception) -> None:
    """Tell the one who waits, unless it gave up meanwhile."""
    if settled.cancelled():
        return
    if isinstance(count, Exception):
        settled.set_exception(count)
    else:
        settled.set_result(count)
