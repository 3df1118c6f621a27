"""The writer process's end of the pair of sockets between it and the service."""

import select
import socket

from ingest_svc.messages import READ_BYTES, Answer, Ask, Messages, framed


class Gone(Exception):
    """The service has ended."""


class Line:
    """The writer's end of the pair of sockets."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._messages = Messages(Ask)
        self.ended = False

    def receive(self, wait_s: float | None) -> list[Ask]:
        """What arrives within so many seconds, or the next piece however long that takes. Nothing comes any more once
        it `ended`.
        """
        try:
            if wait_s:
                select.select([self._line], [], [], wait_s)
            piece = self._line.recv(READ_BYTES, 0 if wait_s is None else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionError:
            piece = b""
        self.ended = not piece
        return self._messages.feed(piece)

    def is_up(self) -> bool:
        """Whether somebody is at the other end, and might ask something."""
        try:
            return bool(self._line.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except ConnectionError:
            return False

    def tell(self, answer: Answer) -> None:
        """Send an answer; raises Gone where nobody is there for it."""
        try:
            self._line.sendall(framed(answer))
        except ConnectionError:
            raise Gone from None
