"""aiohttp, both sides.

app = web.Application(middlewares=[tracehub_middleware("MA")])
session = ClientSession(trace_configs=[tracehub_trace_config("MA")])
"""

from __future__ import annotations

from collections.abc import Awaitable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Callable

import aiohttp
from aiohttp import web

from checkpoint_logger import get_checkpoint_logger, reset_correlation_id, set_correlation_id
from tracehub.integrations.propagation import CORRELATION_HEADER, incoming_id, outgoing_headers
from tracehub.plain import error_text

if TYPE_CHECKING:
    from aiohttp.typedefs import Middleware  # which aiohttp has since 3.9

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NAME = "tracehub.correlation_id"
_IN_REQUEST: Any = web.RequestKey(_NAME, str) if hasattr(web, "RequestKey") else _NAME  # aiohttp has it since 3.14


def tracehub_middleware(source_id: str | None = None) -> Middleware:
    """A middleware that puts the request's id in force, echoes it, and writes a checkpoint on the way in and out.

    Add it first. The operation is REST, the endpoint the method and path without its query; without a `source_id` there
    are no checkpoints, only the id. A stream or websocket that the handler prepares has no echo. In a subapplication of
    one with the same middleware, the id is that of the outer one.
    """
    log = get_checkpoint_logger(source_id) if source_id else None

    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        if log is None:
            return await _answered(request, handler)
        with log.checkpoint("REST", f"{request.method} {request.path}") as point:
            response = await _answered(request, handler)
            if isinstance(response, web.StreamResponse):
                point.exit_data = {"status": response.status}
            return response

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        correlation_id = request.get(_IN_REQUEST) or incoming_id(request.headers.get)
        request[_IN_REQUEST] = correlation_id
        token = set_correlation_id(correlation_id)
        try:
            response = await answer(request, handler)
        finally:
            reset_correlation_id(token)
        if isinstance(response, web.StreamResponse) and not response.prepared:
            response.headers[CORRELATION_HEADER] = correlation_id
        if isinstance(response, web.HTTPException):
            raise response
        return response

    return middleware


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What the handler returns, or raises as an answer: no error, it may be a redirect."""
    try:
        return await handler(request)
    except web.HTTPException as answer:
        return answer


def tracehub_trace_config(source_id: str | None = None) -> aiohttp.TraceConfig:
    """A TraceConfig that sends the id along and, with a `source_id`, writes a checkpoint before and after each request.

    The operation is HTTP, the endpoint the method and address without its query.
    """
    log = get_checkpoint_logger(source_id) if source_id else None
    config = aiohttp.TraceConfig()

    async def begin(_session: Any, context: SimpleNamespace, request: aiohttp.TraceRequestStartParams) -> None:
        context.endpoint = f"{request.method} {request.url.with_query(None).with_user(None).with_fragment(None)}"
        if log is not None:
            log.checkpoint_entry("HTTP", context.endpoint)  # first: it makes an id where none is in force
        request.headers.update(outgoing_headers(request.headers))

    async def end(_session: Any, context: SimpleNamespace, answer: aiohttp.TraceRequestEndParams) -> None:
        if log is not None:
            log.checkpoint_exit("HTTP", context.endpoint, {"status": answer.response.status})

    async def fail(_session: Any, context: SimpleNamespace, failed: aiohttp.TraceRequestExceptionParams) -> None:
        if log is not None:
            log.checkpoint_exit("HTTP", context.endpoint, {"error": error_text(failed.exception)})

    config.on_request_start.append(begin)
    config.on_request_end.append(end)
    config.on_request_exception.append(fail)
    return config
