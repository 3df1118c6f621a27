"""Entries into the file: first what makes each of them one, which tells duplicates, then the entries themselves."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

ROWS: Final = 100  # in one statement
LARGE_ROWS: Final = 64 * 1024  # characters of `data` in one statement


def _statements(insert: str, columns: int) -> list[str]:
    row = f"({', '.join('?' * columns)})"
    return [f"{insert} VALUES {', '.join([row] * rows)}" for rows in range(ROWS + 1)]


_KEYS: Final = _statements("INSERT OR IGNORE INTO entry_once (chain, at, suffix, entry)", 4)
_ENTRIES: Final = _statements("INSERT INTO entry (id, chain, at, site, data)", 5)
_OWNER: Final = "SELECT entry FROM entry_once WHERE chain = ? AND at = ? AND suffix = ?"


class Rows:
    """Entries column by column, as they are to be inserted."""

    def __init__(
        self,
        ids: range,
        chains: list[int],
        ats: list[int],
        suffixes: list[str],
        sites: list[int],
        data: list[str],
    ) -> None:
        self._ids = ids
        self._keys = _flat(chains, ats, suffixes, ids)
        self._entries = _flat(ids, chains, ats, sites, data)
        self._data = data

    def insert_keys(self, db: sqlite3.Connection) -> set[int]:
        """Insert what makes each entry one; returns the places of those whose key was taken already."""
        taken: set[int] = set()
        for start in range(0, len(self._ids), ROWS):
            some = self._keys[4 * start : 4 * (start + ROWS)]
            if db.execute(_KEYS[len(some) // 4], some).rowcount < len(some) // 4:
                taken.update(start + place for place in _not_owned(db, some))
        return taken

    def insert(self, db: sqlite3.Connection) -> None:
        """Insert the entries.

        Each of the statements keeps what was bound to it last, so large rows are left to the one for a single row.
        """
        for start in range(0, len(self._ids), ROWS):
            some = self._entries[5 * start : 5 * (start + ROWS)]
            if sum(map(len, self._data[start : start + ROWS])) <= LARGE_ROWS:
                db.execute(_ENTRIES[len(some) // 5], some)
            else:
                db.executemany(_ENTRIES[1], zip(*[iter(some)] * 5, strict=True))


def _not_owned(db: sqlite3.Connection, keys: list[Any]) -> list[int]:
    """The places of those keys that another entry has."""
    return [
        place
        for place, (*key, row_id) in enumerate(zip(*[iter(keys)] * 4, strict=True))
        if db.execute(_OWNER, key).fetchone() != (row_id,)
    ]


def _flat(*columns: Sequence[Any]) -> list[Any]:
    """Row behind row in one list, which is bound with the fewest steps."""
    flat: list[Any] = [None] * (len(columns) * len(columns[0]))
    for place, column in enumerate(columns):
        flat[place :: len(columns)] = column
    return flat
