"""Streams: what is stored, then what comes, as Server-Sent Events; nothing twice, nothing skipped without a word.

A stream subscribes first and notes the tail's cursor, sends what the file holds up to there, then what the subscription
brings. One that falls behind does the same again from where it stopped.
"""

import asyncio
import bisect
from itertools import starmap
from typing import Final

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from query_svc.filters import EVERYTHING, Filter
from query_svc.long_entries import LONG_BYTES, LONG_ENTRIES, is_long
from query_svc.sending import PIECE_BYTES, PIECE_S, end_with_connection, hang_up
from query_svc.subscription import PENDING_BYTES, Frames, frame
from query_svc.tail import Tail
from query_svc.windows import Windows
from shared.errors import TraceHubError
from shared.storage.reader import Reader
from shared.storage.rows import Numbered
from shared.wire import encode

RETRY_MS: Final = 2_000  # until a browser reconnects
HEARTBEAT_S: Final = 15.0
REPLAY_ENTRIES: Final = 500  # read from the file at a time, fewer where they are long:
IDS: Final = 10_000  # of a chain, looked for at a time: for each look the whole chain is gone through
REOPEN_S: Final = 0.5  # between looks for a file that has gone
LAST_EVENT_S: Final = 1.0  # for the last event, to a client that may have stopped reading

_GREETING: Final = b"retry: %d\n: TraceHub\n\n" % RETRY_MS
_TIMEOUT: Final = b'data: {"type":"timeout"}\n\n'
_RESET: Final = b"event: reset\ndata: {}\n\n"


class Gap(msgspec.Struct, rename={"start": "from", "end": "to"}, omit_defaults=True):
    """First and last row id that retention removed before the client had them; `lost` if all were meant for it."""

    start: int
    end: int
    lost: int | None = None


class Events(EventSourceResponse):
    """The response of a stream, which can send a long frame in pieces."""

    def __init__(self, ping_interval: float) -> None:
        super().__init__(ping_interval=ping_interval)
        self._rest = memoryview(b"")

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send what is whole; in the middle of a long frame this is a heartbeat, and left out."""
        if not self._rest:
            await super().write(data)

    async def write_whole(self, long: bytes) -> None:
        """Send a long frame; raises TimeoutError when the client does not take a piece in time."""
        self._rest = memoryview(long)
        await self.go_on()

    async def go_on(self) -> None:
        """Send what is left of a frame whose sending was cancelled."""
        while self._rest:
            piece, self._rest = self._rest[:PIECE_BYTES], self._rest[PIECE_BYTES:]
            async with asyncio.timeout(PIECE_S):
                await super().write(piece)


class Stream:
    """One client's stream: of one chain, or of all entries that it wants."""

    def __init__(
        self, tail: Tail, *, correlation_id: str | None = None, wanted: Filter = EVERYTHING, resume: int | None = None
    ) -> None:
        """`resume` is the row id of the last event that the client had; None: a whole chain, or only what is new."""
        self._tail = tail
        self._correlation_id = correlation_id
        self._filter = wanted
        self._wants = wanted.test()
        self._start = resume if resume is not None or correlation_id is None else 0
        self._resumed = self._start != 0
        self._ids: list[int] = []  # of the chain, behind the position
        self._ids_are_all = False

    async def send(self, request: web.Request, windows: Windows, seconds: float) -> EventSourceResponse:
        """Stream for so many seconds."""
        self._reader = self._tail.reader  # says 503 while it still can
        self._position = await self._reader.newest() if self._start is None else self._start
        self._request = request
        self._response = Events(ping_interval=HEARTBEAT_S)
        end_with_connection(request, self._response)
        await self._response.prepare(request)
        async with self._response:
            async with windows.window(seconds):
                await self._response.write(_GREETING)
                await self._run()
            try:
                async with asyncio.timeout(LAST_EVENT_S):
                    await self._response.go_on()
                    if not windows.closing:
                        await self._response.write(_TIMEOUT)
                    await self._response.write_eof()
            except TimeoutError:
                hang_up(request)
        return self._response

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except TraceHubError:
                await asyncio.sleep(REOPEN_S)

    async def _follow(self) -> None:
        """Catch up with the tail and stay with it, until behind again or moved to another file."""
        async with self._tail.subscription(self._correlation_id, self._filter, self._position) as subscription:
            if subscription.reader is not self._reader or self._position > await self._reader.newest():
                await self._start_over(subscription.reader)
                return
            await self._replay(subscription.start)
            while frames := subscription.take():
                await self._response.write(frames)
            await subscription.pour(self._take)
        if subscription.behind is not None:
            self._position = subscription.behind
            await self._request.writer.drain()

    def _take(self, frames: Frames) -> bool:
        """Write past aiohttp, which would take a task and some layers for each event of each client.

        What it does with a piece of a body is here as well: frame it, and hand it to the transport in one call.
        """
        transport = self._request.transport
        if transport is None or transport.is_closing():
            return True  # to nobody: the handler is about to be cancelled
        if transport.get_write_buffer_size() > PENDING_BYTES:
            return False
        transport.write(frames.chunk if self._response.chunked else frames.body)
        return True

    async def _start_over(self, reader: Reader) -> None:
        await self._response.write(_RESET)
        self._reader = reader
        self._position = 0
        self._resumed = False

    async def _replay(self, upto: int) -> None:
        """Send what the file holds behind the position and up to `upto`."""
        self._ids = []
        await self._pass_over_expired(upto)
        while self._position < upto:
            entries, end = await self._page(upto)
            if await self._pass_over_expired(upto):  # while the page was read: some may be missing from it
                continue
            wanted = [numbered for numbered in entries if self._wants(numbered[1])]
            if is_long(wanted):
                del entries
                if not await self._send_long(wanted):
                    continue  # it has expired
            elif wanted:
                frames = b"".join(starmap(frame, wanted))
                del entries, wanted  # a slow client costs its frames alone
                await self._response.write(frames)
            self._position = end
            self._resumed = True
        self._resumed = True

    async def _send_long(self, wanted: list[Numbered]) -> bool:
        async with self._request.app[LONG_ENTRIES].sent(self._reader, wanted, frame) as text:
            await self._response.write_whole(text)
            return bool(text)

    async def _page(self, upto: int) -> tuple[list[Numbered], int]:
        """The next entries, and the row id up to which they are all."""
        if self._correlation_id is not None:
            return await self._page_of_chain(self._correlation_id, upto)
        entries, more = await self._reader.entries_after(self._position, upto, REPLAY_ENTRIES, LONG_BYTES)
        return entries, entries[-1][0] if more or len(entries) == REPLAY_ENTRIES else upto

    async def _page_of_chain(self, correlation_id: str, upto: int) -> tuple[list[Numbered], int]:
        self._ids = self._ids[bisect.bisect_right(self._ids, self._position) :]
        if not self._ids:
            self._ids = await self._reader.ids_in_order(correlation_id, self._position, upto, IDS)
            self._ids_are_all = len(self._ids) < IDS
        ids = self._ids[:REPLAY_ENTRIES]
        end = upto if self._ids_are_all and len(ids) == len(self._ids) else ids[-1]
        if not ids:
            return [], end
        entries, more = await self._reader.entries(ids, LONG_BYTES)
        return entries, entries[-1][0] if more else end

    async def _pass_over_expired(self, upto: int) -> bool:
        """Move on to the oldest entry that is left; a client that resumes is told what it may have missed."""
        oldest = await self._reader.oldest()
        end = min(oldest - 1, upto)
        if end <= self._position:
            return False
        if self._resumed and await self._may_have_lost(oldest):
            everything = self._correlation_id is None and self._filter == EVERYTHING
            gap = Gap(self._position + 1, end, end - self._position if everything else None)
            await self._response.write(b"event: gap\ndata: %b\n\n" % encode(gap))
        self._position = end
        return True

    async def _may_have_lost(self, oldest: int) -> bool:
        if self._correlation_id is None:
            return True
        return await self._reader.may_have_lost(self._correlation_id, self._position, oldest)
