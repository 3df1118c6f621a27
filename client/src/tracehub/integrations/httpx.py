"""httpx hooks, for both kinds of client.

client = httpx.Client(event_hooks=event_hooks("MA"))
client = httpx.AsyncClient(event_hooks=async_event_hooks("MA"))
"""

from __future__ import annotations

from typing import Any

import httpx

from checkpoint_logger import get_checkpoint_logger
from tracehub.integrations.propagation import outgoing_headers


def event_hooks(source_id: str | None = None) -> dict[str, list[Any]]:
    """Hooks that send the id along and, with a `source_id`, write a checkpoint before a request and after its answer.

    The operation is HTTP, the endpoint the method and address without its query. httpx has no hook for a request that
    fails: its entry stays without an exit.
    """
    log = get_checkpoint_logger(source_id) if source_id else None

    def begin(request: httpx.Request) -> None:
        if log is not None:
            log.checkpoint_entry("HTTP", _endpoint(request))  # first: it makes an id where none is in force
        request.headers.update(outgoing_headers(request.headers))

    def end(response: httpx.Response) -> None:
        if log is not None:
            log.checkpoint_exit("HTTP", _endpoint(response.request), {"status": response.status_code})

    return {"request": [begin], "response": [end]}


def async_event_hooks(source_id: str | None = None) -> dict[str, list[Any]]:
    """The same for an AsyncClient."""
    hooks = event_hooks(source_id)

    async def begin(request: httpx.Request) -> None:
        hooks["request"][0](request)

    async def end(response: httpx.Response) -> None:
        hooks["response"][0](response)

    return {"request": [begin], "response": [end]}


def _endpoint(request: httpx.Request) -> str:
    return f"{request.method} {request.url.copy_with(query=None, fragment=None, username=None, password=None)}"
