"""Marks of arrival: which entry came first at a time, now and then. Retention goes by them, so that no clock but the
server's matters.
"""

import sqlite3
from typing import Final

from shared.storage.sound import number

MARK_MS: Final = 1_000  # arrival times are known to within this, or a hundredth of the retention if that is less

_YOUNG: Final = "SELECT min(first_entry) FROM arrival WHERE at > ? AND at <= ?"
_OLD: Final = "SELECT max(first_entry) FROM arrival WHERE at <= ? AND first_entry < ?"
_FOLLOWING: Final = "SELECT min(first_entry) FROM arrival WHERE first_entry > ?"
_GO: Final = "DELETE FROM arrival WHERE first_entry < (SELECT max(first_entry) FROM arrival WHERE first_entry <= ?)"


class Marks:
    """The marks of a file. Entries behind one, up to the next, arrived at its time or a little later."""

    def __init__(self, db: sqlite3.Connection, retention_ms: float) -> None:
        self._db = db
        self._apart_ms = min(MARK_MS, retention_ms / 100)
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file."""
        newest = self._db.execute("SELECT at FROM arrival ORDER BY first_entry DESC LIMIT 1").fetchone()
        self._newest_ms = 0 if newest is None else number(newest[0])

    def add(self, first_entry: int, now_ms: int) -> None:
        """Mark an entry that has arrived, unless one was marked a moment ago."""
        if abs(now_ms - self._newest_ms) >= self._apart_ms:  # the clock may have been set back
            self._db.execute("INSERT INTO arrival VALUES (?, ?)", (first_entry, now_ms))
            self._newest_ms = now_ms

    def horizon(self, cutoff_ms: float, now_ms: float, end: int) -> int:
        """The row id before which every entry arrived earlier than `cutoff_ms`; `end` if that is true of all.

        A wrong clock leaves marks that lie. One in the past is not believed behind a mark that is young, one in the
        future goes with the old one behind it.
        """
        old_ms = cutoff_ms - self._apart_ms
        young = self._entry(_YOUNG, old_ms, now_ms)
        old = self._entry(_OLD, old_ms, young or end)
        if old is None:
            return 0
        following = self._entry(_FOLLOWING, old)
        return end if following is None else following

    def leave(self, oldest: int) -> None:
        """Delete the marks that no entry from row id `oldest` on refers to."""
        self._db.execute(_GO, (oldest,))

    def _entry(self, query: str, *parameters: float) -> int | None:
        (entry,) = self._db.execute(query, parameters).fetchone()
        return None if entry is None else number(entry)
