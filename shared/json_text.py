"""What is asked of JSON text that is not parsed: its encoding, its line breaks, its depth.

Each answer takes time in proportion to the text, whatever is in it, and no more memory than a slice of it or a copy. No
step lasts longer than a few milliseconds, so that in a thread none keeps the event loop from its turn.
"""

import codecs
from array import array
from itertools import accumulate
from typing import Final

SLICE: Final = 64 * 1024

_MARKS: Final = b'[]{}"'
_SIGNS: Final = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")  # +1 and -1 as signed bytes
_REST: Final = bytes(byte for byte in range(256) if byte not in _MARKS)


def refuse_bad_utf8(body: bytes) -> None:
    """Raise ValueError with the place of the first byte that is not UTF-8."""
    if body.isascii():
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(body), SLICE):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(body[start : start + SLICE], final=start + SLICE >= len(body))
        except UnicodeDecodeError as error:
            raise ValueError(f"The body is not UTF-8 at byte {start - pending + error.start:,}") from None


def one_line(text: str) -> str:
    """The text without line breaks, which in JSON stand between tokens only: within a string they must be escaped."""
    return text.encode().translate(None, b"\r\n").decode()


def is_deeper(text: str, levels: int) -> bool:
    """Whether arrays and objects of a well-formed text nest deeper than that."""
    if text.count("{") + text.count("[") <= levels:
        return False
    level, within, rest = 0, 0, ""
    for start in range(0, len(text), SLICE):
        part = rest + text[start : start + SLICE]
        rest = "\\" if (len(part) - len(part.rstrip("\\"))) % 2 else ""  # escapes what comes with the next slice
        part = part[: len(part) - len(rest)]
        marks = part.replace("\\\\", "").replace('\\"', "").encode().translate(_SIGNS, _REST)
        pieces = marks.replace(b'""', b"").split(b'"')  # of these every second one is within a string
        steps = array("b", b"".join(pieces[within::2]))
        within ^= (len(pieces) - 1) % 2
        if max(accumulate(steps, initial=level)) > levels:
            return True
        level += steps.count(1) - steps.count(-1)
    return False
