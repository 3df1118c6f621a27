"""The way in for bodies: bounded in bytes from the first one on, inflated only as far as is allowed."""

import asyncio
import contextlib
import math
import time
from collections import deque
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import web

from ingest_svc.inflate import inflate
from shared.errors import BadRequest, TooLarge, TooSlow, Unavailable

ON_LOOP_BYTES: Final = 64 * 1024  # compressed bodies below this size are inflated on the event loop,
ON_LOOP_INFLATED: Final = 2**20  # unless they become larger than this
DECODED_BYTES: Final = 2 * 2**20  # of bodies that are entries at one time: entries take several times the room
SMALL_BYTES: Final = 64 * 1024  # bodies up to this size are not kept waiting by larger ones:
SMALL_PART: Final = 4  # one byte in so many of the queue is for them alone,
PASSING_BYTES: Final = 2**20  # and so many of them become entries without waiting for their turn
MAX_RETRY_S: Final = 10


class Intake:
    """Room for the bodies of all requests together. When it is full, a request is refused with 503.

    Retry-After is the time that what is held will take, at the pace since the queue was last empty.
    """

    def __init__(self, queue_bytes: int, max_body_bytes: int, receive_s: float) -> None:
        self.queue_bytes = queue_bytes
        self.max_body_bytes = min(max_body_bytes, queue_bytes)  # a larger one would be told to come back for ever
        self._receive_s = receive_s
        self._turns: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._decoded = 0
        self._passing = 0
        self._busy_since = 0.0
        self._done_bytes = 0  # since then
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
            async with self._turn(len(body)):
                yield body
                self._done_bytes += len(body)
        finally:
            room.give_back()

    def begin_to_be_busy(self) -> None:
        """The first bytes of what may become a queue."""
        self._busy_since = time.monotonic()
        self._done_bytes = 0

    def retry_after(self) -> int:
        """Seconds until there is room, as far as can be told."""
        busy_s = time.monotonic() - self._busy_since
        return min(MAX_RETRY_S, math.ceil(self.held * busy_s / self._done_bytes)) if self._done_bytes else 1

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

    @contextlib.asynccontextmanager
    async def _turn(self, size: int) -> AsyncIterator[None]:
        if size <= SMALL_BYTES and self._passing + size <= PASSING_BYTES:
            self._passing += size
            try:
                yield
            finally:
                self._passing -= size
            return
        await self._wait_for_turn(size)
        try:
            yield
        finally:
            self._end_turn(size)

    async def _wait_for_turn(self, size: int) -> None:
        if not self._decoded or (not self._turns and self._decoded + size <= DECODED_BYTES):
            self._decoded += size
            return
        turn = asyncio.get_running_loop().create_future()
        self._turns.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it came at the same moment
                self._end_turn(size)
            raise

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
        intake = self._intake
        is_one_of_many = intake.held > self.taken and self.taken + size > SMALL_BYTES
        reserved = intake.queue_bytes // SMALL_PART if is_one_of_many else 0
        if intake.held + size > intake.queue_bytes - reserved:
            intake.refused += 1
            raise Unavailable("The queue is full: senders are faster than the disk", intake.retry_after())
        if not intake.held:
            intake.begin_to_be_busy()
        intake.held += size
        self.taken += size

    def give_back(self) -> None:
        self._intake.held -= self.taken
        self.taken = 0
