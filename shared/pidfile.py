"""`<database>.pid`: which process supervises the services of a database, held by a lock that ends with it."""

import contextlib
import fcntl
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shared.errors import BadFile, Taken, Unavailable
from shared.storage.claim import holder
from shared.storage.sqlite import refusal

STOP_S: Final = 40.0  # for both services to end; supervisord makes them after 20
LOOK_S: Final = 0.05


def pid_path(database: Path) -> Path:
    """Where it is."""
    return database.with_name(f"{database.name}.pid")


@contextlib.contextmanager
def supervising(database: Path) -> Iterator[None]:
    """Be the one that supervises. Raises Taken where another does."""
    path = pid_path(database)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise BadFile(f"cannot write {path}: {refusal(error, path)}") from None
    try:
        if not _locked(file):
            raise Taken(f"{database} has a server already (pid {_written(file) or 'unknown'}): tracehub stop ends it")
        _write(file, str(os.getpid()))
        yield
        _write(file, "")
    finally:
        os.close(file)


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
        pid = 0
        until = time.monotonic() + STOP_S
        while not _locked(file):
            if not pid and (pid := _written(file)):
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


def _locked(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _write(file: int, pid: str) -> None:
    """In place, for a full disk has no room for a file that was emptied; where there never was any, nothing is told."""
    try:
        os.pwrite(file, b"%-20s\n" % pid.encode(), 0)
    except OSError:
        os.ftruncate(file, 0)


def _written(file: int) -> int:
    text = os.pread(file, 20, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else 0
