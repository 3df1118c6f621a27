"""Streams as a client sees them: what is stored, then what comes, once and in order."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from conftest import Client, entry, events, payload, until
from patience import PATIENCE_S
from test_query import post

from query_svc.handlers import TAIL, WINDOWS

FOREVER = {"timeout": "3600"}


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
    async with asyncio.timeout(PATIENCE_S):
        return [await anext(stream) for _ in range(count)]


def ids(some: list[dict[str, str]]) -> list[int]:
    """Their ids."""
    return [int(event["id"]) for event in some]


def time_is_up(query: Client) -> None:
    """End the time of the streams that are open."""
    for window in query.app[WINDOWS]._open:
        window.reschedule(asyncio.get_running_loop().time())


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
            *_, last = [event async for event in events(response)]
        assert last == {"data": '{"type":"timeout"}'}
    await nobody_listens(query)


async def test_filters(ingest: Client, query: Client) -> None:
    """Source and operation are exact, endpoint and id are globs; several are all met; the same live and stored.

    Everything is sent twice, so what comes between the first and the second time is seen to be wanted.
    """

    def some() -> list[dict[str, Any]]:
        return [
            entry(source_id="MA", operation="REST", endpoint="/api/agents", correlation_id="a[1]"),
            entry(source_id="MAX", operation="REST", endpoint="/API/agents", correlation_id="a1"),
            entry(source_id="WS", operation="rest", endpoint="/api/agents/7", correlation_id="a[2]"),
            entry(source_id="WS", operation="RPC", endpoint="api", correlation_id="b!x"),
            entry(source_id="WS", operation="RPC", endpoint="a\nb", correlation_id="b.x"),
            entry(source_id="JW", operation="WS", endpoint="/api", correlation_id="[ab]x"),
        ]

    wanted: list[tuple[dict[str, str], list[int]]] = [
        ({"source": "MA"}, [1]),
        ({"operation": "REST"}, [1, 2]),
        ({"endpoint": "/api/*"}, [1, 3]),
        ({"endpoint": "*/agents"}, [1, 2]),
        ({"endpoint": "a?b"}, [5]),
        ({"endpoint": "*"}, [1, 2, 3, 4, 5, 6]),
        ({"endpoint": "/api"}, [6]),
        ({"correlation_id": "a[1]"}, [1]),
        ({"correlation_id": "a[?]"}, [1, 3]),
        ({"correlation_id": "[ab]*"}, [6]),
        ({"correlation_id": "b.x"}, [5]),
        ({"correlation_id": "b?x"}, [4, 5]),
        ({"source": "WS", "endpoint": "/api/*", "correlation_id": "a*"}, [3]),
    ]

    async def check(filtered: AsyncIterator[dict[str, str]], first: int, expected: list[int]) -> None:
        both = [first + number for number in (*expected, *(6 + number for number in expected))]
        assert ids(await take(filtered, len(both))) == both

    await post(ingest, *some(), *some())
    for filters, expected in wanted:
        async with stream(query, last_id=0, **filters) as filtered:
            await check(filtered, 0, expected)
    async with contextlib.AsyncExitStack() as stack:
        live = [await stack.enter_async_context(stream(query, **filters)) for filters, _ in wanted]
        await post(ingest, *some(), *some())
        for filtered, (_, expected) in zip(live, wanted, strict=True):
            await check(filtered, 12, expected)


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
    async with query.get("/stream", params={**FOREVER, "last_event_id": "0"}) as response:
        frames = [await response.content.readuntil(b"\n\n") for _ in range(2)]
        time_is_up(query)
        raw = (b"".join(frames) + await response.read()).split(b"\n\n")
    assert [frame.count(b"\n") for frame in raw[1:]] == [1, 0, 0]
    assert b"\r" not in raw[1]
    async with stream(query, last_id=0) as stored:
        await check(stored)


async def test_heartbeat(query: Client, monkeypatch: Any) -> None:
    """A stream on which nothing happens still says something every 15 s, as a comment."""
    from query_svc import stream as module

    assert module.HEARTBEAT_S == 15
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.05)
    async with query.get("/stream", params=FOREVER) as response:
        for _ in range(3):
            await response.content.readuntil(b": ping\r\n")


async def test_a_long_chain_is_replayed_in_parts(ingest: Client, query: Client, monkeypatch: Any) -> None:
    """Its row ids are looked for some at a time, whatever stands in between, and what comes meanwhile follows."""
    monkeypatch.setattr("query_svc.stream.IDS", 40)
    monkeypatch.setattr("query_svc.stream.REPLAY_ENTRIES", 15)
    for size in (200, 40, 7, 1):
        chain = f"chain-{size}"
        for _ in range(size):
            await post(ingest, entry(correlation_id=chain), entry(correlation_id="other"))
        async with stream(query, f"/traces/{chain}/stream") as replayed:
            first = await take(replayed, size)
            await post(ingest, entry(correlation_id="other"), entry(correlation_id=chain))
            found = ids(first + await take(replayed, 1))
        assert found[1:] == [*range(found[0] + 2, found[0] + 2 * size, 2), found[0] + 2 * size + 1]
