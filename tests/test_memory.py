"""What has ended is let go at once, for searches for garbage are rare."""

import asyncio
import gc
import json
import os
import signal
import socket
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from aiohttp import StreamReader, web
from conftest import Client, entry, until
from test_connection import answers
from test_portions import LINES, post
from test_writer import checkpoint

from ingest_svc.handlers import DESK
from shared.storage.columns import Columns, columns

RECENT = b"GET /recent?limit=1000 HTTP/1.1\r\n%b\r\n" % LINES
LONG = post(500)  # nothing for the fast path

Held = Callable[[], set[type]]


@pytest.fixture
def held(ingest: Client, query: Client) -> Iterator[Held]:
    """What there is of requests since the test began. Nobody searches for garbage."""
    gc.collect()
    gc.freeze()  # what was there before is not looked at
    gc.disable()
    yield lambda: {type(one) for one in gc.get_objects()} & {web.Request, Columns, StreamReader}
    gc.enable()
    gc.unfreeze()


def writer_of(ingest: Client) -> int:
    """The process that writes for a service."""
    process = ingest.app[DESK]._process  # type: ignore[index]
    assert process is not None
    return process.pid


@contextmanager
def connection(client: Client) -> Iterator[socket.socket]:
    """A connection on which a test writes what it likes."""
    with socket.create_connection((str(client.host), client.port or 0)) as made:
        yield made


async def test_an_answer_that_nobody_takes(ingest: Client, query: Client, held: Held) -> None:
    """It goes with its connection, at whatever turn of the loop that is lost."""
    body = json.dumps({"traces": [entry(raw_line="x" * 500) for _ in range(1_000)]}).encode()
    head = b"POST /ingest HTTP/1.1\r\n%bConnection: close\r\nContent-Length: %d\r\n\r\n" % (LINES, len(body))
    assert b'"inserted":1000' in await answers(ingest, head + body)
    await until(lambda: not held())
    for turns in range(20):
        with connection(query) as reader:
            reader.sendall(RECENT * 3)
            await until(held)
            for _ in range(turns):
                await asyncio.sleep(0)
        await until(lambda: not held())


async def test_a_batch_whose_writer_ends(ingest: Client, held: Held) -> None:
    """Its entries go with the error that its sender does not get."""
    os.kill(writer_of(ingest), signal.SIGSTOP)
    with connection(ingest) as sender:
        sender.sendall(LONG)
        await until(lambda: Columns in held())
        os.kill(writer_of(ingest), signal.SIGKILL)
        await until(lambda: not held())


async def test_requests_behind_one_whose_sender_leaves(ingest: Client, held: Held) -> None:
    """Those that were read already go with the connection."""
    os.kill(writer_of(ingest), signal.SIGSTOP)
    with connection(ingest) as sender:
        sender.sendall(LONG * 3)
        await until(lambda: Columns in held())
    os.kill(writer_of(ingest), signal.SIGCONT)
    await until(lambda: not held())


def test_a_wide_character_makes_nothing_else_wide() -> None:
    """Entries laid out in columns share their texts: one character of four bytes widens no field beside it."""
    entries = [checkpoint(number, operation="😀", hostname=f"{number}" + "h" * 10_000) for number in range(100)]
    tracemalloc.start()
    try:
        columns(entries)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
