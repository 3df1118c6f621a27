"""The delivery ledger: what senders had to drop, which tells a missing checkpoint from one that never happened.

A sender reports its total since its start, so that a report sent twice counts once; the largest is kept.
"""

import sqlite3
from collections.abc import Mapping
from typing import Final

from shared.storage.sound import shape, sound

MAX_SENDERS: Final = 1_000  # the ones that reported last

_SENDER: Final = shape(str, int)


class Ledger:
    """Sender -> entries it dropped, from the file; call `recall` when a transaction was undone."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file."""
        rows = self._db.execute("SELECT id, dropped FROM sender ORDER BY reported").fetchall()
        self.dropped: dict[str, int] = dict(sound(rows, _SENDER))

    def save(self, reports: Mapping[str, int], now_ms: int) -> None:
        """Write what is news in the reports."""
        news = {sender: total for sender, total in reports.items() if total > self.dropped.get(sender, 0)}
        if not news:
            return
        self._db.executemany(
            "INSERT OR REPLACE INTO sender (id, dropped, reported) VALUES (?, ?, ?)",
            [(sender, total, now_ms) for sender, total in news.items()],
        )
        for sender, total in news.items():
            self.dropped.pop(sender, None)
            self.dropped[sender] = total
        while len(self.dropped) > MAX_SENDERS:
            oldest = next(iter(self.dropped))
            del self.dropped[oldest]
            self._db.execute("DELETE FROM sender WHERE id = ?", (oldest,))
