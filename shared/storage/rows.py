"""Rows of the file as what they mean. Those of a damaged file may mean nothing: what raises here is `sqlite.DAMAGE`."""

from array import array
from operator import itemgetter
from typing import Final, cast

from shared.api import Correlation
from shared.storage.chains import decode_sources, open_in
from shared.storage.instants import timestamp
from shared.storage.pool import Row
from shared.wire import NumberedEntry, StoredEntry, stored_data

Numbered = tuple[int, StoredEntry]  # row id and entry
Checkpoint = tuple[int, int, int, str, str, str, str, int]
"""Chain, instant, row id; source, direction, operation, endpoint; 1 where an error is reported."""

_instant: Final = itemgetter(1)


def checkpoints(rows: list[Row]) -> list[Checkpoint]:
    """Rows as checkpoints, of which nothing is made: there are very many."""
    array("q", map(_instant, rows))
    return cast(list[Checkpoint], rows)


def _stored(row: Row) -> StoredEntry:
    _, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return StoredEntry(
        source_id, correlation_id, timestamp(at), suffix, direction, operation, endpoint, stored_data(data), hostname,
        raw_line,
    )  # fmt: skip


def numbered(rows: list[Row]) -> list[Numbered]:
    """Rows of entries as entries."""
    for row in rows:
        "".join((*row[1:3], *row[4:8], row[9]))  # what is no text ends here, not in those who look at it
    return [(row[0], _stored(row)) for row in rows]


def numbered_entry(row: Row) -> NumberedEntry:
    """An entry with its row id, for an answer."""
    id, source_id, correlation_id, at, suffix, direction, operation, endpoint, data, hostname, raw_line = row
    return NumberedEntry(
        source_id, correlation_id, timestamp(at), suffix, direction, operation, endpoint, stored_data(data), hostname,
        raw_line, id,
    )  # fmt: skip


def correlation(row: Row) -> Correlation:
    """A chain's summary, for the list."""
    correlation_id, entries, first, last, sources, expired, balance, errors, newest, arrived = row
    first_ts, last_ts = timestamp(first), timestamp(last)
    return Correlation(
        correlation_id, entries, first_ts, last_ts, last_ts - first_ts, list(decode_sources(sources)),
        None if expired else balance == 0, None if expired else open_in(balance), errors, expired, newest, arrived,
    )  # fmt: skip
