"""requests: an adapter for a session.

session = trace(requests.Session(), "MA")
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from checkpoint_logger import (
    get_checkpoint_logger,
    get_correlation_id,
    reset_correlation_id,
    set_correlation_id,
)
from tracehub.integrations.propagation import CORRELATION_HEADER, outgoing_headers


class TraceHubAdapter(HTTPAdapter):
    """Sends the id along and, with a `source_id`, writes a checkpoint before and after each request, failed ones too.

    The operation is HTTP, the endpoint the method and address without its query. What does the sending is the adapter
    `around` which it is put, or itself with the `options` of an HTTPAdapter.
    """

    __attrs__ = [*HTTPAdapter.__attrs__, "_log", "_around"]  # noqa: RUF012  # pickled with a session; the base's type

    def __init__(self, source_id: str | None = None, around: BaseAdapter | None = None, **options: Any) -> None:
        super().__init__(**options)
        self._around = around
        self._log = get_checkpoint_logger(source_id) if source_id else None

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        if self._log is None:
            return self._pass_on(request, *args, **kwargs)
        given = request.headers.get(CORRELATION_HEADER)  # with a redirect comes the id of what was redirected
        token = set_correlation_id(get_correlation_id() or (given if isinstance(given, str) else None))
        try:
            with self._log.checkpoint("HTTP", _endpoint(request)) as point:
                response = self._pass_on(request, *args, **kwargs)
                point.exit_data = {"status": response.status_code}
                return response
        finally:
            reset_correlation_id(token)

    def _pass_on(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        request.headers.update(outgoing_headers(request.headers))
        if self._around is None:
            return super().send(request, *args, **kwargs)
        return self._around.send(request, *args, **kwargs)

    def close(self) -> None:
        super().close()
        if self._around is not None:
            self._around.close()


def trace(session: requests.Session, source_id: str | None = None) -> requests.Session:
    """`session`, with the adapter around each that it has for http and https, with their retries and certificates."""
    for prefix, adapter in list(session.adapters.items()):
        if prefix.startswith("http"):
            session.mount(prefix, TraceHubAdapter(source_id, adapter))
    return session


def _endpoint(request: requests.PreparedRequest) -> str:
    parts = urlsplit(request.url or "")
    host = parts.netloc.rpartition("@")[2]
    return f"{request.method} {parts.scheme}://{host}{parts.path}"
