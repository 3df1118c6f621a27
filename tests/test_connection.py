"""What is no HTTP gets a refusal that says nothing of what runs here, and the service goes on."""

import asyncio
import json
import logging
import socket
import struct
from typing import Any

import msgspec
import pytest
from conftest import Client, entry
from patience import PATIENCE_S

from shared.env import Settings
from shared.web import serve

GET = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
STREAM = b"GET /traces/chain/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST /ingest HTTP/1.1\r\nHost: localhost\r\n"
MALFORMED = {
    "nothing": b"\r\n\r\n\r\n",
    "noise": bytes(range(256)) + b"\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /health\r\n\r\n",
    "a later version": b"GET /health HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "no path": b"GET  HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a long path": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a method that is none": b"G\x00T /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a line break in the path": b"GET /hea\nlth HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a header without a colon": GET + b"nonsense\r\n\r\n",
    "a header with NUL": GET + b"X: a\x00b\r\n\r\n",
    "a space before the colon": GET + b"X : a\r\n\r\n",
    "a folded header": GET + b"X: a\r\n b\r\n\r\n",
    "a long header": GET + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
    "65 headers": GET + b"".join(b"X%d: a\r\n" % number for number in range(64)) + b"\r\n",
    "many headers": GET + b"".join(b"X%d: a\r\n" % number for number in range(40_000)) + b"\r\n",
    "two hosts": GET + b"Host: localhost\r\n\r\n",
    "two lengths": POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length that is none": POST + b"Content-Length: one\r\n\r\n",
    "a negative length": POST + b"Content-Length: -1\r\n\r\n",
    "a signed length": POST + b"Content-Length: +1\r\n\r\na",
    "a huge length": POST + b"Content-Length: " + b"9" * 40 + b"\r\n\r\na",
    "length and chunks": POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "an unknown transfer encoding": POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "a chunk size that is none": POST + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "a chunk longer than it says": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
    "a huge chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc",
    "bytes for a header": GET + b"X-TraceHub-Secret: \xff\xfe\r\nCookie: \xff=\xff\r\nOrigin: \xff\r\n\r\n",
    "bytes for a path": b"GET /traces/\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "escapes that are none": b"GET /traces/%ff%zz%0d%0aX:y HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address that is none": b"GET http://[::1 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an address that ends in a user": b"GET http://[::1]:80@/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a port that is none": b"GET http://localhost:99999999/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an upgrade": GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "an expectation": POST + b"Expect: the-impossible\r\nContent-Length: 0\r\n\r\n",
    "an expectation of bytes": POST + b"Expect: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    "an expectation nowhere": GET.replace(b"health", b"nowhere") + b"Expect: the-impossible\r\n\r\n",
    "an unknown method": GET.replace(b"GET", b"FETCH") + b"\r\n",
}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Half a body is not waited for long."""
    return msgspec.structs.replace(settings, body_timeout_s=1.0)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is started from now on closes connections that have been idle for a moment."""
    monkeypatch.setattr(serve, "IDLE_S", 0.5)


async def answers(client: Client, request: bytes) -> bytes:
    """All that comes back until the service, which is in haste, closes."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    answered = b""
    try:
        writer.write(request)
        while part := await asyncio.wait_for(reader.read(2**16), PATIENCE_S):
            answered += part
    except ConnectionError:
        pass
    finally:
        writer.close()
    return answered


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("port", ["ingest", "query"])
async def test_what_is_malformed_is_refused(
    ingest: Client, query: Client, port: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever arrives: no 5xx, nothing of the inside, no line in the log, and the next request is served."""
    client = ingest if port == "ingest" else query
    caplog.set_level(logging.INFO)
    answered = await asyncio.gather(*(answers(client, request) for request in MALFORMED.values()))
    for name, told in zip(MALFORMED, answered, strict=True):
        check(name, told)
    assert not [record for record in caplog.records if "tracehub.ingest" not in record.name]
    async with ingest.post("/ingest/single", json=entry()) as response:
        assert response.status == 200


@pytest.mark.parametrize("begun", [b"", GET, GET + b"X: " + b"a" * 5_000], ids=["silent", "half", "half a header"])
async def test_who_asks_nothing_is_let_go(
    start_query: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    """A connection without a whole request is closed in time, and one that has asked before as well."""
    monkeypatch.setattr(serve, "IDLE_S", 0.3)
    client = await start_query(settings)
    for asked in (b"", GET + b"\r\n"):
        reader, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(asked + begun)
        answered = await asyncio.wait_for(reader.read(), PATIENCE_S)
        assert answered.startswith(b"HTTP/1.1 503" if asked else b"")
        writer.close()


async def test_who_leaves_before_its_turn_is_no_failure(ingest: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Half a body behind another request: nothing of it is in the log, at whatever turn of the loop it leaves."""
    for turns in [*range(8)] * 3:
        with socket.create_connection((str(ingest.host), ingest.port or 0)) as sender:
            await asyncio.sleep(0.003)
            sender.send(GET.replace(b"health", b"nowhere") + b"\r\n" + POST + b"Content-Length: 100\r\n\r\n{")
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0.003)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_who_leaves_before_its_stream_is_no_failure(
    ingest: Client, query: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Connections that are reset while a stream of theirs is about to begin, at whatever turn of the loop."""
    async with ingest.post("/ingest/single", json=entry()) as response:
        assert response.status == 200
    for turns in [*range(12)] * 3:
        with socket.create_connection((str(query.host), query.port or 0)) as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            reader.sendall(STREAM + STREAM.replace(b"/traces/chain", b""))
            for _ in range(turns):
                await asyncio.sleep(0)
        await asyncio.sleep(0.003)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


def check(name: str, answered: bytes) -> None:
    """An answer is a refusal or what was asked for, in JSON."""
    for inside in (b"Traceback", b"aiohttp", b"Python", b".py", b"HTTP/1.1 5", b"HTTP/1.0 5"):
        assert inside not in answered, (name, answered)
    if answered:
        head, _, body = answered.partition(b"\r\n\r\n")
        assert b"nosniff" in head, (name, answered)
        assert b"application/json" in head, (name, answered)
        assert json.loads(body.partition(b"HTTP/1.1")[0]), name
