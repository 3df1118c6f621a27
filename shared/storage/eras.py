"""Eras: stretches of arrivals. The key of a new chain lands in the part of the index that the newest one has.

An era that has ended leaves a sieve in the file, which tells for nearly every new chain that it need not be looked for
there. The sieve of the newest is in memory; after a start it is filled again, some keys with each write.
"""

import sqlite3
from typing import Final

from shared.storage.sieve import Sieve, Sieves
from shared.storage.sound import shape, sound

ERAS: Final = 8  # that the entries, and the time of retention, are divided into
MIN_ERA_ENTRIES: Final = 1_000_000
MIN_ERA_MS: Final = 60_000  # in a new era all sites begin anew
KEYS_AT_A_TIME: Final = 1_000  # that are read again after a start
LEAST: Final = 500  # keys and sites that leave at a time

_AFTER: Final = "SELECT key FROM chain_key WHERE era = ? AND key > ? ORDER BY key LIMIT ?"
_INSERT: Final = "INSERT OR IGNORE INTO chain_key VALUES (?, ?, ?)"  # a chain that has gone may have left the same
_BEGIN: Final = "INSERT INTO era (first_entry, first_site, started, keyed) VALUES (?, ?, ?, ?)"
_OLDEST: Final = """
    SELECT id, sites FROM (SELECT id, lead(first_entry) OVER era AS entries, lead(first_site) OVER era AS sites
    FROM era WINDOW era AS (ORDER BY id) LIMIT 1) WHERE entries <= ?"""
_SITES_GO: Final = "DELETE FROM site WHERE id IN (SELECT id FROM site WHERE id < ? LIMIT ?)"
_LEAVING: Final = """
    SELECT key, chain, EXISTS (SELECT 1 FROM chain WHERE chain.id = chain_key.chain) FROM chain_key
    WHERE era = ? ORDER BY key, chain LIMIT ?"""

_ERA: Final = shape(int, int, int, int, int)
_SIEVE: Final = shape(bytes)
_KEY: Final = shape(int)


class Eras:
    """The eras of a file.

    `is_limited` is set where its size has a limit: eras have their share of the entries then, however few these are,
    for sites and keys leave with their era, and would soon take all of the room.
    """

    def __init__(self, db: sqlite3.Connection, retention_ms: float) -> None:
        self._db = db
        self._era_ms = max(retention_ms / ERAS, MIN_ERA_MS)
        self._share = MIN_ERA_ENTRIES  # of the entries, for the newest
        self.is_limited = False
        self.recall()

    def recall(self) -> None:
        """Believe nothing but the file; called when it was opened, and when a transaction failed."""
        rows = self._db.execute("SELECT id, first_entry, started, keyed, sieve IS NULL FROM era ORDER BY id").fetchall()
        sound(rows, _ERA)
        self.newest: int
        self.first_entry: int
        self.started_ms: int
        self.keyed: int  # chains up to this one have had their key written
        self.newest, self.first_entry, self.started_ms, self.keyed, _ = rows[-1] if rows else (0, 0, 0, 0, 0)
        self._sieves = Sieves()  # of those that have ended
        self._unsieved = [id for id, *_, is_without in rows[:-1] if is_without]  # and are always looked into
        self._unread = [id for id, *_, is_without in rows[:-1] if not is_without]  # until their sieve has been read
        self._sieve: Sieve | None = None  # of the newest
        self._keys = 0  # in it
        self._read: int | None = -1  # the greatest key that was read into it from the file; None: it holds all

    def goes_on(self, oldest: int, newest: int, now_ms: int) -> bool:
        """Read on in the newest era; False if it has had its share of the entries or of the time, or there is none."""
        self._share = max(1 if self.is_limited else MIN_ERA_ENTRIES, (newest - oldest + 1) // ERAS)
        in_era = newest - self.first_entry + 1
        is_old = in_era and abs(now_ms - self.started_ms) >= self._era_ms
        if not self.newest or in_era >= self._share or is_old:
            return False
        if self._unread or self._read is not None:
            self._read_on()
        return True

    def begin(self, first_entry: int, first_site: int, now_ms: int) -> None:
        """End the newest era and begin the next, when this one does not go on."""
        if self._sieve and self._read is None:
            bits = self._sieve.folded(self._keys)
            self._db.execute("UPDATE era SET sieve = ? WHERE id = ?", (bits, self.newest))
            self._take(self.newest, bits)
        elif self.newest:
            self._unsieved.append(self.newest)
        self.newest = self._db.execute(_BEGIN, (first_entry, first_site, now_ms, self.keyed)).lastrowid or 0
        self.first_entry, self.started_ms = first_entry, now_ms
        self._keys = 0
        self._sieve, self._read = Sieve.sized(self._share), None

    def _read_on(self) -> None:
        """Read a sieve, and some keys of the newest era into its own, until all is there."""
        if self._unread:
            era = self._unread[-1]
            (row,) = sound(self._db.execute("SELECT sieve FROM era WHERE id = ?", (era,)).fetchall(), _SIEVE)
            self._take(era, *row)
            self._unread.pop()  # if reading fails it stays, or its chains would be taken for new ones
        if self._read is None:
            return
        self._sieve = self._sieve or Sieve.sized(self._share)
        rows = self._db.execute(_AFTER, (self.newest, self._read, KEYS_AT_A_TIME)).fetchall()
        keys = [key for (key,) in sound(rows, _KEY)]
        self._sieve.add(keys)
        self._keys += len(keys)
        self._read = keys[-1] if len(keys) == KEYS_AT_A_TIME else None

    def may_hold(self, key: int) -> list[int]:
        """The eras to look for a key in."""
        eras = self._unread + self._unsieved + self._sieves.may_hold(key)
        if self._sieve is None or self._read is not None or self._sieve.may_hold(key):
            return [self.newest, *eras]
        return eras

    def add(self, keys: list[tuple[int, int]], keyed: int) -> None:
        """Put (key, chain) of these chains into the newest era; those up to `keyed` have all been put then."""
        era = self.newest
        if keyed > self.keyed:
            self._db.execute("UPDATE era SET keyed = ? WHERE id = ?", (keyed, era))
            self.keyed = keyed
        self._db.executemany(_INSERT, [(era, key, chain) for key, chain in keys])
        if self._sieve:
            self._sieve.add(key for key, _ in keys)
        self._keys += len(keys)

    def leave(self, oldest: int, limit: int) -> None:
        """Delete a slice of the oldest eras, those all of whose entries came before `oldest`, the oldest that is left.

        Their sites go, and the keys of chains that have gone; those of others move to the newest era. As many as
        `limit` of each, for entries that have a chain each, or LEAST.
        """
        sites = keys = max(LEAST, limit)
        while sites > 0 and keys > 0 and (row := self._db.execute(_OLDEST, (oldest,)).fetchone()) is not None:
            era, first_site = row
            sites -= self._db.execute(_SITES_GO, (first_site, sites)).rowcount
            keys -= self._keys_leave(era, keys)
            if sites > 0 and keys > 0:
                self._go(era)

    def _keys_leave(self, era: int, limit: int) -> int:
        keys = sound(self._db.execute(_LEAVING, (era, limit)).fetchall(), _KEY)
        if keys:
            self._db.execute("DELETE FROM chain_key WHERE era = ? AND (key, chain) <= (?, ?)", (era, *keys[-1][:2]))
            self.add([(key, chain) for key, chain, is_there in keys if is_there], self.keyed)
        return len(keys)

    def _go(self, era: int) -> None:
        self._db.execute("DELETE FROM era WHERE id = ?", (era,))
        self._sieves.drop(era)
        self._unsieved = [id for id in self._unsieved if id != era]
        self._unread = [id for id in self._unread if id != era]

    def _take(self, era: int, bits: bytes) -> None:
        if not self._sieves.put(era, bits):
            self._unsieved.append(era)
