"""`GET /traces/{id}`: one page of a chain, at once or as soon as there is something to say."""

import re
from typing import Final

import msgspec

from query_svc.tail import Tail
from query_svc.windows import Windows
from shared.api import TracePage
from shared.errors import BadRequest
from shared.storage.reader import Chain, Position, Reader, start_of
from shared.wire import StoredEntry

READ_ENTRIES: Final = 5_000  # read at a time, so that no read holds the file's history for long

_POSITION: Final = re.compile(r"-?\d{1,19}\.\d{1,18}", re.ASCII)


class TraceQuery(msgspec.Struct, frozen=True):
    """What is asked of one chain. `since_ts` (milliseconds) is exclusive, `after` is the `next` of an earlier page."""

    correlation_id: str
    source: str | None
    since_ts: float | None
    limit: int
    after: str | None


async def read_page(reader: Reader, query: TraceQuery) -> TracePage:
    """The page, of the chain as it is at the first read: entries that come meanwhile are left out."""
    position = start_of(query.since_ts) if query.after is None else _position(query.after)
    chain = await reader.chain(query.correlation_id)
    if chain is None:
        return TracePage(query.correlation_id, [], 0, False, 0, None)
    entries: list[StoredEntry] = []
    more = True
    while more and len(entries) < query.limit:
        wanted = min(READ_ENTRIES, query.limit - len(entries))
        page, position = await reader.in_time(chain, wanted, query.source, position)
        entries += page
        more = len(page) == wanted
    if more:
        following, _ = await reader.in_time(chain, 1, query.source, position)
        more = bool(following)
    return TracePage(
        query.correlation_id,
        entries,
        len(entries) if not more and query.after is None else await _count(reader, chain, query),
        chain.complete,
        chain.expired,
        f"{position.instant}.{position.id}" if more else None,
    )


async def wait_for_page(tail: Tail, windows: Windows, query: TraceQuery, seconds: float) -> TracePage:
    """The first page that says something, or the one that is there after so many seconds."""
    page: TracePage | None = None
    async with windows.window(seconds):
        while page is None or not says_something(page):
            async with tail.subscription(query.correlation_id) as subscription:
                page = await read_page(tail.reader, query)
                if not says_something(page):
                    await subscription.frames()
    return page or await read_page(tail.reader, query)


def says_something(page: TracePage) -> bool:
    """Whether a client that waits has what it waits for."""
    return bool(page.traces) or page.complete is True


async def _count(reader: Reader, chain: Chain, query: TraceQuery) -> int:
    if query.source is None and query.since_ts is None:
        return chain.entries
    return await reader.count(chain, query.source, start_of(query.since_ts).instant)


def _position(text: str) -> Position:
    instant, _, row_id = text.partition(".")
    if not _POSITION.fullmatch(text):
        raise BadRequest(f"after is the `next` of an earlier page, not {text[:40]!r}")
    return Position(int(instant), int(row_id))
