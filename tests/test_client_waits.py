"""How long TraceHubClient waits before it tries again: what it chooses, and what a server asks for."""

from __future__ import annotations

import time
from email.message import Message
from email.utils import formatdate

import pytest
from numbered import entry
from patience import PATIENCE_S, wait_until
from tracehub.answers import retry_after
from tracehub.backoff import Backoff
from tracehub.client import TraceHubClient
from wayward import Reply, Request, Wayward

pytestmark = pytest.mark.usefixtures("unset")


def test_retry_after_is_honoured_in_seconds_and_as_a_date(server: Wayward) -> None:
    """The next attempt comes no sooner than the server asked for."""

    def judge(_request: Request) -> Reply | None:
        return {
            1: Reply(503, {}, {"Retry-After": "0.5"}),
            2: Reply(429, {}, {"Retry-After": formatdate(time.time() + 3, usegmt=True)}),
        }.get(len(server.requests))

    server.judge = judge
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        wait_until(lambda: client.sent == 1)
    first, second, third = (request.at for request in server.requests)
    assert second - first >= 0.5
    assert third - second >= 1.4


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [("-5", 0.0), ("86400", 600.0), ("1e999", 600.0), ("nan", None), ("soon", None), ("", None),
     ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Fri, 31 Dec 9999 23:59:59 GMT", 600.0)],
)  # fmt: skip
def test_a_time_to_wait_is_believed_within_bounds(asked: str, seconds: float | None) -> None:
    """Ten minutes at most, none that is over, and none that is no time: the client would ask without a pause."""
    headers = Message()
    headers["Retry-After"] = asked
    assert retry_after(headers) == seconds


def test_waits_grow_up_to_a_bound_and_differ() -> None:
    """So many quick ones as were asked for, then slow ones; what the server asks for is waited out, with a little on
    top, so that not everyone comes back at the same instant.
    """
    backoff = Backoff(2)
    waits = [(backoff.failed(), backoff.slow) for _ in range(2000)]
    assert [slow for _, slow in waits[:4]] == [False, False, True, True]
    assert all(wait_s <= most for (wait_s, _), most in zip(waits, (0.2, 0.4, 1, 2, 4, 8), strict=False))
    assert 14 < max(wait_s for wait_s, _ in waits) <= 15
    asked = [backoff.failed(10) for _ in range(100)]
    assert min(asked) >= 10 < max(asked) <= 11.1
    refused = [backoff.refused() for _ in range(100)]
    assert min(refused) >= 15 < max(refused) <= 30
    backoff.succeeded()
    assert not backoff.slow


def test_a_flush_does_not_hurry_a_server_that_asked_for_time(server: Wayward) -> None:
    """Retry-After holds against flush as well."""
    server.replies = [Reply(503, {}, {"Retry-After": "0.7"})]
    with TraceHubClient(server.url, flush_interval=0.01) as client:
        client.send(entry(1))
        wait_until(lambda: client.failed)
        assert client.flush(PATIENCE_S)
    assert server.requests[1].at - server.requests[0].at >= 0.7
