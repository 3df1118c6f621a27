"""The one who writes: opens the file, upgrades it where needed, and runs one call after the other.

A call runs on the event loop while the disk is quick, since handing it to a thread and back costs more than the call
itself. It runs in a thread when it is long, or when a recent one was slow: then the loop goes on without it. The first
slow one holds the loop up.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from shared.env import Settings
from shared.errors import BadFile, DiskFull, FileFault, Locked, TraceHubError, Unavailable
from shared.storage.claim import Claim
from shared.storage.upgrade import needs_upgrade, upgrade
from shared.storage.writer import Writer

REOPEN_S: Final = 1.0  # between attempts to open a file that failed
SLOW_S: Final = 0.25  # a call that takes longer sends the next ones to the thread
SLOW_FOR_S: Final = 10.0  # for so long
SWITCH_S: Final = 0.0005  # how long the writer or the event loop may keep the interpreter while the other wants it

T = TypeVar("T")
_log = logging.getLogger("tracehub.ingest")


class Desk:
    """Where the Writer sits: whoever wants something written or deleted calls here and is served in turn."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._retention_ms = settings.retention_ms
        sys.setswitchinterval(SWITCH_S)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._writer: Writer | None = None
        self._why_not: TraceHubError = Unavailable(f"{self._path} is being opened")
        self._upgrading = Unavailable(f"{self._path} is being upgraded from the earlier release", retry_after=5)
        self._reopen_at = 0.0
        self._opening: asyncio.Task[None] | None = None
        self._closing = False
        self._in_thread_now = 0
        self._slow_until = 0.0
        self.calls = 0

    async def open(self) -> None:
        """Take the file, or raise BadFile. One that cannot be had at once opens in the background."""
        self._claim = Claim(self._path)
        try:
            if not await self._in_thread(lambda: needs_upgrade(self._path)):
                await self._in_thread(self._open)
                return
            self._why_not = self._upgrading
        except (Locked, DiskFull) as error:
            self._why_not = error
        self._opening = asyncio.create_task(self._open_in_time())

    async def call(self, function: Callable[[Writer], T], *, is_long: bool = False) -> T:
        """What `function` gives for the Writer, one call after the other; `is_long`: it would hold the event loop up.

        Raises the function's errors, and Unavailable while the file is not open. A file that failed is opened anew
        before anything else is done with it.
        """
        if self._opening is not None:
            raise self._why_not
        self.calls += 1
        is_quick = not is_long and self._writer is not None and time.monotonic() >= self._slow_until
        if is_quick and not self._in_thread_now:
            return self._run(function)
        self._in_thread_now += 1
        try:
            return await self._in_thread(lambda: self._run(function))
        finally:
            self._in_thread_now -= 1

    async def close(self) -> None:
        """Finish the calls that are waiting, close the file and let another process have it."""
        self._closing = True
        if self._opening is not None:
            self._opening.cancel()
        await self._in_thread(self._close)
        self._thread.shutdown()
        self._claim.release()

    @property
    def dropped(self) -> int:
        """How many entries the senders in the ledger had to drop; 0 while the file is not open."""
        return 0 if self._writer is None else self._writer.dropped

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _open_in_time(self) -> None:
        """Upgrade what is to be upgraded and open it, however long others hold the file."""
        while True:
            try:
                await self._in_thread(self._upgrade_and_open)
            except TraceHubError as error:
                _log.error("not open yet: %s", error)
                self._why_not = Unavailable(f"not open yet: {error}", retry_after=5)
            except Exception:  # the turn of an endless loop: the file may be better at the next one
                _log.exception("not open yet")
                self._why_not = Unavailable("not open yet: the log of the service says more", retry_after=5)
            else:
                self._opening = None
                return
            await asyncio.sleep(REOPEN_S)

    def _upgrade_and_open(self) -> None:
        if needs_upgrade(self._path):
            self._why_not = self._upgrading
            upgrade(self._path, self._retention_ms, go_on=lambda: not self._closing)
        self._open()

    def _run(self, function: Callable[[Writer], T]) -> T:
        if self._writer is not None and not self._writer.is_current():
            _log.error("%s was deleted or replaced: going on with what is there now", self._path)
            self._close()
        writer = self._writer or self._reopen()
        started = time.monotonic()
        try:
            return function(writer)
        except (FileFault, BadFile) as error:
            _log.error("%s", error)
            self._why_not = error
            self._close()
            raise
        finally:
            if time.monotonic() - started > SLOW_S:
                self._slow_until = time.monotonic() + SLOW_FOR_S

    def _open(self) -> Writer:
        self._writer = Writer(self._path, self._retention_ms)
        return self._writer

    def _reopen(self) -> Writer:
        if time.monotonic() < self._reopen_at:
            raise self._why_not
        self._reopen_at = time.monotonic() + REOPEN_S
        try:
            return self._open()
        except TraceHubError as error:
            self._why_not = error
            raise

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
