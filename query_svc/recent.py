"""`GET /recent`: at once or, where the entries are long, in pieces that are read one after the other."""

import bisect
from contextlib import AbstractAsyncContextManager
from itertools import starmap
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from query_svc.long_entries import LONG_BYTES, LONG_ENTRIES, LongEntries, is_long
from query_svc.sending import end_with_connection, hang_up, send_json, write
from shared.answers import Recent
from shared.errors import TraceHubError
from shared.storage.reader import Reader
from shared.wire import NumberedEntry, StoredEntry, encode

AT_ONCE_BYTES: Final = 2**20  # of entries that are read and sent at once


class RecentQuery(NamedTuple):
    """What is asked for; `source` is the beginning of one."""

    limit: int
    since_id: int | None
    source: str


async def send_recent(request: web.Request, reader: Reader, query: RecentQuery) -> web.StreamResponse:
    """Answer with the entries."""
    entries = await reader.recent(*query, AT_ONCE_BYTES)
    if entries is not None:
        return await send_json(request, encode(Recent(entries, len(entries))))
    ids = await reader.recent_ids(*query)
    response = web.StreamResponse()
    response.content_type = "application/json"
    end_with_connection(request, response)
    await response.prepare(request)
    if request.method != "HEAD":
        try:
            await _send_long(response, reader, request.app[LONG_ENTRIES], ids)
        except (TimeoutError, TraceHubError):  # it is too late for another status
            hang_up(request)
    return response


async def _send_long(response: web.StreamResponse, reader: Reader, long: LongEntries, ids: list[int]) -> None:
    await write(response, b'{"traces":[')
    count = 0
    while ids:
        entries, more = await reader.entries(ids, LONG_BYTES)
        ids = ids[bisect.bisect_right(ids, entries[-1][0]) :] if more else []
        comma = b"," if count else b""
        if is_long(entries):
            count += await _send_one(response, long.sent(reader, entries, _text), comma)
        elif entries:
            count += len(entries)
            await write(response, comma + b",".join(starmap(_text, entries)))
    await write(response, b'],"count":%d}' % count)
    await response.write_eof()


async def _send_one(response: web.StreamResponse, sent: AbstractAsyncContextManager[bytes], comma: bytes) -> bool:
    """Send a long entry unless it has expired, and hold it no longer than that takes."""
    async with sent as text:
        if text:
            await write(response, comma)
            await write(response, text)
        return bool(text)


def _text(row_id: int, entry: StoredEntry) -> bytes:
    return encode(NumberedEntry(**msgspec.structs.asdict(entry), id=row_id))
