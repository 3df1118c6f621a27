"""Paths and methods: which a port answers, and which it sends on to the other one."""

import asyncio
from typing import Any

import msgspec
import pytest
from conftest import Client, entry, until
from patience import PATIENCE_S
from test_ingest import refused
from test_query import chain, healthy
from yarl import URL

from shared.env import Settings

WRONG = [
    ("GET", "/ingest", 405),
    ("PUT", "/ingest", 405),
    ("HEAD", "/ingest", 405),
    ("GET", "/cleanup", 405),
    ("POST", "/health", 405),
    ("POST", "/traces/x", 405),
    ("DELETE", "/correlations", 405),
    ("OPTIONS", "/recent", 405),
    ("PROPFIND", "/", 405),
    ("GET", "/nowhere", 404),
    ("POST", "/ingest/", 404),
    ("GET", "/traces/a/b", 404),
    ("GET", "/%ff%00%0a", 404),
]


async def test_wrong_methods_and_paths_are_told_in_json(ingest: Client) -> None:
    """A known path with the wrong method is a 405 that says which are right, an unknown one a 404."""
    for method, path, status in WRONG:
        async with ingest.request(method, path) as response:
            assert response.status == status, (method, path)
            if method != "HEAD":
                await refused(response, status)
            assert ("Allow" in response.headers) == (status == 405), (method, path)


QUERY_PATHS = [
    "/traces/req-1",
    "/traces/a%2Fb%20c%3F?since_ts=1.5&source=M%41+x",
    "/traces/%F0%9F%98%80%25%0A/stream?timeout=5",
    "/stream?endpoint=%2Fapi%2F*&last_event_id=7",
    "/correlations?limit=5&q=%22",
    "/recent",
    "/stats",
    "/stats/sources",
    "/",
]


async def test_query_paths_lead_to_the_query_port(ingest: Client) -> None:
    """Every path of the query port is a 307 there, its quoting untouched, and says so to those who read it."""
    for path in QUERY_PATHS:
        url = URL(f"http://{ingest.host}:{ingest.port}{path}", encoded=True)
        async with ingest.session.get(url, allow_redirects=False) as response:
            assert response.status == 307, path
            location = f"http://{ingest.host}:8100{path}"
            assert response.headers["Location"] == location
            assert f"{location} (curl -L)" in (await response.json())["detail"]


@pytest.mark.parametrize(
    ("host", "location"),
    [
        ("tracehub:8099", "http://tracehub:8100/recent"),
        ("tracehub", "http://tracehub:8100/recent"),
        ("[::1]:8099", "http://[::1]:8100/recent"),
    ],
)
async def test_redirects_keep_the_name_that_was_used(
    start_ingest: Any, settings: Settings, host: str, location: str
) -> None:
    """The other port is on the host that the client knows."""
    client = await start_ingest(msgspec.structs.replace(settings, allowed_hosts="tracehub"))
    async with client.get("/recent", headers={"Host": host}, allow_redirects=False) as response:
        assert response.headers["Location"] == location


async def test_redirects_go_to_the_public_address(start_ingest: Any, settings: Settings) -> None:
    """Behind a proxy, TRACEHUB_QUERY_URL is where the query port is."""
    client = await start_ingest(msgspec.structs.replace(settings, query_url="https://hub.example/q/"))
    async with client.get("/recent?limit=1", allow_redirects=False) as response:
        assert response.headers["Location"] == "https://hub.example/q/recent?limit=1"


async def test_a_request_through_a_proxy_is_redirected_as_well(ingest: Client) -> None:
    """A request line with a whole address in it leads to its path."""
    reader, writer = await asyncio.open_connection(ingest.host, ingest.port)
    writer.write(b"GET http://localhost:8099/traces/a%2Fb?x=%41 HTTP/1.1\r\nHost: localhost:8099\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
    writer.close()
    assert b"Location: http://localhost:8100/traces/a%2Fb?x=%41\r\n" in head


async def test_a_post_through_the_redirect_is_stored(start_ingest: Any, start_query: Any, settings: Settings) -> None:
    """Ingest paths on the query port are a 307 that keeps method and body, so one address is enough."""
    ingest: Client = await start_ingest(settings)
    query: Client = await start_query(msgspec.structs.replace(settings, port=ingest.port))
    await until(lambda: healthy(query))
    async with query.post("/ingest?x=a%26b", json={"traces": [entry()]}, allow_redirects=False) as response:
        assert response.status == 307
        assert response.headers["Location"] == f"http://127.0.0.1:{ingest.port}/ingest?x=a%26b"
        assert "curl -L" in (await response.json())["detail"]
    async with query.post("/ingest", json={"traces": [entry()]}) as response:
        assert (response.status, await response.json()) == (200, {"accepted": 1, "inserted": 1, "duplicates": 0})
    async with query.post("/ingest/single", json=entry()) as response:
        assert await response.json() == {"inserted": True}
    async with query.delete("/cleanup") as response:
        assert await response.json() == {"deleted": 0}
    assert (await chain(query, "chain"))["count"] == 2


async def test_the_public_address_is_where_a_redirect_leads(start_query: Any, settings: Settings) -> None:
    """Behind a proxy, Location is the configured address."""
    query: Client = await start_query(msgspec.structs.replace(settings, ingest_url="https://hub.example/in/"))
    async with query.post("/ingest", allow_redirects=False) as response:
        assert response.headers["Location"] == "https://hub.example/in/ingest"


async def test_wrong_methods_and_paths(query: Client) -> None:
    """A known path with the wrong method is a 405 that names the right ones, anything else a 404, both JSON."""
    async with query.post("/correlations") as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, HEAD")
        assert "GET" in (await response.json())["detail"]
    for path in ("/nothing", "/traces", "/traces/", "/traces/a/b"):
        async with query.get(path) as response:
            assert response.status == 404
            assert "No such path" in (await response.json())["detail"]
    async with query.head("/correlations") as response:
        assert (response.status, await response.read()) == (200, b"")
