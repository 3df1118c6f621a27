"""The way in for bodies: bounded in bytes from the first one on, inflated only as far as is allowed."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from ingest_svc.inflate import inflate
from shared.errors import BadRequest, TooLarge, TooSlow, Unavailable

RECEIVE_S: Final = 30.0  # that a sender may take for one body
IN_THREAD_BYTES: Final = 64 * 1024  # compressed bodies from this size on are inflated off the event loop
DECODED_BYTES: Final = 8 * 2**20  # of bodies that are entries at one time: entries take several times the room


class Intake:
    """Room for the bodies of all requests together. When it is full, a request is refused with 503."""

    def __init__(self, queue_bytes: int, max_body_bytes: int) -> None:
        self.queue_bytes = queue_bytes
        self._max_body_bytes = max_body_bytes
        self._turns: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._decoded = 0
        self.held = 0
        self.refused = 0

    @contextlib.asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The request's body, inflated, when it is its turn to become entries; the room is given back at the end."""
        room = _Room(self)
        try:
            body = await self._receive(request, room)
            encoding = request.headers.get("Content-Encoding")
            if encoding:
                body = await self._inflate(body, encoding.strip().lower(), room)
            await self._turn(len(body))
            try:
                yield body
            finally:
                self._end_turn(len(body))
        finally:
            room.give_back()

    async def _receive(self, request: web.Request, room: "_Room") -> bytes:
        if (request.content_length or 0) > self._max_body_bytes:
            raise self._too_large()
        content = request.content
        if content.is_eof():
            body = content.read_nowait(-1)
            room.take(len(body))
            return body
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(RECEIVE_S):
                while chunk := await content.readany():
                    room.take(len(chunk))
                    chunks.append(chunk)
                    if room.taken > self._max_body_bytes:
                        raise self._too_large()
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {RECEIVE_S:.0f} s") from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"The body does not follow its transfer encoding: {error}") from None
        return b"".join(chunks)

    async def _inflate(self, body: bytes, encoding: str, room: "_Room") -> bytes:
        limit = self._max_body_bytes
        if len(body) < IN_THREAD_BYTES:
            inflated = inflate(body, encoding, limit)
        else:
            inflated = await asyncio.to_thread(inflate, body, encoding, limit)
        room.take(len(inflated))
        return inflated

    async def _turn(self, size: int) -> None:
        if self._decoded and (self._turns or self._decoded + size > DECODED_BYTES):
            turn = asyncio.get_running_loop().create_future()
            self._turns.append((size, turn))
            await turn
        else:
            self._decoded += size

    def _end_turn(self, size: int) -> None:
        self._decoded -= size
        while self._turns and (not self._decoded or self._decoded + self._turns[0][0] <= DECODED_BYTES):
            next_size, turn = self._turns.popleft()
            self._decoded += next_size
            turn.set_result(None)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"A body holds at most {self._max_body_bytes:,} bytes, before and after decompression")


class _Room:
    """What one request holds of the Intake."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.taken = 0

    def take(self, size: int) -> None:
        """Take room for more bytes, or refuse the request."""
        if self._intake.held + size > self._intake.queue_bytes:
            self._intake.refused += 1
            raise Unavailable("The queue is full: senders are faster than the disk")
        self._intake.held += size
        self.taken += size

    def give_back(self) -> None:
        self._intake.held -= self.taken
        self.taken = 0
