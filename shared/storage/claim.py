"""The lock that makes an ingest service the only writer of its database file."""

import contextlib
import fcntl
import os
import time
from pathlib import Path
from typing import Final

from shared.errors import BadFile, Unavailable
from shared.storage.sqlite import directory_instead, identity

TRIES: Final = 5  # at a lock that is held: whoever asks for its holder has it for a moment
TRY_S: Final = 0.01


class Claim:
    """An exclusive lock on `<database>.lock`, held until `release` or the end of the process, however it ends.

    Whoever is refused is told `pid`.
    """

    def __init__(self, path: Path, pid: int) -> None:
        self._path = path
        self._lock = _lock_of(path)
        self._pid = pid
        self._file: int | None = None

    def take(self) -> None:
        """Take the lock if it is not held; raises Unavailable that says why not, and who holds it.

        Raises BadFile where a directory stands in the place of the file.
        """
        if self.is_held():
            return
        self.release()
        if not self._path.parent.is_dir():
            raise _refusal(f"the directory {self._path.parent} does not exist: create it, or set TRACEHUB_DB")
        if self._path.is_dir():
            raise directory_instead(self._path)
        try:
            file = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refusal(f"cannot write {self._lock}: {error.strerror}") from None
        if not _locked(file):
            holder = os.read(file, 20).decode("ascii", "replace").strip()
            os.close(file)
            raise _refusal(f"another ingest process (pid {holder or 'unknown'}) writes {self._path}") from None
        self._file = file
        os.ftruncate(file, 0)
        with contextlib.suppress(OSError):  # a full disk has no room for who it is, and the lock holds all the same
            os.write(file, b"%d\n" % self._pid)

    def is_held(self) -> bool:
        """Whether the lock is held; that on a file which was deleted keeps nobody away."""
        if self._file is None:
            return False
        status = os.fstat(self._file)
        return identity(self._lock) == (status.st_dev, status.st_ino)

    def release(self) -> None:
        """Let another process write."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _locked(file: int) -> bool:
    for _ in range(TRIES):
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(TRY_S)
    return False


def _refusal(detail: str) -> Unavailable:
    return Unavailable(detail, retry_after=5)


def holder(path: Path) -> str:
    """The process that has claimed the database file, empty where none has. Leaves nothing behind.

    Raises BadFile where this user may not look.
    """
    lock = _lock_of(path)
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
