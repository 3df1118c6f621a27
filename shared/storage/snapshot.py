"""A consistent copy of a live file: what the services write meanwhile is not in it, and does not wait for it."""

import contextlib
import os
import sqlite3
import tempfile
from pathlib import Path

from shared.errors import BadFile, Unavailable
from shared.storage.sqlite import FileKind, companions, file_kind, read_only_uri, sync, translated


def snapshot(source: Path, target: Path) -> int:
    """Copy `source` into the new file `target`, of mode 0600 and synced to disk; gives the number of entries in it.

    Until it is whole it has another name, `<target>.*.partial`, which a process that is killed leaves behind. Raises
    BadFile where `target` exists, or `source` is no database of ours. The WAL cannot be reset while it lasts.
    """
    if not source.is_file():
        raise Unavailable(f"there is no file {source}")
    _refuse_taken(target)
    _refuse_what_sqlite_cannot_name(target)
    if any(companion.exists() for companion in companions(target)):
        raise BadFile(f"{target} has a -wal or -shm file beside it: choose another name")
    with translated(target):  # VACUUM INTO would make it 0644
        file, name = tempfile.mkstemp(".partial", f"{target.name}.", target.parent)
        os.close(file)
    partial = Path(name)
    try:
        _copy(source, partial, target)
        entries = _entries(partial)
        _refuse_taken(target)
        with translated(target):
            partial.rename(target)
            sync(target.parent)
        return entries
    except BaseException:
        for left in (partial, partial.with_name(f"{partial.name}-journal")):
            left.unlink(missing_ok=True)
        raise


def _refuse_taken(target: Path) -> None:
    if os.path.lexists(target):
        raise BadFile(f"{target} exists: choose another name")


def _refuse_what_sqlite_cannot_name(target: Path) -> None:
    try:
        str(target).encode()
    except UnicodeEncodeError:
        raise BadFile(f"{target}: not UTF-8, as SQLite wants a name: choose another name") from None


def _copy(source: Path, partial: Path, target: Path) -> None:
    """Fill `partial`; what fails is told of the `target` that it is to be."""
    with translated(source), contextlib.closing(sqlite3.connect(read_only_uri(source), uri=True)) as db:
        if file_kind(db, source) is FileKind.EMPTY:
            raise Unavailable(f"{source} is not set up yet")
    with translated(target), contextlib.closing(sqlite3.connect(read_only_uri(source), uri=True)) as db:
        db.execute("VACUUM INTO ?", (str(partial),))
        sync(partial)


def _entries(path: Path) -> int:
    with translated(path), contextlib.closing(sqlite3.connect(read_only_uri(path), uri=True)) as db:
        table = "entry" if file_kind(db, path) is FileKind.CURRENT else "traces"
        count: int = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        return count
