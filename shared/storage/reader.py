"""The read side of the file: what the query port answers with. Every query is bounded in what it looks at."""

import time
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from shared.api import Correlation, SenderDrops
from shared.storage.chains import decode_sources, hash48
from shared.storage.instants import instant, timestamp
from shared.storage.pool import CONNECTIONS, Pool, Row
from shared.wire import NumberedEntry, StoredEntry, encode, stored_data

SCAN_CHAINS: Final = 20_000  # that a filtered page of /correlations looks at
SCAN_ENTRIES: Final = 50_000  # that a look for a source goes through at a time
CENSUS_S: Final = 10.0  # how old the number of chains may be
INFINITY: Final = 2**63 - 1

_ENTRIES: Final = """
    SELECT entry.id, site.source_id, chain.correlation_id, chain.base + entry.at, entry.suffix, site.direction,
        site.operation, site.endpoint, entry.data, site.hostname,
        (SELECT line FROM raw_line WHERE raw_line.entry = entry.id)
    FROM entry CROSS JOIN site ON site.id = entry.site CROSS JOIN chain ON chain.id = entry.chain"""
_CHAIN: Final = """
    SELECT id, base, entries, expired, balance = 0, newest FROM chain
    WHERE era IN (SELECT id FROM era) AND key = ? AND correlation_id = ?"""
_IN_TIME: Final = f"""{_ENTRIES}
    WHERE entry.chain = :chain AND entry.at >= :at AND (entry.at > :at OR entry.id > :id) AND entry.id <= :newest
        AND (:source IS NULL OR site.source_id = :source)
    ORDER BY entry.at, entry.id LIMIT :limit"""
_COUNT: Final = """
    SELECT count(*) FROM entry CROSS JOIN site ON site.id = entry.site
    WHERE entry.chain = :chain AND entry.at > :at AND entry.id <= :newest
        AND (:source IS NULL OR site.source_id = :source)"""
_IN_ORDER: Final = f"""{_ENTRIES}
    WHERE entry.id IN (SELECT id FROM entry WHERE chain = ? AND id > ? AND id <= ? ORDER BY id LIMIT ?)
    ORDER BY entry.id"""
_SUMMARIES: Final = """
    SELECT correlation_id, entries, base + first_at, base + last_at, sources, expired, balance = 0, newest FROM (
        SELECT * FROM chain WHERE newest < :before ORDER BY newest DESC LIMIT :scan
    ) WHERE (:q = '' OR instr(correlation_id, :q)) AND (:source = '' OR instr(',' || substr(sources, 2), :source))
        AND (:complete IS NULL OR (expired = 0 AND (balance = 0) = :complete))
    LIMIT :limit"""
_SCANNED: Final = "SELECT newest FROM chain WHERE newest < ? ORDER BY newest DESC LIMIT 1 OFFSET ?"
_PREFIXED: Final = f"""{_ENTRIES}
    WHERE entry.id > ? AND entry.id <= ? AND substr(site.source_id, 1, ?) = ? ORDER BY entry.id {{}} LIMIT ?"""
_ARRIVED: Final = """
    SELECT min(first_entry) - 1 FROM (SELECT * FROM arrival ORDER BY first_entry DESC LIMIT 500) WHERE at >= ?"""
_BY_SOURCE: Final = """
    SELECT site.source_id, count(*) AS entries FROM entry CROSS JOIN site ON site.id = entry.site
    WHERE entry.id > ? GROUP BY site.source_id ORDER BY entries DESC, site.source_id"""


Numbered = tuple[int, StoredEntry]  # row id and entry


class Chain(NamedTuple):
    """A chain as its summary has it; `complete` is None when entries of it have expired."""

    id: int
    base: int
    entries: int
    expired: int
    complete: bool | None
    newest: int


class Position(NamedTuple):
    """A place within a chain in order of time, behind the entry with this instant and row id."""

    instant: int
    id: int


class Page(NamedTuple):
    """Chains, and the `before` of the next page if there may be one."""

    correlations: list[Correlation]
    next: int | None


class Reader:
    """One database file, opened for reading."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._census: tuple[float, int] | None = None
        self.close = pool.close
        self.is_current = pool.is_current

    @classmethod
    async def open(cls, path: Path, connections: int = CONNECTIONS) -> Self:
        """Open the file; raises Unavailable while it is missing or not set up, BadFile for a newer version's."""
        return cls(await Pool.open(path, connections))

    async def newest(self) -> int:
        """The newest row id ever given, 0 before the first."""
        return await self._number("SELECT seq FROM sqlite_sequence WHERE name = 'entry'", default=0)

    async def oldest(self) -> int:
        """The row id of the oldest entry; that of the next one when there is none."""
        query = (
            "SELECT coalesce((SELECT min(id) FROM entry), (SELECT seq + 1 FROM sqlite_sequence WHERE name = 'entry'))"
        )
        return await self._number(query, default=1)

    async def chain(self, correlation_id: str) -> Chain | None:
        """The chain of an id, None if nothing of it is there."""
        row = await self._pool.row(_CHAIN, (hash48(correlation_id), correlation_id))
        if row is None:
            return None
        id, base, entries, expired, balanced, newest = row
        return Chain(id, base, entries, expired, None if expired else bool(balanced), newest)

    async def in_time(
        self, chain: Chain, limit: int, source: str | None, after: Position
    ) -> tuple[list[StoredEntry], Position]:
        """Entries of a chain behind a position, by timestamp, then by arrival, and the position behind them.

        What came after `chain` was read is left out.
        """
        parameters = {"id": after.id, "limit": limit, **self._within(chain, source, after.instant)}
        rows = await self._pool.rows(_IN_TIME, parameters)
        return [_stored(row) for row in rows], Position(rows[-1][3], rows[-1][0]) if rows else after

    async def count(self, chain: Chain, source: str | None, since: int) -> int:
        """How many entries of a chain are later than an instant."""
        return await self._number(_COUNT, self._within(chain, source, since))

    async def in_order(self, chain: Chain, after: int, upto: int, limit: int) -> list[Numbered]:
        """Entries of a chain by row id, `after` < id <= `upto`."""
        return _numbered(await self._pool.rows(_IN_ORDER, (chain.id, after, upto, limit)))

    async def entries_after(self, after: int, upto: int, limit: int) -> list[Numbered]:
        """Entries of all chains by row id, `after` < id <= `upto`."""
        query = f"{_ENTRIES} WHERE entry.id > ? AND entry.id <= ? ORDER BY entry.id LIMIT ?"
        return _numbered(await self._pool.rows(query, (after, upto, limit)))

    async def recent(self, limit: int, since_id: int | None, source: str) -> list[NumberedEntry]:
        """The newest entries, or the next ones behind `since_id`, oldest first; `source` is the beginning of a source.

        Without `since_id` a source is looked for among the newest SCAN_ENTRIES.
        """
        newest = await self.newest()
        if since_id is None:
            start = newest - (SCAN_ENTRIES if source else limit)
            rows = await self._pool.rows(_PREFIXED.format("DESC"), (start, newest, len(source), source, limit))
            return [_numbered_entry(row) for row in reversed(rows)]
        found: list[Row] = []
        start = max(since_id, await self.oldest() - 1)
        while start < newest and len(found) < limit:
            end = min(newest, start + SCAN_ENTRIES)
            parameters = (start, end, len(source), source, limit - len(found))
            found += await self._pool.rows(_PREFIXED.format("ASC"), parameters)
            start = end
        return [_numbered_entry(row) for row in found]

    async def correlations(self, limit: int, before: int | None, source: str, q: str, complete: bool | None) -> Page:
        """Chains, newest activity first; a filtered page ends after SCAN_CHAINS even when it is not full."""
        filtered = bool(source or q or complete is not None)
        scan = SCAN_CHAINS if filtered else limit + 1
        start = INFINITY if before is None else before
        key = f",{encode(source).decode()}:" if source else ""  # no quoted comma can stand before such a quote
        parameters = {"before": start, "scan": scan, "q": q, "source": key, "complete": complete, "limit": limit + 1}
        rows = await self._pool.rows(_SUMMARIES, parameters)
        if len(rows) > limit:
            return Page([_correlation(row) for row in rows[:limit]], rows[limit - 1][-1])
        last = await self._pool.row(_SCANNED, (start, scan - 1)) if filtered else None
        return Page([_correlation(row) for row in rows], last[0] if last else None)

    async def chains(self) -> int:
        """How many chains there are, or were up to CENSUS_S ago."""
        if self._census is None or time.monotonic() - self._census[0] > CENSUS_S:
            self._census = time.monotonic(), await self._number("SELECT count(*) FROM chain")
        return self._census[1]

    async def arrived_before(self, cutoff_ms: float) -> int:
        """The row id of the last entry that arrived before `cutoff_ms` (Unix time, some minutes ago at most)."""
        return await self._number(_ARRIVED, (cutoff_ms,), default=await self.newest())

    async def by_source(self, after: int) -> list[tuple[str, int]]:
        """Source and number of entries behind a row id, most first."""
        return [(source, entries) for source, entries in await self._pool.rows(_BY_SOURCE, (after,))]

    async def senders(self) -> list[SenderDrops]:
        """The ledger: senders that dropped entries, the latest report first."""
        rows = await self._pool.rows("SELECT id, dropped, reported FROM sender ORDER BY reported DESC, id")
        return [SenderDrops(*row) for row in rows]

    async def age_s(self, row_id: int) -> float:
        """Seconds since the entry with this row id arrived, at least 1."""
        query = "SELECT at FROM arrival WHERE first_entry <= ? ORDER BY first_entry DESC LIMIT 1"
        return max(1.0, time.time() - await self._number(query, (row_id,)) / 1000)

    async def _number(self, query: str, parameters: Any = (), default: int = 0) -> int:
        row = await self._pool.row(query, parameters)
        return default if row is None or row[0] is None else int(row[0])

    def _within(self, chain: Chain, source: str | None, since: int) -> dict[str, Any]:
        at = max(-INFINITY, min(since - chain.base, INFINITY))
        return {"chain": chain.id, "at": at, "newest": chain.newest, "source": source}


def start_of(since_ts: float | None) -> Position:
    """The position behind everything up to a timestamp (milliseconds), or before everything."""
    return Position(-INFINITY if since_ts is None else instant(since_ts), INFINITY)


def _stored(row: Row) -> StoredEntry:
    _, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return StoredEntry(
        source_id, correlation_id, timestamp(at), suffix, direction, operation, endpoint, stored_data(data), hostname,
        raw_line,
    )  # fmt: skip


def _numbered(rows: list[Row]) -> list[Numbered]:
    return [(row[0], _stored(row)) for row in rows]


def _numbered_entry(row: Row) -> NumberedEntry:
    id, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return NumberedEntry(
        source_id, correlation_id, timestamp(at), suffix, direction, operation, endpoint, stored_data(data), hostname,
        raw_line, id,
    )  # fmt: skip


def _correlation(row: Row) -> Correlation:
    correlation_id, entries, first, last, sources, expired, balanced, _ = row
    first_ts, last_ts = timestamp(first), timestamp(last)
    return Correlation(
        correlation_id, entries, first_ts, last_ts, last_ts - first_ts, list(decode_sources(sources)),
        None if expired else bool(balanced),
    )  # fmt: skip
