"""Long answers, sent in pieces."""

import asyncio
import http.client
import json
import re
import socket
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_query import chain, get, post
from test_stream_clients import dial

from query_svc import sending
from query_svc.sending import PIECE_BYTES, UNDER_WAY
from shared.web import DRAINING


async def long_chain(ingest: Client, entries: int = 3_000) -> None:
    """A chain whose answer has several pieces."""
    for start in range(0, entries, 1_000):
        some = range(start, start + 1_000)
        await post(ingest, *(entry(timestamp=number, data={"filler": "x" * 300}) for number in some))


async def test_a_long_answer_is_whole(ingest: Client, query: Client) -> None:
    """It says its length, HEAD says the same and sends nothing, and the connection goes on to the next request."""
    await long_chain(ingest)

    def ask() -> list[tuple[str, bytes]]:
        connection, answers = http.client.HTTPConnection("127.0.0.1", query.port), []
        for method, path in (("HEAD", "/traces/chain"), ("GET", "/traces/chain"), ("GET", "/traces/nobody")):
            connection.request(method, path)
            response = connection.getresponse()
            assert response.getheader("Content-Type") == "application/json"
            assert response.getheader("X-Content-Type-Options") == "nosniff"
            answers.append((response.getheader("Content-Length") or "", response.read()))
        connection.close()
        return answers

    head, body, short = await to_thread(ask)
    assert head == (body[0], b"")
    assert int(body[0]) == len(body[1]) > 2 * PIECE_BYTES
    assert [trace["timestamp"] for trace in json.loads(body[1])["traces"]] == list(range(3_000))
    assert json.loads(short[1])["count"] == 0


async def test_who_leaves_in_the_middle_hurts_nobody(ingest: Client, query: Client) -> None:
    """A client that takes no more than the beginning of an answer and goes leaves the service as it was."""
    await long_chain(ingest, 9_000)

    def begin() -> None:
        with socket.create_connection(("127.0.0.1", query.port)) as connection:
            connection.sendall(b"GET /traces/chain HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(1_000).startswith(b"HTTP/1.1 200")

    for _ in range(5):
        await to_thread(begin)
    assert (await chain(query, "chain", limit=1))["count"] == 9_000
    assert (await get(query, "/health"))["status"] == "healthy"


async def megabytes(ingest: Client, count: int, **fields: str) -> None:
    """Entries of a hundredth of a megabyte."""
    for _ in range(count * 2):
        await post(ingest, *(entry(data={"x": "x" * 10_500}, **fields) for _ in range(50)))


@contextmanager
def unread(query: Client, target: str) -> Iterator[socket.socket]:
    """A client that asks and takes nothing of what comes."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        connection.connect(("127.0.0.1", query.port))
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield connection


async def test_answers_that_nobody_takes_are_bounded(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One answer counts once; when other ones come to too much the next is refused, until those clients have gone."""
    for letter in "abc":
        await megabytes(ingest, 9, correlation_id="long", source_id=letter)
    under_way = query.app[UNDER_WAY]
    monkeypatch.setattr(sending, "UNDER_WAY_BYTES", 20 * 2**20)
    monkeypatch.setattr(sending, "PIECE_S", 2 * PATIENCE_S)
    with ExitStack() as stack:
        for source, mib in (("a", 9), ("a", 9), ("b", 18), ("b", 18)):
            stack.enter_context(unread(query, f"/traces/long?source={source}"))
            await until(lambda: under_way.held > mib * 2**20)  # noqa: B023 - called at once
        async with query.get("/traces/long?source=c") as response:
            assert (response.status, response.headers["Retry-After"]) == (503, f"{2 * PATIENCE_S:.0f}")
        async with query.get("/traces/long?source=b") as response:
            assert len((await response.json())["traces"]) == 900
    await until(lambda: under_way.held == 0)
    assert under_way._clients == {}
    async with query.get("/traces/long?source=c") as response:
        assert len((await response.json())["traces"]) == 900


async def test_who_takes_nothing_is_hung_up_on(
    ingest: Client, query: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client that does not take the next piece in time loses its connection, without a word in the log."""
    await megabytes(ingest, 9)
    monkeypatch.setattr(sending, "PIECE_S", 0.2)
    hang_up, hung_up = sending.hang_up, asyncio.Event()
    monkeypatch.setattr(sending, "hang_up", lambda request: (hung_up.set(), hang_up(request)))
    with unread(query, "/traces/chain"):
        await asyncio.wait_for(hung_up.wait(), PATIENCE_S)
        await until(lambda: not query.app[UNDER_WAY].held)
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_an_answer_of_unknown_length_ends(ingest: Client, query: Client) -> None:
    """To a client of HTTP/1.0 that would keep its connection, the end of the connection says so."""
    await megabytes(ingest, 2)
    with dial(query, b"GET /recent HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n") as connection:
        head, _, body = (await to_thread(connection.makefile("rb").read)).partition(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert b"Connection: close" in head
    assert json.loads(body)["count"] == 200


async def test_draining_waits_for_short_answers_too(ingest: Client, query: Client) -> None:
    """A client that takes its time for answers that are not sent in pieces has each of them whole."""
    await megabytes(ingest, 1)
    request = b"GET /traces/chain?limit=20 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with unread(query, "/traces/chain?limit=20") as connection:
        connection.sendall(request * 60)
        await until(lambda: is_stuck(query))
        draining = asyncio.create_task(query.app[DRAINING].drain(PATIENCE_S))
        await asyncio.sleep(0.1)
        assert not draining.done()
        rest = b"".join(await to_thread(lambda: list(iter(lambda: connection.recv(2**20), b""))))
        await draining
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        (length,) = re.findall(rb"Content-Length: (\d+)", head)
        assert int(length) < PIECE_BYTES
        assert len(rest) >= int(length)
        rest = rest[int(length) :]


async def is_stuck(query: Client) -> bool:
    """Whether a connection takes nothing for a while."""
    for _ in range(10):
        await asyncio.sleep(0.02)
        if not any(connection.writing_paused for connection in query.server.handler.connections):
            return False
    return True
