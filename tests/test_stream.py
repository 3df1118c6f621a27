"""Streams as a client sees them: what is stored, then what comes, once and in order, and a word for what is lost."""

import asyncio
import contextlib
import json
import os
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest
from conftest import Client, entry, events, payload, until
from test_query import get, healthy, post

from query_svc.handlers import TAIL, WINDOWS
from query_svc.subscription import PENDING_BYTES
from shared.env import Settings

FOREVER = {"timeout": "30"}


@contextlib.asynccontextmanager
async def stream(
    query: Client, path: str = "/stream", last_id: int | None = None, **parameters: Any
) -> AsyncIterator[AsyncIterator[dict[str, str]]]:
    """The events of a stream that has begun."""
    headers = {} if last_id is None else {"Last-Event-ID": str(last_id)}
    async with query.get(path, params={**FOREVER, **parameters}, headers=headers) as response:
        assert response.status == 200, await response.text()
        yield events(response)


async def take(stream: AsyncIterator[dict[str, str]], count: int) -> list[dict[str, str]]:
    """The next events."""
    async with asyncio.timeout(10):
        return [await anext(stream) for _ in range(count)]


def ids(some: list[dict[str, str]]) -> list[int]:
    """Their ids."""
    return [int(event["id"]) for event in some]


async def nobody_listens(query: Client) -> None:
    """Every subscription has been given back."""
    await until(lambda: query.app[TAIL].subscribers == 0)


async def test_headers_and_a_comment_come_at_once(query: Client) -> None:
    """Also for a chain that does not exist, a client knows at once that it is connected."""
    for path in ("/stream", "/traces/nobody/stream"):
        async with query.get(path) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["X-Accel-Buffering"] == "no"
            assert response.headers["Cache-Control"] == "no-cache"
            assert await response.content.readuntil(b"\n\n") == b"retry: 2000\n: TraceHub\n\n"
    await nobody_listens(query)


async def test_a_chain_is_replayed_and_followed(ingest: Client, query: Client) -> None:
    """Stored entries come in commit order, then new ones; other chains stay out; ids are row ids."""
    await post(ingest, entry(timestamp=9), entry(correlation_id="other"), entry(timestamp=1))
    async with stream(query, "/traces/chain/stream") as following:
        assert ids(await take(following, 2)) == [1, 3]
        await post(ingest, entry(correlation_id="other"), entry(data={"new": True}))
        (event,) = await take(following, 1)
        assert (event["id"], payload(event)["data"], event.keys()) == ("5", {"new": True}, {"id", "data"})


async def test_what_is_sent_after_the_greeting_is_not_missed(ingest: Client, query: Client) -> None:
    """Whoever has seen that the stream is open gets what is committed from then on, and nothing older."""
    for _ in range(30):
        await post(ingest, entry(suffix="old"))
        async with query.get("/stream", params=FOREVER) as response:
            await response.content.readuntil(b"\n\n")
            sent = entry()
            await post(ingest, sent)
            (event,) = await take(events(response), 1)
            assert payload(event)["suffix"] == sent["suffix"]


@pytest.mark.parametrize("path", ["/stream", "/traces/chain/stream"])
async def test_resuming(ingest: Client, query: Client, path: str) -> None:
    """From the middle the rest, from the newest only what is new, from 0 everything; by header or parameter."""
    await post(ingest, *(entry() for _ in range(1200)))
    for start in (0, 1, 600, 1199):
        async with stream(query, path, start) as resumed:
            assert ids(await take(resumed, 1200 - start)) == list(range(start + 1, 1201))
        async with stream(query, path, last_event_id=start) as resumed:
            assert ids(await take(resumed, 5 if start < 1000 else 1)) == list(range(start + 1, 1201))[:5]
    async with stream(query, path, 1200) as resumed:
        await post(ingest, entry())
        assert ids(await take(resumed, 1)) == [1201]
    async with stream(query, path, 1199, last_event_id=3) as resumed:
        assert ids(await take(resumed, 2)) == [1200, 1201]


@pytest.mark.parametrize("path", ["/stream", "/traces/chain/stream"])
async def test_an_id_beyond_the_newest_is_a_reset(ingest: Client, query: Client, path: str) -> None:
    """A client that knows ids of another file is told, and gets everything from the start."""
    await post(ingest, *(entry() for _ in range(5)))
    for beyond in (6, 10**17, 10**40):
        async with stream(query, path, beyond) as resumed:
            (reset,) = await take(resumed, 1)
            assert (reset["event"], "id" in reset) == ("reset", False)
            assert ids(await take(resumed, 5)) == [1, 2, 3, 4, 5]
            await post(ingest, entry(correlation_id="chain"))
            await take(resumed, 1)
        break


async def test_an_id_the_tail_has_not_reached_yet(ingest: Client, query: Client) -> None:
    """Resumed ahead of the process's cursor, a client gets nothing again."""
    tail = query.app[TAIL]
    async with stream(query, "/traces/other/stream"):
        await until(lambda: tail.subscribers == 1)
        async with tail._lock:  # the tail stands still while entries come
            await post(ingest, *(entry() for _ in range(20)))
            opening = asyncio.create_task(query.get("/stream", params=FOREVER, headers={"Last-Event-ID": "15"}))
            await asyncio.sleep(0.1)
        async with await opening as response:
            assert ids(await take(events(response), 5)) == [16, 17, 18, 19, 20]


async def test_timeout_ends_a_stream_cleanly(ingest: Client, query: Client) -> None:
    """After so many seconds a last event without an id, and the end of the body."""
    await post(ingest, entry())
    for path in ("/stream", "/traces/chain/stream"):
        async with query.get(path, params={"timeout": "0.1"}, headers={"Last-Event-ID": "0"}) as response:
            stored, last = [event async for event in events(response)]
        assert stored["id"] == "1"
        assert last == {"data": '{"type":"timeout"}'}
    await nobody_listens(query)


async def test_filters(ingest: Client, query: Client) -> None:
    """Source and operation are exact, endpoint and id are globs; several are all met; the same live and stored."""

    def some() -> list[dict[str, Any]]:
        return [
            entry(source_id="MA", operation="REST", endpoint="/api/agents", correlation_id="a[1]"),
            entry(source_id="MAX", operation="REST", endpoint="/API/agents", correlation_id="a1"),
            entry(source_id="WS", operation="rest", endpoint="/api/agents/7", correlation_id="a[2]"),
            entry(source_id="WS", operation="RPC", endpoint="api", correlation_id="b!x"),
            entry(source_id="WS", operation="RPC", endpoint="a\nb", correlation_id="b.x"),
        ]

    wanted: list[tuple[dict[str, str], list[int]]] = [
        ({"source": "MA"}, [1]),
        ({"operation": "REST"}, [1, 2]),
        ({"endpoint": "/api/*"}, [1, 3]),
        ({"endpoint": "*/agents"}, [1, 2]),
        ({"endpoint": "a?b"}, [5]),
        ({"endpoint": "*"}, [1, 2, 3, 4, 5]),
        ({"endpoint": "/api"}, []),
        ({"correlation_id": "a[1]"}, [1]),
        ({"correlation_id": "a[?]"}, [1, 3]),
        ({"correlation_id": "[ab]*"}, []),
        ({"correlation_id": "b.x"}, [5]),
        ({"correlation_id": "b?x"}, [4, 5]),
        ({"source": "WS", "endpoint": "/api/*", "correlation_id": "a*"}, [3]),
    ]
    await post(ingest, *some())
    for filters, expected in wanted:
        async with stream(query, last_id=0, **filters) as filtered:
            assert ids(await take(filtered, len(expected))) == expected, filters
    async with contextlib.AsyncExitStack() as stack:
        live = [await stack.enter_async_context(stream(query, **filters)) for filters, _ in wanted]
        await post(ingest, *some(), entry(**dict.fromkeys(("correlation_id", "source_id"), "end")))
        for filtered, (filters, expected) in zip(live, wanted, strict=True):
            assert ids(await take(filtered, len(expected))) == [number + 5 for number in expected], filters


async def test_a_frame_is_one_line_of_data(ingest: Client, query: Client) -> None:
    """Line breaks of every kind, in names and in data, stored and live, never split a frame."""
    odd = "a\rb\nc\r\nd\u2028e\u2029f\u0085g\x0bh"
    body = json.dumps({"traces": [entry(correlation_id=odd, endpoint=odd, raw_line=odd, data={odd: [odd]})]}, indent=1)

    async def check(events: AsyncIterator[dict[str, str]]) -> None:
        (event,) = await take(events, 1)
        told = payload(event)
        assert (told["correlation_id"], told["raw_line"], told["data"]) == (odd, odd, {odd: [odd]})

    async with stream(query) as live:
        async with ingest.post(
            "/ingest", data=body.replace("\n", "\r\n"), headers={"Content-Type": "application/json"}
        ):
            pass
        await check(live)
    async with query.get("/stream", params={"timeout": "0.1", "last_event_id": "0"}) as response:
        raw = (await response.read()).split(b"\n\n")
    assert [frame.count(b"\n") for frame in raw[1:]] == [1, 0, 0]
    assert b"\r" not in raw[1]
    async with stream(query, last_id=0) as stored:
        await check(stored)


async def test_heartbeat(query: Client, monkeypatch: Any) -> None:
    """A stream on which nothing happens still says something every 15 s, as a comment."""
    from query_svc import stream as module

    assert module.HEARTBEAT_S == 15
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.05)
    async with query.get("/stream", params={"timeout": "0.5"}) as response:
        comments = [line async for line in response.content if line.startswith(b":")]
    assert comments.count(b": ping\r\n") >= 3


@pytest.fixture
async def short_lived(start_ingest: Any, start_query: Any, settings: Settings) -> tuple[Client, Client]:
    """Both services, where entries expire after two seconds."""
    short = msgspec.structs.replace(settings, retention_hours=2 / 3600)
    ingest, query = await start_ingest(short), await start_query(short)
    await until(lambda: healthy(query))
    return ingest, query


async def test_gaps(short_lived: tuple[Client, Client]) -> None:
    """Who comes back too late is told what is gone; who comes first is not."""
    ingest, query = short_lived
    await post(ingest, *(entry(correlation_id="both") for _ in range(10)))
    await asyncio.sleep(1.1)
    await post(ingest, entry(correlation_id="both"), entry(correlation_id="young"))

    async def expired() -> bool:
        return bool((await get(query, "/stats"))["oldest_id"] == 11)

    await until(expired)

    async def told(path: str, last_id: int, count: int, **filters: str) -> list[Any]:
        async with stream(query, path, last_id, **filters) as resumed:
            return [event.get("id") or (event["event"], payload(event)) for event in await take(resumed, count)]

    lost = ("gap", {"from": 4, "to": 10})
    assert await told("/stream", 3, 3) == [("gap", {"from": 4, "to": 10, "lost": 7}), "11", "12"]
    assert await told("/stream", 3, 3, source="MA") == [lost, "11", "12"]
    assert await told("/stream", 10, 2) == ["11", "12"]
    assert await told("/stream", 0, 2) == ["11", "12"]
    assert await told("/traces/both/stream", 3, 2) == [lost, "11"]
    assert await told("/traces/both/stream", 0, 1) == ["11"]
    assert await told("/traces/young/stream", 3, 2) == [lost, "12"], "its keys of then have gone: nobody knows"
    await asyncio.sleep(2.2)
    async with stream(query, last_id=3) as resumed:
        assert payload((await take(resumed, 1))[0]) == {"from": 4, "to": 12, "lost": 9}
        await post(ingest, entry())
        assert ids(await take(resumed, 1)) == [13]


async def test_a_chain_that_went_and_began_again(short_lived: tuple[Client, Client]) -> None:
    """Whoever had the beginning of it is told that more may have come before it went."""
    ingest, query = short_lived
    await post(ingest, *(entry(correlation_id="again") for _ in range(5)), entry(correlation_id="other"))

    async def gone() -> bool:
        return bool((await get(query, "/stats"))["oldest_id"] == 7)

    await until(gone)
    await post(ingest, entry(correlation_id="again"))
    async with stream(query, "/traces/again/stream", 3) as resumed:
        gap, event = await take(resumed, 2)
        assert (gap["event"], payload(gap), event["id"]) == ("gap", {"from": 4, "to": 6}, "7")


async def test_a_long_chain_is_replayed_in_parts(ingest: Client, query: Client, monkeypatch: Any) -> None:
    """Its row ids are looked for some at a time, whatever stands in between, and what comes meanwhile follows."""
    monkeypatch.setattr("query_svc.stream.IDS", 40)
    monkeypatch.setattr("query_svc.stream.PAGE_ENTRIES", 15)
    for size in (200, 40, 7, 1):
        chain = f"chain-{size}"
        for _ in range(size):
            await post(ingest, entry(correlation_id=chain), entry(correlation_id="other"))
        async with stream(query, f"/traces/{chain}/stream") as replayed:
            first = await take(replayed, size)
            await post(ingest, entry(correlation_id="other"), entry(correlation_id=chain))
            found = ids(first + await take(replayed, 1))
        assert found[1:] == [*range(found[0] + 2, found[0] + 2 * size, 2), found[0] + 2 * size + 1]


async def test_a_replaced_file_starts_over(
    start_ingest: Any, ingest: Client, query: Client, settings: Settings
) -> None:
    """Connected streams are told that the ids are new ones and get the new file from its start; answers are from it."""
    await post(ingest, *(entry() for _ in range(50)))
    fresh = msgspec.structs.replace(settings, db=f"{settings.db}.fresh")
    other: Client = await start_ingest(fresh)
    await post(other, *(entry(suffix=f"fresh-{n}") for n in range(80)))
    async with (
        stream(query, last_id=40) as everything,
        stream(query, "/traces/chain/stream") as one,
        stream(query, source="MA") as filtered,
        stream(query, "/traces/nobody/stream") as none,
    ):
        assert ids(await take(everything, 10)) == list(range(41, 51))
        await take(one, 50)
        await other.close()
        for suffix in ("-wal", "-shm"):
            settings.path.with_name(f"tracehub.db{suffix}").unlink()
        fresh.path.replace(settings.path)
        for following in (everything, one, filtered):
            (reset,) = await take(following, 1)
            assert reset == {"event": "reset", "data": "{}"}
            assert ids(await take(following, 80)) == list(range(1, 81))
        assert (await take(none, 1))[0]["event"] == "reset"
        assert (await get(query, "/traces/chain"))["traces"][0]["suffix"] == "fresh-0"
    await nobody_listens(query)


async def test_a_file_replaced_during_a_replay(
    start_ingest: Any, ingest: Client, query: Client, settings: Settings
) -> None:
    """A client in the middle of the old file is told of the new one, and misses nothing of that."""
    filler = "x" * 20_000
    for _ in range(40):
        await post(ingest, *(entry(data={"filler": filler}) for _ in range(20)))
    fresh = msgspec.structs.replace(settings, db=f"{settings.db}.fresh")
    other: Client = await start_ingest(fresh)
    await post(other, *(entry() for _ in range(500)))
    await other.close()
    async with query.get("/stream", params=FOREVER, headers={"Last-Event-ID": "0"}) as response:
        await until(lambda: query.app[TAIL].subscribers == 1)
        before = query.app[TAIL].reader
        for suffix in ("-wal", "-shm"):
            settings.path.with_name(f"tracehub.db{suffix}").unlink()
        fresh.path.replace(settings.path)
        await until(lambda: query.app[TAIL]._reader not in (None, before))
        following = events(response)
        old = 0
        while "event" not in (event := (await take(following, 1))[0]):
            old += 1
            assert int(event["id"]) == old
        assert event["event"] == "reset"
        assert ids(await take(following, 500)) == list(range(1, 501))
    assert old < 800


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
    connection.settimeout(8)
    connection.connect(("127.0.0.1", query.port))
    connection.sendall(request)
    return connection


async def test_http_1_0_gets_a_stream(ingest: Client, query: Client) -> None:
    """A proxy that speaks HTTP/1.0 gets the events as they are, up to the end of the connection."""
    await post(ingest, entry())
    for keep in (b"", b"Connection: keep-alive\r\n"):
        connection = dial(
            query, b"GET /stream?timeout=1&last_event_id=0 HTTP/1.0\r\nHost: localhost\r\n" + keep + b"\r\n"
        )
        answer = b""
        while part := await asyncio.to_thread(connection.recv, 65536):
            answer += part
        connection.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.0 200")
        assert b"chunked" not in head.lower()
        assert body.startswith(b"retry: 2000\n: TraceHub\n\nid: 1\ndata: {")
        assert body.endswith(b'data: {"type":"timeout"}\n\n')


async def test_a_reader_that_never_reads(ingest: Client, query: Client) -> None:
    """It costs the process a bounded amount, keeps nobody waiting, and when it reads again it has every id once."""
    filler = "x" * 100_000
    request = b"GET /stream?timeout=60 HTTP/1.0\r\n\r\n"
    stuck = [dial(query, request) for _ in range(10)]
    resumed = [dial(query, request.replace(b"60", b"60&last_event_id=0")) for _ in range(10)]
    await until(lambda: query.app[TAIL].subscribers == 20)
    async with stream(query) as quick:
        for _ in range(50):
            await post(ingest, *(entry(data={"filler": filler}) for _ in range(10)))
            await take(quick, 10)
    tail = query.app[TAIL]
    waiting = sum(subscription._bytes for subscription in tail._subscriptions())
    assert waiting <= 20 * (PENDING_BYTES + len(filler))
    resumed += [dial(query, request.replace(b"60", b"60&last_event_id=0")) for _ in range(10)]

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
        async with asyncio.timeout(3):
            assert await response.read() == b""


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
    monkeypatch.setattr("shared.storage.glance.TURN_ENTRIES", 40)
    monkeypatch.setattr("query_svc.stream.PAGE_ENTRIES", 30)
    short = msgspec.structs.replace(settings, retention_hours=1 / 3600)
    ingest: Client = await start_ingest(short)
    queries: list[Client] = [await start_query(short) for _ in range(2)]
    for query in queries:
        await until(lambda query=query: healthy(query))
    chains: list[str] = []  # of row id 1, 2, ...
    pouring = True

    async def pour() -> None:
        for _ in range(150):
            batch = [entry(correlation_id=f"c{dice.randrange(3)}") for _ in range(dice.randrange(1, 40))]
            await post(ingest, *batch)
            chains.extend(one["correlation_id"] for one in batch)
            await asyncio.sleep(dice.random() * 0.05)

    async def client(number: int) -> None:
        chain = f"c{number % 4}" if number % 2 else None
        path = f"/traces/{chain}/stream" if chain else "/stream"
        filters = {"correlation_id": "c1"} if number % 5 == 4 else {}
        wants = chain or filters.get("correlation_id")
        got: list[int] = []
        gaps: list[tuple[int, int]] = []
        last = first = dice.choice([0, len(chains) // 2]) if wants is None else 0
        while pouring or last < len(chains):
            finished = not pouring
            async with stream(dice.choice(queries), path, last, timeout=1, **filters) as following:
                patience = dice.randrange(1, 300)
                async for event in following:
                    assert event.get("event") != "reset", (seed, number, last)
                    if event.get("event") == "gap":
                        gap = payload(event)
                        assert gap["from"] in (last + 1, gaps[-1][1] + 1 if gaps else 0), (seed, number, last, gaps)
                        gaps.append((gap["from"], gap["to"]))
                    elif "id" in event:
                        got.append(int(event["id"]))
                        last = got[-1]
                    patience -= 1
                    if patience == 0 and not finished:
                        break
                    if dice.random() < 0.02:
                        await asyncio.sleep(dice.random() * 0.4)
            if finished:
                break
        assert got == sorted(set(got)), (seed, number)
        assert all(wants in (None, chains[id - 1]) for id in got), (seed, number)
        start = first or min([*got[:1], *(gap[0] for gap in gaps), len(chains) + 1]) - 1
        told = {id for gap in gaps for id in range(gap[0], gap[1] + 1)}
        meant = {id for id in range(start + 1, len(chains) + 1) if wants in (None, chains[id - 1])}
        assert meant <= set(got) | told, (seed, number, sorted(meant - set(got) - told)[:5])

    source = asyncio.create_task(pour())
    clients = [asyncio.create_task(client(number)) for number in range(24)]
    await source
    pouring = False
    await asyncio.gather(*clients)
    for query in queries:
        await nobody_listens(query)
