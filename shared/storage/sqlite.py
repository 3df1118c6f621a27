"""Opening the file, and the one edge where sqlite3's errors become ours.

There is one read-write connection in the whole system, the ingest process's: SQLite before 3.51.3 can damage a WAL
file when a checkpoint and a writer meet on different connections (https://sqlite.org/wal.html, "WAL-reset bug").
Everyone else opens the file read-only, which cannot checkpoint.
"""

import contextlib
import enum
import errno
import os
import sqlite3
import struct
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final
from urllib.parse import quote

from shared.errors import BadFile, DiskFull, FileFault, Locked, TraceHubError, Unavailable
from shared.storage.sound import Unsound

APPLICATION_ID: Final = 0x54726348  # "TrcH"
VERSION: Final = 1
BUSY_MS: Final = 250  # how long a write waits for a program that locks the file
PAGE_BYTES: Final = 4_096
CHECKPOINT_PAGES: Final = 1_000  # in the WAL before a commit folds it, which is a pause: it grows with their number
WAL_LIMIT: Final = 64 * 2**20  # bytes that the WAL file keeps between checkpoints
CACHE_KIB: Final = 32 * 1024
NO_INODE: Final = "the file system has no inode left (df -i)"
PLENTY: Final = 2**30  # bytes: no transaction needs so many
DAMAGE: Final = (Unsound, OverflowError, struct.error, UnicodeDecodeError)
"""What reading a damaged value raises: sums of what are no times are beyond 64 bits, a layout that an error quotes may
be no text.
"""


def make_file(path: Path) -> None:
    """Make an empty file of mode 0600 where there is none."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    remove_orphans(path)


def remove_orphans(path: Path) -> None:
    """Remove the WAL of a file that was in the place of this one before, which SQLite would read as this one's.

    By its header a restored snapshot has none, nor has an empty file. Nobody in this process may have the file open, or
    its locks would be gone.
    """
    try:
        with path.open("rb") as file:
            header = file.read(20)
    except OSError:  # SQLite fails at it as well, and tells what to do
        return
    if not header or (header.startswith(b"SQLite format 3\0") and header.endswith(b"\1\1")):
        for orphan in companions(path):
            orphan.unlink(missing_ok=True)


def open_beside(path: Path) -> int:
    """Open a file beside the database for writing, made with mode 0600 where there is none.

    A link is not followed: in a directory such as /tmp anybody may put one there, which leads to a file of ours.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def connect_writer(path: Path, wal_pages: int, *, synced: bool) -> sqlite3.Connection:
    """The read-write connection to a file, which is laid out if it is empty; transactions are written out (`BEGIN`).

    A WAL of `wal_pages` is folded into the file. `synced`: a commit returns when its data is on the disk. Raises
    BadFile for a file that is not of this version, and leaves it as it is.
    """
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=512)
    try:
        db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        kind = file_kind(db, path)
        if kind is FileKind.EARLIER:
            raise BadFile(
                f"{path} is of the earlier release: restart the ingest service, which upgrades it at its start"
            )
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(f"PRAGMA synchronous={'FULL' if synced else 'OFF'}")
        db.execute(f"PRAGMA wal_autocheckpoint={wal_pages}")
        db.execute(f"PRAGMA journal_size_limit={WAL_LIMIT}")
        db.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        db.execute("PRAGMA temp_store=MEMORY")
        if kind is FileKind.EMPTY:
            _lay_out(db)
    except BaseException:
        db.close()
        raise
    return db


def companions(path: Path) -> tuple[Path, Path]:
    """The WAL and its index, which SQLite keeps beside an open file."""
    return path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")


def file_sizes(path: Path) -> tuple[int, int]:
    """Bytes of the database file and of its WAL, 0 for one that is not there."""
    wal, _ = companions(path)
    return _size(path), _size(wal)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells one file from another under the same name; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def absent(path: Path) -> Unavailable:
    """What to raise where `identity` finds no file: it is not there yet, or this user may not look for it."""
    try:
        path.stat()
    except PermissionError as error:
        return Unavailable(f"cannot look for {path}: {error.strerror}")
    except OSError:
        pass
    return Unavailable(f"there is no database file {path} yet: the ingest service makes it")


def sync(path: Path) -> None:
    """Return when the file, or the names in the directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_only_uri(path: Path) -> str:
    """The address under which readers open the file."""
    return f"file:{quote(str(path))}?mode=ro"


def _lay_out(db: sqlite3.Connection) -> None:
    schema = resources.files(__package__).joinpath("schema.sql").read_text()
    db.executescript(f"BEGIN;{schema};PRAGMA application_id={APPLICATION_ID};PRAGMA user_version={VERSION};COMMIT")


class FileKind(enum.Enum):
    """What a file turned out to be."""

    EMPTY = enum.auto()
    EARLIER = enum.auto()  # of the earlier TraceHub: to be upgraded
    CURRENT = enum.auto()


def file_kind(db: sqlite3.Connection, path: Path) -> FileKind:
    """What the file is; raises BadFile for one of a newer version or of another program."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    if application == APPLICATION_ID:
        if version > VERSION:
            raise BadFile(f"{path} has version {version}, this program reads up to {VERSION}: upgrade the program")
        return FileKind.CURRENT
    if not tables:
        return FileKind.EMPTY
    if version == 0 and "traces" in tables:
        return FileKind.EARLIER
    raise BadFile(f"{path} is a database of another program")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn sqlite3's errors into TraceHub's, each with what to do about it."""
    try:
        yield
    except sqlite3.Error as error:
        raise _ours(error, path) from error
    except DAMAGE as error:
        raise BadFile(f"{path} is damaged ({_on_one_line(error)}): move it away or restore a snapshot") from error
    except OSError as error:
        raise Unavailable(f"cannot use {path}: {refusal(error, path)}", retry_after=5) from None


def refusal(error: OSError, path: Path) -> str:
    """Why the system did not open the file; it speaks of space where there is no room for one more file."""
    if error.errno == errno.ENOSPC and _is_out_of_inodes(path.parent):
        return NO_INODE
    return error.strerror or str(error)


def directory_instead(path: Path) -> BadFile:
    """What to say where a directory stands in the place of the file."""
    return BadFile(f"cannot open {path}: it is a directory, and a file is wanted")


def _ours(error: sqlite3.Error, path: Path) -> TraceHubError:
    said = _on_one_line(error)
    code, name = getattr(error, "sqlite_errorcode", 0) & 0xFF, getattr(error, "sqlite_errorname", "no code")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Locked(f"another program holds a lock on {path}")
    if code == sqlite3.SQLITE_FULL or name == "SQLITE_IOERR_SHMSIZE":
        return _no_room(path)
    if code == sqlite3.SQLITE_ERROR:  # a table or a column that is missing
        return BadFile(
            f"{path} is not laid out as this version expects ({said}): a development version wrote it or it is "
            "damaged; move it away or restore a snapshot"
        )
    is_damaged = code in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
        sqlite3.SQLITE_CONSTRAINT,
    )  # contradicts itself
    if is_damaged or "decode to UTF-8" in str(error):  # that has no code
        return BadFile(f"{path} is damaged or no database ({said}): move it away or restore a snapshot")
    if path.is_dir():  # to be opened for reading it is good enough, and then fails
        return directory_instead(path)
    if code == sqlite3.SQLITE_CANTOPEN and _is_out_of_inodes(path.parent):
        return full(path)
    if code == sqlite3.SQLITE_CANTOPEN:
        return Unavailable(
            f"cannot open {path}: check that it exists and that this user may write it and its directory"
        )
    if code == sqlite3.SQLITE_READONLY:
        return Unavailable(f"{path} is read-only for this user")
    if name == "SQLITE_IOERR_WRITE" and _refusal(path.parent) == errno.EDQUOT:  # for SQLite no lack of room
        return full(path)
    return FileFault(f"{path}: {said} ({name})", retry_after=5)


def _no_room(path: Path) -> TraceHubError:
    """A full disk, or a damaged file: a page number beyond all that SQLite allows is a lack of room to it."""
    if _has_plenty(path.parent):
        return BadFile(f"{path} is damaged (its disk has room for more pages): move it away or restore a snapshot")
    return full(path)


def full(path: Path) -> DiskFull:
    """What to say where there is no room for the file, or for one beside it."""
    why = f": {NO_INODE}" if _is_out_of_inodes(path.parent) else ""
    return DiskFull(f"no room left for {path}{why}", retry_after=5)


def _is_out_of_inodes(directory: Path) -> bool:
    with contextlib.suppress(OSError):
        disk = os.statvfs(directory)
        return disk.f_files > 0 and disk.f_favail == 0  # some file systems have no such number
    return False


def _has_plenty(directory: Path) -> bool:
    """Whether there is room for any transaction; tried, since a quota may leave less than is free."""
    with contextlib.suppress(OSError):  # a file system that cannot tell: not known
        disk = os.statvfs(directory)
        return disk.f_bavail * disk.f_frsize > PLENTY and _refusal(directory) == 0
    return False


def _refusal(directory: Path) -> int:
    """The system's error for a file of the size of a WAL; 0 where there is room for one."""
    try:
        file = os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(file, 0, WAL_LIMIT)
        finally:
            os.close(file)
    except AttributeError:  # a system that cannot tell
        return errno.ENOSYS
    except OSError as error:
        return error.errno or errno.EIO
    return 0


def _on_one_line(error: Exception) -> str:
    """What the error says; of a damaged layout SQLite quotes whatever stands there."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(error)).split())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
