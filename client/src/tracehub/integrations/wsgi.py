"""WSGI: Flask, Django and every other framework of that kind.

app.wsgi_app = TraceHubMiddleware(app.wsgi_app, source_id="MA")     # Flask
application = TraceHubMiddleware(get_wsgi_application(), "MA")      # Django, in wsgi.py
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any, Callable, TypeVar

from checkpoint_logger import (
    Checkpoint,
    get_checkpoint_logger,
    get_correlation_id,
    reset_correlation_id,
    set_correlation_id,
)
from tracehub.integrations.propagation import CORRELATION_HEADER, incoming_id

App = Callable[..., Iterable[bytes]]
Result = TypeVar("Result")

_IN_ENVIRON = "tracehub.correlation_id"


class TraceHubMiddleware:
    """Puts the request's correlation id in force, echoes it, and writes a checkpoint on the way in and out.

    The way out is when the body has been sent. The operation is REST, the endpoint the method and path without its
    query. Without a `source_id` there are no checkpoints, only the id. In an application that is mounted in one with
    the same middleware, the id is that of the outer one.
    """

    def __init__(self, app: App, source_id: str | None = None) -> None:
        self._app = app
        self._log = get_checkpoint_logger(source_id) if source_id else None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        correlation_id = environ.get(_IN_ENVIRON) or incoming_id(
            lambda name: environ.get(f"HTTP_{name.upper().replace('-', '_')}")
        )
        environ[_IN_ENVIRON] = correlation_id
        answered: dict[str, Any] = {}

        def echo(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            answered["status"] = int(status[:3]) if status[:3].isdecimal() else status
            kept = [pair for pair in headers if pair[0].lower() != CORRELATION_HEADER.lower()]
            return start_response(status, [*kept, (CORRELATION_HEADER, correlation_id)], *error)

        body = _Body(correlation_id, self._point(environ, answered))
        body.begin(self._app, environ, echo)
        return body

    def _point(self, environ: dict[str, Any], answered: dict[str, Any]) -> Checkpoint | None:
        if self._log is None:
            return None
        path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        shown = path.encode("latin-1", "replace").decode("utf-8", "replace")
        point = self._log.checkpoint("REST", f"{environ.get('REQUEST_METHOD', 'GET')} {shown}")
        point.exit_data = answered
        return point


class _Body:
    """The response's body. The request's id is in force in each of its steps, and no longer.

    Nothing else of the context is ours to keep apart: what the application has there, as Django its connections to
    caches, lasts from one request to the next.
    """

    def __init__(self, correlation_id: str | None, point: Checkpoint | None) -> None:
        self._correlation_id = correlation_id
        self._point = point
        self._body: Iterable[bytes] = ()
        self._chunks: Iterator[bytes] | None = None
        self._error: tuple[Any, Any, Any] = (None, None, None)

    def begin(self, app: App, environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
        if self._point is not None:
            self._step(self._point.__enter__)
        try:
            self._body = self._step(app, environ, start_response)
        except BaseException:
            self._error = sys.exc_info()
            self._end()
            raise

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        if self._chunks is None:
            self._chunks = self._step(lambda: iter(self._body))
        try:
            return self._step(self._chunks.__next__)
        except StopIteration:
            self._end()  # a test client closes nothing
            raise
        except BaseException:
            self._error = sys.exc_info()
            raise

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                self._step(close)
        finally:
            self._end()

    def _end(self) -> None:
        point, self._point = self._point, None
        if point is not None:
            self._step(point.__exit__, *self._error)

    def _step(self, step: Callable[..., Result], *args: Any) -> Result:
        token = set_correlation_id(self._correlation_id)
        try:
            return step(*args)
        finally:
            self._correlation_id = get_correlation_id()  # the application may have put another one in force
            reset_correlation_id(token)
