"""The one thread that writes: it opens the file, upgrades it where needed, and runs one call after the other."""

import asyncio
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from shared.env import Settings
from shared.errors import BadFile, FileFault, TraceHubError, Unavailable
from shared.storage.claim import Claim
from shared.storage.upgrade import needs_upgrade, upgrade
from shared.storage.writer import Writer

REOPEN_S: Final = 1.0  # between attempts to open a file that failed
SWITCH_S: Final = 0.0005  # how long the writer or the event loop may keep the interpreter while the other wants it

T = TypeVar("T")
_log = logging.getLogger("tracehub.ingest")


class WriterThread:
    """A Writer in a thread of its own, so that the event loop never waits for the disk."""

    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._retention_ms = settings.retention_ms
        sys.setswitchinterval(SWITCH_S)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writer")
        self._writer: Writer | None = None
        self._why_not: TraceHubError = Unavailable(f"{self._path} is being opened")
        self._reopen_at = 0.0
        self._upgrading: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take the file, or raise BadFile. One of the earlier release is upgraded in the background."""
        self._claim = Claim(self._path)
        if not await self._in_thread(lambda: needs_upgrade(self._path)):
            await self._in_thread(self._open)
            return
        self._why_not = Unavailable(f"{self._path} is being upgraded from the earlier release", retry_after=5)
        self._upgrading = asyncio.create_task(self._upgrade())

    async def call(self, function: Callable[[Writer], T]) -> T:
        """What `function` gives for the Writer, one call after the other.

        Raises the function's errors, and Unavailable while the file is not open. A file that failed is opened anew
        before anything else is done with it.
        """
        if self._upgrading is not None:
            raise self._why_not
        return await self._in_thread(lambda: self._run(function))

    async def close(self) -> None:
        """Finish the calls that are waiting, close the file and let another process have it."""
        if self._upgrading is not None:
            self._upgrading.cancel()
        await self._in_thread(self._close)
        self._thread.shutdown()
        self._claim.release()

    @property
    def dropped(self) -> int:
        """How many entries the senders in the ledger had to drop; 0 while the file is not open."""
        return 0 if self._writer is None else self._writer.dropped

    async def _in_thread(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    async def _upgrade(self) -> None:
        """Upgrade, however long others hold the old file."""
        while True:
            try:
                await self._in_thread(lambda: upgrade(self._path, self._retention_ms))
                await self._in_thread(self._open)
            except TraceHubError as error:
                _log.error("the upgrade waits: %s", error)
                self._why_not = Unavailable(f"the upgrade waits: {error}", retry_after=5)
                await asyncio.sleep(REOPEN_S)
            else:
                self._upgrading = None
                return

    def _run(self, function: Callable[[Writer], T]) -> T:
        writer = self._writer or self._reopen()
        try:
            return function(writer)
        except (FileFault, BadFile) as error:
            _log.error("%s", error)
            self._why_not = error
            self._close()
            raise

    def _open(self) -> Writer:
        self._writer = Writer(self._path, self._retention_ms)
        return self._writer

    def _reopen(self) -> Writer:
        if time.monotonic() < self._reopen_at:
            raise self._why_not
        self._reopen_at = time.monotonic() + REOPEN_S
        return self._open()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
