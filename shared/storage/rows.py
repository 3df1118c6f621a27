"""Rows of the file as what they mean. Those of a damaged file may mean nothing: `sqlite.DAMAGE` is raised then."""

from sys import getsizeof
from typing import Final, cast

from shared.answers import Correlation
from shared.storage.chains import decode_sources, open_in
from shared.storage.ids import unpacked
from shared.storage.instants import timestamp
from shared.storage.pool import Row
from shared.storage.sound import shape, sound
from shared.wire import NumberedEntry, StoredEntry, stored_data

Numbered = tuple[int, StoredEntry]  # row id and entry
Checkpoint = tuple[int, int, int, str, str, str, str, int]
"""Chain, instant, row id; source, direction, operation, endpoint; 1 where an error is reported."""

_ENTRY: Final = shape(int, str, str | bytes, int, str, str, str, str, str, str, str | None)
_CHAIN: Final = shape(str | bytes, object, int, int, str)  # what is reckoned with: there are many
_CHECKPOINT: Final = shape(object, int)


def checkpoints(rows: list[Row]) -> list[Checkpoint]:
    """Rows as checkpoints, of which nothing is made: there are very many."""
    return cast(list[Checkpoint], sound(rows, _CHECKPOINT))


def entry_size(row: Row) -> int:
    """Bytes that the row of an entry takes at most, of what has no limit of its own; 0 for what no writer stores."""
    data = row[8]
    try:
        size = len(data) + len(row[9])
        if row[10] is None and data.isascii():
            return size
        return 4 * (size + len(row[10] or ""))
    except TypeError:
        return 0


def summary_size(row: Row) -> int:
    """Bytes that a summary takes, of its sources, which are without number."""
    return getsizeof(row[4])


def site_size(row: Row) -> int:
    """Bytes that a site takes, of its endpoint and its host."""
    return getsizeof(row[4]) + getsizeof(row[5])


def _stored(row: Row) -> StoredEntry:
    _, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return StoredEntry(
        source_id, unpacked(correlation_id), timestamp(at), suffix, direction, operation, endpoint, stored_data(data),
        hostname, raw_line,
    )  # fmt: skip


def text_size(entries: list[Numbered]) -> int:
    """About as many bytes as entries have as JSON: what has no limit of its own."""
    return sum(len(memoryview(one.data)) + len(one.hostname) + len(one.raw_line or "") for _, one in entries)


def numbered(rows: list[Row]) -> list[Numbered]:
    """Rows of entries as entries."""
    return [(row[0], _stored(row)) for row in sound(rows, _ENTRY)]


def numbered_entries(rows: list[Row]) -> list[NumberedEntry]:
    """Entries with their row ids, for an answer."""
    return [_numbered_entry(row) for row in sound(rows, _ENTRY)]


def correlations(rows: list[Row]) -> list[Correlation]:
    """Summaries of chains, for the list."""
    return [_correlation(row) for row in sound(rows, _CHAIN)]


def _numbered_entry(row: Row) -> NumberedEntry:
    id, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return NumberedEntry(
        source_id, unpacked(correlation_id), timestamp(at), suffix, direction, operation, endpoint, stored_data(data),
        hostname, raw_line, id,
    )  # fmt: skip


def _correlation(row: Row) -> Correlation:
    correlation_id, entries, first, last, sources, expired, balance, errors, newest, arrived = row
    first_ts, last_ts = timestamp(first), timestamp(last)
    return Correlation(
        unpacked(correlation_id), entries, first_ts, last_ts, last_ts - first_ts, list(decode_sources(sources)),
        None if expired else balance == 0, None if expired else open_in(balance), errors, expired, newest, arrived,
    )  # fmt: skip
