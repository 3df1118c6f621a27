"""httpx and httpx2, both kinds of client. Neither is loaded here: a client brings its own.

client = trace(httpx.Client(), "MA")
client = trace(httpx.AsyncClient(), "MA")
"""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from checkpoint_logger import CheckpointLogger, get_checkpoint_logger
from tracehub.integrations.calls import call


class _Client(Protocol):
    _transport: Any
    _mounts: Any


Client = TypeVar("Client", bound=_Client)


def trace(client: Client, source_id: str | None = None) -> Client:
    """`client`, which sends the id along and, with a `source_id`, writes a checkpoint before and after each request,
    failed ones too. Its transports, those of proxies among them, do the sending as before.

    The operation is HTTP, the endpoint the method and address without its query.
    """
    log = get_checkpoint_logger(source_id) if source_id else None
    traced: Any = _AsyncTransport if hasattr(client, "aclose") else _Transport
    client._transport = traced(client._transport, log)
    for pattern, transport in client._mounts.items():
        if transport is not None:
            client._mounts[pattern] = traced(transport, log)
    return client


class _Transport:
    def __init__(self, around: Any, log: CheckpointLogger | None) -> None:
        self._around = around
        self._log = log

    def handle_request(self, request: Any) -> Any:
        with call(self._log, _endpoint(request), request.headers) as answered:
            response = self._around.handle_request(request)
            answered["status"] = response.status_code
            return response

    def close(self) -> None:
        self._around.close()

    def __enter__(self) -> _Transport:
        self._around.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._around.__exit__(*error)


class _AsyncTransport:
    def __init__(self, around: Any, log: CheckpointLogger | None) -> None:
        self._around = around
        self._log = log

    async def handle_async_request(self, request: Any) -> Any:
        with call(self._log, _endpoint(request), request.headers) as answered:
            response = await self._around.handle_async_request(request)
            answered["status"] = response.status_code
            return response

    async def aclose(self) -> None:
        await self._around.aclose()

    async def __aenter__(self) -> _AsyncTransport:
        await self._around.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._around.__aexit__(*error)


def _endpoint(request: Any) -> str:
    return f"{request.method} {request.url.copy_with(query=None, fragment=None, username=None, password=None)}"
