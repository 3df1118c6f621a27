"""The ASGI middleware in FastAPI and Starlette."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from checkpoint_logger import get_correlation_id
from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from traced import Traced, tracing
from tracehub.integrations.asgi import TraceHubMiddleware

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


def fastapi_app() -> FastAPI:
    app = FastAPI()
    app.add_middleware(TraceHubMiddleware, source_id="MA")

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, object]:
        return {"number": number, "id": get_correlation_id()}

    @app.get("/sync")
    def sync() -> str | None:
        return get_correlation_id()

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("no")

    @app.websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        await socket.send_text(str(get_correlation_id()))
        await socket.close()

    return app


def client(app: object) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://test")


async def test_fastapi_requests_are_traced(traced: Traced) -> None:
    """Id in, id in force in async and threaded endpoints, id echoed, a checkpoint on the way in and out."""
    async with client(fastapi_app()) as http:
        answer = await http.get("/items/5?secret=1", headers={"X-Correlation-ID": "req-5"})
        assert answer.json() == {"number": 5, "id": "req-5"}
        assert answer.headers["X-Correlation-ID"] == "req-5"
        assert (await http.get("/sync", headers={"X-Request-ID": "sync"})).json() == "sync"
    assert traced.steps == [
        ("->", "REST", "GET /items/5", None),
        ("<-", "REST", "GET /items/5", {"status": 200}),
        ("->", "REST", "GET /sync", None),
        ("<-", "REST", "GET /sync", {"status": 200}),
    ]
    assert traced.ids == ["req-5", "req-5", "sync", "sync"]
    assert get_correlation_id() is None


@pytest.mark.parametrize(
    ("headers", "correlation_id"),
    [
        ({"X-Correlation-ID": "a", "X-Request-ID": "b"}, "a"),
        ({"X-Correlation-ID": "no spaces allowed", "X-Request-ID": "b"}, "b"),
        ({"traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"}, TRACE_ID),
        ({"X-Request-ID": "x" * 129, "traceparent": f"01-{TRACE_ID}-00f067aa0ba902b7-00-more"}, TRACE_ID),
        ({"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"}, None),
        ({"X-Correlation-ID": "<script>"}, None),
        ({}, None),
    ],
)
async def test_the_first_usable_id_wins(traced: Traced, headers: dict[str, str], correlation_id: str | None) -> None:
    """X-Correlation-ID, X-Request-ID, traceparent, else a new one; what is not well formed is passed over."""
    async with client(fastapi_app()) as http:
        echoed = (await http.get("/sync", headers=headers)).headers["X-Correlation-ID"]
    assert echoed == correlation_id if correlation_id else len(echoed) == 32
    assert traced.ids == [echoed, echoed]


async def test_an_endpoint_that_raises_leaves_with_its_error(traced: Traced) -> None:
    """The error goes with the exit and passes on to the framework."""
    async with client(fastapi_app()) as http:
        assert (await http.get("/broken")).status_code == 500
    assert traced.steps[1][3]["error"] == "RuntimeError: no"


async def test_websockets_and_lifespan_are_served(traced: Traced) -> None:
    """A websocket is a pair of checkpoints too, the id echoed as it is accepted; lifespan passes untouched."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return next(incoming)

    app = fastapi_app()
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    await app({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)
    assert [message["type"] for message in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    sent.clear()
    incoming = iter([{"type": "websocket.connect"}])
    scope = {"type": "websocket", "path": "/ws", "headers": [(b"x-correlation-id", b"ws-1")], "query_string": b""}
    await app(scope, receive, send)
    assert sent[0]["headers"] == [(b"x-correlation-id", b"ws-1")]
    assert sent[1]["text"] == "ws-1"
    steps = await asyncio.to_thread(lambda: traced.steps)
    assert [step[:3] for step in steps] == [("->", "WS", "GET /ws"), ("<-", "WS", "GET /ws")]


async def test_starlette_streams_are_left_when_they_end(traced: Traced) -> None:
    """The exit comes after the last chunk; without a source there is only the id."""

    async def chunks():
        for number in range(3):
            yield f"{number}:{get_correlation_id()} "

    async def stream(_request: object) -> StreamingResponse:
        return StreamingResponse(chunks())

    async def plain(_request: object) -> PlainTextResponse:
        return PlainTextResponse(str(get_correlation_id()))

    app = Starlette(routes=[Route("/stream", stream), Route("/plain", plain)])
    async with client(TraceHubMiddleware(app, "MA")) as http:
        assert (await http.get("/stream", headers={"X-Correlation-ID": "s"})).text == "0:s 1:s 2:s "
    assert [step[0] for step in traced.steps] == ["->", "<-"]
    async with client(TraceHubMiddleware(app)) as http:
        assert (await http.get("/plain", headers={"X-Correlation-ID": "p"})).text == "p"
    assert len(traced.steps) == 2
