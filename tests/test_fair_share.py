"""A fair share: how often a client may ask, how many answers may be held open, and when it is told to come back."""

import asyncio
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from conftest import Client, entry, until
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from shared.env import Settings
from shared.web import ACCESS
from shared.web import buckets as room
from shared.web.buckets import Buckets, retry_after
from shared.web.clients import Clients
from shared.web.exchange import Exchange, Head


class Clock:
    """A time that goes when it is told to."""

    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


@given(st.lists(st.floats(0, 3), max_size=200), st.floats(0.5, 50), st.integers(1, 20))
def test_nobody_gets_more_than_burst_and_rate(pauses: list[float], rate: float, burst: int) -> None:
    """In any time a client takes at most its burst and what its rate gives; the wait that it is told is true."""
    clock = Clock()
    buckets = Buckets(rate, burst, clock)
    taken: list[float] = []
    for pause_s in pauses:
        clock.s += pause_s
        if wait_s := buckets.wait_s("a"):
            before, clock.s = clock.s, clock.s + wait_s * 0.99 - 1e-6
            assert clock.s < before or buckets.wait_s("a") > 0
            clock.s = before + wait_s + 1e-6
            assert buckets.wait_s("a") == 0.0
        buckets.charge("a")
        taken.append(clock.s)
        assert buckets.wait_s("b") == 0.0
    for first, start in enumerate(taken):
        for last in range(first, len(taken)):
            assert last - first + 1 <= burst + rate * (taken[last] - start) + 1e-3


def test_what_was_taken_beyond_is_paid_off() -> None:
    """A cost that is known only afterwards may empty the bucket below zero; then the client waits for it all."""
    clock = Clock()
    buckets = Buckets(10, 100, clock)
    buckets.charge("a", 350)
    assert buckets.wait_s("a", 0) == pytest.approx(25)
    clock.s += 25
    assert buckets.wait_s("a", 0) == pytest.approx(0, abs=1e-9)
    assert buckets.wait_s("a", 1) == pytest.approx(0.1)


def test_the_clients_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses somebody has, the memory does not grow, and those who are active are remembered."""
    monkeypatch.setattr(room, "MAX_CLIENTS", 100)
    buckets = Buckets(1, 1, Clock())
    for number in range(1_000):
        buckets.charge("busy")
        buckets.charge(f"passer-by {number}")
    assert len(buckets) == 100
    assert buckets.wait_s("busy") > 0


def test_a_client_is_told_whole_seconds() -> None:
    """Retry-After has no fractions, and 0 would be no wait."""
    assert [retry_after(wait_s) for wait_s in (1e-9, 0.5, 1.0, 1.2)] == [1, 1, 1, 2]


@pytest.fixture
async def slow(start_ingest: Any, start_query: Any, settings: Settings) -> Client:
    """A query service behind a proxy that gives each client half a call a second, five at once; its clock stands."""
    slow = msgspec.structs.replace(settings, query_rate=0.5, trusted_proxies="127.0.0.1")
    await start_ingest(slow)
    client: Client = await start_query(slow)

    async def is_up() -> bool:
        async with client.get("/health") as response:
            return response.status == 200

    await until(is_up)
    stop_the_clock(client)
    return client


def stop_the_clock(client: Client) -> None:
    """From now on no share grows while a test asks, however long that takes."""
    client.app[ACCESS].share._buckets._now = Clock()


async def statuses(client: Client, number: int, path: str = "/recent", **headers: str) -> list[int]:
    """What a client gets for so many calls."""
    found = []
    for _ in range(number):
        async with client.get(path, headers={name.replace("_", "-"): headers[name] for name in headers}) as response:
            found.append(response.status)
    return found


async def test_who_asks_too_often_is_told_when_to_come_back(slow: Client) -> None:
    """Beyond its share a client gets 429 until the time it was told, others meanwhile what they ask for."""
    assert await statuses(slow, 6) == [200] * 5 + [429]
    async with slow.get("/correlations") as response:
        assert response.status == 429
        assert "rate limit" in (await response.json())["detail"]
        wait_s = int(response.headers["Retry-After"])
    assert await statuses(slow, 6, X_Forwarded_For="192.0.2.1") == [200] * 5 + [429]
    for path in ("/health", "/metrics", "/openapi.json", "/"):
        assert set(await statuses(slow, 8, path)) == {200}
    buckets = slow.app[ACCESS].share._buckets
    start = buckets._now
    buckets._now = lambda: start() + wait_s - 1.01
    assert await statuses(slow, 1) == [429]
    buckets._now = lambda: start() + wait_s
    assert await statuses(slow, 2) == [200, 429]


async def test_addresses_behind_the_proxy_are_clients(slow: Client) -> None:
    """The last address that is no proxy counts: what a client writes before it changes nothing, nor do ports."""
    assert await statuses(slow, 5, X_Forwarded_For="192.0.2.9") == [200] * 5
    for same in ("198.51.100.1, 192.0.2.9", "192.0.2.9, 127.0.0.1", "192.0.2.9:4711", "::ffff:192.0.2.9", ",192.0.2.9"):
        assert await statuses(slow, 1, X_Forwarded_For=same) == [429], same
    assert await statuses(slow, 5, X_Forwarded_For="2001:db8::1") == [200] * 5
    for same in ("2001:db8::2", "[2001:db8::3]:80"):
        assert await statuses(slow, 1, X_Forwarded_For=same) == [429], same
    for other in ("192.0.2.10", "2001:db8:0:1::1", "192.0.2.9, unknown", "\u00e9"):
        assert await statuses(slow, 1, X_Forwarded_For=other) == [200], other


@pytest.mark.parametrize("proxies", ["", "192.0.2.99"])
def test_a_network_of_ipv6_is_one_client(proxies: str) -> None:
    """Where no proxy stands before the service as well: a subscriber has more addresses than there are buckets."""
    clients = Clients(Settings(trusted_proxies=proxies))

    def client(remote: str) -> str:
        headers = CIMultiDict({"X-Forwarded-For": "192.0.2.7"})
        message: Any = SimpleNamespace(method="GET", path="/", headers=headers)
        return clients.address(Exchange(Head(message), 0, bytes, remote, lambda *_: None))

    assert client("2001:db8::1") == client("2001:db8::ffff:2") != client("2001:db8:0:1::1")
    assert client("::ffff:192.0.2.1") == client("192.0.2.1") == "192.0.2.1"


async def test_a_secret_is_one_client(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """Who shows the same secret from many addresses has one share; another secret has its own."""
    guarded = msgspec.structs.replace(settings, query_rate=0.5, query_secret="one,two", trusted_proxies="127.0.0.1")
    await start_ingest(guarded)
    client: Client = await start_query(guarded)
    stop_the_clock(client)
    for number in range(6):
        told = {"X_TraceHub_Secret": "one", "X_Forwarded_For": f"192.0.2.{number}"}
        assert await statuses(client, 1, "/stats/sources", **told) != [429] or number == 5
    assert await statuses(client, 1, Authorization="Bearer one") == [429]
    assert await statuses(client, 1, X_TraceHub_Secret="two") != [429]
    assert await statuses(client, 1) == [401]


async def test_senders_pay_by_entry_when_that_is_configured(start_ingest: Any, settings: Settings) -> None:
    """With TRACEHUB_INGEST_RATE a sender that sent too much waits until that is paid off; by default nobody does."""
    client: Client = await start_ingest(msgspec.structs.replace(settings, ingest_rate=10, secret="s"))
    stop_the_clock(client)
    told = {"X-TraceHub-Secret": "s"}
    many = {"traces": [entry() for _ in range(150)]}
    async with client.post("/ingest", json=many, headers=told) as response:
        assert response.status == 200
    for path, body in (("/ingest", {"traces": []}), ("/ingest/single", entry())):
        async with client.post(path, json=body, headers=told) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "5"
    buckets = client.app[ACCESS].share._buckets
    start = buckets._now
    buckets._now = lambda: start() + 5
    async with client.post("/ingest/single", json=entry(), headers=told) as response:
        assert response.status == 200
    open_to_all: Client = await start_ingest(msgspec.structs.replace(settings, db=f"{settings.db}2"))
    for _ in range(5):
        async with open_to_all.post("/ingest", json={"traces": [entry() for _ in range(1_000)]}) as response:
            assert response.status == 200


async def test_streams_are_counted(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """One client holds so many streams and waits at a time, all together so many; the end of one makes room."""
    few = msgspec.structs.replace(settings, max_client_streams=2, max_streams=3, trusted_proxies="127.0.0.1")
    ingest: Client = await start_ingest(few)
    client: Client = await start_query(few)
    share = client.app[ACCESS].share
    await until(lambda: up(client))
    first = await client.get("/stream?timeout=3600")
    waiting = asyncio.create_task(client.get("/traces/x", headers={"Prefer": "wait=60"}))
    await until(lambda: share.streams == 2)
    for path, headers in (("/stream", {}), ("/traces/y/stream", {}), ("/traces/y", {"Prefer": "wait=1"})):
        async with client.get(path, headers=headers) as response:
            assert response.status == 429
            assert 1 < int(response.headers["Retry-After"]) <= 60  # when the first of the two ends
    other = await client.get("/stream", headers={"X-Forwarded-For": "192.0.2.1"})
    assert other.status == 200
    async with client.get("/stream", headers={"X-Forwarded-For": "192.0.2.2"}) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) >= 1
    async with ingest.post("/ingest/single", json=entry(correlation_id="x")):
        pass
    assert (await waiting).status == 200
    first.close()
    other.close()
    await until(lambda: share.streams == 0 and not share._ends)
    async with client.get("/stream?timeout=1") as response:
        assert response.status == 200


async def up(client: Client) -> bool:
    """Whether the service answers."""
    async with client.get("/health") as response:
        return response.status == 200
