"""A share of the event loop: what takes long goes on in steps, one of all that wait in each turn of the loop.

So a request that costs little waits for one step of the others at a time, however many they are.
"""

import asyncio
from collections import deque
from collections.abc import Callable


class LoopShare:
    """The line of those who have more to do."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._line: deque[Callable[[], None]] = deque()

    def wait(self, go_on: Callable[[], None]) -> None:
        """Have a step done when it is its turn."""
        if not self._line:
            self._loop.call_soon(self._next)
        self._line.append(go_on)

    def _next(self) -> None:
        go_on = self._line.popleft()
        if self._line:
            self._loop.call_soon(self._next)
        go_on()
