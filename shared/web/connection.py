"""aiohttp's connection, extended: a request that arrives whole may be answered without a task, and malformed HTTP is
answered in JSON.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeGuard

from aiohttp import ClientConnectionResetError, HttpVersion11, hdrs, web
from aiohttp.http_parser import RawRequestMessage

from shared.answers import Problem
from shared.web.exchange import Exchange, Head, Take
from shared.web.head_cache import HeadCache
from shared.web.headers import NOT_A_PAGE
from shared.web.loop_share import LoopShare
from shared.web.portions import Portions
from shared.web.problems import answer

TAKE: Final[web.AppKey[Take]] = web.AppKey("take")  # what an application answers on the fast path
_CONTINUE: Final = "100-continue"


class Runner(web.AppRunner):
    """Runs an application over connections that answer so."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        server = _Server(
            _without_expectations(made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )
        server.take = self.app.get(TAKE)
        server.heads = HeadCache()
        server.loop_share = LoopShare(made._loop)
        return server


class _Server(web.Server):
    take: Take | None
    heads: HeadCache
    loop_share: LoopShare

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(Portions):
    """Offers a plain request that arrived whole, while nothing else is to be done here, to the application's `Take`.

    Until that has answered, what else arrives is kept, so answers keep their order. A head that aiohttp has parsed
    before is not parsed again. Whoever does not read its answers is left to aiohttp, which waits until they have gone.
    """

    __slots__ = ("_heads", "_is_between", "_is_taken", "_remote", "_take")

    def __init__(self, manager: _Server, **settings: Any) -> None:
        super().__init__(manager, manager.loop_share, **settings)
        self._take = manager.take
        self._heads = manager.heads
        self._is_between = True  # every piece so far was one whole request, so the next one begins one
        self._is_taken = False
        self._remote: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        self._remote = str(address[0]) if isinstance(address, tuple) else None

    def data_received(self, data: bytes) -> None:
        waiter = self._waiter
        if self._is_taken or self._messages or self._is_in_line:
            if data:  # aiohttp passes nothing when the body has been read
                self._keep(data)
        elif self._take is None or waiter is None or waiter.done() or self.writing_paused:
            self._is_between = False
            self._hand_on(data)
        elif not (self._is_between and self._is_known(self._take, data)):
            begins, self._is_between = self._is_between, False
            self._waiter = None  # or aiohttp would begin with what it has parsed
            self._hand_on(data)
            self._waiter = waiter
            if self._messages and not self._is_taken_over(self._take, data, begins) and not waiter.done():
                waiter.set_result(None)

    def _is_known(self, take: Take, data: bytes) -> bool:
        """Whether this is one whole request whose head is known, and was taken over."""
        known = self._heads.find(data)
        if known is None:
            return False
        head, start = known
        return self._is_for(take, head, len(data) - start, lambda: data[start:])

    def _is_taken_over(self, take: Take, data: bytes, begins: bool) -> bool:
        """Whether what has been parsed, with `data` as the last, is one whole request and was taken over.

        `begins`: a request began with `data`.
        """
        message, payload = self._messages[0]
        if len(self._messages) > 1 or not payload.is_eof() or not _is_plain(message):
            return False
        head, size = Head(message), payload.total_bytes
        self._is_between = begins and self._heads.learn(data, head, size)
        self._messages.clear()  # for an answer at once may let the next request in
        if not self._is_for(take, head, size, payload.read_nowait):
            self._messages.append((message, payload))
            return False
        if self._parser is not None:
            self._parser.message_consumed()
        return True

    def _is_for(self, take: Take, head: Head, size: int, body: Callable[[], bytes]) -> bool:
        self._is_taken = True
        if take(Exchange(head, size, body, self._remote, self._reply)):
            return True
        self._is_taken = False
        return False

    def _reply(self, answer: bytes, is_last: bool) -> None:
        self._is_taken = False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(answer)
        if is_last:
            self.force_close()
        elif self._buffer_paused:
            self._resume_reading_if_drained()

    def _process_keepalive(self) -> None:
        if self._is_taken:  # what waits for its answer is not idle
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    async def _drain_helper(self) -> None:
        """Wait until the client takes more; aiohttp would end the wait of all with that of one that is cancelled."""
        waiting = super()._drain_helper()
        await (asyncio.shield(waiting) if self.writing_paused else waiting)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The last answer on a connection whose request could not be read, or whose handler failed."""
        if isinstance(exc, ClientConnectionResetError):  # it found the client gone: nobody failed
            self.force_close()
            return web.Response()  # to nobody; raised from here, the error would be held by what it holds
        if status >= 500:
            return _last(super().handle_error(request, status, exc, message), "Internal error: the log says more")
        return _last(web.Response(status=status), str(exc))


def _without_expectations(
    handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """The handler behind a refusal of what aiohttp itself refuses in plain text, and fails with where it is no text."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if (request.headers.get(hdrs.EXPECT) or _CONTINUE).lower() != _CONTINUE:
            return answer(Problem(f"Expect may be {_CONTINUE} only"), 417, NOT_A_PAGE)
        return await handler(request)

    return handle


def _is_plain(message: object) -> TypeGuard[RawRequestMessage]:
    """Whether what aiohttp has parsed is a request that asks for an answer and nothing else."""
    return (
        isinstance(message, RawRequestMessage)
        and message.version == HttpVersion11
        and not (message.should_close or message.upgrade or message.chunked or message.compression)
        and hdrs.HOST in message.headers
        and hdrs.EXPECT not in message.headers
    )


def _last(response: Any, detail: str) -> web.Response:
    last = answer(Problem(detail), response.status, NOT_A_PAGE)
    last.force_close()
    return last
