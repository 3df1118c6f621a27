"""What containers ask instead of curl: whether the services on their ports are healthy."""

import asyncio
import sys
from typing import Any

import msgspec
import pytest
from conftest import Server, free_port
from test_cli_running import _has_ipv6

from ingest_svc.app import make_app
from shared.env import Settings


async def asked(host: str, port: int | str, *words: str) -> tuple[int | None, str]:
    """Exit code and what was said of these settings, where the environment names a proxy that is not there."""
    environ = {"TRACEHUB_HOST": host, "TRACEHUB_PORT": str(port), "HTTP_PROXY": f"http://127.0.0.1:{free_port()}"}
    command = (sys.executable, "-m", "tracehub_server.healthy", *words)
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_it_asks_the_port_itself(aiohttp_client: Any, settings: Settings, host: str) -> None:
    """By its own address, of IPv6 as well, and through no proxy."""
    if ":" in host and not _has_ipv6():
        pytest.skip("no IPv6 here")
    service = await aiohttp_client(Server(make_app(msgspec.structs.replace(settings, host=host)), host=host))
    assert await asked(host, service.port, "port") == (0, "")


async def test_what_is_wrong_is_one_line() -> None:
    """A port where nobody listens is named."""
    port = free_port()
    code, said = await asked("127.0.0.1", port, "port")
    assert (code, said.count("\n")) == (1, 1)
    assert said.startswith(f"tracehub: http://127.0.0.1:{port}/health: ")


async def test_what_speaks_something_else_is_one_line() -> None:
    """A program that is no HTTP server has the port: what it says is told."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        code, said = await asked("127.0.0.1", port, "port")
    assert (code, said) == (1, f"tracehub: http://127.0.0.1:{port}/health: SSH-2.0-OpenSSH\\r\\n\n")


async def test_a_bad_setting_is_one_line() -> None:
    """As of every other program here, with its exit code."""
    code, said = await asked("127.0.0.1", "eighty", "port")
    assert (code, said.count("\n")) == (2, 1)
    assert said.startswith("tracehub: TRACEHUB_PORT='eighty'")


@pytest.mark.parametrize("words", [(), ("ports",)])
async def test_a_check_of_nothing_is_wrong_use(words: tuple[str, ...]) -> None:
    """A container whose check names no port would be healthy whatever becomes of it."""
    code, said = await asked("127.0.0.1", free_port(), *words)
    assert (code, "usage:" in said, "Traceback" in said) == (2, True, False)
