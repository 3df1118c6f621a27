"""A look at the file that costs something: taken once for everybody who asks within some seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from shared.errors import Unavailable
from shared.storage.reader import Reader

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """What a look at one file found; for so many seconds, by how many it took, it is given to whoever asks."""

    def __init__(self, find: Callable[[Reader], Awaitable[T]], fresh_s: Callable[[float], float]) -> None:
        self._find = find
        self._fresh_s = fresh_s
        self._reader: Reader | None = None
        self._stale_at = 0.0
        self._looking: asyncio.Task[T] | None = None

    async def found(self, reader: Reader) -> T:
        """What is there; whoever asks while somebody looks gets the same. Raises Unavailable."""
        stale = self._looking is None or (self._looking.done() and time.monotonic() >= self._stale_at)
        if stale or reader is not self._reader:
            self.close()
            self._reader = reader
            self._looking = asyncio.create_task(self._look(reader))
        assert self._looking is not None
        looking = self._looking
        try:
            return await asyncio.shield(looking)  # one client that leaves does not end it for the others
        except asyncio.CancelledError:
            if not looking.cancelled():
                raise
            raise Unavailable("This look at the file was given up: ask again") from None

    def close(self) -> None:
        """Look no further."""
        if self._looking is not None:
            self._looking.cancel()

    async def _look(self, reader: Reader) -> T:
        started = time.monotonic()
        self._stale_at = started  # a look that failed is not kept
        found = await self._find(reader)
        ended = time.monotonic()
        self._stale_at = ended + self._fresh_s(ended - started)
        return found
