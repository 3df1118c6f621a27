"""`GET /traces/{id}`: one page of a chain, at once or as soon as there is something to say.

A chain is what its summary says, so a page that was rendered is right for as long as the summary stays the same.
"""

import asyncio
import re
from typing import Final, NamedTuple

import msgspec

from query_svc.kept import Kept
from query_svc.tail import Tail
from query_svc.windows import Windows
from shared.answers import TracePage
from shared.errors import BadRequest
from shared.storage.reader import Chain, Position, Reader, Stretch, start_of
from shared.wire import encode

FIRST_ENTRIES: Final = 50  # read at a time, then more, so that no read holds the file's history for long:
READ_ENTRIES: Final = 5_000
PAIR_ENTRIES: Final = 1_000  # from which a read gets another beside it, on a connection and a core of its own
READ_BYTES: Final = 4 * 2**20  # that a read aims at, by the size of the one before
ANSWER_BYTES: Final = 32 * 2**20  # a page that passes it ends there

_POSITION: Final = re.compile(r"-?\d{1,19}\.\d{1,18}", re.ASCII)


class Answer(NamedTuple):
    """The body of an answer, whether a client that waits has what it waits for, and the chain that was read for it."""

    body: bytes
    says_something: bool
    chain: Chain | None = None


class RenderedPage(TracePage):
    """A page whose entries are JSON text already."""

    traces: msgspec.Raw  # type: ignore[assignment]


class TraceQuery(msgspec.Struct, frozen=True):
    """What is asked of one chain. `since_ts` (milliseconds) is exclusive, `after` is the `next` of an earlier page."""

    correlation_id: str
    source: str | None
    since_ts: float | None
    limit: int
    after: str | None


async def read_page(reader: Reader, kept: Kept[Answer], query: TraceQuery) -> Answer:
    """The page, of the chain as it is at the first read: entries that come meanwhile are left out."""
    before = kept.get((reader, query))
    if before is not None and before.chain == await reader.summary(query.correlation_id):
        return before
    position = start_of(query.since_ts) if query.after is None else _position(query.after)
    opened = await reader.chain(query.correlation_id, min(FIRST_ENTRIES, query.limit), query.source, position)
    if opened is None:
        return Answer(encode(TracePage(query.correlation_id, [], 0, False, 0, None)), says_something=False)
    answer = await _read_on(reader, query, *opened)
    kept.put((reader, query), answer, len(answer.body))
    return answer


async def _read_on(reader: Reader, query: TraceQuery, chain: Chain, first: Stretch) -> Answer:
    stretches = [first]
    found, size, wanted = first.found, len(first.text), min(FIRST_ENTRIES, query.limit)
    while may_follow := stretches[-1].found == wanted and found < chain.entries:
        if found >= query.limit or size > ANSWER_BYTES:
            break
        wanted = max(1, min(READ_ENTRIES, 10 * wanted, READ_BYTES * wanted // len(stretches[-1].text)))
        wanted = min(wanted, query.limit - found)
        second = min(wanted, min(query.limit, chain.entries) - found - wanted)
        several = await _read(reader, chain, query, (wanted, second), stretches[-1].end)
        wanted = second if len(several) == 2 else wanted
        stretches += several
        found += sum(stretch.found for stretch in several)
        size += sum(len(stretch.text) for stretch in several)
    end = stretches[-1].end
    more = may_follow and (await reader.in_time(chain, 1, query.source, end)).found > 0
    page = RenderedPage(
        query.correlation_id,
        msgspec.Raw("[" + ",".join(stretch.text for stretch in stretches if stretch.found) + "]"),
        found if not more and query.after is None else await _count(reader, chain, query),
        chain.complete,
        chain.expired,
        f"{end.instant}.{end.id}" if more else None,
    )
    return Answer(encode(page), found > 0 or chain.complete is True, chain)


async def _read(
    reader: Reader, chain: Chain, query: TraceQuery, numbers: tuple[int, int], after: Position
) -> list[Stretch]:
    """The next entries; where they are many, and the index knows where the second half begins, in two reads at once."""
    first, second = numbers
    middle = None
    if query.source is None and first >= PAIR_ENTRIES and second > 0:
        middle = await reader.place(chain, first, after)
    if middle is None:
        return [await reader.in_time(chain, first, query.source, after)]
    one, two = await asyncio.gather(
        reader.in_time(chain, first, None, after), reader.in_time(chain, second, None, middle)
    )
    return [one, two] if one.end == middle else [one]  # entries may have expired since, and the halves overlap


async def wait_for_page(tail: Tail, windows: Windows, kept: Kept[Answer], query: TraceQuery, seconds: float) -> Answer:
    """The first page that says something, or the one that is there after so many seconds."""
    page: Answer | None = None
    async with windows.window(seconds):
        while page is None or not page.says_something:
            async with tail.subscription(query.correlation_id) as subscription:
                page = await read_page(tail.reader, kept, query)
                if not page.says_something:
                    await subscription.frames()
    return page or await read_page(tail.reader, kept, query)


async def _count(reader: Reader, chain: Chain, query: TraceQuery) -> int:
    if query.source is None and query.since_ts is None:
        return chain.entries
    return await reader.count(chain, query.source, start_of(query.since_ts).instant)


def _position(text: str) -> Position:
    instant, _, row_id = text.partition(".")
    if not _POSITION.fullmatch(text):
        raise BadRequest(f"after is the `next` of an earlier page, not {text[:40]!r}")
    return Position(int(instant), int(row_id))
