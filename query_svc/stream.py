"""Streams: what is stored, then what comes, as Server-Sent Events; nothing twice, nothing skipped without a word.

A stream subscribes first and notes the tail's cursor, sends what the file holds up to there, then what the subscription
brings. One that falls behind does the same again from where it stopped.
"""

import asyncio
from typing import Final

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from query_svc.tail import Tail, Wanted, frame
from query_svc.windows import Windows
from shared.errors import Unavailable
from shared.storage.reader import Numbered, Reader
from shared.wire import encode

RETRY_MS: Final = 2_000  # until a browser reconnects
HEARTBEAT_S: Final = 15.0
PAGE_ENTRIES: Final = 500  # read from the file at a time
REOPEN_S: Final = 0.5  # between looks for a file that has gone
FAREWELL_S: Final = 1.0  # for the last event, to a client that may have stopped reading

_GREETING: Final = b"retry: %d\n: TraceHub\n\n" % RETRY_MS
_TIMEOUT: Final = b'data: {"type":"timeout"}\n\n'
_RESET: Final = b"event: reset\ndata: {}\n\n"


class Gap(msgspec.Struct, rename={"start": "from", "end": "to"}, omit_defaults=True):
    """First and last row id that retention removed before the client had them; `lost` if all were meant for it."""

    start: int
    end: int
    lost: int | None = None


class Stream:
    """One client's stream: of one chain, or of all entries that it wants."""

    def __init__(
        self, tail: Tail, *, correlation_id: str | None = None, wants: Wanted | None = None, resume: int | None = None
    ) -> None:
        """`resume` is the row id of the last event that the client had; None: a whole chain, or only what is new."""
        self._tail = tail
        self._correlation_id = correlation_id
        self._wants = wants
        self._resumed = resume is not None and resume > 0
        self._position = resume if resume is not None or correlation_id is None else 0

    async def send(self, request: web.Request, windows: Windows, seconds: float) -> EventSourceResponse:
        """Stream for so many seconds."""
        self._tail.reader  # noqa: B018 - says 503 while it still can
        self._response = EventSourceResponse(ping_interval=HEARTBEAT_S)
        await self._response.prepare(request)
        async with self._response:
            async with windows.window(seconds):
                await self._response.write(_GREETING)
                await self._run()
            try:
                async with asyncio.timeout(FAREWELL_S):
                    if not windows.closing:
                        await self._response.write(_TIMEOUT)
                    await self._response.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()
        return self._response

    async def _run(self) -> None:
        while True:
            try:
                await self._follow()
            except Unavailable:
                await asyncio.sleep(REOPEN_S)

    async def _follow(self) -> None:
        """Catch up with the tail and stay with it, until behind again or moved to another file."""
        async with self._tail.subscription(self._correlation_id, self._wants) as subscription:
            position = subscription.start if self._position is None else self._position
            if position > await self._tail.reader.newest():
                await self._start_over()
                position = 0
            subscription.skip_to(position)
            await self._replay(position, subscription.start)
            while frames := await subscription.frames():
                await self._response.write(frames)
            if subscription.replaced:
                await self._start_over()
            else:
                self._position = subscription.behind

    async def _start_over(self) -> None:
        await self._response.write(_RESET)
        self._position = 0
        self._resumed = False

    async def _replay(self, position: int, upto: int) -> None:
        """Send what the file holds behind `position` and up to `upto`."""
        self._position = position
        while self._position < upto:
            reader = self._tail.reader
            await self._tell_gap(reader, upto)
            entries = await self._page(reader, upto)
            wanted = [frame(*numbered) for numbered in entries if self._wants is None or self._wants(numbered[1])]
            if wanted:
                await self._response.write(b"".join(wanted))
            self._position = entries[-1][0] if len(entries) == PAGE_ENTRIES else upto
            self._resumed = True
        self._position = max(position, upto)
        self._resumed = True

    async def _page(self, reader: Reader, upto: int) -> list[Numbered]:
        position = self._position or 0
        if self._correlation_id is None:
            return await reader.entries_after(position, upto, PAGE_ENTRIES)
        chain = await reader.chain(self._correlation_id)
        return [] if chain is None else await reader.in_order(chain, position, upto, PAGE_ENTRIES)

    async def _tell_gap(self, reader: Reader, upto: int) -> None:
        """Move on to the oldest entry that is left; a client that resumes is told what it may have missed."""
        position = self._position or 0
        end = min(await reader.oldest() - 1, upto)
        if end <= position:
            return
        self._position = end
        if self._resumed and await self._may_have_lost(reader):
            everything = self._correlation_id is None and self._wants is None
            gap = Gap(position + 1, end, end - position if everything else None)
            await self._response.write(b"event: gap\ndata: %b\n\n" % encode(gap))

    async def _may_have_lost(self, reader: Reader) -> bool:
        if self._correlation_id is None:
            return True
        chain = await reader.chain(self._correlation_id)
        return chain is None or chain.expired > 0
