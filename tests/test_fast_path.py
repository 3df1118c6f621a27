"""The fast path of `POST /ingest`: what is checked, answered and counted is the same as on the ordinary one."""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_connection import MALFORMED
from test_writer import rows

from ingest_svc.handlers import DESK, INTAKE
from shared.env import Settings
from shared.web import serve

PLAIN = {"Host": "localhost", "Content-Type": "application/json"}
OF_ITS_OWN = ("date", "content-length")  # of an answer
GOOD = json.dumps({"traces": [entry(suffix="good")]}).encode()

Answer = tuple[str, dict[str, str], bytes]


class Wire:
    """A connection on which requests are written as they are; tells how many took the ordinary path."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._server: Any = client.server.runner.server  # type: ignore[union-attr]

    async def __aenter__(self) -> "Wire":
        self._reader, self._writer = await asyncio.open_connection(self._client.host, self._client.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    @property
    def ordinary(self) -> int:
        """Requests that aiohttp handled."""
        return int(self._server.requests_count)

    @property
    def parsed(self) -> list[int]:
        """Of each open connection, how many requests aiohttp's parser has read."""
        return [connection._request_count for connection in self._server.connections]

    def write(self, data: bytes) -> None:
        """Write bytes as they are."""
        self._writer.write(data)

    def send(self, body: bytes, *, chunked: bool = False, method: str = "POST /ingest", **headers: str) -> None:
        """Write a request; one in chunks is none for the fast path."""
        lines = {**PLAIN, **{name.replace("_", "-"): value for name, value in headers.items()}}
        if chunked:
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            lines["Transfer-Encoding"] = "chunked"
        else:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._writer.write(f"{method} HTTP/1.1\r\n{head}\r\n".encode() + body)

    async def answer(self) -> Answer:
        """The next answer: status line, headers, body."""
        head = (await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-2])}
        return head[0], headers, await self._reader.readexactly(int(headers["content-length"]))


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, GOOD, {}),
        (200, GOOD, {"X_TraceHub_Dropped": "sender=3"}),
        (400, b"{nonsense", {}),
        (400, b'{"traces": [{"source_id": 1}]}', {}),
        (415, GOOD, {"Content_Type": "text/plain"}),
        (421, GOOD, {"Host": "elsewhere.example"}),
        (403, GOOD, {"Origin": "http://elsewhere.example"}),
        (403, GOOD, {"Sec_Fetch_Site": "cross-site"}),
    ],
)
async def test_both_paths_answer_alike(ingest: Client, status: int, body: bytes, headers: dict[str, str]) -> None:
    """The same request, in one piece, again under a head that is known, and in chunks, has the same answer."""
    answers = []
    async with Wire(ingest) as wire:
        wire.send(GOOD)
        await wire.answer()
        for chunked in (False, False, True):
            before = wire.ordinary
            wire.send(body, chunked=chunked, **headers)
            line, of_answer, text = await wire.answer()
            assert wire.ordinary - before == chunked
            answers.append(
                (line, {name: of_answer[name] for name in sorted(of_answer) if name not in OF_ITS_OWN}, text)
            )
    assert answers[0] == answers[1] == answers[2]
    assert f" {status} " in answers[0][0]
    assert ingest.app[INTAKE].held == 0  # type: ignore[index]


@pytest.mark.parametrize(("secret", "status"), [("right", 200), ("wrong", 403), ("", 401)])
async def test_the_secret_is_asked_for(start_ingest: Any, settings: Settings, secret: str, status: int) -> None:
    """Nobody writes on the fast path who may not."""
    client = await start_ingest(msgspec.structs.replace(settings, secret="right"))
    async with Wire(client) as wire:
        for _ in ("new", "known"):
            wire.send(GOOD, **({"X_TraceHub_Secret": secret} if secret else {}))
            line, *_ = await wire.answer()
            assert f" {status} " in line
        assert wire.ordinary == 0
    assert rows(settings.path, "SELECT count(*) FROM entry") == [(int(status == 200),)]


async def test_answers_keep_their_order(ingest: Client, settings: Settings) -> None:
    """Requests that follow before the first is answered wait for it, whichever way they go."""
    async with Wire(ingest) as wire:
        for number in range(30):
            wire.send(json.dumps({"traces": [entry(suffix=f"{n}") for n in range(number)]}).encode())
            if number % 7 == 3:
                wire.send(b"", method="GET /nowhere")
            if number % 5 == 0:
                await asyncio.sleep(0.002)
        for number in range(30):
            line, _, text = await wire.answer()
            assert (line, json.loads(text)["accepted"]) == ("HTTP/1.1 200 OK", number)
            if number % 7 == 3:
                line, *_ = await wire.answer()
                assert " 404 " in line
    assert rows(settings.path, "SELECT count(*) FROM entry") == [(sum(range(30)),)]


async def test_a_sender_that_left_is_stored_all_the_same(ingest: Client, settings: Settings) -> None:
    """Nobody is there for the answer; the entries are, and the next request works."""
    async with Wire(ingest) as wire:
        wire.send(GOOD)
        await asyncio.sleep(0.001)
    async with Wire(ingest) as wire:
        wire.send(json.dumps({"traces": [entry()]}).encode())
        await wire.answer()
    await until(lambda: rows(settings.path, "SELECT count(*) FROM entry") == [(2,)])
    await until(lambda: ingest.app[INTAKE].held == 0)  # type: ignore[index]


async def test_a_head_that_is_known_is_not_parsed_again(ingest: Client, settings: Settings) -> None:
    """Bodies of all lengths follow it, and one that is wrong is told so; another head is parsed, and is known then."""
    async with Wire(ingest) as wire:
        for number in (1, 20, 3):
            wire.send(json.dumps({"traces": [entry(suffix=f"{number}/{n}") for n in range(number)]}).encode())
            _, _, text = await wire.answer()
            assert json.loads(text)["inserted"] == number
        wire.send(b"{nonsense")
        assert " 400 " in (await wire.answer())[0]
        assert wire.parsed == [1]
        for parsed in (2, 2):
            wire.send(GOOD, Origin="http://elsewhere.example")
            assert " 403 " in (await wire.answer())[0]
            assert wire.parsed == [parsed]
        wire.send(GOOD)
        assert " 200 " in (await wire.answer())[0]
        assert wire.parsed == [2]
    assert rows(settings.path, "SELECT count(*) FROM entry") == [(25,)]


async def test_what_looks_like_a_head_teaches_nothing(ingest: Client) -> None:
    """The last piece of a request is no request of its own, whatever it looks like: others are asked what they say."""
    head = "".join(f"{name}: {value}\r\n" for name, value in PLAIN.items())
    whole = f"POST /ingest HTTP/1.1\r\n{head}Content-Length: {len(GOOD)}\r\n\r\n".encode() + GOOD
    async with Wire(ingest) as wire:
        wire.write(b"POST /ingest HTTP/1.1\r\nOrigin: http://elsewhere.example\r\nX-Rest: ")
        await asyncio.sleep(0.05)
        wire.write(whole)
        assert " 403 " in (await wire.answer())[0]
    async with Wire(ingest) as wire:
        wire.write(whole)
        assert " 200 " in (await wire.answer())[0]


async def test_a_known_head_before_more_or_less_than_its_body(ingest: Client) -> None:
    """A body in two pieces and two requests in one piece are what they are."""
    async with Wire(ingest) as wire:
        wire.send(GOOD)
        await wire.answer()
        one = json.dumps({"traces": [entry(suffix="one")]}).encode()
        head = "".join(f"{name}: {value}\r\n" for name, value in PLAIN.items())
        whole = f"POST /ingest HTTP/1.1\r\n{head}Content-Length: {len(one)}\r\n\r\n".encode() + one
        wire.write(whole[:-5])
        await asyncio.sleep(0.05)
        wire.write(whole[-5:] + whole + whole)
        told = [json.loads((await wire.answer())[2])["duplicates"] for _ in range(3)]
        assert told == [0, 1, 1]


@contextlib.contextmanager
def stopped_writer(client: Client) -> Iterator[int]:
    """Let the writer process stand still; gives its id."""
    process = client.server.app[DESK]._process  # type: ignore[union-attr]
    assert process is not None
    os.kill(process.pid, signal.SIGSTOP)
    try:
        yield process.pid
    finally:
        os.kill(process.pid, signal.SIGCONT)


@pytest.mark.parametrize("length", ["four", "-1", "9" * 900])
async def test_a_known_head_with_a_length_that_is_none(ingest: Client, caplog: Any, length: str) -> None:
    """It is as malformed as before any other was known, and nothing stumbles over it."""
    head = "".join(f"{name}: {value}\r\n" for name, value in PLAIN.items())
    async with Wire(ingest) as wire:
        wire.send(GOOD)
        await wire.answer()
        wire.write(f"POST /ingest HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n".encode() + GOOD)
        assert " 400 " in (await wire.answer())[0]
    assert caplog.records == []


async def test_no_answer_says_more_than_is_known(ingest: Client) -> None:
    """What a writer process that died had in hand may be stored or not: both ways end without an answer."""
    for chunked in False, True:
        async with Wire(ingest) as wire:
            with stopped_writer(ingest) as writer_pid:
                wire.send(GOOD, chunked=chunked)
                await until(lambda: ingest.server.app[DESK]._batches)  # type: ignore[union-attr]
                os.kill(writer_pid, signal.SIGKILL)
            with pytest.raises(asyncio.IncompleteReadError) as nothing:
                await wire.answer()
            assert nothing.value.partial == b""

        async def is_back() -> bool:
            async with ingest.get("/health") as response:
                return response.status == 200

        await until(is_back)
        async with Wire(ingest) as wire:
            wire.send(GOOD)
            assert (await wire.answer())[0].endswith("200 OK")


async def test_what_is_malformed_behind_a_commit_harms_nobody(ingest: Client) -> None:
    """It is read when the commit is told, with those of others behind it; the writer process stays."""
    async with Wire(ingest) as other:
        for malformed in MALFORMED["an address that ends in a user"], MALFORMED["noise"]:
            async with Wire(ingest) as wire:
                with stopped_writer(ingest) as writer_pid:
                    wire.send(GOOD)
                    await asyncio.sleep(0.05)
                    wire.write(malformed)
                    other.send(GOOD)
                    await asyncio.sleep(0.05)
                for one in wire, other:
                    assert (await one.answer())[0].endswith("200 OK")
                assert (await wire.answer())[0].endswith("400 Bad Request")
            with stopped_writer(ingest) as still:
                assert still == writer_pid
    assert ingest.server.app[INTAKE].held == 0  # type: ignore[union-attr]


async def test_who_waits_for_a_commit_is_not_idle(
    start_ingest: Any, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long it takes the answer comes; the connection is closed in time after it."""
    monkeypatch.setattr(serve, "IDLE_S", 0.3)
    async with Wire(await start_ingest(settings)) as wire:
        with stopped_writer(wire._client):
            wire.send(GOOD)
            await asyncio.sleep(0.8)
        assert (await wire.answer())[0].endswith("200 OK")
        assert await asyncio.wait_for(wire._reader.read(), PATIENCE_S) == b""


@pytest.mark.parametrize("content_type", ["application/json", "x" * 700])
async def test_answers_that_nobody_reads_do_not_pile_up(ingest: Client, content_type: str) -> None:
    """Whoever asks and does not read is not read from in the end, be it told at once or after a commit."""
    head = f"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: 13\r\n\r\n"
    request = head.encode() + b'{"traces":[]}'
    loop = asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.setblocking(False)
        await loop.sock_connect(client, (ingest.host, ingest.port))
        server = ingest.server.runner.server  # type: ignore[union-attr]
        await until(lambda: server.connections)
        transport = server.connections[0].transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
        with contextlib.suppress(BlockingIOError):
            for _ in range(400):
                assert client.send(request) == len(request)
                await asyncio.sleep(0.001)
        assert transport.get_write_buffer_size() < 80 * 1024
