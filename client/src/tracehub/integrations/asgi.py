"""ASGI: FastAPI, Starlette and every other framework of that kind.

app.add_middleware(TraceHubMiddleware, source_id="MA")
"""

from __future__ import annotations

from collections.abc import MutableMapping
from contextlib import ExitStack
from typing import Any

from checkpoint_logger import get_checkpoint_logger, reset_correlation_id, set_correlation_id
from tracehub.integrations.lifespan import App, Message, Receive, Send, live
from tracehub.integrations.propagation import CORRELATION_HEADER, incoming_id

_HEADER = CORRELATION_HEADER.lower().encode()
_IN_SCOPE = "tracehub.correlation_id"
_STARTS = ("http.response.start", "websocket.accept", "websocket.http.response.start")
_BODIES = ("http.response.body", "http.response.pathsend", "websocket.http.response.body")


class TraceHubMiddleware:
    """Puts the request's correlation id in force, echoes it, and writes a checkpoint on the way in and out.

    The way out is when the last of the answer is sent, before background tasks. The operation is REST or WS, the
    endpoint the method and path without its query. Without a `source_id` there are no checkpoints, only the id. In an
    application that is mounted in one with the same middleware, the id is that of the outer one.
    """

    def __init__(self, app: App, source_id: str | None = None) -> None:
        self._app = app
        self._log = get_checkpoint_logger(source_id) if source_id else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(self._app, scope, receive, send)
        elif scope["type"] in ("http", "websocket"):
            await self._answer(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        correlation_id = scope.get(_IN_SCOPE) or _incoming(scope)
        scope[_IN_SCOPE] = correlation_id
        token = set_correlation_id(correlation_id)
        answered: dict[str, Any] = {}
        passage = ExitStack()

        async def echo(message: Message) -> None:
            if message["type"] in _STARTS:
                kept = [pair for pair in message.get("headers") or () if pair[0].lower() != _HEADER]
                message["headers"] = [*kept, (_HEADER, correlation_id.encode())]
                if "status" in message:
                    answered["status"] = message["status"]
            if message["type"] in _BODIES and not message.get("more_body"):
                passage.close()
            await send(message)

        try:
            with passage:
                if self._log is not None:
                    operation = "REST" if scope["type"] == "http" else "WS"
                    point = self._log.checkpoint(operation, f"{scope.get('method', 'GET')} {scope['path']}")
                    passage.enter_context(point).exit_data = answered
                await self._app(scope, receive, echo)
        finally:
            reset_correlation_id(token)


def _incoming(scope: MutableMapping[str, Any]) -> str:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    return incoming_id(lambda name: headers.get(name.lower()))
