"""The way in for bodies: bounded in bytes from the first one on, inflated only as far as is allowed."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NoReturn, cast

from aiohttp import web

from ingest_svc.body_buffer import BodyBuffer
from ingest_svc.inflate import inflate
from ingest_svc.timetable import Pace, Sender, Timetable
from shared.errors import BadRequest, TooLarge, TooSlow, Unavailable

ON_LOOP_BYTES: Final = 64 * 1024  # compressed bodies below this size are inflated on the event loop,
ON_LOOP_INFLATED: Final = 2**20  # unless they become larger than this
INFLATED_AT_ONCE: Final = 2  # other bodies: what they become is in no account before it is known
DECODED_BYTES: Final = 2 * 2**20  # of bodies that are entries at one time: entries take several times the room
SMALL_BYTES: Final = 64 * 1024  # bodies up to this size are not kept waiting by larger ones:
SMALL_PART: Final = 3  # one byte in so many of the queue is for them alone, and for what bodies become,
PASSING_BYTES: Final = 2**20  # and so many of them become entries without waiting for their turn
READ_BYTES: Final = 64 * 1024  # that the event loop takes at a time from a connection with a large body,
REFUSED_BYTES: Final = 16 * 1024  # and of one that is refused and read to its end all the same
PROMISE_S: Final = 2.0  # that room is kept for a body which was announced; then only what has come of it counts


class Intake:
    """Room for the bodies of all requests together; for a large one it is taken as soon as the body is announced.

    When there is none, the request is refused with 503, and Retry-After is its appointment.
    """

    def __init__(self, queue_bytes: int, max_body_bytes: int, receive_s: float) -> None:
        self.queue_bytes = queue_bytes
        self.max_body_bytes = min(max_body_bytes, queue_bytes)  # a larger one would be told to come back for ever
        self._receive_s = receive_s
        self._turns: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._decoded = 0
        self._passing = 0
        self._inflating = asyncio.Semaphore(INFLATED_AT_ONCE)
        self.pace = Pace()
        self.timetable = Timetable(self.pace)
        self.held = 0
        self.refused = 0

    @contextlib.asynccontextmanager
    async def body(self, request: web.Request) -> AsyncIterator[bytes]:
        """The request's body, inflated, when it is its turn to become entries; the room is given back at the end."""
        room = _Room(self, request)
        try:
            body = await self._receive(request, room)
            encoding = request.headers.get("Content-Encoding")
            if encoding:
                body = await self._inflate(body, encoding.strip().lower(), room)
            async with self._turn(len(body)):
                yield body
                self.pace.count(len(body))
        finally:
            room.give_back()

    def at_once(self, size: int) -> Callable[[], None] | None:
        """Room for a small body that is here and need not wait for its turn: what gives it back. None for any other."""
        has_room = self.held + size <= self.queue_bytes and self._passing + size <= PASSING_BYTES
        if size > SMALL_BYTES or not has_room:
            return None
        if not self.held:
            self.pace.begin()
        self.held += size
        self._passing += size

        def give_back() -> None:
            self.held -= size
            self._passing -= size
            self.pace.count(size)

        return give_back

    def limit(self, size: int, taken: int = 0) -> int:
        """How many bytes may be held in all with a body of that size, of which `taken` are held already."""
        is_one_of_many = self.held > taken and size > SMALL_BYTES
        return self.queue_bytes - self.queue_bytes // SMALL_PART if is_one_of_many else self.queue_bytes

    async def _receive(self, request: web.Request, room: "_Room") -> bytes:
        room.refuse(request.content_length or 0)
        content = request.content
        if content.is_eof():
            body = content.read_nowait(-1)
            room.enter(len(body))
            return body
        _read_at_once(request, READ_BYTES)
        length = request.content_length
        room.enter(length if length and length > SMALL_BYTES else 0)
        pieces = BodyBuffer(length or self.max_body_bytes)
        try:
            for seconds in (min(PROMISE_S, self._receive_s), self._receive_s - PROMISE_S):
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(seconds):
                        while piece := await content.readany():
                            room.come(len(piece))
                            pieces.add(piece)
                        return pieces.whole()
                room.give_back_what_did_not_come()
        except (ConnectionError, RuntimeError) as error:  # the latter is for who asks behind a connection that has gone
            if request.transport is not None:
                raise
            error.with_traceback(None)  # the stream keeps it, and with this frame what has come of the body
            raise BadRequest("The sender left in the middle of the body") from None
        except web.RequestPayloadError as error:
            error.with_traceback(None)
            raise BadRequest(f"The body does not follow its transfer encoding: {error}") from None
        raise TooSlow(f"The body did not arrive within {self._receive_s:g} s")

    async def _inflate(self, body: bytes, encoding: str, room: "_Room") -> bytes:
        inflated = None
        if len(body) < ON_LOOP_BYTES:
            with contextlib.suppress(TooLarge):  # of a few bytes that become many no more is made here
                inflated = inflate(body, encoding, min(ON_LOOP_INFLATED, self.max_body_bytes))
        if inflated is None:
            async with self._inflating:
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


def _read_at_once(request: web.Request, size: int) -> None:
    """Have the event loop take so much from a connection at a time, which is in no account before it is asked for."""
    if request.transport is not None:
        cast(Any, request.transport).max_size = size


class _Room:
    """What one request holds of the Intake."""

    def __init__(self, intake: Intake, request: web.Request) -> None:
        self._intake = intake
        self._request = request
        self._come = 0  # of the body
        self._taken = 0

    def refuse(self, size: int) -> None:
        """Refuse a body of that size if it is more than one may have."""
        if size > self._intake.max_body_bytes:
            limit = self._intake.max_body_bytes
            raise TooLarge(f"A body holds at most {limit:,} bytes, before and after decompression")

    def enter(self, size: int) -> None:
        """Take room for a body before it is read. Who comes new has to leave the room that was promised to others.

        A small body has room of its own, be it here or announced.
        """
        intake = self._intake
        if not len(intake.timetable):
            self.take(size)
            return
        is_small = 0 < (size or self._request.content_length or 0) <= SMALL_BYTES
        sender = self._sender()
        appointment = intake.timetable.keep(sender) if sender else None
        if appointment is not None and intake.timetable.is_due(appointment):
            is_the_same = appointment.sender.length == self._request.content_length
            self.take(max(size, appointment.size) if is_the_same else size)  # it may be more when it is inflated
        elif is_small or intake.timetable.is_free(size, intake.held, intake.limit(size)):
            self.take(size)
        else:
            self._refuse_for_now(size)

    def come(self, size: int) -> None:
        """So many bytes have come, perhaps more than were announced."""
        self._come += size
        if self._come > self._taken:
            self.take(self._come - self._taken)

    def take(self, size: int) -> None:
        """Take room for more bytes, or refuse the request."""
        whole = self._taken + size
        self.refuse(whole)
        intake = self._intake
        if intake.held + size > intake.limit(whole, self._taken):
            self._refuse_for_now(whole)
        if not intake.held:
            intake.pace.begin()
        intake.held += size
        self._taken = whole

    def give_back_what_did_not_come(self) -> None:
        """A sender that dawdles holds what it has sent."""
        self._intake.held -= self._taken - self._come
        self._taken = self._come

    def give_back(self) -> None:
        """Give everything back."""
        self._intake.held -= self._taken
        self._taken = 0

    def _refuse_for_now(self, size: int) -> NoReturn:
        intake, sender = self._intake, self._sender()
        size = max(size, self._request.content_length or 0)
        intake.refused += 1
        self.give_back()
        _read_at_once(self._request, REFUSED_BYTES)
        wait_s = intake.timetable.appoint(sender, size, intake.held, intake.limit(size)) if sender else 1
        raise Unavailable("The queue is full: senders are faster than the disk", wait_s)

    def _sender(self) -> Sender | None:
        request = self._request
        if request.transport is None:
            return None
        return Sender(request.transport, request.remote or "", request.content_length)
