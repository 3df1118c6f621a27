"""The writer process, `python -m ingest_svc.writer`: started by the ingest service, which asks it for everything.

It has the only read-write connection, so the service's event loop never waits for the disk, and SQLite works on a core
of its own.
"""

import contextlib
import ctypes
import logging
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import shared.scarcity  # noqa: F401
from ingest_svc.group_commit import GroupCommit
from ingest_svc.keeper import REOPEN_S, Keeper
from ingest_svc.line import Gone, Line
from ingest_svc.messages import Fault, Standing
from shared.doorbell import Doorbell
from shared.errors import DiskFull, Locked, TraceHubError, Unavailable
from shared.log import set_up_log
from shared.memory import give_large_blocks_back, search_less_for_garbage

_PR_SET_PDEATHSIG: Final = 1  # of prctl(2)
_log = logging.getLogger("tracehub.ingest")


def open_in_time(line: Line, keeper: Keeper) -> None:
    """Open the file, however long others hold it, and say how it stands.

    Raises Gone, and at the first look BadFile and Unavailable.
    """
    told: str | None = None
    while True:
        try:
            keeper.open(lambda why_not: line.tell(Standing(Fault.of(why_not))), line.is_up)
        except Exception as error:  # the turn of an endless loop: the file may be better at the next one
            if not line.is_up():
                raise Gone from None
            if told is None and isinstance(error, TraceHubError) and not isinstance(error, Locked | DiskFull):
                raise
            if str(error) != told:
                _log.error("not open yet: %s", error, exc_info=None if isinstance(error, TraceHubError) else error)
            told = str(error)
            line.tell(Standing(Fault.of(Unavailable(f"not open yet: {error}", retry_after=5))))
        else:
            line.tell(Standing(None))
            return
        time.sleep(REOPEN_S)


def main(socket_number: str, path: str, retention_ms: str) -> None:
    """Serve the ingest service at the other end of the socket until it hangs up."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    set_up_log()
    give_large_blocks_back()
    search_less_for_garbage()
    line = Line(socket.socket(fileno=int(socket_number)))
    keeper, doorbell = Keeper(Path(path), float(retention_ms)), Doorbell(Path(path))
    with contextlib.suppress(Gone):
        try:
            open_in_time(line, keeper)
        except TraceHubError as error:
            line.tell(Standing(Fault.of(error), is_final=True))
        else:
            GroupCommit(line, keeper, doorbell).run()
    keeper.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
