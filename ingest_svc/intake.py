"""The way in for bodies: bounded in bytes from the first one on, inflated only as far as is allowed."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from ingest_svc.inflate import inflate
from shared.errors import BadRequest, TooLarge, TooSlow, Unavailable

ON_LOOP_BYTES: Final = 64 * 1024  # compressed bodies below this size are inflated on the event loop,
ON_LOOP_INFLATED: Final = 2**20  # unless they become larger than this
DECODED_BYTES: Final = 8 * 2**20  # of bodies that are entries at one time: entries take several times the room


class Intake:
    """Room for the bodies of all requests together. When it is full, a request is refused with 503."""

    def __init__(self, queue_bytes: int, max_body_bytes: int, receive_s: float) -> None:
        self.queue_bytes = queue_bytes
        self.max_body_bytes = min(max_body_bytes, queue_bytes)  # a larger one would be told to come back for ever
        self._receive_s = receive_s
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
        room.refuse(request.content_length or 0)
        content = request.content
        if content.is_eof():
            body = content.read_nowait(-1)
            room.take(len(body))
            return body
        chunks: list[bytes] = []
        try:
            async with asyncio.timeout(self._receive_s):
                while chunk := await content.readany():
                    room.take(len(chunk))
                    chunks.append(chunk)
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {self._receive_s:g} s") from None
        except ConnectionError:
            raise BadRequest("The sender left in the middle of the body") from None
        except web.RequestPayloadError as error:
            raise BadRequest(f"The body does not follow its transfer encoding: {error}") from None
        return b"".join(chunks)

    async def _inflate(self, body: bytes, encoding: str, room: "_Room") -> bytes:
        inflated = None
        if len(body) < ON_LOOP_BYTES:
            with contextlib.suppress(TooLarge):  # of a few bytes that become many no more is made here
                inflated = inflate(body, encoding, min(ON_LOOP_INFLATED, self.max_body_bytes))
        if inflated is None:
            inflated = await asyncio.to_thread(inflate, body, encoding, self.max_body_bytes)
        room.give_back()
        room.take(len(inflated))
        return inflated

    async def _turn(self, size: int) -> None:
        if self._decoded and (self._turns or self._decoded + size > DECODED_BYTES):
            turn = asyncio.get_running_loop().create_future()
            self._turns.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # it came at the same moment
                    self._end_turn(size)
                raise
        else:
            self._decoded += size

    def _end_turn(self, size: int) -> None:
        self._decoded -= size
        while self._turns and (not self._decoded or self._decoded + self._turns[0][0] <= DECODED_BYTES):
            next_size, turn = self._turns.popleft()
            if not turn.cancelled():
                self._decoded += next_size
                turn.set_result(None)


class _Room:
    """What one request holds of the Intake."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self.taken = 0

    def refuse(self, size: int) -> None:
        """Refuse a body of that size if it is more than one may have."""
        if size > self._intake.max_body_bytes:
            limit = self._intake.max_body_bytes
            raise TooLarge(f"A body holds at most {limit:,} bytes, before and after decompression")

    def take(self, size: int) -> None:
        """Take room for more bytes, or refuse the request."""
        self.refuse(self.taken + size)
        if self._intake.held + size > self._intake.queue_bytes:
            self._intake.refused += 1
            raise Unavailable("The queue is full: senders are faster than the disk")
        self._intake.held += size
        self.taken += size

    def give_back(self) -> None:
        self._intake.held -= self.taken
        self.taken = 0
