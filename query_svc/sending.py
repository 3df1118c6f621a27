"""Sending a long answer in pieces: in one it would be copied to stand behind its headers, and what the connection does
not take at once copied again.

What clients do not take costs memory, so they have to take a piece in time, and there is an end to what is under way.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Final

from aiohttp import HttpVersion11, web

from shared.errors import Unavailable

PIECE_BYTES: Final = 256 * 1024
PIECE_S: Final = 20.0  # that a client may take for a piece; then it is hung up on
UNDER_WAY_BYTES: Final = 128 * 2**20  # of long answers, each counted once however many clients it goes to


class UnderWay:
    """The long answers that are being sent. When there are too many of them, one more is refused with 503."""

    def __init__(self) -> None:
        self._clients: Counter[int] = Counter()
        self.held = 0

    @contextlib.contextmanager
    def sent(self, body: bytes) -> Iterator[None]:
        """A block that sends an answer; raises Unavailable."""
        key = id(body)  # nobody else can have it while the block holds the body
        if not self._clients[key]:
            if self.held and self.held + len(body) > UNDER_WAY_BYTES:
                raise Unavailable("Too many large answers are being sent to slow clients", int(PIECE_S))
            self.held += len(body)
        self._clients[key] += 1
        try:
            yield
        finally:
            self._clients[key] -= 1
            if not self._clients[key]:
                del self._clients[key]
                self.held -= len(body)


UNDER_WAY = web.AppKey("under_way", UnderWay)


async def send_json(request: web.Request, body: bytes, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    """Answer with a body that is JSON already."""
    if len(body) <= PIECE_BYTES or request.method == "HEAD":
        return web.Response(body=body, headers=headers, content_type="application/json")
    response = web.StreamResponse(headers=headers)
    response.content_type = "application/json"
    response.content_length = len(body)
    with request.app[UNDER_WAY].sent(body):
        await response.prepare(request)
        try:
            await write(response, body)
            await response.write_eof()
        except TimeoutError:
            hang_up(request)
    return response


async def write(response: web.StreamResponse, body: bytes) -> None:
    """Write a body or a part of one in pieces; raises TimeoutError when the client does not take one in time."""
    whole = memoryview(body)
    for start in range(0, len(body), PIECE_BYTES):
        async with asyncio.timeout(PIECE_S):
            await response.write(whole[start : start + PIECE_BYTES])


def end_with_connection(request: web.Request, response: web.StreamResponse) -> None:
    """Let an answer of unknown length end where its connection does, for a client that knows no chunks."""
    if request.version < HttpVersion11:
        response.force_close()
        response.headers["Connection"] = "close"


def hang_up(request: web.Request) -> None:
    """End the connection of a client that does not take what it asked for."""
    if request.transport is not None:
        request.transport.abort()
