"""Long answers that are being made. Only some at a time: each holds all that it has read until it is whole."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from shared.errors import Unavailable

AT_ONCE: Final = 2
PATIENCE_S: Final = 10.0  # in line; then the answer is 503


class Turns:
    """Who makes a long answer, and who waits in line for it."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(AT_ONCE)

    @property
    def are_taken(self) -> bool:
        """Whether one more has to wait."""
        return self._free.locked()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """A block that makes an answer; raises Unavailable."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable(f"Waited {PATIENCE_S:.0f} s while other large answers were made") from None
        try:
            yield
        finally:
            self._free.release()
