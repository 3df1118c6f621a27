"""Entries into the file: counted in their chains, then what makes each of them one, then they themselves."""

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from shared.storage.chains import LISTED_SOURCES, Chains, Summary
from shared.storage.columns import Columns
from shared.storage.sites import Sites

ROWS: Final = 100  # in one statement
LARGE_ROWS: Final = 64 * 1024  # characters of `data` in one statement


def _statements(insert: str, columns: int) -> list[str]:
    row = f"({', '.join('?' * columns)})"
    return [f"{insert} VALUES {', '.join([row] * rows)}" for rows in range(ROWS + 1)]


_KEYS: Final = _statements("INSERT OR IGNORE INTO entry_once (chain, at, suffix, entry)", 4)
_ENTRIES: Final = _statements("INSERT INTO entry (id, chain, at, site, data)", 5)
_OWNER: Final = "SELECT entry FROM entry_once WHERE chain = ? AND at = ? AND suffix = ?"


def staged(entries: Columns, oldest: int, newest: int, chains: Chains, sites: Sites) -> tuple["Rows", list[Summary]]:
    """Count the entries in their chains; gives what to insert behind row id `newest`, and the chains not new to it.

    A chain in memory of which no entry is from row id `oldest` on has gone.
    """
    known_chains, known_sites = chains.known, sites.known
    touched: list[Summary] = []
    chain_ids, ats, site_ids = [], [], []
    row_id = newest
    for id, instant, traits in zip(entries.correlation_ids, entries.instants, entries.traits, strict=True):
        row_id += 1
        site = known_sites.get(traits) or sites.open(traits)
        chain = known_chains.get(id) or chains.open(id, instant)
        if 0 < chain.newest <= newest:
            if chain.newest < oldest:
                chain = chains.open_anew(id, instant)
            if chain.newest:
                touched.append(chain)
        at = instant - chain.base
        if at > chain.last_at:
            chain.last_at = at
        elif at < chain.first_at:
            chain.first_at = at
        chain.newest = row_id
        chain.entries += 1
        chain.balance += site.weight
        if site.failed:
            chain.errors += 1
        sources, source_id = chain.sources, site.source_id
        if source_id in sources:
            sources[source_id] += 1
        elif len(sources) < LISTED_SOURCES:
            sources[source_id] = 1
        chain_ids.append(chain.id)
        ats.append(at)
        site_ids.append(site.id)
    ids = range(newest + 1, row_id + 1)
    return Rows(ids, chain_ids, ats, entries.suffixes, site_ids, entries.data), touched


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
