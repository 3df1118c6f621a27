"""ASGI: FastAPI, Starlette and every other framework of that kind.

app.add_middleware(TraceHubMiddleware, source_id="MA")
"""

from __future__ import annotations

from collections.abc import Awaitable, MutableMapping
from typing import Any, Callable

from checkpoint_logger import get_checkpoint_logger, reset_correlation_id, set_correlation_id
from tracehub.integrations.propagation import CORRELATION_HEADER, incoming_id

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

_HEADER = CORRELATION_HEADER.lower().encode()


class TraceHubMiddleware:
    """Puts the request's correlation id in force, echoes it, and writes a checkpoint on the way in and out.

    The operation is REST or WS, the endpoint the method and path without its query. Without a `source_id` there are no
    checkpoints, only the id.
    """

    def __init__(self, app: App, source_id: str | None = None) -> None:
        self._app = app
        self._log = get_checkpoint_logger(source_id) if source_id else None

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        correlation_id = incoming_id(lambda name: headers.get(name.lower()))
        token = set_correlation_id(correlation_id)
        answered: dict[str, Any] = {}

        async def echo(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                kept = [pair for pair in message.get("headers") or () if pair[0].lower() != _HEADER]
                message["headers"] = [*kept, (_HEADER, correlation_id.encode())]
                if "status" in message:
                    answered["status"] = message["status"]
            await send(message)

        try:
            if self._log is None:
                await self._app(scope, receive, echo)
                return
            operation = "REST" if scope["type"] == "http" else "WS"
            with self._log.checkpoint(operation, f"{scope.get('method', 'GET')} {scope['path']}") as point:
                point.exit_data = answered
                await self._app(scope, receive, echo)
        finally:
            reset_correlation_id(token)
