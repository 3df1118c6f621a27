"""httpx and httpx2, both kinds of client, against a real server."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import httpx2
import pytest
from checkpoint_logger import get_correlation_id, set_correlation_id
from patience import PATIENCE_S
from traced import Traced, tracing
from tracehub.integrations.httpx import trace
from wayward import Reply, Request, Wayward, wayward


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


@pytest.fixture
def server() -> Iterator[Wayward]:
    with wayward() as running:
        running.judge = lambda _request: Reply(201, {})
        yield running


@pytest.fixture(params=[httpx, httpx2], ids=lambda module: module.__name__)
def hx(request: pytest.FixtureRequest) -> Any:
    """Either of the two."""
    return request.param


def test_a_client_sends_the_id_and_writes_checkpoints(traced: Traced, server: Wayward, hx: Any) -> None:
    """The id as a header, the address without its query and password."""
    set_correlation_id("req-7")
    with trace(hx.Client(), "MA") as http:
        http.get(f"http://user:pw@127.0.0.1:{server.port}/x?secret=1")
    assert server.requests[0].headers["X-Correlation-ID"] == "req-7"
    assert server.requests[0].headers["traceparent"] is None
    assert traced.steps == [
        ("->", "HTTP", f"GET {server.url}/x", None),
        ("<-", "HTTP", f"GET {server.url}/x", {"status": 201}),
    ]


async def test_an_async_client_does_the_same(traced: Traced, server: Wayward, hx: Any) -> None:
    """A header that is there already is left alone."""
    set_correlation_id("req-8")
    async with trace(hx.AsyncClient(), "MA") as http:
        await http.post(server.url, headers={"X-Correlation-ID": "mine"})
    assert server.requests[0].headers.get_all("X-Correlation-ID") == ["mine"]
    assert len(await asyncio.to_thread(lambda: traced.steps)) == 2


def test_a_call_that_fails_leaves_its_step(traced: Traced, server: Wayward, hx: Any) -> None:
    """Nobody listens, or nobody answers in time: the exit says which."""
    server.judge = lambda _request: Reply(hang_s=60)
    with trace(hx.Client(timeout=0.1), "MA") as http:
        with pytest.raises(hx.ReadTimeout):
            http.get(server.url)
        with pytest.raises(hx.ConnectError):
            http.get("http://127.0.0.1:9/")
    assert [step[0] for step in traced.steps] == ["->", "<-", "->", "<-"]
    assert traced.steps[1][3] == {"error": "ReadTimeout: timed out"}
    assert traced.steps[3][3]["error"].startswith("ConnectError: ")


async def test_a_call_that_is_cancelled_leaves_its_step(traced: Traced, server: Wayward, hx: Any) -> None:
    """While the server thinks about it, its caller loses patience."""
    arrived = threading.Event()

    def hang(_request: Request) -> Reply:
        arrived.set()
        return Reply(hang_s=60)

    server.judge = hang
    async with trace(hx.AsyncClient(), "MA") as http:
        calling = asyncio.ensure_future(http.get(server.url))
        assert await asyncio.to_thread(arrived.wait, PATIENCE_S)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
    steps = await asyncio.to_thread(lambda: traced.steps)
    assert [(step[0], step[3]) for step in steps] == [("->", None), ("<-", {"error": "CancelledError"})]


def test_an_answer_that_a_hook_takes_for_a_failure_leaves_its_step(traced: Traced, server: Wayward, hx: Any) -> None:
    """The hooks of the host come after it."""
    server.judge = lambda _request: Reply(503, {})
    hooks = {"response": [hx.Response.raise_for_status]}
    with trace(hx.Client(event_hooks=hooks), "MA") as http, pytest.raises(hx.HTTPStatusError):
        http.get(server.url)
    assert [step[3] for step in traced.steps] == [None, {"status": 503}]


def test_what_a_client_mounts_is_traced_too(traced: Traced, server: Wayward, hx: Any) -> None:
    """A proxy, for instance; what goes past it, too."""
    set_correlation_id("mine")
    proxies = {"http://": hx.HTTPTransport(proxy=server.url), "all://127.0.0.1": None}
    with trace(hx.Client(mounts=proxies), "MA") as http:
        http.get("http://bank.example/charge")
        http.get(server.url)
    assert [request.path for request in server.requests] == ["http://bank.example/charge", "/"]
    assert [request.headers["X-Correlation-ID"] for request in server.requests] == ["mine", "mine"]
    assert [step[0] for step in traced.steps] == ["->", "<-", "->", "<-"]


class Told:
    """Writes down what its client has it do."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __enter__(self) -> Told:
        self.told.append("enter")
        return self

    def __exit__(self, *_error: object) -> None:
        self.told.append("exit")

    def close(self) -> None:
        self.told.append("close")

    async def __aenter__(self) -> Told:
        return self.__enter__()

    async def __aexit__(self, *_error: object) -> None:
        self.__exit__()

    async def aclose(self) -> None:
        self.close()


async def test_the_transports_of_a_client_begin_and_end_with_it(hx: Any) -> None:
    """As a block and by `close`, whichever kind it is."""
    transport = Told()
    with trace(hx.Client(transport=transport)):
        pass
    trace(hx.Client(transport=transport)).close()
    async with trace(hx.AsyncClient(transport=transport)):
        pass
    await trace(hx.AsyncClient(transport=transport)).aclose()
    assert transport.told == ["enter", "exit", "close"] * 2


def test_an_id_that_is_no_header_is_not_sent(traced: Traced, server: Wayward, hx: Any) -> None:
    """Line breaks never reach a header; without a source there are no checkpoints."""
    set_correlation_id("evil\r\nX-Admin: 1")
    with trace(hx.Client()) as http:
        http.get(server.url)
    assert server.requests[0].headers["X-Correlation-ID"] is None
    assert server.requests[0].headers["X-Admin"] is None
    assert traced.steps == []


def test_a_redirect_with_no_id_in_force_stays_in_the_chain(traced: Traced, server: Wayward, hx: Any) -> None:
    """What is redirected and where it leads to are one chain, whose id both servers are told; then none is in force."""
    server.replies = [Reply(302, {}, {"Location": "/there"})]
    with trace(hx.Client(follow_redirects=True), "MA") as http:
        http.get(server.url)
    assert len(server.requests) == 2
    assert set(traced.ids) == {request.headers["X-Correlation-ID"] for request in server.requests}
    assert len(set(traced.ids)) == 1
    assert get_correlation_id() is None
