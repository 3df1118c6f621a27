"""The ASGI middleware in FastAPI and Starlette."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from checkpoint_logger import get_checkpoint_logger, get_correlation_id
from conftest import free_port
from fastapi import BackgroundTasks, FastAPI, WebSocket
from patience import PATIENCE_S
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import FileResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from test_client_processes import get
from traced import Traced, tracing
from tracehub.integrations.asgi import TraceHubMiddleware
from wayward import Wayward

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
SENDS_FILES = "http.response.pathsend"


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

    @app.get("/later")
    async def later(tasks: BackgroundTasks) -> None:
        tasks.add_task(get_checkpoint_logger("MA").checkpoint_entry, "TASK", "later")

    @app.websocket("/refused")
    async def refused(socket: WebSocket) -> None:
        await socket.send_denial_response(PlainTextResponse("no", 401))

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


async def test_a_request_is_left_before_its_background_tasks(traced: Traced) -> None:
    """The answer is out; the tasks have the id, too."""
    async with client(fastapi_app()) as http:
        await http.get("/later", headers={"X-Correlation-ID": "later"})
    assert [step[:3] for step in traced.steps] == [
        ("->", "REST", "GET /later"),
        ("<-", "REST", "GET /later"),
        ("->", "TASK", "later"),
    ]
    assert traced.ids == ["later"] * 3


async def test_a_file_that_the_server_sends_itself_is_left_before_background_tasks(traced: Traced) -> None:
    """granian is given the path of a file, not its bytes: that message is the last of an answer."""
    log = get_checkpoint_logger("MA")
    sent: list[str] = []

    async def served(scope: Any, receive: Any, send: Any) -> None:
        later = BackgroundTask(log.checkpoint_entry, "TASK", "later")
        await FileResponse(__file__, background=later)(scope, receive, send)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "http", "method": "GET", "path": "/file", "headers": [], "extensions": {SENDS_FILES: {}}}
    await TraceHubMiddleware(served, "MA")(scope, asyncio.Event().wait, send)
    assert sent == ["http.response.start", SENDS_FILES]
    assert [step[:2] for step in traced.steps] == [("->", "REST"), ("<-", "REST"), ("->", "TASK")]


async def test_a_mounted_application_stays_in_the_chain(traced: Traced) -> None:
    """Both have the middleware, and the request came without an id: there is one, and it is the one that is echoed."""
    app = fastapi_app()
    app.mount("/inner", fastapi_app())
    async with client(app) as http:
        answer = await http.get("/inner/sync")
    assert answer.headers.get_list("X-Correlation-ID") == [answer.json()]
    assert traced.ids == [answer.json()] * 4


async def test_a_websocket_that_is_refused_is_answered_like_a_request(traced: Traced) -> None:
    """With its status and the id."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    scope = {"type": "websocket", "path": "/refused", "headers": [(b"x-correlation-id", b"ws-2")], "query_string": b""}
    await fastapi_app()({**scope, "extensions": {"websocket.http.response": {}}}, receive, send)
    assert (b"x-correlation-id", b"ws-2") in sent[0]["headers"]
    assert (await asyncio.to_thread(lambda: traced.steps))[1][3] == {"status": 401}


SERVED = """
from fastapi import FastAPI
from tracehub.integrations.asgi import TraceHubMiddleware

async def bare(scope, receive, send):
    assert scope["type"] == "http"
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})

bare = TraceHubMiddleware(bare, "MA")
fastapi = FastAPI()
fastapi.add_middleware(TraceHubMiddleware, source_id="MA")
"""


@pytest.mark.parametrize("name", ["fastapi", "bare"])
def test_uvicorn_delivers_before_it_ends_itself(server: Wayward, tmp_path: Path, name: str) -> None:
    """Its last deed is to take the signal that stopped it, and nothing runs at exit; with a lifespan and without."""
    (tmp_path / "served.py").write_text(SERVED)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", f"served:{name}", "--port", str(port), "--log-level", "warning"],
        cwd=tmp_path,
        env={
            **os.environ, "TRACEHUB_URL": server.url, "CHECKPOINT_TRACING": "1", "TRACEHUB_FLUSH_INTERVAL": "60",
        },
    )  # fmt: skip
    try:
        get(port, "/x")
    finally:
        process.terminate()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM
    assert [entry["direction"] for entry in server.entries] == ["->", "<-"]
