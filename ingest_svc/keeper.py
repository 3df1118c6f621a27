"""The file in the writer process's care: claimed, opened, upgraded where needed, closed when it failed, opened anew."""

import contextlib
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from shared.errors import BadFile, FileFault, TraceHubError, Unavailable
from shared.storage.claim import Claim
from shared.storage.upgrade import needs_upgrade, upgrade
from shared.storage.writer import Writer

REOPEN_S: Final = 1.0  # between attempts to open a file that failed

T = TypeVar("T")
_log = logging.getLogger("tracehub.ingest")


class Keeper:
    """Gives the Writer to one call after the other."""

    def __init__(self, path: Path, retention_ms: float) -> None:
        self._path = path
        self._retention_ms = retention_ms
        self._claim = Claim(path, os.getppid())  # the service's
        self._writer: Writer | None = None
        self._why_not: TraceHubError = Unavailable(f"{path} is being opened")
        self._reopen_at = 0.0

    def open(self, upgrading: Callable[[TraceHubError], None], go_on: Callable[[], bool]) -> None:
        """Open the file or raise why not; one of the earlier release is upgraded first, and `upgrading` told so.

        An upgrade ends as soon as `go_on` says no.
        """
        self._claim.take()
        try:
            if needs_upgrade(self._path):
                why_not = Unavailable(f"{self._path} is being upgraded from the earlier release", retry_after=5)
                self._claim.tell(str(why_not))
                upgrading(why_not)
                upgrade(self._path, self._retention_ms, go_on)
            self._writer = Writer(self._path, self._retention_ms)
        except TraceHubError as error:
            self._claim.tell(f"not open yet: {error}")
            raise

    def call(self, function: Callable[[Writer], T]) -> T:
        """What `function` gives for the Writer.

        Raises the function's errors, and why the file is not open. A file that failed is opened anew before anything
        else is done with it, one that was replaced is left for the new one.
        """
        if self._writer is not None and not (self._writer.is_current() and self._claim.is_held()):
            _log.error("%s or a file beside it was deleted or replaced: going on with what is there now", self._path)
            self.close()
        writer = self._writer or self._reopen()
        try:
            return function(writer)
        except (FileFault, BadFile) as error:
            self._why_not = error
            self.close()
            raise

    def write(self, function: Callable[[Writer], T]) -> T:
        """As `call`, for what shows whether entries can be written: whoever asks for the file's holder is told."""
        try:
            result = self.call(function)
        except TraceHubError as error:
            self._tell(str(error))
            raise
        self._tell("")
        return result

    @property
    def is_failing(self) -> bool:
        """Whether nothing could be written the last time."""
        return bool(self._claim.why_not)

    def close(self) -> None:
        """Fold the WAL into the file and let go of it."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _tell(self, why_not: str) -> None:
        if why_not and why_not != self._claim.why_not:
            _log.error("nothing is written: %s", why_not)
        elif self.is_failing and not why_not:
            _log.info("entries are written")
        with contextlib.suppress(Unavailable):  # the lock is let go then, and taken again before anything is written
            self._claim.tell(why_not)

    def _reopen(self) -> Writer:
        if time.monotonic() < self._reopen_at:
            raise self._why_not
        self._reopen_at = time.monotonic() + REOPEN_S
        try:
            self._claim.take()
            self._writer = Writer(self._path, self._retention_ms)
        except TraceHubError as error:
            self._why_not = error
            raise
        return self._writer
