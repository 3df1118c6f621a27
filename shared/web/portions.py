"""A connection that holds little of what was not understood yet: aiohttp gets it in portions, one request at a time.

By itself aiohttp holds 64 headers of 8 KiB, several times over, of each of 32 requests that wait behind another one,
and half a megabyte of what follows a request for an upgrade.
"""

import asyncio
import logging
from typing import Any, Final, cast

from aiohttp import StreamReader, web
from aiohttp.http import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import _ErrInfo

from shared.web.loop_share import LoopShare

PORTION: Final = 16 * 1024  # bytes; a request's line and headers may have so many, and what frames a body at a stretch
READ_BYTES: Final = 64 * 1024  # that are taken from the system at once, and kept while a request waits
AHEAD: Final = 4  # requests of a portion that are read at once
PIECES: Final = 256  # of a body that are not taken yet, beyond which a portion is read only in turn with others

_MALFORMED: Final = _ErrInfo(
    400, ValueError("Not well-formed HTTP, an unknown method, a line that is too long, or too many headers"), ""
)
_TOO_LONG: Final = _ErrInfo(
    431, ValueError(f"The head of a request, or what frames its body, is beyond {PORTION // 1024} KiB"), ""
)

_log = logging.getLogger("tracehub")


class Portions(web.RequestHandler):
    """Hands on what arrives until a request waits for its turn; the rest is kept then, and reading rests.

    A head beyond PORTION is refused, at twice that for certain where it comes behind another request; what follows is
    dropped. A request for an upgrade is answered as if it were none. A body in many small chunks, which costs far more
    than its bytes, takes turns with others.
    """

    __slots__ = ("_body", "_is_in_line", "_is_in_pieces", "_kept", "_loop_share", "_unknown")

    def __init__(self, manager: web.Server, loop_share: LoopShare, *, auto_decompress: bool, **settings: Any) -> None:
        super().__init__(manager, auto_decompress=auto_decompress, **settings)
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=web.RequestPayloadError,
            auto_decompress=auto_decompress,
            max_msg_queue_size=AHEAD,
        )
        self._max_msg_queue_size = AHEAD
        self._body: StreamReader = EMPTY_PAYLOAD  # that is arriving
        self._kept = b""
        self._unknown = 0  # bytes handed on since the last request or the last byte of a body
        self._loop_share = loop_share
        self._is_in_pieces = False  # many of them, at the last portion
        self._is_in_line = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(Any, transport).max_size = READ_BYTES

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of what was arriving, or waits: a body and its connection hold each other."""
        super().connection_lost(exc)
        self._body, self._kept = EMPTY_PAYLOAD, b""
        self._messages.clear()

    def _hand_on(self, data: bytes) -> None:
        """Take what arrived while no request waits."""
        if data and self._is_in_pieces:
            self._stand_in_line(data)
            return
        while self._parser is not None:
            room = PORTION - self._unknown
            data = self._take_in(data[:room]) + data[room:]
            if not data:
                return
            if self._messages and self._body is EMPTY_PAYLOAD:
                self._keep_first(data)
                return
            if self._is_in_pieces:
                self._stand_in_line(data)
                return

    def _stand_in_line(self, data: bytes) -> None:
        self._keep_first(data)
        self._is_in_line = True
        self._loop_share.wait(self._go_on)

    def _go_on(self) -> None:
        """Take one more portion, and what follows if that is another matter."""
        self._is_in_line = self._is_in_pieces = False
        self._resume_reading_if_drained()

    def _take_in(self, portion: bytes) -> bytes:
        """Have aiohttp read a portion; what of it is left to be read."""
        requests, body, read = len(self._messages), self._body, self._body.total_bytes
        is_malformed = not self._can_read(portion)
        if not requests and body is not EMPTY_PAYLOAD and body.is_eof():
            self._make_up_for_one()
        if len(self._messages) > requests:
            self._body, self._unknown = self._messages[-1][1], 0
        elif body.total_bytes > read:
            self._unknown = 0
        else:
            self._unknown += len(portion)
        if self._body.is_eof():
            self._body = EMPTY_PAYLOAD
        self._is_in_pieces = self._body is not EMPTY_PAYLOAD and len(self._body._buffer) > PIECES
        if is_malformed:
            self._refuse(_MALFORMED)
        elif self._unknown >= PORTION:
            self._refuse(_TOO_LONG)
        return self._not_upgraded() if self._upgraded else b""

    def _make_up_for_one(self) -> None:
        """The parser counts a request when its body has come, also one whose turn was before that.

        It would stop with less than AHEAD that wait for their turn, and nobody would ask it for the rest.
        """
        if self._parser is not None:
            self._parser.message_consumed()
        if self._messages:
            self._pause_reading_for_buffer()  # so that it is asked

    def _can_read(self, portion: bytes) -> bool:
        """Have aiohttp read a portion; whether it could make sense of it. Its error, which quotes that, is let go."""
        try:
            super().data_received(portion)
        except Exception as error:  # an address such as http://[::1]:80@/ is an IndexError
            _log_malformed(error)
            return False
        last = self._messages[-1][0] if self._messages else None
        if not isinstance(last, _ErrInfo):
            return True
        self._messages.pop()
        _log_malformed(last.exc)
        return False

    def _keep(self, data: bytes) -> None:
        """Take what arrived while a request waits, or this connection for its turn."""
        if self._parser is not None:
            self._kept += data
        self._pause_reading_for_buffer()

    def _keep_first(self, data: bytes) -> None:
        """Keep what comes before all that is kept: the parser may have had it left of an earlier portion."""
        later, self._kept = self._kept, b""
        self._keep(data + later)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on if reading rests: aiohttp asks for that with every piece of a body that is taken."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def _resume_reading_if_drained(self) -> None:
        if self._is_in_line:
            return
        if not self._messages:
            self.data_received(b"")  # for the parser may have a part of the last portion left
        if not self._messages:
            kept, self._kept = self._kept, b""
            self.data_received(kept)
        if not (self._messages or self._kept):
            self._resume_reading_for_buffer()

    def log_exception(self, *args: Any, **settings: Any) -> None:
        """Log a failure; that a body which nobody asked for does not follow its encoding is none of ours."""
        error = settings.get("exc_info")
        if isinstance(error, web.RequestPayloadError):
            _log_malformed(error)
        else:
            super().log_exception(*args, **settings)

    def _not_upgraded(self) -> bytes:
        assert self._parser is not None
        self._parser.set_upgraded(False)
        self._upgraded = False
        behind, self._message_tail = self._message_tail, b""
        return behind

    def _refuse(self, why: _ErrInfo) -> None:
        """Answer with an error when it is the turn of what arrives now; a body that does is cut off."""
        self._parser = None
        if self._body is EMPTY_PAYLOAD:
            self._messages.append((why, EMPTY_PAYLOAD))
            if self._waiter is not None and not self._waiter.done():
                self._waiter.set_result(None)
        else:
            self._body.set_exception(web.RequestPayloadError(str(why.exc)))
            self._lingering_time = 0.0  # nothing more will come of it


def _log_malformed(error: BaseException) -> None:
    _log.debug("no HTTP: %.200s", error.with_traceback(None))  # whose frames would hold it for long
