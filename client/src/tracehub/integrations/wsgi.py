"""WSGI: Flask, Django and every other framework of that kind.

app.wsgi_app = TraceHubMiddleware(app.wsgi_app, source_id="MA")     # Flask
application = TraceHubMiddleware(get_wsgi_application(), "MA")      # Django, in wsgi.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextvars import Context, copy_context
from typing import Any, Callable

from checkpoint_logger import Checkpoint, get_checkpoint_logger, set_correlation_id
from tracehub.integrations.propagation import CORRELATION_HEADER, incoming_id

App = Callable[..., Iterable[bytes]]


class TraceHubMiddleware:
    """Puts the request's correlation id in force, echoes it, and writes a checkpoint on the way in and out.

    The way out is when the body has been sent. The operation is REST, the endpoint the method and path without its
    query. Without a `source_id` there are no checkpoints, only the id.
    """

    def __init__(self, app: App, source_id: str | None = None) -> None:
        self._app = app
        self._log = get_checkpoint_logger(source_id) if source_id else None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        context = copy_context()
        return context.run(self._answer, context, environ, start_response)

    def _answer(self, context: Context, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        correlation_id = incoming_id(lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}"))
        set_correlation_id(correlation_id)
        answered: dict[str, Any] = {}

        def echo(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            answered["status"] = int(status.split(" ")[0])
            kept = [pair for pair in headers if pair[0].lower() != CORRELATION_HEADER.lower()]
            return start_response(status, [*kept, (CORRELATION_HEADER, correlation_id)], *error)

        if self._log is None:
            return _Body(self._app(environ, echo), context, None)
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        shown = path.encode("latin-1", "replace").decode("utf-8", "replace")
        point = self._log.checkpoint("REST", f"{environ.get('REQUEST_METHOD', 'GET')} {shown}")
        point.exit_data = answered
        point.__enter__()
        try:
            return _Body(self._app(environ, echo), context, point)
        except BaseException:
            point.__exit__(*sys.exc_info())
            raise


class _Body:
    """The response's body, iterated and closed within the request's context."""

    def __init__(self, body: Iterable[bytes], context: Context, point: Checkpoint | None) -> None:
        self._body = body
        self._point = point
        self._context = context
        self._chunks: Iterator[bytes] | None = None
        self._error: tuple[Any, Any, Any] = (None, None, None)

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._context.run(iter, self._body)
        try:
            return self._context.run(next, self._chunks)
        except StopIteration:
            raise
        except BaseException:
            self._error = sys.exc_info()
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._context.run(close)
        finally:
            if self._point is not None:
                self._context.run(self._point.__exit__, *self._error)
                self._point = None
