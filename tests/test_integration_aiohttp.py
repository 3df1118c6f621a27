"""aiohttp's server middleware and client TraceConfig, talking to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from checkpoint_logger import get_correlation_id, reset_correlation_id, set_correlation_id
from traced import Traced, tracing
from tracehub.integrations.aiohttp import tracehub_middleware, tracehub_trace_config

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


def app(source_id: str | None = "SV") -> web.Application:
    async def plain(request: web.Request) -> web.Response:
        return web.Response(text=f"{get_correlation_id()} {request.headers.get('traceparent')}")

    async def missing(_request: web.Request) -> web.Response:
        raise web.HTTPNotFound

    async def broken(_request: web.Request) -> web.Response:
        raise RuntimeError("no")

    async def forgotten(_request: web.Request) -> None:
        return None

    application = web.Application(middlewares=[tracehub_middleware(source_id)])
    application.add_routes([web.get("/plain", plain), web.get("/missing", missing), web.get("/broken", broken)])
    application.router.add_get("/forgotten", forgotten)  # type: ignore[arg-type]
    return application


async def test_an_id_travels_from_client_to_server_and_back(traced: Traced) -> None:
    """Both sides write their checkpoints under one id; a trace id goes as traceparent as well."""
    token = set_correlation_id(TRACE_ID)
    async with TestServer(app()) as server, aiohttp.ClientSession(trace_configs=[tracehub_trace_config("CL")]) as http:
        async with http.get(server.make_url("/plain?secret=1")) as answer:
            correlation_id, parent = (await answer.text()).split()
            assert answer.headers["X-Correlation-ID"] == correlation_id == TRACE_ID
            assert parent.startswith(f"00-{TRACE_ID}-")
        url = f"GET {server.make_url('/plain')}"
    reset_correlation_id(token)
    entries = await asyncio.to_thread(lambda: traced.steps)
    assert entries == [
        ("->", "HTTP", url, None),
        ("->", "REST", "GET /plain", None),
        ("<-", "REST", "GET /plain", {"status": 200}),
        ("<-", "HTTP", url, {"status": 200}),
    ]
    assert set(traced.ids) == {TRACE_ID}


async def test_refusals_and_errors_leave_with_what_happened(traced: Traced) -> None:
    """A raised HTTPException is a status with the id echoed, any other exception an error."""
    async with TestServer(app()) as server, aiohttp.ClientSession() as http:
        async with http.get(server.make_url("/missing"), headers={"X-Correlation-ID": "m"}) as answer:
            assert (answer.status, answer.headers["X-Correlation-ID"]) == (404, "m")
        async with http.get(server.make_url("/broken")) as answer:
            assert answer.status == 500
    steps = await asyncio.to_thread(lambda: traced.steps)
    assert steps[1][3] == {"status": 404}
    assert steps[3][3] == {"error": "RuntimeError: no"}


async def test_a_request_that_fails_leaves_with_its_error(traced: Traced) -> None:
    """Nobody listens: the exit says so."""
    async with aiohttp.ClientSession(trace_configs=[tracehub_trace_config("CL")]) as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get("http://127.0.0.1:9/")
    steps = await asyncio.to_thread(lambda: traced.steps)
    assert steps[1][3]["error"].startswith("ClientConnectorError")


async def test_a_call_with_no_id_in_force_takes_its_checkpoints_id_along(traced: Traced) -> None:
    """The one that its entry made: both sides are one chain."""
    async with TestServer(app()) as server, aiohttp.ClientSession(trace_configs=[tracehub_trace_config("CL")]) as http:
        await http.get(server.make_url("/plain"))
    ids = await asyncio.to_thread(lambda: traced.ids)
    assert len(ids) == 4
    assert len(set(ids)) == 1


async def test_a_subapplication_stays_in_the_chain(traced: Traced) -> None:
    """Both have the middleware, and the request came without an id."""
    outer = app()
    outer.add_subapp("/inner", app("IN"))
    async with TestServer(outer) as server, aiohttp.ClientSession() as http:
        answer = await http.get(server.make_url("/inner/plain"))
        correlation_id = answer.headers["X-Correlation-ID"]
        assert (await answer.text()).split()[0] == correlation_id
    assert await asyncio.to_thread(lambda: traced.ids) == [correlation_id] * 4


async def test_a_handler_that_returns_nothing_is_told_so_by_aiohttp(
    traced: Traced, caplog: pytest.LogCaptureFixture
) -> None:
    """Not by an error of the middleware."""
    async with TestServer(app()) as server, aiohttp.ClientSession() as http:
        assert (await http.get(server.make_url("/forgotten"))).status == 500
    assert "Missing return statement on request handler" in caplog.text
    assert "tracehub" not in caplog.text
