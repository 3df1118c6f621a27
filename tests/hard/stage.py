"""What rows stand on: both services as they run, clients that cost little, and measures."""

import asyncio
import contextlib
import json
import math
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from conftest import Services, entry

HEAD = "{} {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}\r\n"


@contextlib.contextmanager
def started(*names: str, **environ: str) -> Iterator[Services]:
    """Services on a file of their own; those named are started. All are ended, and the file is deleted."""
    with tempfile.TemporaryDirectory(prefix="tracehub-hard-", ignore_cleanup_errors=True) as directory:
        services = Services(Path(directory) / "tracehub.db", environ)
        try:
            for name in names:
                services.start(name)
            yield services
        finally:
            for name in list(services.processes):
                services.kill(name)


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


class Connection:
    """One kept-alive connection. Any failure of it is an OSError."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._writer: asyncio.StreamWriter | None = None

    async def call(self, method: str, path: str, body: bytes = b"", headers: str = "") -> Answer:
        """Send a request and read its answer, connecting where needed."""
        try:
            if self._writer is None:
                self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            self._writer.write(HEAD.format(method, path, len(body), headers).encode() + body)
            return await self._answer()
        except (OSError, asyncio.IncompleteReadError, ValueError) as error:
            self.close()
            raise ConnectionError(str(error)) from error

    async def post(self, entries: list[dict[str, Any]]) -> Answer:
        """`POST /ingest`"""
        return await self.call("POST", "/ingest", json.dumps({"traces": entries}).encode())

    async def get(self, path: str) -> Answer:
        """A GET."""
        return await self.call("GET", path)

    def close(self) -> None:
        """Let go of the connection; the next call makes another."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    async def _answer(self) -> Answer:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        if headers.get("connection") == "close":
            self.close()
        return Answer(int(head[0].split()[1]), headers, body)


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    """A connection, closed at the end."""
    connection = Connection(port)
    try:
        yield connection
    finally:
        connection.close()


@contextlib.asynccontextmanager
async def beside(*endless: Any) -> AsyncIterator[None]:
    """Run coroutines beside the block and cancel them at its end; one that fails fails the block."""
    tasks = [asyncio.ensure_future(one) for one in endless]
    try:
        yield
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def latencies(port: int, seconds: float, pause_s: float = 0.01, size: int = 1) -> list[float]:
    """Milliseconds that posts of `size` entries took, one after the other, each of them answered 200."""
    took = []
    async with connected(port) as connection:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            begun = time.perf_counter()
            answer = await connection.post([entry() for _ in range(size)])
            took.append((time.perf_counter() - begun) * 1000)
            assert answer.status == 200, answer
            await asyncio.sleep(pause_s)
    return took


def percentile(values: Iterable[float], part: float) -> float:
    """The value that so many in a hundred do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * part / 100) - 1)]


def memory_mb(pid: int) -> float:
    """Memory of a process and its children that is their own: pages of mapped files do not count."""
    statuses = [Path(f"/proc/{pid}/status").read_text() for pid in family(pid)]
    return sum(int(status.partition("RssAnon:")[2].split()[0]) for status in statuses) / 1024


async def watch(pid: int, memory: list[float]) -> None:
    """Note the memory of a process again and again, until it is cancelled."""
    while True:
        memory.append(memory_mb(pid))
        await asyncio.sleep(0.05)


def descriptors(pid: int) -> int:
    """How many a process and its children have open."""
    return sum(1 for pid in family(pid) for _ in Path(f"/proc/{pid}/fd").iterdir())


def family(pid: int) -> list[int]:
    """A process and its children."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
