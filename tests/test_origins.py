"""Under which names a service answers, and from which pages it takes calls that change something."""

import asyncio
import itertools
from typing import Any

import msgspec
import pytest
from conftest import Client, entry
from patience import PATIENCE_S

from shared.env import Settings
from shared.errors import Misdirected
from shared.web.origins import MAX_KNOWN, Names

LOOPBACK = ["localhost", "LocalHost:1", "localhost.", "127.0.0.1", "127.0.0.1:8100", "[::1]", "[::1]:8100"]
FOREIGN = [
    "evil.example",
    "evil.example:8100",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "0.0.0.0",
    "10.0.0.1",
]
ODD = [
    "",
    " ",
    "localhost:",
    "localhost:x",
    "localhost:999999",
    "a b",
    "localhost/",
    "me@localhost",
    "local\thost",
    "][",
]


async def raw(client: Client, head: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """What comes back for a request that no library would write."""
    reader, writer = await asyncio.open_connection(client.host, client.port)
    writer.write(head + b"\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    answered = await asyncio.wait_for(reader.read(), PATIENCE_S)
    writer.close()
    return int(answered.split()[1]), answered


async def test_a_loopback_service_answers_to_its_names(ingest: Client, query: Client) -> None:
    """Whatever the port, the case, or a dot at the end."""
    for client, host in itertools.product((ingest, query), LOOPBACK):
        async with client.get("/health", headers={"Host": host}) as response:
            assert response.status == 200, host


async def test_a_loopback_service_answers_to_no_other_name(ingest: Client, query: Client) -> None:
    """A page that had its name point here gets nothing, whatever it asks for."""
    calls = ("GET /health", "GET /", "GET /nowhere", "POST /ingest", "DELETE /cleanup", "OPTIONS /ingest")
    for client, host, call in itertools.product((ingest, query), (*FOREIGN, *ODD, "tracehub.internal"), calls):
        status, answered = await raw(client, f"{call} HTTP/1.1\r\nHost: {host}".encode())
        assert status == 421, (host, call, answered)
        assert b'{"detail":"Host ' in answered, (host, call)
        assert b"traceback" not in answered.lower()


@pytest.mark.parametrize("host", [b"\xff\xfe", "bücher.example".encode(), b"\xc3", b"a\x7fb", b"x" * 7_000])
async def test_a_host_that_is_no_text_is_never_a_fault(start_query: Any, settings: Settings, host: bytes) -> None:
    """Bytes that are not UTF-8, or too many of them, are refused, also where any name is good."""
    for bound in (settings, msgspec.structs.replace(settings, host="0.0.0.0", query_secret="s")):
        client: Client = await start_query(bound)
        for path in (b"/health", b"/ingest"):
            status, _ = await raw(client, b"GET " + path + b" HTTP/1.1\r\nHost: " + host)
            assert status in (400, 421)


async def test_more_names_can_be_allowed(start_ingest: Any, settings: Settings) -> None:
    """TRACEHUB_ALLOWED_HOSTS adds names, in any case; redirects go to the name that was asked."""
    allowed = msgspec.structs.replace(settings, allowed_hosts="tracehub.example, Other,[fd00::1]", query_port=81)
    client: Client = await start_ingest(allowed)
    for host in ("tracehub.example:443", "OTHER", "[FD00::1]:8099", "localhost"):
        async with client.get("/recent", headers={"Host": host}, allow_redirects=False) as response:
            assert response.status == 307
            name = host.rsplit(":", 1)[0] if host.rpartition(":")[2].isdigit() else host
            assert response.headers["Location"] == f"http://{name}:81/recent"
    async with client.get("/health", headers={"Host": "tracehub.example.evil"}) as response:
        assert response.status == 421


async def test_where_others_reach_it_any_name_is_good(start_ingest: Any, settings: Settings) -> None:
    """On other addresses the secret decides."""
    client: Client = await start_ingest(msgspec.structs.replace(settings, host="0.0.0.0", secret="s"))
    for host in ("tracehub", "10.0.0.1:8099", "[fd00::7]"):
        async with client.get("/health", headers={"Host": host}) as response:
            assert response.status == 200


async def test_a_request_without_a_host_is_answered(query: Client) -> None:
    """A program that speaks HTTP/1.0 is no page."""
    status, _ = await raw(query, b"GET /health HTTP/1.0")
    assert status == 200


async def test_a_whole_address_in_the_request_line_is_checked(query: Client) -> None:
    """It counts before Host does."""
    for address, expected in ((b"http://evil.example/health", 421), (b"http://localhost:1/health", 200)):
        status, _ = await raw(query, b"GET " + address + b" HTTP/1.1\r\nHost: localhost")
        assert status == expected
    status, _ = await raw(query, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example")
    assert status in (400, 421)


def test_the_names_that_are_remembered_are_bounded(settings: Settings) -> None:
    """Spellings of a good name do not fill the memory."""
    names = Names(settings)
    for port in range(2 * MAX_KNOWN):
        names.check(f"localhost:{port}")
    assert len(names._known) <= MAX_KNOWN
    with pytest.raises(Misdirected):
        names.check(None)


PAGES = [
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost:3000"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://abc"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "OWN"},
]


@pytest.mark.parametrize("kind", [None, "text/plain", "application/json"])
async def test_a_foreign_page_changes_nothing(ingest: Client, kind: str | None) -> None:
    """A post from another origin, or from none, is a 403, with or without a content type; so is a deletion."""
    own, body = f"http://127.0.0.1:{ingest.port}", msgspec.json.encode(entry())
    skip = () if kind else ("Content-Type",)
    for page in PAGES:
        headers = {name: value.replace("OWN", own) for name, value in page.items()}
        if kind:
            headers["Content-Type"] = kind
        for path in ("/ingest/single", "/login"):
            async with ingest.post(path, data=body, headers=headers, skip_auto_headers=skip) as told:
                assert told.status == 403, (path, page)
                assert "origin" in (await told.json())["detail"]
                assert not any(name.lower().startswith("access-control-") for name in told.headers)
        async with ingest.delete("/cleanup", headers=headers) as told:
            assert told.status == 403, page
    async with ingest.get("/health") as told:
        assert (await told.json())["entries"] == 0


async def test_programs_and_own_pages_change_things(ingest: Client) -> None:
    """What no browser sent, or the page of this very address did, is taken."""
    own = {"Origin": f"http://127.0.0.1:{ingest.port}"}
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, own):
        async with ingest.post("/ingest/single", json=entry(), headers=headers) as response:
            assert response.status == 200, headers


async def test_a_page_behind_a_proxy_is_the_own_one(start_ingest: Any, settings: Settings) -> None:
    """TLS before the service changes the scheme, and maybe the port, of what the browser calls the origin."""
    behind = msgspec.structs.replace(
        settings, allowed_hosts="tracehub.example", query_url="https://tracehub.example:8443/hub"
    )
    client: Client = await start_ingest(behind)
    for origin, host, status in (
        ("https://tracehub.example", "tracehub.example", 200),
        ("https://tracehub.example:443", "tracehub.example", 200),
        ("https://tracehub.example:8443", "tracehub.example", 200),
        ("https://tracehub.example:9443", "tracehub.example", 403),
        ("https://other.example", "tracehub.example", 403),
    ):
        headers = {"Host": host, "Origin": origin}
        async with client.post("/ingest/single", json=entry(), headers=headers) as response:
            assert response.status == status, origin


async def test_no_origin_may_read(ingest: Client, query: Client) -> None:
    """CORS is off: a preflight is refused, and no answer allows anything."""
    asked = {"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"}
    for client, path in ((ingest, "/ingest"), (query, "/recent"), (query, "/login")):
        async with client.options(path, headers=asked) as response:
            assert response.status == 405
            assert not any(name.lower().startswith("access-control-") for name in response.headers)
    async with query.get("/recent", headers={"Origin": "http://evil.example"}) as response:
        assert response.status == 200
        assert not any(name.lower().startswith("access-control-") for name in response.headers)


async def test_every_answer_tells_the_browser_what_to_refuse(ingest: Client, query: Client) -> None:
    """Pages, data, streams, refusals and redirects alike."""
    for client, path in (
        (query, "/"), (query, "/recent"), (query, "/stream?timeout=1"), (query, "/recent?limit=x"), (query, "/nowhere"),
        (query, "/ingest"), (ingest, "/health"), (ingest, "/metrics"), (ingest, "/recent"), (ingest, "/openapi.json"),
    ):  # fmt: skip
        async with client.get(path, allow_redirects=False) as response:
            headers = response.headers
            assert headers["X-Content-Type-Options"] == "nosniff", path
            assert headers["Referrer-Policy"] == "no-referrer"
            assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert headers["Server"] == "TraceHub"
            assert headers["Cache-Control"]
            policy = headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; ")
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
            assert ("script-src 'self'" in policy) == (path == "/")
    async with ingest.post("/ingest", data=b"{", headers={"Host": "evil.example"}) as response:
        assert (response.status, response.headers["X-Content-Type-Options"]) == (421, "nosniff")
