"""Answers in JSON, and the one table that turns errors into statuses."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from aiohttp import ClientConnectionResetError, web
from aiohttp.typedefs import Middleware

from shared import errors
from shared.answers import Problem
from shared.log import printable
from shared.wire import encode

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATUS: Final[list[tuple[type[errors.TraceHubError], int]]] = [
    (errors.BadRequest, 400),
    (errors.TooSlow, 408),
    (errors.TooLarge, 413),
    (errors.Unsupported, 415),
    (errors.Misdirected, 421),
    (errors.TooOften, 429),
    (errors.DiskFull, 507),
    (errors.Unavailable, 503),
    (errors.BadFile, 503),
]
INTERNAL: Final = Problem("Internal error: the log of the service says more")

_log = logging.getLogger("tracehub")


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(body=encode(body), status=status, headers=headers, content_type="application/json")


def told(error: errors.TraceHubError) -> tuple[Problem, int, Mapping[str, str]]:
    """What a client is told of an error: body, status, headers."""
    problem = Problem(str(error), getattr(error, "path", None))
    if isinstance(error, errors.NotAllowed):
        return (problem, 401, {"WWW-Authenticate": 'Bearer realm="TraceHub"'}) if error.missing else (problem, 403, {})
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return problem, status, {"Retry-After": str(error.retry_after)} if isinstance(error, errors.Unavailable) else {}


def refusal(error: errors.TraceHubError) -> web.Response:
    """The answer that tells a client of an error."""
    return answer(*told(error))


def _no_check(_: web.Request) -> None:
    """What a request has to pass where nothing is checked."""


def problems(check: Callable[[web.Request], None] = _no_check) -> Middleware:
    """The middleware of every application: the check, and every error as JSON under its status.

    What nobody foresaw goes to the log, and to no client.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            check(request)
            return await handler(request)
        except errors.Lost as error:
            raise ClientConnectionResetError(str(error)) from None  # upon which aiohttp hangs up
        except errors.TraceHubError as error:
            return refusal(error)
        except web.HTTPException as error:
            return _in_json(request, error.with_traceback(None))  # or it would hold the request, and the request it
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:
            if request.writer.output_size:  # an answer has begun: aiohttp logs the fault and cuts the connection
                raise
            _log.exception("%s %s failed", request.method, printable(request.path))
            return answer(INTERNAL, 500)

    return middleware


def _in_json(request: web.Request, error: web.HTTPException) -> web.Response:
    """What aiohttp itself refuses, in the words of this project."""
    path = printable(request.path)
    if isinstance(error, web.HTTPNotFound):
        return answer(Problem(f"No such path: {path}"), 404)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return answer(Problem(f"{path} takes {allowed}, not {request.method}"), 405, {"Allow": allowed})
    return answer(Problem(error.reason), error.status)
