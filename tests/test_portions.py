"""What was not understood yet is held in portions: a long head is refused, what comes behind a request waits."""

import asyncio
import json
import logging
from typing import Any

import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_connection import answers, hasty

from ingest_svc.handlers import INTAKE
from shared.web.portions import AHEAD, PORTION, Portions

__all__ = ["hasty"]  # a fixture
LINES = b"Host: localhost\r\n"
UPGRADE = LINES + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
CHUNKED = b"POST /ingest HTTP/1.1\r\n" + LINES + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"


def head(size: int) -> bytes:
    """A request with a head of that size."""
    start = b"GET /health HTTP/1.1\r\n" + LINES
    room = size - len(start) - 2
    lines, rest = divmod(room, 8_000)
    sizes = [8_000] * lines + [rest]
    return start + b"".join(b"X%d: %b\r\n" % (at, b"a" * (of - 6)) for at, of in enumerate(sizes)) + b"\r\n"


def in_chunks(body: bytes, size: int) -> list[bytes]:
    """The body as chunks of that size, and their end."""
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    return [*(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces), b"0\r\n\r\n"]


def post(entries: int) -> bytes:
    """A request that stores so many entries."""
    body = json.dumps({"traces": [entry() for _ in range(entries)]}).encode()
    return b"POST /ingest HTTP/1.1\r\n%bContent-Length: %d\r\n\r\n%b" % (LINES, len(body), body)


@pytest.fixture(params=["ingest", "query"])
def client(request: pytest.FixtureRequest, ingest: Client, query: Client) -> Client:
    """Either service."""
    return ingest if request.param == "ingest" else query


@pytest.mark.usefixtures("hasty")
async def test_the_length_of_a_head(client: Client) -> None:
    """Up to the limit it is read, beyond it the answer is 431, and what follows is not looked at."""
    assert len(head(PORTION)) == PORTION
    assert (await answers(client, head(PORTION))).startswith(b"HTTP/1.1 200")
    refused = await answers(client, head(PORTION + 1) + head(100))
    assert refused.startswith(b"HTTP/1.0 431") and refused.count(b"HTTP/1.") == 1
    assert "16 KiB" in json.loads(refused.partition(b"\r\n\r\n")[2])["detail"]


@pytest.mark.usefixtures("hasty")
async def test_headers_too_long_or_too_many_are_not_only_called_malformed(client: Client) -> None:
    """What is at fault there is the size, and the answer says so."""
    many = b"".join(b"X-%d: a\r\n" % number for number in range(65))
    for lines in (many, b"X-Long: " + b"a" * 9_000 + b"\r\n"):
        refused = await answers(client, b"GET /health HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n")
        assert refused.startswith(b"HTTP/1.0 400") and b"too long" in refused and b"too many" in refused


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("first", [b"GET /health HTTP/1.1\r\n" + UPGRADE, b"CONNECT localhost:1 HTTP/1.1\r\n" + LINES])
async def test_an_upgrade_is_none(client: Client, first: bytes) -> None:
    """The request is answered like any other, and so is the next one."""
    told = await answers(client, (first + b"\r\n") * 3 + head(100))
    assert told.count(b"HTTP/1.1 ") == 4 and told.count(b"HTTP/1.1 200") == (4 if b"/health" in first else 1), told
    assert (await answers(client, first + b"\r\n" + b"a" * 50_000)).count(b"HTTP/1.") == 2


@pytest.mark.parametrize("rest", [b"0\r\n" + head(PORTION + 900)[40:], b"1;" + b"a" * PORTION, b"xyz\r\n"])
async def test_what_frames_a_body(ingest: Client, rest: bytes) -> None:
    """Trailers and extensions without end, and what is no chunk, end the request at once, and the connection."""
    reader, writer = await asyncio.open_connection(ingest.host, ingest.port)
    writer.write(CHUNKED)
    await asyncio.sleep(0.05)
    writer.write(rest)
    told = await asyncio.wait_for(reader.read(), PATIENCE_S)
    assert told.startswith(b"HTTP/1.1 400") and told.count(b"HTTP/1.") == 1, told
    writer.close()


@pytest.mark.parametrize("rest", [b"1;" + b"a" * PORTION, b"xyz\r\n"])
async def test_what_frames_a_body_that_nobody_reads(
    client: Client, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Who has its answer and goes on with what is no chunk is hung up on, without a line in the log."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(CHUNKED.replace(b"/ingest", b"/nowhere"))
    assert await status_and_count(reader) == (404, None)
    writer.write(rest)
    assert await asyncio.wait_for(reader.read(), PATIENCE_S) == b""
    writer.close()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.usefixtures("hasty")
async def test_the_pieces_of_a_body_are_taken_without_asking_for_more(
    ingest: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How often the parser is asked depends on how often something arrives, and not on how many chunks that is."""
    asked = 0
    take_in = Portions._take_in

    def counted(connection: Portions, portion: bytes) -> bytes:
        nonlocal asked
        asked += 1
        return take_in(connection, portion)

    monkeypatch.setattr(Portions, "_take_in", counted)
    chunks = in_chunks(json.dumps({"traces": [entry() for _ in range(100)]}).encode()[1:], 8)
    assert b'"accepted":100' in await answers(ingest, CHUNKED + b"".join(chunks))
    assert asked < len(chunks) / 10


async def test_bodies_in_many_small_chunks_take_turns(ingest: Client) -> None:
    """A request that comes with them is answered before most of them are taken, and none of them is damaged."""
    *chunks, end = in_chunks(json.dumps({"traces": [entry() for _ in range(200)]}).encode()[1:], 8)
    intake, senders = ingest.app[INTAKE], 40  # type: ignore[index]
    connections = [await asyncio.open_connection(ingest.host, ingest.port) for _ in range(senders + 1)]
    *slow, (reader, writer) = connections
    for _, each in slow:
        each.write(CHUNKED)
    await until(lambda: intake.held == senders)
    for _, each in slow:
        each.write(b"".join(chunks))
    writer.write(b"GET /nowhere HTTP/1.1\r\n%b\r\n" % LINES)
    assert await status_and_count(reader) == (404, None)
    assert intake.held < senders * 8 * len(chunks) / 2
    for _, each in slow:
        each.write(end)
    assert [await status_and_count(reader) for reader, _ in slow] == [(200, 200)] * senders
    for _, each in connections:
        each.close()


async def test_requests_that_wait_for_each_other(ingest: Client) -> None:
    """Whatever their sizes, and whichever way they take, their answers come in their order, and none is lost."""
    sizes = [1, 150, 0, 3, 800, 1, 1, 1, 1, 1, 1, 200, 2, 5_000, 1] * 2
    wrong = b"POST /ingest HTTP/1.1\r\n%bContent-Length: 20000\r\n\r\n" % LINES + b"{" * 20_000
    reader, writer = await asyncio.open_connection(ingest.host, ingest.port)
    writer.write(b"".join(post(size) + wrong + head(9_000) for size in sizes))
    told = [await status_and_count(reader) for _ in range(3 * len(sizes))]
    assert told == [one for size in sizes for one in ((200, size), (400, None), (200, None))]
    writer.close()


async def test_a_body_that_comes_behind_its_turn(ingest: Client) -> None:
    """All that comes in one piece with its end is answered too."""
    reader, writer = await asyncio.open_connection(ingest.host, ingest.port)
    for size in range(1, 4):
        request = post(size)
        writer.write(request[:-5])
        await asyncio.sleep(0.05)
        writer.write(request[-5:] + head(100) * 2 * AHEAD)
        assert await status_and_count(reader) == (200, size)
        for _ in range(2 * AHEAD):
            assert await status_and_count(reader) == (200, None)
    writer.close()


async def test_what_comes_behind_an_upgrade_keeps_its_order(ingest: Client) -> None:
    """Also where the upgrade is the last request that is read at once, and the parser has the rest of its portion."""
    for before in range(2 * AHEAD):
        reader, writer = await asyncio.open_connection(ingest.host, ingest.port)
        upgrade = b"GET /health HTTP/1.1\r\n%b\r\n" % UPGRADE
        sizes = range(1, 3 * AHEAD)
        writer.write(head(100) * before + upgrade + b"".join(post(1) + head(2_000) + post(size) for size in sizes))
        told = [await status_and_count(reader) for _ in range(before + 1 + 3 * len(sizes))]
        assert told[before + 1 :] == [one for size in sizes for one in ((200, 1), (200, None), (200, size))]
        writer.close()


async def status_and_count(reader: asyncio.StreamReader) -> tuple[int, Any]:
    """Of the next answer: its status, and how many entries it says were accepted."""
    start = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    length = int(start.lower().partition(b"content-length:")[2].split()[0])
    return int(start[9:12]), json.loads(await reader.readexactly(length)).get("accepted")
