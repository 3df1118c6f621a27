"""The lock that makes an ingest process the only writer of its database file."""

import contextlib
import fcntl
import os
from pathlib import Path

from shared.errors import BadFile


class Claim:
    """An exclusive lock on `<database>.lock`, held until `release` or the end of the process, however it ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock, or raise BadFile that says who holds it."""
        if not path.parent.is_dir():
            raise BadFile(f"the directory {path.parent} does not exist: create it, or set TRACEHUB_DB")
        if path.is_dir():
            raise BadFile(f"cannot open {path}: it is a directory, and a file is wanted")
        lock = path.with_name(f"{path.name}.lock")
        try:
            self._file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise BadFile(f"cannot write {lock}: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._file, 20).decode("ascii", "replace").strip()
            os.close(self._file)
            raise BadFile(f"another ingest process (pid {holder or 'unknown'}) writes {path}") from None
        os.ftruncate(self._file, 0)
        with contextlib.suppress(OSError):  # a full disk has no room for who it is, and the lock holds all the same
            os.write(self._file, b"%d\n" % os.getpid())

    def fileno(self) -> int:
        """The handle of the lock; a process that has it as well holds the lock as well."""
        return self._file

    def release(self) -> None:
        """Let another process write."""
        os.close(self._file)


def holder(path: Path) -> str:
    """The process that has claimed the database file, empty where none has. Leaves nothing behind.

    Raises BadFile where this user may not look.
    """
    lock = path.with_name(f"{path.name}.lock")
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read(20).decode("ascii", "replace").strip() or "unknown"
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise BadFile(f"cannot read {lock}: {error.strerror}") from None
    return ""
