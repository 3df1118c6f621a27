"""A body while it arrives, in memory that goes back to the system as soon as the body has.

On the heap the pieces of many bodies would lie in each other's way: when one has gone, the least thing behind it keeps
its place, and the heap takes half as much again as what it holds.
"""

import mmap
from typing import Final

ON_HEAP_BYTES: Final = 256 * 1024  # bodies up to this size are worth no memory of their own
MOST_PIECES: Final = 256  # of one, before they are joined: each takes 33 bytes besides its own


class BodyBuffer:
    """Pieces of a body of at most so many bytes, which take no more than has come of them."""

    def __init__(self, most: int) -> None:
        self._few: list[bytes] = []
        self._many = mmap.mmap(-1, most, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) if most > ON_HEAP_BYTES else None

    def add(self, piece: bytes) -> None:
        """The next one."""
        if self._many is None:
            self._few.append(piece)
            if len(self._few) == MOST_PIECES:
                self._few = [b"".join(self._few)]
        else:
            self._many.write(piece)

    def whole(self) -> bytes:
        """All of them; nothing can be added any more."""
        if self._many is None:
            return b"".join(self._few)
        with self._many as many:
            return many[: many.tell()]
