"""requests: an adapter for a session.

session = trace(requests.Session(), "MA")
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter, HTTPAdapter

from checkpoint_logger import get_checkpoint_logger
from tracehub.integrations.calls import call


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
        with call(self._log, _endpoint(request), request.headers) as answered:
            if self._around is None:
                response = super().send(request, *args, **kwargs)
            else:
                response = self._around.send(request, *args, **kwargs)
            answered["status"] = response.status_code
            return response

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
