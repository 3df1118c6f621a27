"""The requests adapter, against a real server."""

from __future__ import annotations

import pickle
from collections.abc import Iterator

import pytest
import requests
from checkpoint_logger import get_correlation_id, set_correlation_id
from requests.adapters import HTTPAdapter
from traced import Traced, tracing
from tracehub.integrations.requests import trace
from urllib3.util import Retry
from wayward import Reply, wayward


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Traced]:
    with tracing(monkeypatch) as running:
        yield running


def test_a_session_sends_the_id_and_writes_checkpoints(traced: Traced) -> None:
    """Success and failure both leave; the address goes without its query."""
    set_correlation_id("a" * 32)
    with wayward() as server, trace(requests.Session(), "MA") as session:
        server.judge = lambda _request: Reply(204, b"")
        session.post(f"{server.url}/x?secret=1")
        headers = server.requests[0].headers
        assert headers["X-Correlation-ID"] == "a" * 32
        assert headers["traceparent"].split("-")[1] == "a" * 32
        with pytest.raises(requests.ConnectionError):
            session.get("http://127.0.0.1:9/")
    steps = traced.steps
    assert steps[:2] == [
        ("->", "HTTP", f"POST {server.url}/x", None),
        ("<-", "HTTP", f"POST {server.url}/x", {"status": 204}),
    ]
    assert steps[3][3]["error"].startswith("ConnectionError: ")


def test_a_call_with_no_id_in_force_takes_its_checkpoints_id_along(traced: Traced) -> None:
    """The one that its entry made; with a session that was pickled, too."""
    with wayward() as server, pickle.loads(pickle.dumps(trace(requests.Session(), "MA"))) as session:
        server.judge = lambda _request: Reply(204, b"")
        session.get(server.url)
        assert set(traced.ids) == {server.requests[0].headers["X-Correlation-ID"]}


def test_a_redirect_with_no_id_in_force_stays_in_the_chain(traced: Traced) -> None:
    """What is redirected and where it leads to are one chain, whose id both servers are told."""
    with wayward() as server, trace(requests.Session(), "MA") as session:
        server.replies = [Reply(302, b"", {"Location": "/there"})]
        server.judge = lambda _request: Reply(204, b"")
        session.get(server.url)
        assert len(server.requests) == 2
        assert set(traced.ids) == {request.headers["X-Correlation-ID"] for request in server.requests}
    assert len(set(traced.ids)) == 1
    assert get_correlation_id() is None


def test_the_adapters_of_a_session_stay_at_work(traced: Traced) -> None:
    """Its retries, for instance: one call, one pair of checkpoints, two attempts."""
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=Retry(1, status_forcelist=[503])))
    with wayward() as server, trace(session, "MA"):
        server.replies = [Reply(503, b"")]
        server.judge = lambda _request: Reply(204, b"")
        assert session.get(server.url).status_code == 204
        assert len(server.requests) == 2
    assert [step[0] for step in traced.steps] == ["->", "<-"]


def test_adapters_of_single_addresses_are_traced_too(traced: Traced) -> None:
    """The session has one with retries for its bank, and that one is the most specific."""
    set_correlation_id("mine")
    with wayward() as server, requests.Session() as session:
        server.judge = lambda _request: Reply(204, b"")
        session.mount(f"{server.url}/bank", HTTPAdapter(max_retries=3))
        trace(session, "MA").get(f"{server.url}/bank/charge")
        assert server.requests[0].headers["X-Correlation-ID"] == "mine"
    assert [step[0] for step in traced.steps] == ["->", "<-"]
