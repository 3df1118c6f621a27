"""The examples under deploy/ for a proxy with TLS, run as they are but for ports and certificate."""

import asyncio
import gc
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Services, entry, events, free_port, payload, until
from patience import PATIENCE_S

pytestmark = [  # aiohttp's client leaves the socket of a TLS connection to the collector when the proxy ends it first
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

DEPLOY = Path(__file__).parent.parent / "deploy"
NAME = "tracehub.example"
SECRET = {"X-TraceHub-Secret": "sender"}


def nginx(services: Services, port: int, folder: Path) -> list[str]:
    """The command that runs nginx on the example."""
    example = (DEPLOY / "nginx/tracehub.conf").read_text()
    site = example.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl").replace("/etc/ssl/", f"{folder}/")
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off;\n"
        + "".join(
            f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + _with_ports(site, services)
        + "}"
    )
    return ["nginx", "-p", str(folder), "-c", str(config), "-e", "stderr"]


def caddy(services: Services, port: int, folder: Path) -> list[str]:
    """The command that runs Caddy on the example."""
    example = (DEPLOY / "caddy/Caddyfile").read_text()
    site = f"https://{NAME}:{port} {{\n\ttls {folder}/tracehub.pem {folder}/tracehub.key\n\tbind 127.0.0.1\n"
    config = folder / "Caddyfile"
    options = "{\n\tadmin off\n\tauto_https off\n\tgrace_period 1s #"
    assert "{\n\tgrace_period" in example
    example = example.replace("{\n\tgrace_period", options, 1).replace(f"{NAME} {{\n", site, 1)
    config.write_text(_with_ports(example, services))
    return ["caddy", "run", "--config", str(config)]


def _with_ports(example: str, services: Services) -> str:
    for port, own in ((8099, services.ingest_port), (8100, services.query_port)):
        assert f"127.0.0.1:{port}" in example
        example = example.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")
    return example


class Public:
    """The services as the world sees them."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._url = f"https://127.0.0.1:{port}"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """A request under the public name."""
        headers = {"Host": NAME, **options.pop("headers", {})}
        return self._http.request(
            method, self._url + path, headers=headers, server_hostname=NAME, ssl=False, allow_redirects=False, **options
        )


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A client at another address than the proxy's, which is trusted."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))) as session:
        yield session
        await session.close()
        await asyncio.sleep(0.5)  # connections with TLS take a moment to end
        gc.collect()  # here, where their warnings are ignored


@pytest.fixture(params=[nginx, caddy])
def proxy(request: pytest.FixtureRequest, services: Services, tmp_path: Path) -> Iterator[int]:
    """The port of a proxy before both services."""
    for program in (request.param.__name__, "openssl"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: the example for {request.param.__name__} was NOT TRIED")
    services.environ |= {
        "TRACEHUB_SECRET": "sender", "TRACEHUB_QUERY_SECRET": "reader", "TRACEHUB_ALLOWED_HOSTS": NAME,
        "TRACEHUB_TRUSTED_PROXIES": "127.0.0.1", "TRACEHUB_INGEST_URL": f"https://{NAME}", "TRACEHUB_QUERY_URL": f"https://{NAME}",
    }  # fmt: skip
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-keyout", tmp_path / "tracehub.key", "-out", tmp_path / "tracehub.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    services.start("ingest_svc")
    services.start("query_svc")
    port = free_port()
    log = (tmp_path / "proxy.log").open("wb")
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(tmp_path)}
    with log, subprocess.Popen(request.param(services, port, tmp_path), stderr=log, env=environ) as process:
        yield port
        process.terminate()


async def test_the_examples_work(proxy: int, services: Services, http: aiohttp.ClientSession) -> None:
    """Through the proxy a batch is stored, a page logs in, a stream brings events as they come, and much is refused."""
    public = Public(http, proxy)
    await until(lambda: up(public))
    async with public.ask("POST", "/ingest/single", json=entry(), headers=SECRET) as response:
        assert (response.status, await response.json()) == (200, {"inserted": True})
    login = {"json": {"secret": "reader"}, "headers": {"Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}}
    async with public.ask("POST", "/login", **login) as response:
        assert response.status == 200
        cookie = response.headers["Set-Cookie"]
    assert "; Secure" in cookie
    reader = {"Cookie": cookie.partition(";")[0]}
    async with public.ask("GET", "/traces/chain/stream?timeout=600", headers=reader) as stream:
        assert stream.status == 200
        following = events(stream)
        assert payload(await asyncio.wait_for(anext(following), PATIENCE_S))["correlation_id"] == "chain"
        for _ in range(3):
            async with public.ask("POST", "/ingest/single", json=entry(endpoint="/live"), headers=SECRET) as response:
                assert response.status == 200
            assert payload(await asyncio.wait_for(anext(following), PATIENCE_S))["endpoint"] == "/live"


async def test_the_examples_tell_clients_apart(proxy: int, services: Services, http: aiohttp.ClientSession) -> None:
    """Who guesses is slowed down by its own address, whatever others it makes up; foreign pages are refused."""
    public = Public(http, proxy)
    await until(lambda: up(public))
    statuses = set()
    for number in range(25):
        made_up = {"X-Forwarded-For": f"192.0.2.{number}"}
        async with public.ask("POST", "/login", json={"secret": "guess"}, headers=made_up) as response:
            statuses.add(response.status)
    assert statuses == {403, 429}
    async with public.ask("DELETE", "/cleanup", headers={**SECRET, "Origin": "https://evil.example"}) as response:
        assert response.status == 403


async def test_a_client_that_leaves_is_let_go(proxy: int, services: Services, http: aiohttp.ClientSession) -> None:
    """Through the proxy as well a stream ends with its client, and holds a part of the client's share no longer."""
    public = Public(http, proxy)
    await until(lambda: up(public))
    reader = {"X-TraceHub-Secret": "reader"}

    async def followed() -> int:
        async with http.get(f"{services.query_url}/stats", headers=reader) as response:
            return int((await response.json())["subscribers"])

    async def one_listens() -> bool:
        return await followed() == 1

    async def nobody_listens() -> bool:
        return await followed() == 0

    async with public.ask("GET", "/stream?timeout=600", headers=reader) as stream:
        await until(one_listens)  # the headers come a moment before
        stream.connection.transport.abort()
    await until(nobody_listens)


@pytest.mark.parametrize("proxy", [nginx], indirect=True)
async def test_what_nginx_does_to_streams(
    proxy: int, services: Services, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    """A reload leaves them to the old workers, a stop ends them at once; who resumes then misses nothing."""
    public = Public(http, proxy)
    await until(lambda: up(public))
    master = int((tmp_path / "pid").read_text())
    reader = {"X-TraceHub-Secret": "reader"}

    async def send(endpoint: str) -> None:
        url = f"{services.ingest_url}/ingest/single"
        async with http.post(url, json=entry(endpoint=endpoint), headers=SECRET) as response:
            assert response.status == 200

    async with public.ask("GET", "/traces/chain/stream?timeout=600", headers=reader) as stream:
        following = events(stream)
        workers = children(master)
        os.kill(master, signal.SIGHUP)
        await until(lambda: children(master) - workers)
        await send("/reloaded")
        event = await asyncio.wait_for(anext(following), PATIENCE_S)
        assert payload(event)["endpoint"] == "/reloaded"
        assert await up(public)
        os.kill(master, signal.SIGTERM)
        with pytest.raises((aiohttp.ClientError, StopAsyncIteration)):
            await asyncio.wait_for(anext(following), PATIENCE_S)
    await send("/stopped")
    resumed = {**reader, "Last-Event-ID": str(event["id"])}
    async with http.get(f"{services.query_url}/traces/chain/stream", headers=resumed) as stream:
        assert payload(await asyncio.wait_for(anext(events(stream)), PATIENCE_S))["endpoint"] == "/stopped"


def children(pid: int) -> set[str]:
    """The processes that a process has started."""
    return set(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


async def up(public: Public) -> bool:
    """Whether both services answer through the proxy."""
    try:
        async with public.ask("GET", "/stats", headers={"X-TraceHub-Secret": "reader"}) as response:
            return bool(response.status == 200)
    except aiohttp.ClientError:
        return False
