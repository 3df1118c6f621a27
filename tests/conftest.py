"""What tests stand on: both services over one real file, within this process or as processes of their own."""

import asyncio
import contextlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from browser import browser, chromium, hub, page, pytest_terminal_summary  # noqa: F401  # what pytest finds by name here
from numbered import patient, server, unset  # noqa: F401  # likewise
from patience import PATIENCE_S, wait_until

from ingest_svc.app import make_app as make_ingest_app
from query_svc.app import make_app as make_query_app
from shared.env import Settings
from shared.web import make_runner

hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

# A shell in which `tracehub new --export` was run has every test begin within its chain: the client reads it once.
os.environ.pop("TRACEHUB_CORRELATION_ID", None)

# What is started in the background by a shell ignores Ctrl-C, and so would every process that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)

Client = TestClient[Any, Any]
_numbers = itertools.count()
_ports = itertools.count(random.randrange(10_100, 30_000))  # those from 32,768 on go to whoever asks for any


class Server(TestServer):
    """A server within this process that treats requests as the real one does."""

    async def _make_runner(self, **_: Any) -> web.AppRunner:
        return make_runner(self.app)


def entry(**fields: Any) -> dict[str, Any]:
    """An entry as a sender writes it, unlike any other unless the fields say so."""
    number = next(_numbers)
    return {
        "source_id": "MA",
        "correlation_id": "chain",
        "timestamp": 1_700_000_000_000.5 + number,
        "suffix": f"{number:x}",
        "direction": "->",
        "operation": "REST",
        "endpoint": "/api",
        **fields,
    }


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a database file of the test's own."""
    return Settings(db=str(tmp_path / "tracehub.db"))


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is never taken for one with plenty of room, so a lack of it, such as a limit of pages, is no damage."""
    monkeypatch.setattr("shared.storage.sqlite.PLENTY", 2**62)


@pytest.fixture
async def start_ingest(aiohttp_client: Any) -> Callable[[Settings], Any]:
    """Start an ingest service within this process; gives a client of it."""

    async def start(settings: Settings) -> Client:
        client: Client = await aiohttp_client(Server(make_ingest_app(settings)))
        return client

    return start


@pytest.fixture
async def start_query(aiohttp_client: Any) -> Callable[[Settings], Any]:
    """Start a query service within this process; gives a client of it."""

    async def start(settings: Settings) -> Client:
        client: Client = await aiohttp_client(Server(make_query_app(settings)))
        return client

    return start


@pytest.fixture
async def ingest(start_ingest: Any, settings: Settings) -> Client:
    """An ingest service on the test's file."""
    client: Client = await start_ingest(settings)
    return client


@pytest.fixture
async def query(start_query: Any, ingest: Client, settings: Settings) -> Client:
    """A query service on the test's file, beside the ingest service."""
    client: Client = await start_query(settings)
    await until(lambda: _answers(client, "/health"))
    return client


async def _answers(client: Client, path: str) -> bool:
    async with client.get(path) as response:
        return response.status == 200


async def until(condition: Callable[[], Any]) -> None:
    """Wait for a condition, which may be a coroutine function, to become true."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


def free_port() -> int:
    """A port that nobody listens on, and that nobody gets who connects or asks for any."""
    for port in _ports:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            break
    return port


@dataclass
class Services:
    """Both services as processes of their own, over one file."""

    db: Path
    environ: dict[str, str] = field(default_factory=dict)
    ingest_port: int = field(default_factory=free_port)
    query_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start `ingest_svc` or `query_svc` and wait until it is healthy or, for a query service without a file, up."""
        environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TRACEHUB_")},
            "TRACEHUB_DB": str(self.db),
            "TRACEHUB_PORT": str(self.ingest_port),
            "TRACEHUB_QUERY_PORT": str(self.query_port),
            **self.environ,
        }
        log = self.db.with_name(f"{name}.log").open("ab")
        with log:
            self.processes[name] = subprocess.Popen([sys.executable, "-m", name], env=environ, stderr=log)
        port = self.ingest_port if name == "ingest_svc" else self.query_port

        def is_up() -> bool:
            assert self.processes[name].poll() is None, self.log(name)
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(is_up, lambda: self.log(name))

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; gives the exit code."""
        process = self.processes.pop(name)
        children = _children(process.pid)
        process.send_signal(number)
        code = process.wait(PATIENCE_S)
        wait_until(lambda: not any(Path(f"/proc/{child}").exists() for child in children), lambda: "a child lives on")
        return code

    def writer_pid(self) -> int:
        """The process that the ingest service has write."""
        (writer,) = _children(self.processes["ingest_svc"].pid)
        return writer

    def log(self, name: str) -> str:
        """What the service has logged."""
        return self.db.with_name(f"{name}.log").read_text()

    @property
    def ingest_url(self) -> str:
        """Where the ingest service is."""
        return f"http://127.0.0.1:{self.ingest_port}"

    @property
    def query_url(self) -> str:
        """Where the query service is."""
        return f"http://127.0.0.1:{self.query_port}"


@contextlib.contextmanager
def both_services(db: Path) -> Iterator[Services]:
    """Both, until the block ends, where they are ended at once."""
    services = Services(db)
    try:
        services.start("ingest_svc")
        services.start("query_svc")
        yield services
    finally:
        for process in services.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def without_room_for_threads(pid: int) -> Iterator[None]:
    """The process has no memory left for the stack of another thread."""
    before = resource.prlimit(pid, resource.RLIMIT_AS)
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    resource.prlimit(pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + 2**20, before[1]))
    yield
    resource.prlimit(pid, resource.RLIMIT_AS, before)


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended
        return []


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    """Services that are not started yet; those that were are ended with the test."""
    services = Services(tmp_path / "tracehub.db")
    yield services
    for name in list(services.processes):
        services.kill(name)


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client of whatever address."""
    async with aiohttp.ClientSession() as session:
        yield session


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[dict[str, str]]:
    """The events of a stream as they come: field -> value; comments are left out."""
    event: dict[str, str] = {}
    async for line in response.content:
        name, _, value = line.decode().rstrip("\r\n").partition(":")
        if name:
            event[name] = value.removeprefix(" ")
        elif not line.strip() and event:
            if event.keys() != {"retry"}:
                yield event
            event = {}


def payload(event: dict[str, str]) -> Any:
    """What an event carries."""
    return json.loads(event["data"])
