"""The read side of the file: what the query port answers with. Every query is bounded in what it looks at."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

from shared.answers import SenderDrops
from shared.storage import queries
from shared.storage.chains import hash48
from shared.storage.found import Active, Chain, Chosen, Extent, Page, Position, Stretch
from shared.storage.ids import in_digits, packed
from shared.storage.instants import instant
from shared.storage.pool import CONNECTIONS, VALUE_BYTES, Parameters, Pool, Row, all_rows, one_moment, some_rows
from shared.storage.rows import (
    Checkpoint,
    Numbered,
    checkpoints,
    correlations,
    entry_size,
    numbered,
    numbered_entries,
    summary_size,
)
from shared.storage.sound import number, shape, sound
from shared.storage.stretches import Stretches
from shared.wire import NumberedEntry, encode

SCAN_CHAINS: Final = 20_000  # that a filtered page of /correlations looks at
SCAN_ENTRIES: Final = 50_000  # that a look for a source goes through at a time
CENSUS_S: Final = 10.0  # how old the number of chains may be
FIRST_BYTES: Final = 2**20  # that the first entries of a chain may have in a column; with more they are read otherwise
STRETCH_BYTES: Final = 8 * 2**20  # the same, of those that follow
SOURCES_BYTES: Final = 2**20  # of the sources on a page of /correlations; the chain that would pass it begins the next
MAX_INT64: Final = 2**63 - 1

_CHAIN: Final = shape(int, int, int, int, int, int)


class Reader:
    """One database file, opened for reading."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._stretches = Stretches(pool)
        self._census: tuple[float, int] | None = None
        self.close = pool.close
        self.is_current = pool.is_current

    @classmethod
    async def open(cls, path: Path, connections: int = CONNECTIONS) -> Self:
        """Open the file; raises Unavailable while it is missing or not set up, BadFile for a newer version's."""
        return cls(await Pool.open(path, connections))

    async def newest(self) -> int:
        """The newest row id ever given, 0 before the first."""
        return await self._number(queries.NEWEST, default=0)

    async def oldest(self) -> int:
        """The row id of the oldest entry; that of the next one when there is none."""
        return await self._number(queries.OLDEST, default=1)

    async def chain(
        self, correlation_id: str, limit: int, source: str | None, after: Position
    ) -> tuple[Chain, Stretch] | None:
        """The chain of an id and its first entries behind a position, of one moment; None if nothing of it is there.

        Raises TooLong where they have more than FIRST_BYTES.
        """
        asked = {"newest": MAX_INT64, "source": source, "instant": after.instant, "id": after.id, "limit": limit}
        found = await self._stretches.find(queries.NAMED, {**asked, **_named(correlation_id)}, FIRST_BYTES)
        if found.chain[0] is None:
            return None
        return self._summary(correlation_id, found.chain), self._stretches.render(correlation_id, found, limit, after)

    async def summary(self, correlation_id: str) -> Chain | None:
        """The chain of an id, without its entries."""
        row = await self._pool.row(queries.SUMMARY, _named(correlation_id))
        return None if row is None else self._summary(correlation_id, row)

    async def in_time(self, chain: Chain, limit: int, source: str | None, after: Position) -> Stretch:
        """Entries of a chain behind a position, by timestamp, then by arrival.

        What came after `chain` was read is left out. Raises TooLong where they have more than STRETCH_BYTES.
        """
        found = await self._stretches.find(queries.NUMBERED, _behind(chain, limit, source, after), STRETCH_BYTES)
        return self._stretches.render(chain.correlation_id, found, limit, after)

    async def one_by_one(
        self, chain: Chain, limit: int, source: str | None, after: Position, most_bytes: int
    ) -> Stretch:
        """The same row by row, which takes longer: entries of `most_bytes` together, or one of whatever size."""
        query = queries.ONE_BY_ONE.format(source=queries.of(source))
        rows, more = await self._pool.some(query, _behind(chain, limit, source, after), entry_size, most_bytes)
        with self._pool.decoding():
            text = b",".join([encode(entry) for _, entry in numbered(rows)])
        end = Position(rows[-1][3], rows[-1][0]) if rows else after
        return Stretch(text, len(rows), end, more or len(rows) == limit)

    async def position(self, chain: Chain, number: int, source: str | None, after: Position) -> Position | None:
        """The position behind that many entries of a chain, found without them; None if there are fewer."""
        query = queries.POSITION.format(source=queries.of(source))
        row = await self._pool.row(query, _behind(chain, number, source, after))
        return None if row is None else Position(*row)

    async def count(self, chain: Chain, source: str | None, since: int) -> int:
        """How many entries of a chain are later than an instant."""
        query = queries.COUNT if source is None else queries.COUNT_OF_SOURCE
        return await self._number(query, self._within(chain, source, since))

    async def ids_in_order(self, correlation_id: str, after: int, upto: int, limit: int) -> list[int]:
        """The first row ids of a chain with `after` < id <= `upto`; the whole chain is looked through for them."""
        parameters = {"after": after, "upto": upto, "limit": limit, **_named(correlation_id)}
        return [id for (id,) in await self._pool.rows(queries.IDS_IN_ORDER, parameters)]

    async def entries(self, ids: list[int], most_bytes: int) -> tuple[list[Numbered], bool]:
        """The entries with these row ids that are left, of `most_bytes` or one, in order; True: there may be more."""
        return await self._numbered(queries.THESE, (encode(ids).decode(),), most_bytes)

    async def may_have_lost(self, correlation_id: str, after: int, oldest: int) -> bool:
        """Whether a chain may have had entries after row id `after` that have expired; `oldest` is the oldest id left.

        A chain that expired as a whole leaves its key, and may have begun again since; once its era has expired, too,
        that cannot be known.
        """
        parameters = {"after": after, "oldest": oldest, **_named(correlation_id)}
        return bool(await self._number(queries.MAY_HAVE_LOST, parameters))

    async def entries_after(self, after: int, upto: int, limit: int, most_bytes: int) -> tuple[list[Numbered], bool]:
        """Entries of all chains by row id, `after` < id <= `upto`, of `most_bytes` or one; True: there may be more."""
        return await self._numbered(queries.BETWEEN, (after, upto, limit), most_bytes)

    async def recent(
        self, limit: int, since_id: int | None, source: str, most_bytes: int
    ) -> list[NumberedEntry] | None:
        """The newest entries, or the next ones behind `since_id`, oldest first; `source` is the beginning of a source.

        Without `since_id` a source is looked for among the newest SCAN_ENTRIES. None where they have more than
        `most_bytes`.
        """
        rows = await self._recent(queries.PREFIXED, entry_size, most_bytes, (limit, since_id, source))
        with self._pool.decoding():
            return None if rows is None else numbered_entries(rows)

    async def recent_ids(self, limit: int, since_id: int | None, source: str) -> list[int]:
        """The row ids of what `recent` looks for."""
        rows = await self._recent(queries.PREFIXED_IDS, lambda _: 0, 0, (limit, since_id, source))
        return [id for (id,) in rows or ()]

    async def _recent(
        self, query: str, size: Callable[[Row], int], most_bytes: int, asked: tuple[int, int | None, str]
    ) -> list[Row] | None:
        limit, since_id, source = asked
        newest = await self.newest()
        if since_id is None:
            start = newest - (SCAN_ENTRIES if source else limit)
            parameters = (start, newest, len(source), source, limit)
            rows, more = await self._pool.some(query.format("DESC"), parameters, size, most_bytes)
            return None if more else rows[::-1]
        found: list[Row] = []
        start = max(since_id, await self.oldest() - 1)
        while start < newest and len(found) < limit:
            end = min(newest, start + SCAN_ENTRIES)
            parameters = (start, end, len(source), source, limit - len(found))
            rows, more = await self._pool.some(query.format("ASC"), parameters, size, most_bytes)
            if more:
                return None
            most_bytes -= sum(map(size, rows))
            found += rows
            start = end
        return found

    async def correlations(self, limit: int, before: int | None, chosen: Chosen) -> Page:
        """Chains, newest activity first; a page that looks into chains ends after SCAN_CHAINS even when it is not full.

        A page whose sources have more than SOURCES_BYTES ends there. Times cost nothing: they are a range of row ids.
        """
        source, q, complete, errors, active_after, active_before = chosen
        filtered = bool(source or q or complete is not None or errors is not None)
        scan = SCAN_CHAINS if filtered else limit + 1
        start = MAX_INT64 if before is None else before
        if active_before is not None:
            start = min(start, await self.first_since(active_before))
        floor = 0 if active_after is None else await self.first_since(active_after)
        key = f",{encode(source).decode()}:" if source else ""  # may stand in other names: `x,` and `:y` hold `:1,`
        among = {"before": start, "floor": floor, "scan": scan}
        test = {
            "q": q,
            "digits": in_digits(q),
            "source": key,
            "complete": complete,
            "errors": errors,
            "limit": limit + 1,
        }

        def look(db: sqlite3.Connection) -> tuple[list[Row], bool, list[Row]]:
            with one_moment(db):  # a chain that gets an entry makes room in the range for one that was not looked at
                rows, more = some_rows(db, queries.SUMMARIES, {**among, **test}, summary_size, SOURCES_BYTES)
                is_full = more or len(rows) > limit
                last = [] if is_full or not filtered else all_rows(db, queries.SCANNED, among, VALUE_BYTES)
                return rows, is_full, last

        rows, is_full, last = await self._pool.call(look)
        with self._pool.decoding():
            looked_at = correlations(rows[:limit])
        found = [chain for chain in looked_at if not source or source in chain.sources]
        if is_full:
            return Page(found, looked_at[-1].last_id)
        return Page(found, last[0][0] if last else None)

    async def first_since(self, at_ms: float) -> int:
        """The first row id that, by the marks, came at `at_ms` (Unix time) or later; behind the newest if none did."""
        return await self._number(queries.SINCE, {"at": at_ms}, default=1)

    async def active_chains(self, floor: int, before: int, limit: int) -> list[Active]:
        """Chains whose newest entry has a row id of `floor` <= id < `before`, newest first."""
        return [Active(*row) for row in await self._pool.rows(queries.ACTIVE, (before, floor, limit))]

    async def checkpoints(self, chains: list[int]) -> list[Checkpoint]:
        """All checkpoints of some short chains, chain by chain, each in order of time."""
        rows = await self._pool.rows(queries.CHECKPOINTS_OF_CHAINS, (encode(chains).decode(),))
        with self._pool.decoding():
            return checkpoints(rows)

    async def checkpoints_of(self, chain: int, after: Position, limit: int) -> tuple[list[Checkpoint], Position]:
        """Checkpoints of one chain behind a position, in order of time, and the position behind them."""
        parameters = {"chain": chain, "instant": after.instant, "id": after.id, "limit": limit}
        rows = await self._pool.rows(queries.CHECKPOINTS_OF_CHAIN, parameters)
        with self._pool.decoding():
            return checkpoints(rows), Position(rows[-1][1], rows[-1][2]) if rows else after

    async def chains(self) -> int:
        """How many chains there are, or were up to CENSUS_S ago."""
        if self._census is None or time.monotonic() - self._census[0] > CENSUS_S:
            self._census = time.monotonic(), await self._number("SELECT count(*) FROM chain")
        return self._census[1]

    async def extent(self, cutoff_ms: float) -> Extent:
        """What there is, and how far it goes that arrived before `cutoff_ms` (Unix time, some minutes ago at most)."""
        (row,) = await self._pool.rows(queries.EXTENT, (cutoff_ms,))
        with self._pool.decoding():
            return Extent(*map(number, row))

    async def by_source(self, after: int) -> list[tuple[str, int]]:
        """Source and number of entries behind a row id, most first."""
        return [(source, entries) for source, entries in await self._pool.rows(queries.BY_SOURCE, (after,))]

    async def senders(self) -> list[SenderDrops]:
        """The ledger: senders that dropped entries, the latest report first."""
        rows = await self._pool.rows("SELECT id, dropped, reported FROM sender ORDER BY reported DESC, id")
        return [SenderDrops(*row) for row in rows]

    async def age_s(self, row_id: int) -> float:
        """Seconds since the entry with this row id arrived, or the oldest that is left if it has gone; at least 1."""
        return max(1.0, time.time() - await self._number(queries.ARRIVED_AT, (row_id,)) / 1000)

    async def _numbered(self, query: str, parameters: Parameters, most_bytes: int) -> tuple[list[Numbered], bool]:
        rows, more = await self._pool.some(query, parameters, entry_size, most_bytes)
        with self._pool.decoding():
            return numbered(rows), more

    def _summary(self, correlation_id: str, row: Row) -> Chain:
        with self._pool.decoding():
            ((id, base, entries, expired, balanced, newest),) = sound([row], _CHAIN)
        return Chain(correlation_id, id, base, entries, expired, None if expired else bool(balanced), newest)

    async def _number(self, query: str, parameters: Parameters = (), default: int = 0) -> int:
        row = await self._pool.row(query, parameters)
        with self._pool.decoding():
            return default if row is None or row[0] is None else number(row[0])

    def _within(self, chain: Chain, source: str | None, since: int) -> dict[str, Any]:
        at = max(-MAX_INT64, min(since - chain.base, MAX_INT64))
        return {"chain": chain.id, "at": at, "newest": chain.newest, "source": source}


def _behind(chain: Chain, limit: int, source: str | None, after: Position) -> dict[str, Any]:
    asked = {"newest": chain.newest, "source": source, "instant": after.instant, "id": after.id, "limit": limit}
    return {**asked, "chain": chain.id}


def _named(correlation_id: str) -> dict[str, Any]:
    return {"key": hash48(correlation_id), "correlation_id": packed(correlation_id)}


def start_of(since_ts: float | None) -> Position:
    """The position behind everything up to a timestamp (milliseconds), or before everything."""
    return Position(-MAX_INT64 if since_ts is None else instant(since_ts), MAX_INT64)
