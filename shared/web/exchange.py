"""A request that arrived whole, answered by a plain function: no task, no request object, no response object.

aiohttp has parsed it like any other, and handles whatever such a function leaves to it.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import hdrs, web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http_parser import RawRequestMessage

from shared.errors import TraceHubError
from shared.web.headers import NOT_A_PAGE
from shared.web.problems import told
from shared.wire import encode

_STATUS_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n" for status in HTTPStatus}
_ALWAYS: Final = "".join(
    f"{name}: {value}\r\n"
    for name, value in {"Content-Type": "application/json", "Cache-Control": "no-store", **NOT_A_PAGE}.items()
)


class Head:
    """The head of a request as aiohttp has parsed it, kept for others with the same bytes.

    `reading` is what the application has read in it: the same for all of them.
    """

    __slots__ = ("headers", "method", "path", "reading")

    def __init__(self, message: RawRequestMessage) -> None:
        self.method = message.method
        self.path = message.path
        self.headers = message.headers
        self.reading: Any = None


class Exchange:
    """A request, and the way back. It has of web.Request what the checks look at.

    `size` is the length of the body in bytes; `body` gives it, once: who has asked for it has to answer.
    """

    __slots__ = ("_reply", "body", "head", "headers", "method", "remote", "size")

    def __init__(
        self,
        head: Head,
        size: int,
        body: Callable[[], bytes],
        remote: str | None,
        reply: Callable[[bytes, bool], None],
    ) -> None:
        self.head = head
        self.method = head.method
        self.headers = head.headers
        self.size = size
        self.body = body
        self.remote = remote
        self._reply = reply

    @property
    def host(self) -> str | None:
        """What the request says; None where it says nothing."""
        return self.headers.get(hdrs.HOST)

    def answer(self, body: Any, status: int = 200, headers: Mapping[str, str] | None = None, *, last: bool) -> None:
        """Send a JSON answer, the last one of the connection or not."""
        text = encode(body)
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items()) if headers else ""
        end = "Connection: close\r\n\r\n" if last else "\r\n"
        head = f"{_STATUS_LINES[status]}{_ALWAYS}Date: {rfc822_formatted_time()}\r\nContent-Length: {len(text)}\r\n"
        self._reply((head + more + end).encode() + text, last)

    def refuse(self, error: TraceHubError, *, last: bool) -> None:
        """Tell the client of an error."""
        self.answer(*told(error), last=last)

    def hang_up(self) -> None:
        """End the connection without an answer."""
        self._reply(b"", True)


Take = Callable[[Exchange], bool]
"""Answers the request now or later and returns True, or returns False and leaves it to aiohttp."""

Asking = web.Request | Exchange
"""A request, on the ordinary path or the fast one."""
