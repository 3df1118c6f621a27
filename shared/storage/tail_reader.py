"""Looks at the newest entries, so short that they are taken on the event loop.

A thread and back costs more than the look, many times more while others want the interpreter as well. What is read was
just written, so it is in memory; how much is read at once has a bound in entries and in bytes.
"""

import contextlib
import sqlite3
from pathlib import Path
from typing import Final

from shared.storage import queries
from shared.storage.pool import refuse_other_files
from shared.storage.rows import Numbered, entry_size, numbered
from shared.storage.sound import number
from shared.storage.sqlite import absent, companions, identity, read_only_uri, translated

TURN_ENTRIES: Final = 500  # in one look
TURN_BYTES: Final = 1024 * 1024  # of what has no limit of its own; the entry that passes it is the last
BUSY_MS: Final = 10  # for the rare moments in which SQLite lets nobody look


class TailReader:
    """One read-only connection of the thread that made it."""

    def __init__(self, path: Path) -> None:
        """Open the file; raises Unavailable while it is missing or not set up, BadFile for a newer version's."""
        opened = identity(path)
        if opened is None:
            raise absent(path)
        self._path = path
        self._identity = opened
        self._companions: dict[Path, tuple[int, int] | None] = dict.fromkeys(companions(path))
        with translated(path):
            refuse_other_files(path)
            self._db = sqlite3.connect(read_only_uri(path), uri=True, isolation_level=None, timeout=BUSY_MS / 1000)
            self._db.execute("PRAGMA query_only=1")

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened, also where a restored one was copied over it.

        Then the WAL and its index are new ones, which SQLite leaves in place for as long as this connection is there.
        """
        now = {each: identity(each) for each in self._companions}
        known = {each: before or now[each] for each, before in self._companions.items()}  # none until it is written
        self._companions = known
        return identity(self._path) == self._identity and now == known

    def newest(self) -> int:
        """The newest row id ever given, 0 before the first."""
        with translated(self._path):
            row = self._db.execute(queries.NEWEST).fetchone()
            return 0 if row is None else number(row[0])

    def entries_after(self, row_id: int) -> tuple[list[Numbered], bool]:
        """The next entries of all chains, and whether there may be more."""
        rows = []
        size = 0
        with (
            translated(self._path),
            contextlib.closing(self._db.execute(queries.NEXT, (row_id, TURN_ENTRIES))) as found,
        ):
            for row in found:
                rows.append(row)
                size += entry_size(row)
                if size > TURN_BYTES:
                    break
            return numbered(rows), size > TURN_BYTES or len(rows) == TURN_ENTRIES
