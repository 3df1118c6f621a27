"""The way in for bodies: every byte is counted while it is held, and given back however the request ends."""

import asyncio
import gc
import gzip
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import StreamReader, web
from conftest import Client, Server, until
from hypothesis import given, settings
from hypothesis import strategies as st
from patience import PATIENCE_S
from test_inflate import PACK, gzip_bomb

from ingest_svc import intake as room
from ingest_svc.body_buffer import BodyBuffer
from ingest_svc.intake import Intake
from shared.errors import BadRequest
from shared.web import CANCEL_HANDLERS, answer, make_runner, problems

LIMIT = 40_000
QUEUE = 100_000
Use = Callable[[bytes], Awaitable[None]]
Start = Callable[..., Awaitable[tuple[Client, Intake]]]


def app_of(intake: Intake, use: Use, *, cancel: bool = False) -> web.Application:
    """A service that takes bodies in and does something with them."""

    async def take(request: web.Request) -> web.Response:
        async with intake.body(request) as body:
            await use(body)
        return answer({"size": len(body)})

    app = web.Application(middlewares=[problems()], client_max_size=0)
    app[CANCEL_HANDLERS] = cancel
    app.router.add_post("/", take)
    return app


async def nothing(_: bytes) -> None:
    """What is done with most bodies."""


@pytest.fixture
def start(aiohttp_client: Any) -> Start:
    """Start a service around an intake of LIMIT and QUEUE bytes."""

    async def start(
        use: Use = nothing, *, receive_s: float = PATIENCE_S, queue: int = QUEUE, cancel: bool = False
    ) -> tuple[Client, Intake]:
        intake = Intake(queue, LIMIT, receive_s)
        return await aiohttp_client(Server(app_of(intake, use, cancel=cancel))), intake

    return start


async def connect(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection on which a test writes what it likes."""
    return await asyncio.open_connection(client.host, client.port)


def head(length: int) -> bytes:
    """The head of a request whose body has that length."""
    return b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % length


async def status(reader: asyncio.StreamReader) -> int:
    """The status that comes back."""
    return int((await asyncio.wait_for(reader.readline(), PATIENCE_S)).split()[1])


async def in_chunks(body: bytes) -> Any:
    """The body in pieces, of a length that nobody is told."""
    for begin in range(0, len(body), 7_000):
        yield body[begin : begin + 7_000]


@pytest.mark.parametrize("encoding", ["", "gzip", "zstd"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_the_limit_is_exact(start: Start, encoding: str, chunked: bool) -> None:
    """A body of exactly the limit is taken and one byte more is not, before and after decompression."""
    client, intake = await start()
    for size, expected in ((LIMIT, 200), (LIMIT + 1, 413)):
        body = PACK[encoding](bytes(size)) if encoding else bytes(size)
        headers = {"Content-Encoding": encoding} if encoding else {}
        async with client.post("/", data=in_chunks(body) if chunked else body, headers=headers) as response:
            assert response.status == expected
            told = await response.json()
            assert told == {"size": size} if expected == 200 else f"{LIMIT:,}" in told["detail"]
    assert intake.held == 0


async def test_a_body_that_is_announced_too_large_is_refused_unread(start: Start) -> None:
    """The refusal does not wait for the body."""
    client, _ = await start()
    reader, writer = await connect(client)
    writer.write(head(LIMIT + 1))
    assert await status(reader) == 413
    writer.close()


async def test_a_slow_body_is_given_up_on(start: Start) -> None:
    """A body that is not there in time is a 408, and its room is free again."""
    client, intake = await start(receive_s=0.1)
    reader, writer = await connect(client)
    writer.write(head(1000) + b"x" * 500)
    await until(lambda: intake.held == 500)
    assert await status(reader) == 408
    assert intake.held == 0
    writer.close()


async def test_a_sender_that_leaves_is_let_go(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    """A client that goes away in the middle of its body leaves neither bytes behind nor noise in the log."""
    client, intake = await start()
    _, writer = await connect(client)
    writer.write(head(1000) + b"x" * 500)
    await until(lambda: intake.held == 500)
    writer.close()
    await until(lambda: intake.held == 0)
    await asyncio.sleep(0.05)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("rest", [b"x" * 500, b"no chunk\r\n"], ids=["half", "malformed"])
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
async def test_half_a_body_goes_with_its_connection(start: Start, rest: bytes, chunked: bool) -> None:
    """What came of it does not wait for a search for garbage, which may be long in coming."""
    client, intake = await start()
    begin = head(1000) if not chunked else head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            _, writer = await connect(client)
            writer.write(begin + b"1\r\nx\r\n" * 50)
            await until(lambda: intake.held)
            writer.write(rest)
            await asyncio.sleep(0.05)
            writer.close()
            await until(lambda: not intake.held)
        await until(lambda: not [one for one in gc.get_objects() if type(one) in (BodyBuffer, StreamReader)])
    finally:
        gc.enable()


async def test_a_full_queue_refuses_and_recovers(start: Start) -> None:
    """What does not fit is a 503 with Retry-After, at whichever byte that shows; when others are done there is room."""
    go_on = asyncio.Event()

    async def wait(_: bytes) -> None:
        await go_on.wait()

    client, intake = await start(wait)
    waiting = [asyncio.create_task(client.post("/", data=bytes(LIMIT))) for _ in range(2)]
    await until(lambda: intake.held == 2 * LIMIT)
    for body in (bytes(LIMIT), in_chunks(bytes(LIMIT))):
        async with client.post("/", data=body) as response:
            assert (response.status, response.headers["Retry-After"]) == (503, "1")
    async with client.post("/", data=gzip.compress(bytes(LIMIT)), headers={"Content-Encoding": "gzip"}) as response:
        assert response.status == 503
    assert (intake.held, intake.refused) == (2 * LIMIT, 3)
    go_on.set()
    assert [(await response).status for response in waiting] == [200, 200]
    async with client.post("/", data=bytes(LIMIT)) as response:
        assert response.status == 200
    assert intake.held == 0


@pytest.mark.parametrize("small_bytes", [10, 1_000])
async def test_a_body_that_could_never_fit_is_too_large(
    start: Start, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    """Where the queue is smaller than a body may be, its size is the limit: a 503 would be repeated for ever."""
    monkeypatch.setattr(room, "SMALL_BYTES", small_bytes)
    client, _ = await start(queue=1_000)
    async with client.post("/", data=bytes(1_001)) as response:
        assert response.status == 413
    packed = gzip.compress(bytes(1_000))
    for body, encoding in ((bytes(1_000), "identity"), (in_chunks(bytes(1_000)), "identity"), (packed, "gzip")):
        async with client.post("/", data=body, headers={"Content-Encoding": encoding}) as response:
            assert response.status == 200


async def test_room_is_taken_when_a_large_body_is_announced(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was announced has its room for a while; of a body that dawdles only what has come of it counts then."""
    monkeypatch.setattr(room, "SMALL_BYTES", 10)
    monkeypatch.setattr(room, "PROMISE_S", 0.1)
    client, intake = await start(receive_s=0.3)
    reader, writer = await connect(client)
    writer.write(head(30_000) + b"x" * 500)
    await until(lambda: intake.held == 30_000)
    await until(lambda: intake.held == 500)
    assert await status(reader) == 408
    assert intake.held == 0
    writer.close()


RECEIVE_S = 0.1  # that a body has to arrive, which one takes longer for on purpose
KINDS = ["plain", "chunked", "announced", "gzip", "zstd", "bomb", "garbage", "cut", "slow", "raise", "unknown"]


@settings(max_examples=12)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, LIMIT * 5 // 4)), min_size=1, max_size=12))
def test_no_byte_is_held_for_ever(requests: list[tuple[str, int]]) -> None:
    """However requests end, all at the same time, no more than the queue is held meanwhile and nothing afterwards."""
    asyncio.run(_storm(requests))


async def _storm(requests: list[tuple[str, int]]) -> None:
    most = 0
    intake = Intake(QUEUE, LIMIT, RECEIVE_S)

    async def use(body: bytes) -> None:
        nonlocal most
        most = max(most, intake.held)
        await asyncio.sleep(0.005)
        if body.startswith(b"raise"):
            raise BadRequest("as asked")

    runner = make_runner(app_of(intake, use))
    await runner.setup()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "DECODED_BYTES", LIMIT // 2)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await asyncio.gather(*(_request(runner.addresses[0][1], *request) for request in requests))
        await until(lambda: intake.held == 0)
    await runner.cleanup()
    assert (intake.held, intake._decoded, list(intake._turns)) == (0, 0, [])
    assert most <= QUEUE


async def _request(port: int, kind: str, size: int) -> None:
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = (b"raise" if kind == "raise" else b"") + bytes(size)
    encoding = {"gzip": "gzip", "zstd": "zstd", "bomb": "gzip", "garbage": "zstd", "unknown": "br"}.get(
        kind, "identity"
    )
    if encoding in PACK:
        body = {"bomb": gzip_bomb(2), "garbage": b"garbage" * 9}.get(kind) or PACK[encoding](body)
    lines = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Encoding: {encoding}\r\n"
    with suppress(ConnectionError):
        if kind == "chunked":
            pieces = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:100], body[100:]) if piece)
            writer.write(lines.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
        else:
            length = {"announced": LIMIT + 1 + len(body), "cut": len(body) + 1, "slow": len(body) + 1}.get(
                kind, len(body)
            )
            writer.write(f"{lines}Content-Length: {length}\r\n\r\n".encode() + body)
        await writer.drain()
        if kind != "cut":
            answered = await asyncio.wait_for(reader.readline(), PATIENCE_S)
            late = {408} if time.monotonic() - began_s > RECEIVE_S else set()
            expected = {"announced": {413}, "slow": {408, 413, 503}, "raise": {400, 413, 503}, "bomb": {413, 503}}
            expected |= {"garbage": {400, 503}, "unknown": {415, 413, 503}}
            assert int(answered.split()[1]) in late | expected.get(kind, {200, 413, 503}), (kind, answered)
    writer.close()
