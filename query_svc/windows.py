"""Answers that wait: each in a window of time that the end of the service closes early."""

import asyncio
import contextlib
from collections.abc import AsyncIterator


class Windows:
    """The windows that are open now."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self.closing = False

    @contextlib.asynccontextmanager
    async def window(self, seconds: float) -> AsyncIterator[None]:
        """Run the block for so long at most; whether it ended by itself or was ended, the caller goes on behind it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0 if self.closing else seconds) as window:
                self._open.add(window)
                try:
                    yield
                finally:
                    self._open.discard(window)

    def close(self) -> None:
        """End all waiting."""
        self.closing = True
        for window in self._open:
            if not window.expired():
                window.reschedule(asyncio.get_running_loop().time())
