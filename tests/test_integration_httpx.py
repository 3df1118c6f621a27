"""httpx hooks, against a real server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
from checkpoint_logger import set_correlation_id
from traced import Traced, tracing
from tracehub.integrations.httpx import async_event_hooks, event_hooks
from wayward import Reply, Wayward, wayward


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


@pytest.fixture
def server() -> Iterator[Wayward]:
    with wayward() as running:
        running.judge = lambda _request: Reply(201, {})
        yield running


def test_a_client_sends_the_id_and_writes_checkpoints(traced: Traced, server: Wayward) -> None:
    """The id as a header, the address without its query and password."""
    set_correlation_id("req-7")
    with httpx.Client(event_hooks=event_hooks("MA")) as http:
        http.get(f"http://user:pw@127.0.0.1:{server.port}/x?secret=1")
    assert server.requests[0].headers["X-Correlation-ID"] == "req-7"
    assert server.requests[0].headers["traceparent"] is None
    assert traced.steps == [
        ("->", "HTTP", f"GET {server.url}/x", None),
        ("<-", "HTTP", f"GET {server.url}/x", {"status": 201}),
    ]


async def test_an_async_client_does_the_same(traced: Traced, server: Wayward) -> None:
    """A header that is there already is left alone."""
    set_correlation_id("req-8")
    async with httpx.AsyncClient(event_hooks=async_event_hooks("MA")) as http:
        await http.post(server.url, headers={"X-Correlation-ID": "mine"})
    assert server.requests[0].headers.get_all("X-Correlation-ID") == ["mine"]
    assert len(await asyncio.to_thread(lambda: traced.steps)) == 2


def test_an_id_that_is_no_header_is_not_sent(traced: Traced, server: Wayward) -> None:
    """Line breaks never reach a header; without a source there are no checkpoints."""
    set_correlation_id("evil\r\nX-Admin: 1")
    with httpx.Client(event_hooks=event_hooks()) as http:
        http.get(server.url)
    assert server.requests[0].headers["X-Correlation-ID"] is None
    assert server.requests[0].headers["X-Admin"] is None
    assert traced.steps == []


def test_a_call_with_no_id_in_force_takes_its_checkpoints_id_along(traced: Traced, server: Wayward) -> None:
    """The one that its entry made."""
    with httpx.Client(event_hooks=event_hooks("MA")) as http:
        http.get(server.url)
    assert set(traced.ids) == {server.requests[0].headers["X-Correlation-ID"]}
