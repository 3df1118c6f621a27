"""Clients that streams must live with: old, slow, many, cut off, and those that come and go."""

import asyncio
import os
import random
import socket
from typing import Any

import aiohttp
import msgspec
import pytest
from conftest import Client, entry, events, payload, until
from patience import PATIENCE_S
from test_bounds import post_long
from test_query import healthy, post
from test_stream import FOREVER, ids, nobody_listens, stream, take, time_is_up

from query_svc.handlers import TAIL, WINDOWS
from query_svc.long_entries import LONG_ENTRIES
from query_svc.subscription import PENDING_BYTES
from shared.env import Settings


async def test_a_fault_within_a_stream_cuts_the_connection(
    ingest: Client, query: Client, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """What nobody foresaw after the headers were sent ends the connection; no second answer is mixed into the body."""
    monkeypatch.setattr("query_svc.stream.Stream._replay", None)
    connection = dial(query, b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
    body = await asyncio.to_thread(connection.makefile("rb").read)
    connection.close()
    assert body.startswith(b"HTTP/1.1 200")
    assert body.count(b"HTTP/1.1") == 1
    assert b"detail" not in body
    assert not body.endswith(b"0\r\n\r\n")
    assert "not callable" in caplog.text
    await nobody_listens(query)


def dial(query: Client, request: bytes, buffer_bytes: int = 4096) -> socket.socket:
    """A connection of a client that reads when it likes."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    connection.settimeout(PATIENCE_S)
    connection.connect(("127.0.0.1", query.port))
    connection.sendall(request)
    return connection


async def test_http_1_0_gets_a_stream(ingest: Client, query: Client) -> None:
    """A proxy that speaks HTTP/1.0 gets the events as they are, up to the end of the connection."""
    await post(ingest, entry())
    for keep in (b"", b"Connection: keep-alive\r\n"):
        connection = dial(query, b"GET /stream?last_event_id=0 HTTP/1.0\r\nHost: localhost\r\n" + keep + b"\r\n")
        answer = b""
        while part := await asyncio.to_thread(connection.recv, 65536):
            answer += part
            if b"id: 1" in answer:
                time_is_up(query)
        connection.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200")
        assert b"chunked" not in head.lower()
        assert body.startswith(b"retry: 2000\n: TraceHub\n\nid: 1\ndata: {")
        assert body.endswith(b'data: {"type":"timeout"}\n\n')


async def test_a_long_frame_is_whole(ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that falls into it is left out, and the end of the stream's time waits for the end of it."""
    monkeypatch.setattr("query_svc.stream.HEARTBEAT_S", 0.01)
    monkeypatch.setattr("query_svc.stream.LAST_EVENT_S", PATIENCE_S)
    await post_long(ingest, entry(data={"filler": "x" * 8_000_000}))
    windows = query.app[WINDOWS]
    connection = dial(query, b"GET /stream?last_event_id=0 HTTP/1.0\r\n\r\n", 2**18)
    await until(lambda: query.app[LONG_ENTRIES].held)
    await asyncio.sleep(0.1)  # for a heartbeat or two
    time_is_up(query)
    await until(lambda: not windows._open)
    answer = await asyncio.to_thread(connection.makefile("rb").read)
    connection.close()
    long, last = [line.removeprefix(b"data: ") for line in answer.splitlines() if line.startswith(b"data: ")]
    assert msgspec.json.decode(long)["data"] == {"filler": "x" * 8_000_000}
    assert last == b'{"type":"timeout"}'


async def test_a_reader_that_never_reads(ingest: Client, query: Client) -> None:
    """It costs the process a bounded amount, keeps nobody waiting, and when it reads again it has every id once."""
    filler = "x" * 100_000
    request = b"GET /stream?timeout=600 HTTP/1.0\r\n\r\n"
    stuck = [dial(query, request) for _ in range(10)]
    resumed = [dial(query, request.replace(b"600", b"600&last_event_id=0")) for _ in range(10)]
    await until(lambda: query.app[TAIL].subscribers == 20)
    async with stream(query) as quick:
        for _ in range(50):
            await post(ingest, *(entry(data={"filler": filler}) for _ in range(10)))
            await take(quick, 10)
    tail = query.app[TAIL]
    waiting = sum(subscription._bytes for subscription in tail._subscriptions())
    assert waiting <= 20 * (PENDING_BYTES + len(filler))
    resumed += [dial(query, request.replace(b"600", b"600&last_event_id=0")) for _ in range(10)]

    def held() -> list[int]:
        transports = [connection.transport for connection in query.server.runner.server.connections]
        return [transport.get_write_buffer_size() for transport in transports if transport is not None]

    await until(lambda: sum(size > 0 for size in held()) == 30)
    assert max(held()) < 8 * 2**20, "a page of them, not all"
    for connection in (stuck[0], resumed[0], resumed[-1]):
        assert await asyncio.to_thread(read_ids, connection, 500) == list(range(1, 501))
    for connection in stuck + resumed:
        connection.close()
    await nobody_listens(query)


def read_ids(connection: socket.socket, count: int) -> list[int]:
    """The ids of so many events, once the client reads."""
    found: list[int] = []
    with connection.makefile("rb") as lines:
        for line in lines:
            if line.startswith(b"id: "):
                found.append(int(line[4:]))
            if len(found) == count:
                break
    return found


async def test_two_hundred_streams(ingest: Client, query: Client) -> None:
    """All of them get everything, and leave nothing behind."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def follow(number: int) -> list[int]:
            path = "/stream" if number % 2 else "/traces/chain/stream"
            async with session.get(query.make_url(path), params=FOREVER) as response:
                return ids(await take(events(response), 20))

        streams = [asyncio.create_task(follow(number)) for number in range(200)]
        await until(lambda: query.app[TAIL].subscribers == 200)
        await post(ingest, *(entry() for _ in range(10)))
        await post(ingest, *(entry() for _ in range(10)))
        assert await asyncio.gather(*streams) == [list(range(1, 21))] * 200
    await nobody_listens(query)


async def test_the_end_of_the_service_ends_streams_cleanly(ingest: Client, query: Client) -> None:
    """A client sees the end of the body, no timeout event, and can tell it from a broken connection."""
    async with query.get("/stream", params=FOREVER) as response:
        await response.content.readuntil(b"\n\n")
        query.app[WINDOWS].close()
        async with asyncio.timeout(PATIENCE_S):
            assert await response.read() == b""


class Wanderer:
    """A client that comes, goes, resumes and dawdles: what it got, and what it was told is lost."""

    def __init__(self, number: int, start: int, dice: random.Random, about: tuple[int, int]) -> None:
        chain = f"c{number % 4}" if number % 2 else None
        self._path = f"/traces/{chain}/stream" if chain else "/stream"
        self._filters = {"correlation_id": "c1"} if number % 5 == 4 else {}
        self._wants = chain or self._filters.get("correlation_id")
        self._first = self.last = start if self._wants is None else 0
        self._got: list[int] = []
        self._told: set[int] = set()
        self._dice = dice
        self.about = about  # the seed and the number, for who looks at a failure

    async def follow(self, query: Client, chains: list[str], is_over: bool) -> None:
        """Follow for a while or, once nothing more comes, to the end; `chains` are those of row id 1, 2, ..."""
        patience = self._dice.randrange(1, 300)
        async with stream(query, self._path, self.last, timeout=1, **self._filters) as following:
            async for event in following:
                assert event.get("event") != "reset", self.about
                if event.get("event") == "gap":
                    self._miss(payload(event), chains)
                elif "id" in event:
                    self.last = int(event["id"])
                    self._got.append(self.last)
                patience -= 1
                if patience == 0 and not is_over:
                    break
                if self._dice.random() < 0.02:
                    await asyncio.sleep(self._dice.random() * 0.4)

    def _miss(self, gap: dict[str, int], chains: list[str]) -> None:
        """A gap begins right behind what the client had, but for entries that were not meant for it."""
        assert gap["from"] > self.last, (self.about, self.last, gap)
        passed = set(range(self.last + 1, gap["from"])) - self._told
        assert all(self._wants not in (None, chains[id - 1]) for id in passed), (self.about, self.last, gap)
        self._told.update(range(gap["from"], gap["to"] + 1))

    def look_back(self, chains: list[str]) -> None:
        """All that came was meant for it, and came in order and once."""
        assert self._got == sorted(set(self._got)), self.about
        assert all(self._wants in (None, chains[id - 1]) for id in self._got), self.about

    def lacks(self, chains: list[str]) -> set[int]:
        """What was meant for it and neither came nor was told to be lost."""
        start = self._first or min([*self._got[:1], *self._told, len(chains) + 1]) - 1
        meant = {id for id in range(start + 1, len(chains) + 1) if self._wants in (None, chains[id - 1])}
        return meant - set(self._got) - self._told


async def test_clients_that_come_go_resume_and_dawdle(
    start_ingest: Any, start_query: Any, settings: Settings, monkeypatch: Any
) -> None:
    """While entries pour in and expire: what a client got and what it was told is lost is all that was meant for it,
    in order, nothing twice.
    """
    seed = int(os.environ.get("TRACEHUB_TEST_SEED") or random.randrange(10**6))
    dice = random.Random(seed)
    for room in ("subscription", "stream", "tail"):
        monkeypatch.setattr(f"query_svc.{room}.PENDING_BYTES", 4_000)
    monkeypatch.setattr("shared.storage.tail_reader.TURN_ENTRIES", 40)
    monkeypatch.setattr("query_svc.stream.REPLAY_ENTRIES", 30)
    short = msgspec.structs.replace(settings, retention_hours=1 / 3600)
    ingest: Client = await start_ingest(short)
    queries: list[Client] = [await start_query(short) for _ in range(2)]
    for query in queries:
        await until(lambda query=query: healthy(query))
    chains: list[str] = []
    is_over = asyncio.Event()

    async def wander(number: int) -> None:
        await asyncio.sleep(dice.random())
        client = Wanderer(number, dice.choice([0, len(chains) // 2]), dice, (seed, number))
        while not is_over.is_set():
            await client.follow(dice.choice(queries), chains, is_over=False)
        for _ in range(300):  # a busy server takes several
            await client.follow(dice.choice(queries), chains, is_over=True)
            if not client.lacks(chains):
                break
        assert not client.lacks(chains), client.about
        client.look_back(chains)

    clients = [asyncio.create_task(wander(number)) for number in range(24)]
    for _ in range(150):
        batch = [entry(correlation_id=f"c{dice.randrange(3)}") for _ in range(dice.randrange(1, 40))]
        await post(ingest, *batch)
        chains.extend(one["correlation_id"] for one in batch)
        await asyncio.sleep(dice.random() * 0.05)
    is_over.set()
    await asyncio.gather(*clients)
    for query in queries:
        await nobody_listens(query)
