"""What can be said of a file without writing to it, within a few seconds."""

import contextlib
import sqlite3
import time
from pathlib import Path
from typing import Final, NamedTuple

from shared.storage.sqlite import FileKind, file_kind, read_only_uri, translated

CHECK_S: Final = 5.0  # for the integrity; a file that takes longer is checked in part
STEPS: Final = 10_000  # of SQLite's machine between looks at the clock
WAL_RESET_FIXED: Final = ((3, 51, 3), (3, 50, 7), (3, 44, 6))  # https://sqlite.org/wal.html


class Checkup(NamedTuple):
    """What the file is; `faults` are what SQLite finds wrong, `whole` whether it got through."""

    kind: FileKind
    faults: list[str]
    whole: bool


def check_up(path: Path) -> Checkup:
    """Look through a file. Raises what its translation is where it cannot be read at all."""
    with translated(path), contextlib.closing(sqlite3.connect(read_only_uri(path), uri=True)) as db:
        kind = file_kind(db, path)
        until = time.monotonic() + CHECK_S
        db.set_progress_handler(lambda: time.monotonic() > until, STEPS)
        try:
            faults = [fault for (fault,) in db.execute("PRAGMA quick_check(5)") if fault != "ok"]
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            return Checkup(kind, [], whole=False)
        return Checkup(kind, faults, whole=True)


def library() -> tuple[str, bool]:
    """SQLite's version, and whether a second writing connection could damage a WAL file with it."""
    version = sqlite3.sqlite_version_info
    fixed = any(version >= since and version[:2] == since[:2] for since in WAL_RESET_FIXED) or version >= (3, 51, 3)
    return sqlite3.sqlite_version, not fixed
