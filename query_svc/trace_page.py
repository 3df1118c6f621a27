"""`GET /traces/{id}`: one page of a chain, at once or as soon as there is something to say.

A chain is what its summary says, so a page that was rendered is right for as long as the summary stays the same.
"""

import asyncio
import re
from typing import Final, NamedTuple

import msgspec

from query_svc.answer_cache import AnswerCache
from query_svc.tail import Tail
from query_svc.turns import Turns
from query_svc.windows import Windows
from shared.answers import TracePage
from shared.errors import BadRequest
from shared.storage.found import Chain, Position, Stretch
from shared.storage.pool import TooLong
from shared.storage.reader import MAX_INT64, Reader, start_of
from shared.wire import encode

FIRST_ENTRIES: Final = 50  # read at a time, then more, so that no read holds the file's history for long:
READ_ENTRIES: Final = 5_000
PAIR_ENTRIES: Final = 1_000  # from which a read gets another beside it, on a connection and a core of its own
FEW_ENTRIES: Final = 20  # up to which entries are read row by row, whatever their size
READ_BYTES: Final = 4 * 2**20  # that a read aims at, by the size of the one before
WAITING_BYTES: Final = 256 * 1024  # of first entries that are held in line; more are read again
ANSWER_BYTES: Final = 32 * 2**20  # a page that passes it ends there

_POSITION: Final = re.compile(r"-?\d{1,19}\.\d{1,18}", re.ASCII)


class Answer(NamedTuple):
    """The body of an answer, whether a client that waits has what it waits for, and the chain that was read for it."""

    body: bytes
    says_something: bool
    chain: Chain | None = None


class Ready(NamedTuple):
    """Answers that were made before, and the line for making another long one."""

    kept: AnswerCache[Answer]
    turns: Turns


class TraceQuery(msgspec.Struct, frozen=True):
    """What is asked of one chain. `since_ts` (milliseconds) is exclusive, `after` is the `next` of an earlier page."""

    correlation_id: str
    source: str | None
    since_ts: float | None
    limit: int
    after: str | None


async def read_page(reader: Reader, ready: Ready, query: TraceQuery) -> Answer:
    """The page, of the chain as it is at the first read: entries that come meanwhile are left out."""
    before = ready.kept.get((reader, query))
    if before is not None and before.chain == await reader.summary(query.correlation_id):
        return before
    start = start_of(query.since_ts) if query.after is None else _position(query.after)
    opened = await _open(reader, query, start)
    if opened is None:
        return Answer(encode(TracePage(query.correlation_id, [], 0, False, 0, None)), says_something=False)
    chain, first = opened
    if not _goes_on(query, chain, [first]):
        return await _answer(reader, ready, query, chain, [first])
    if ready.turns.are_taken and len(first.text) > WAITING_BYTES:
        first = _nothing(start)
    async with ready.turns.turn():
        before = ready.kept.get((reader, query))  # somebody who had asked for the same may have been first
        if before is not None and before.chain == chain:
            return before
        return await _answer(reader, ready, query, chain, await _read_on(reader, query, chain, first))


async def _open(reader: Reader, query: TraceQuery, start: Position) -> tuple[Chain, Stretch] | None:
    """The chain and its first entries, or none of them where they are long; None if nothing of it is there."""
    try:
        return await reader.chain(query.correlation_id, min(FIRST_ENTRIES, query.limit), query.source, start)
    except TooLong:
        chain = await reader.summary(query.correlation_id)
        return None if chain is None else (chain, _nothing(start))


def _nothing(at: Position) -> Stretch:
    return Stretch(b"", 0, at, may_go_on=True)


def _goes_on(query: TraceQuery, chain: Chain, stretches: list[Stretch]) -> bool:
    """Whether there may be more entries for this page."""
    if not stretches[-1].may_go_on or sum(len(stretch.text) for stretch in stretches) > ANSWER_BYTES:
        return False
    return _left(query, chain, stretches) > 0


def _left(query: TraceQuery, chain: Chain, stretches: list[Stretch]) -> int:
    return min(query.limit, chain.entries) - sum(stretch.found for stretch in stretches)


async def _read_on(reader: Reader, query: TraceQuery, chain: Chain, first: Stretch) -> list[Stretch]:
    stretches = [first]
    while _goes_on(query, chain, stretches):
        last = stretches[-1]
        left = _left(query, chain, stretches)
        wanted = FIRST_ENTRIES
        if last.found:
            wanted = max(1, min(READ_ENTRIES, 10 * last.found, READ_BYTES * last.found // len(last.text)))
        stretches += await _read(reader, chain, query, min(wanted, left), left, last.end)
    return stretches


async def _answer(reader: Reader, ready: Ready, query: TraceQuery, chain: Chain, stretches: list[Stretch]) -> Answer:
    found, end = sum(stretch.found for stretch in stretches), stretches[-1].end
    more = stretches[-1].may_go_on and found < chain.entries
    more = more and await reader.position(chain, 1, query.source, end) is not None
    page = TracePage(
        query.correlation_id,
        [],
        found if not more and query.after is None else await _count(reader, chain, query),
        chain.complete,
        chain.expired,
        f"{end.instant}.{end.id}" if more else None,
    )
    answer = Answer(_with_entries(page, stretches), found > 0 or chain.complete is True, chain)
    ready.kept.put((reader, query), answer, len(answer.body))
    return answer


def _with_entries(page: TracePage, stretches: list[Stretch]) -> bytes:
    """The page as JSON, its entries put into it without a copy of them in between."""
    before, brackets, behind = encode(page).partition(b'"traces":[]')  # within a string the quotes would be escaped
    texts = [piece for stretch in stretches if stretch.found for piece in (b",", stretch.text)]
    return b"".join([before, brackets[:-1], *texts[1:], b"]", behind])


async def _read(
    reader: Reader, chain: Chain, query: TraceQuery, wanted: int, left: int, after: Position
) -> list[Stretch]:
    """The next entries; where they are many, and the index knows where the second half begins, in two reads at once.

    Where they are long, fewer of them.
    """
    if wanted < FEW_ENTRIES:
        return [await reader.one_by_one(chain, min(FEW_ENTRIES, left), query.source, after, READ_BYTES)]
    try:
        return await _read_many(reader, chain, query, wanted, min(wanted, left - wanted), after)
    except TooLong:
        return [await reader.one_by_one(chain, wanted, query.source, after, READ_BYTES)]


async def _read_many(
    reader: Reader, chain: Chain, query: TraceQuery, first: int, second: int, after: Position
) -> list[Stretch]:
    middle = None
    if query.source is None and first >= PAIR_ENTRIES and second > 0:
        middle = await reader.position(chain, first, None, after)
    if middle is None:
        return [await reader.in_time(chain, first, query.source, after)]
    one, two = await asyncio.gather(
        reader.in_time(chain, first, None, after), reader.in_time(chain, second, None, middle)
    )
    return [one, two] if one.end == middle else [one]  # entries may have expired since, and the halves overlap


async def wait_for_page(tail: Tail, windows: Windows, ready: Ready, query: TraceQuery, seconds: float) -> Answer:
    """The first page that says something, or the one that is there after so many seconds."""
    page: Answer | None = None
    async with windows.window(seconds):
        while page is None or not page.says_something:
            async with tail.subscription(query.correlation_id) as subscription:
                page = await read_page(tail.reader, ready, query)
                if not page.says_something:
                    await subscription.frames()
    return page or await read_page(tail.reader, ready, query)


async def _count(reader: Reader, chain: Chain, query: TraceQuery) -> int:
    if query.source is None and query.since_ts is None:
        return chain.entries
    return await reader.count(chain, query.source, start_of(query.since_ts).instant)


def _position(text: str) -> Position:
    instant, _, row_id = text.partition(".")
    if not _POSITION.fullmatch(text) or abs(int(instant)) > MAX_INT64:
        raise BadRequest(f"after is the `next` of an earlier page, not {text[:40]!r}")
    return Position(int(instant), int(row_id))
