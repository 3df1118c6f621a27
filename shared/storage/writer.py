"""The write side of the file: one connection, one transaction for all that waits, exact duplicate counts.

Not safe for use from two threads at once: whoever holds a Writer calls it from one at a time.
"""

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from shared.errors import DiskFull
from shared.storage import expiry, queries
from shared.storage.chains import Chains
from shared.storage.columns import Columns, columns
from shared.storage.eras import Eras
from shared.storage.expiry import Leaving
from shared.storage.insertion import staged
from shared.storage.ledger import Ledger
from shared.storage.marks import Marks
from shared.storage.reserve import Reserve, with_room
from shared.storage.sites import Sites
from shared.storage.sound import number
from shared.storage.sqlite import VERSION, companions, connect_writer, identity, make_file, translated
from shared.wire import Entry

LEAST_PART: Final = 1_000  # one entry in so many is deleted at a time where the file is too large
NO_DROPS: Final[Mapping[str, int]] = MappingProxyType({})


class Turnover(NamedTuple):
    """What came and what went: of each batch, how many were new; how many were deleted, and how long that took."""

    counts: list[int]
    deleted: int
    deleting_s: float


class Writer:
    """The database file, opened for writing. Every method is one transaction or nothing.

    Errors are those of `translated`. After one, nothing of the call is in the file.
    `oldest` and `newest` are the row ids of the entries that the file holds. Without syncs it keeps no reserve.
    """

    def __init__(self, path: Path, retention_ms: float, *, synced: bool = True) -> None:
        """Open the file, or lay out a missing or empty one. `retention_ms` shapes the eras and deletes nothing."""
        self.path = path
        self._retention_ms = retention_ms
        self._synced = synced
        self._at_leisure = False
        self.horizon: int | None = None
        with translated(path):
            self._reserve = Reserve(path, wanted=synced)
        with_room(path, self._open)
        self._reserve.take_some()  # entries are refused until it is all

    def _open(self) -> None:
        with translated(self.path):
            make_file(self.path)
            self._identity = identity(self.path)  # before it is opened: one that takes its place is noticed
            self._db = connect_writer(self.path, self._reserve.wal_pages, synced=self._synced)
            try:
                self._read()
                self._companions = {each: identity(each) for each in companions(self.path)}
            except BaseException:
                self._db.close()
                raise

    def _read(self) -> None:
        self._eras = Eras(self._db, self._retention_ms)
        self._marks = Marks(self._db, self._retention_ms)
        self._chains = Chains(self._db, self._eras)
        self._sites = Sites(self._db)
        self._ledger = Ledger(self._db)
        self._recall()

    def close(self) -> None:
        """Fold into the file what the WAL holds, whoever else has it open, and let go of it."""
        if self._undone:
            self._bury()
        with contextlib.suppress(sqlite3.Error):  # the file may be why; its WAL stays and is read next time
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()
        self._reserve.take_some()

    def is_current(self) -> bool:
        """Whether the file at the path is still the one that was opened, and so are its WAL and the index of that."""
        return identity(self.path) == self._identity and all(
            identity(each) == opened for each, opened in self._companions.items()
        )

    def write(self, batches: Sequence[Sequence[Entry]], now_ms: int, drops: Mapping[str, int] = NO_DROPS) -> list[int]:
        """As `store`, for entries as they are."""
        return self.store(columns(*batches), now_ms, drops)

    def store(self, entries: Columns, now_ms: int, drops: Mapping[str, int] = NO_DROPS) -> list[int]:
        """Store the entries in one synced transaction; returns how many of each batch were new.

        A duplicate has its (correlation_id, timestamp, suffix) in the file already, or earlier in the same call.
        `drops` is what senders report for the ledger: sender -> entries dropped since its start.
        """
        return self._store(entries, now_ms, drops, Leaving(range(0)))

    def turn_over(self, entries: Columns, now_ms: int, drops: Mapping[str, int], leaving: range) -> Turnover:
        """Delete the entries `leaving`, as `due` and `excess` give them, and `store`, in one transaction.

        What comes takes the pages of what goes, which are written once. On a full disk it fails; `expire` makes room.
        """
        going = Leaving(leaving)
        counts = self._store(entries, now_ms, drops, going)
        return Turnover(counts, len(going.ids), going.seconds)

    def expire(self, horizon: int, limit: int) -> int:
        """Delete the oldest entries, those before row id `horizon` and at most `limit`; returns how many."""
        return self._reserve.deleting(lambda entries: self._expire(horizon, entries), limit, self.checkpoint)

    def _expire(self, horizon: int, limit: int) -> int:
        leaving = Leaving(self.due(horizon, limit))
        if leaving.ids:
            with self._transaction(at_leisure=True):
                leaving.delete(self._db, self._chains)
                leaving.clear_up(self._db, self._eras, self._marks, self.newest)
            self.oldest += len(leaving.ids)
        return len(leaving.ids)

    def expire_while_larger(self, most_bytes: int, limit: int) -> int:
        """Delete the oldest entries, at most `limit`, if more bytes are used than that; returns how many."""
        leaving = self.excess(most_bytes, limit)
        return self.expire(leaving.stop, len(leaving)) if leaving else 0

    def due(self, horizon: int, limit: int) -> range:
        """The row ids of the oldest entries, those before row id `horizon` and at most `limit`."""
        return range(self.oldest, min(horizon, self.newest + 1, self.oldest + limit))

    def excess(self, most_bytes: int, limit: int) -> range:
        """Where more bytes are used than that: the row ids of the oldest entries that are too many, at most `limit`."""
        used = self.used_bytes()
        if used <= most_bytes:
            return range(0)
        self._eras.is_limited = True
        entries = self.newest - self.oldest + 1
        too_many = max(entries * (used - most_bytes) // used, entries // LEAST_PART)
        return self.due(self.newest + 1, min(limit, too_many + 1))

    @property
    def dropped(self) -> int:
        """How many entries the senders in the ledger had to drop."""
        return sum(self._ledger.dropped.values())

    def probe(self) -> None:
        """Write something, to see whether writing works."""
        self._reserve.take()
        with self._transaction():
            self._db.execute(f"PRAGMA user_version={VERSION}")

    def checkpoint(self) -> None:
        """Fold into the file what the WAL holds, as far as readers let it; commits do so every 4 MB."""
        with translated(self.path):
            self._db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def find_horizon(self, cutoff_ms: float, now_ms: float) -> int:
        """The row id before which every entry arrived earlier than `cutoff_ms` (Unix time); kept as `horizon`."""
        with translated(self.path):
            self.horizon = self._marks.horizon(cutoff_ms, now_ms, self.newest + 1)
            return self.horizon

    def used_bytes(self) -> int:
        """The size of the file less its unused pages."""
        with translated(self.path):
            return expiry.used_bytes(self._db)

    def give_back(self, spare_part: int | None, limit: int) -> int:
        """Give up to `limit` unused pages back, keeping one in `spare_part` of all unless the reserve lacks room."""
        spare_part = spare_part if self._reserve.is_held else None
        count = self._reserve.deleting(lambda pages: self._give_back(spare_part, pages), limit, self.checkpoint)
        if not self._reserve.is_held:
            with contextlib.suppress(DiskFull):  # then at a later turn
                self.checkpoint()  # only this cuts the file off
                self._reserve.take()
        return count

    def _give_back(self, spare_part: int | None, limit: int) -> int:
        with translated(self.path):
            return expiry.give_back(self._db, spare_part, limit)

    def _store(self, entries: Columns, now_ms: int, drops: Mapping[str, int], leaving: Leaving) -> list[int]:
        self._reserve.take()
        if duplicates := self._insert_unless_duplicates(entries, drops, now_ms, leaving):
            entries = entries.without(duplicates)
            self._insert_unless_duplicates(entries, drops, now_ms, leaving)
        return entries.sizes

    def _insert_unless_duplicates(
        self, entries: Columns, drops: Mapping[str, int], now_ms: int, leaving: Leaving
    ) -> set[int]:
        """Insert all entries or, where some are duplicates, none; returns the places of the duplicates in `entries`.

        What is `leaving` goes with the entries, or with none if there are none.
        """
        if not entries.size and not drops and not leaving.ids:
            return set()
        with translated(self.path):
            self._turn_era(now_ms)
        with self._transaction():
            first = self.newest + 1
            if leaving.ids:
                leaving.delete(self._db, self._chains)
            oldest = self.oldest + len(leaving.ids)
            rows, touched = staged(entries, oldest, self.newest, self._chains, self._sites)
            if taken := rows.insert_keys(self._db):
                self._take_back(entries, leaving)
                return taken
            rows.insert(self._db)
            if entries.lines:
                lines = [(first + place, line) for place, line in entries.lines]
                self._db.executemany("INSERT INTO raw_line VALUES (?, ?)", lines)
            self._sites.save()
            self._chains.save(touched)
            self._ledger.save(drops, now_ms)
            if entries.size:  # a mark without any would stand where the next entry's belongs
                self._marks.add(first, now_ms)
            if leaving.ids:
                leaving.clear_up(self._db, self._eras, self._marks, self.newest)
        self.oldest += len(leaving.ids)
        self.newest += entries.size
        self._chains.let_go(self.oldest, self.newest)
        return set()

    def _take_back(self, entries: Columns, leaving: Leaving) -> None:
        """Undo a transaction that has deleted what was leaving, staged entries and inserted their keys."""
        if leaving.has_keyed:
            self._undo()
            return
        self._db.execute("ROLLBACK")
        self._chains.take_back(entries.correlation_ids)
        self._sites.take_back()

    def _turn_era(self, now_ms: int) -> None:
        """Begin a new era when the newest one has had its share of the entries or of the time."""
        if self._undone:
            self._recall()
        if self._eras.goes_on(self.oldest, self.newest, now_ms):
            return
        with self._transaction():
            if self._eras.newest:
                self._chains.write_keys()
            self._eras.begin(self.newest + 1, self._sites.next_id, now_ms)
        self._sites.forget()

    @contextlib.contextmanager
    def _transaction(self, *, at_leisure: bool = False) -> Iterator[None]:
        """Run the block in a transaction and commit it, unless the block itself undid it.

        A commit `at_leisure` is synced with the next one, which syncs all that stands before it in the WAL.
        """
        with translated(self.path):
            if self._undone:
                self._recall()
            if self._synced and at_leisure != self._at_leisure:
                self._db.execute(f"PRAGMA synchronous={'NORMAL' if at_leisure else 'FULL'}")
                self._at_leisure = at_leisure
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                if self._db.in_transaction:
                    self._db.execute("COMMIT")
            except BaseException:
                self._undo()
                raise

    def _undo(self) -> None:
        self._undone = True
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _bury(self) -> None:
        """Write over what a commit left in the WAL whose sync failed, or whoever opens the file next would find it."""
        with contextlib.suppress(sqlite3.Error):  # the disk fails still, and takes nothing
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(f"PRAGMA user_version={VERSION}")
            self._db.execute("COMMIT")
        self._undo()

    def _recall(self) -> None:
        """Believe nothing but the file."""
        self._eras.recall()
        self._marks.recall()
        self._chains.recall()
        self._sites.recall()
        self._ledger.recall()
        self.newest, self.oldest = self._number(queries.NEWEST), self._number(queries.OLDEST)
        self._undone = False

    def _number(self, query: str) -> int:
        return number(*self._db.execute(query).fetchone())
