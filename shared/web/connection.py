"""What is no HTTP: answered in JSON like everything else, and worth no line in the log."""

import logging
from typing import Any

from aiohttp import web

from shared.api import Problem
from shared.web.headers import NOT_A_PAGE
from shared.web.problems import answer

_log = logging.getLogger("tracehub")


class Runner(web.AppRunner):
    """Runs an application over connections that answer so."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=made._loop,
            **made._kwargs,
        )


class _Server(web.Server):
    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(web.RequestHandler):
    __slots__ = ()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The last answer on a connection whose request could not be read, or whose handler failed."""
        if status >= 500:
            return _last(super().handle_error(request, status, exc, message), "Internal error: the log says more")
        _log.debug("no HTTP from %s", request.remote, exc_info=exc)
        return _last(web.Response(status=status), "The request is not well-formed HTTP")


def _last(response: Any, detail: str) -> web.Response:
    last = answer(Problem(detail), response.status, NOT_A_PAGE)
    last.force_close()
    return last
