"""The requests that are being answered, so that a service can end when there are none.

aiohttp reads nothing any more once it shuts down: a body that is on its way then would never arrive.
"""

import asyncio
import contextlib
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from shared.web.problems import Handler


class Draining:
    """Counts the requests of an application; once it drains, every answer ends its connection."""

    def __init__(self, app: web.Application) -> None:
        self._app = app
        self._requests = 0
        self.is_draining = False
        self._none_left = asyncio.Event()
        app.middlewares.insert(0, self._counted())
        app.on_response_prepare.append(self._end_connection)

    async def drain(self, seconds: float) -> None:
        """End what waits, and wait for the requests that are being answered, for so long at most."""
        self.is_draining = True
        await self._app.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._requests:
                    self._none_left.clear()
                    await self._none_left.wait()

    def request_begins(self) -> None:
        """A request is being answered."""
        self._requests += 1

    def request_ends(self) -> None:
        """One was answered."""
        self._requests -= 1
        if not self._requests:
            self._none_left.set()

    def _counted(self) -> Middleware:
        @web.middleware
        async def counted(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.request_begins()
            answering = asyncio.current_task()
            assert answering is not None
            answering.add_done_callback(self._answered)  # what the handler returns is still to be written
            return await handler(request)

        return counted

    def _answered(self, _: asyncio.Task[Any]) -> None:
        self.request_ends()

    async def _end_connection(self, _: web.Request, response: web.StreamResponse) -> None:
        if self.is_draining:
            response.force_close()


DRAINING: Final = web.AppKey("draining", Draining)
