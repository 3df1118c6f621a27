"""Heads of requests that aiohttp has parsed: a sender repeats its own, but for the length of the body."""

from typing import Final

from shared.web.exchange import Head

MOST: Final = 256  # heads that are known at a time
LONGEST: Final = 1_024  # bytes of a head that is worth keeping
DIGITS: Final = 9  # of the length of a body

_END: Final = b"\r\n\r\n"
_LENGTH: Final = b"\r\nContent-Length: "


class HeadCache:
    """Bytes of a head -> the request that they are.

    The same bytes where a request begins are the same request; its length, the only thing that differs, stands between
    two fixed pieces of the head.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Head] = {}

    def find(self, data: bytes) -> tuple[Head, int] | None:
        """The request that `data` is the whole of, and where its body starts; None where its head is not known."""
        start = data.find(_END, 0, LONGEST) + len(_END)
        at = data.find(_LENGTH, 0, start) + len(_LENGTH)
        stop = data.find(b"\r", at, start)
        head = self._known.get((data[:at], data[stop:start]))
        if head is None or not _is_number(digits := data[at:stop]) or int(digits) != len(data) - start:
            return None
        return head, start

    def learn(self, data: bytes, head: Head, size: int) -> bool:
        """Whether a request that was read up to the end of `data`, with a body of `size` bytes, is all of it.

        Then its head is known from now on.
        """
        start = data.find(_END) + len(_END)
        if start + size != len(data):
            return False
        at = data.find(_LENGTH, 0, start) + len(_LENGTH)
        stop = data.find(b"\r", at, start)
        if start <= LONGEST and at >= len(_LENGTH) and _is_number(data[at:stop]):
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[data[:at], data[stop:start]] = head
        return True


def _is_number(digits: bytes) -> bool:
    return digits.isdigit() and len(digits) <= DIGITS
