"""`<database>.pid`: which process supervises the services of a database, held by a lock that ends with it."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.errors import BadFile, Taken, Unavailable
from shared.storage.claim import holder
from shared.storage.locks import is_free, locked
from shared.storage.sqlite import identity, open_beside, refusal

STOP_S: Final = 40.0  # for both services to end; supervisord makes them after 20
LOOK_S: Final = 0.05


def pid_path(database: Path) -> Path:
    """Where it is."""
    return database.with_name(f"{database.name}.pid")


class Supervision:
    """The lock on the file, from `take` to `end` or the end of the process, however it ends."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._path = pid_path(database)
        self._file: int | None = None

    def take(self) -> None:
        """Be the one that supervises. Raises Taken where another does."""
        try:
            file = open_beside(self._path)
        except OSError as error:
            raise BadFile(f"cannot write {self._path}: {refusal(error, self._path)}") from None
        if not locked(file):
            pid = _written(file) or "unknown"
            os.close(file)
            raise Taken(f"{self._database} has a server already (pid {pid}): tracehub stop ends it")
        _write(file, str(os.getpid()))
        self._let_go()
        self._file = file

    def keep(self) -> None:
        """Take it anew where the file was deleted or replaced, for its lock keeps nobody away. Raises as `take`."""
        assert self._file is not None
        status = os.fstat(self._file)
        if identity(self._path) != (status.st_dev, status.st_ino):
            self.take()

    def end(self) -> None:
        """Let another supervise."""
        if self._file is not None:
            _write(self._file, "")
        self._let_go()

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


@contextlib.contextmanager
def supervising(database: Path) -> Iterator[Supervision]:
    """Be the one that supervises, within the block. Raises as `take`."""
    supervision = Supervision(database)
    supervision.take()
    try:
        yield supervision
    finally:
        supervision.end()


def stop(database: Path) -> int:
    """End the server of a database, and return its pid when it has ended. Raises Unavailable where none runs."""
    path = pid_path(database)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise _no_server(database) from None
    except OSError as error:
        raise BadFile(f"cannot read {path}: {error.strerror}") from None
    try:
        pid = seen = 0
        until = time.monotonic() + STOP_S
        while not is_free(file):
            seen, before = _written(file), seen
            if seen and seen == before and not pid:  # one that is starting has yet to write over what another left
                pid = seen
                with contextlib.suppress(ProcessLookupError):  # it has just ended, and its lock with it
                    os.kill(pid, signal.SIGTERM)
            if time.monotonic() > until:
                raise Unavailable(f"pid {pid or 'unknown'} has not ended within {STOP_S:.0f} s")
            time.sleep(LOOK_S)
    except PermissionError:
        raise BadFile(f"the server (pid {pid}) belongs to another user") from None
    finally:
        os.close(file)
    if not pid:
        raise _no_server(database)
    return pid


def _no_server(database: Path) -> Unavailable:
    """Why nothing is stopped, and what there is instead where a supervisor was killed."""
    told = f"no server of {database} runs under tracehub start or make run-all"
    if writing := holder(database):
        alone = f"an ingest service (pid {writing.pid}) runs by itself, and perhaps a query service"
        told = f"{told}: {alone}; tracehub status shows the pids to end"
    return Unavailable(told)


def _write(file: int, pid: str) -> None:
    """In place, for a full disk has no room for a file that was emptied; where there never was any, nothing is told."""
    try:
        os.pwrite(file, b"%-20s\n" % pid.encode(), 0)
    except OSError:
        os.ftruncate(file, 0)


def _written(file: int) -> int:
    text = os.pread(file, 20, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
