"""The lock that makes an ingest service the only writer of its database file."""

import os
from pathlib import Path
from typing import Final, NamedTuple

from shared.errors import BadFile, Unavailable
from shared.storage.locks import is_free, locked
from shared.storage.reserve import NO_ROOM
from shared.storage.sqlite import directory_instead, identity, open_beside, refusal

PID_BYTES: Final = 20
TOLD_BYTES: Final = 1_000  # what is in the way of writing may take so many, in a file that never changes its length


class Holder(NamedTuple):
    """The ingest service that has claimed a file, and why it cannot write it: empty where it can."""

    pid: str
    why_not: str


class Claim:
    """An exclusive lock on `<database>.lock`, held until `release` or the end of the process, however it ends.

    Whoever is refused is told `pid`, and whoever asks for the holder also `why_not`: why nothing can be written.
    """

    def __init__(self, path: Path, pid: int) -> None:
        self._path = path
        self._lock = _lock_of(path)
        self._pid = pid
        self._file: int | None = None
        self.why_not = ""

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
            file = open_beside(self._lock)
        except OSError as error:
            raise _refusal(_unwritable(self._lock, error)) from None
        if not locked(file):
            other = _written(file)
            os.close(file)
            raise _refusal(f"another ingest process (pid {other.pid}) writes {self._path}") from None
        self._file = file
        self._write()

    def tell(self, why_not: str) -> None:
        """Have whoever asks know why nothing can be written, or with an empty text that it can.

        Where not even that can be said, as on a file system that became read-only, the lock is let go: raises
        Unavailable.
        """
        if why_not != self.why_not:
            self.why_not = why_not
            self._write()

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

    def _write(self) -> None:
        """In place, as a full disk has no room for a file that was emptied; the lock holds where it never had any."""
        if self._file is None:
            return
        why_not = self.why_not.encode(errors="replace")[:TOLD_BYTES]
        try:
            os.pwrite(self._file, b"%-*d\n%-*s\n" % (PID_BYTES, self._pid, TOLD_BYTES, why_not), 0)
        except OSError as error:
            if error.errno not in NO_ROOM:
                self.release()
                raise _refusal(_unwritable(self._lock, error)) from None


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _unwritable(lock: Path, error: OSError) -> str:
    return f"cannot write {lock}: {refusal(error, lock)}"


def _refusal(detail: str) -> Unavailable:
    return Unavailable(detail, retry_after=5)


def _written(file: int) -> Holder:
    pid, _, why_not = os.pread(file, PID_BYTES + TOLD_BYTES + 2, 0).decode("utf-8", "ignore").partition("\n")
    return Holder(pid.strip(), why_not.strip()) if pid else Holder("unknown", "no room left for its lock file")


def holder(path: Path) -> Holder | None:
    """Who has claimed the database file; None where nobody has. Leaves nothing behind.

    Raises BadFile where this user may not look.
    """
    lock = _lock_of(path)
    try:
        with lock.open("rb") as file:
            if not is_free(file.fileno()):
                return _written(file.fileno())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadFile(f"cannot read {lock}: {error.strerror}") from None
    return None


def why_not_written(path: Path) -> str:
    """Why no entry gets into the database file, in a line; empty where nothing is in the way. Raises as `holder`."""
    if found := holder(path):
        return found.why_not
    lock = _lock_of(path)
    try:
        os.close(os.open(lock, os.O_WRONLY | os.O_CLOEXEC))
    except FileNotFoundError:
        pass
    except OSError as error:
        return _unwritable(lock, error)
    return f"no ingest service has {path}"
