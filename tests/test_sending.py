"""Long answers, sent in pieces."""

import http.client
import json
import socket
from asyncio import to_thread

from conftest import Client, entry
from test_query import chain, get, post

from query_svc.sending import PIECE_BYTES


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
