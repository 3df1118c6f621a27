"""The ingest port: what it answers, to whom, and that it stored what it said and nothing else."""

import asyncio
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
import test_inflate
from aiohttp import ClientResponse
from conftest import Client, entry, until
from test_writer import checkpoint, rows
from yarl import URL

from ingest_svc.handlers import INTAKE
from shared.env import Settings
from shared.storage.writer import Writer
from shared.wire import LIMITS

MIB = 2**20
JSON = {"Content-Type": "application/json"}


def batch(*entries: dict[str, Any]) -> io.BytesIO:
    """The body of a batch."""
    return io.BytesIO(json.dumps({"traces": entries}).encode())


async def post(client: Client, *entries: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    """The receipt of a batch."""
    as_json = {**JSON, **(headers or {})}
    async with client.post("/ingest", data=batch(*entries), headers=as_json) as response:
        assert response.status == 200, await response.text()
        return await response.json()


async def refused(response: ClientResponse, status: int) -> dict[str, Any]:
    """The answer to what was refused: JSON, and no stack trace in it."""
    text = await response.text()
    assert response.status == status, text
    assert response.content_type == "application/json"
    assert "Traceback" not in text
    assert 'File "' not in text
    problem: dict[str, Any] = json.loads(text)
    assert problem["detail"]
    return problem


def count(settings: Settings) -> int:
    """How many entries the file holds."""
    found: int = rows(settings.path, "SELECT count(*) FROM entry")[0][0]
    return found


async def test_a_batch_is_counted_exactly(ingest: Client) -> None:
    """Accepted, inserted and duplicates are those of the request, also within one batch."""
    a, b = entry(), entry()
    assert await post(ingest, a, b, a) == {"accepted": 3, "inserted": 2, "duplicates": 1}
    assert await post(ingest, a, b) == {"accepted": 2, "inserted": 0, "duplicates": 2}
    assert await post(ingest) == {"accepted": 0, "inserted": 0, "duplicates": 0}


async def test_requests_at_the_same_time_have_their_own_counts(ingest: Client, settings: Settings) -> None:
    """When many send the same entries at once, each entry is new to exactly one of them."""
    entries = [entry() for _ in range(50)]
    receipts = await asyncio.gather(*(post(ingest, *entries[n:], *entries[:n]) for n in range(0, 50, 5)))
    assert sum(receipt["inserted"] for receipt in receipts) == 50
    assert all(receipt["inserted"] + receipt["duplicates"] == 50 for receipt in receipts)
    assert count(settings) == 50


async def test_single_entries_say_whether_they_were_new(ingest: Client) -> None:
    """The same entry is inserted once, whatever the port it is sent to."""
    sent = entry()
    for expected in (True, False):
        async with ingest.post("/ingest/single", json=sent) as response:
            assert (response.status, await response.json()) == (200, {"inserted": expected})
    assert (await post(ingest, sent))["duplicates"] == 1


async def test_data_comes_back_as_it_came(ingest: Client, query: Client) -> None:
    """Any valid JSON object is given back to the letter, on one line."""
    texts = ['{"b":1,"a":1e400,"a":{}}', "{}", '{"n":12345678901234567890123,"s":"\\u0000 \u2028 😀"}', '{\n"x":\n[1]}']
    for text in texts:
        body = json.dumps(entry(correlation_id="a/b")).replace('"->"', f'"->", "data": {text}').encode()
        async with ingest.post("/ingest/single", data=body, headers=JSON) as response:
            assert response.status == 200
    async with query.get("/traces/a%2Fb") as response:
        answer = await response.text()
    for text in texts:
        assert f'"data":{text}'.replace("\n", "") in answer


async def test_timestamps_come_back_equal(ingest: Client, query: Client) -> None:
    """Fractions, zeros, and the largest numbers are the doubles that were sent."""
    sent = [-0.0, 1e-300, 0.1, 1700000000000.0625, float(2**53), 1e308]
    await post(ingest, *(entry(timestamp=timestamp) for timestamp in sent))
    async with query.get("/traces/chain") as response:
        assert [trace["timestamp"] for trace in (await response.json())["traces"]] == sent


PACK = {
    "json": lambda body: json.dumps(body).encode(),
    "msgpack": msgspec.msgpack.encode,
    "x-msgpack": msgspec.msgpack.encode,
}
COMPRESS: dict[str, Any] = {"": bytes, "identity": bytes, **test_inflate.PACK}


@pytest.mark.parametrize("encoding", COMPRESS)
@pytest.mark.parametrize("kind", PACK)
async def test_every_kind_of_body_is_the_same_entries(ingest: Client, query: Client, kind: str, encoding: str) -> None:
    """JSON and msgpack, plain and compressed, store the same."""
    sent = entry(data={"b": [1, 2.5, None], "a": "ü"}, hostname="h", raw_line="line")
    headers = {"Content-Type": f"application/{kind}; charset=utf-8", "Content-Encoding": encoding}
    async with ingest.post(
        "/ingest", data=COMPRESS[encoding](PACK[kind]({"traces": [sent]})), headers=headers
    ) as response:
        assert (response.status, (await response.json())["inserted"]) == (200, 1)
    async with query.get("/traces/chain") as response:
        assert (await response.json())["traces"] == [sent]


async def test_a_body_without_a_type_is_json(ingest: Client) -> None:
    """The header may be absent."""
    body = json.dumps({"traces": [entry()]}).encode()
    async with ingest.post("/ingest", data=body, skip_auto_headers=["Content-Type"]) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip, gzip"},
    ],
)
async def test_other_types_and_encodings_are_unsupported(ingest: Client, headers: dict[str, str]) -> None:
    """What nobody here reads is a 415."""
    async with ingest.post("/ingest", data=b"{}", headers=headers) as response:
        await refused(response, 415)


@pytest.mark.parametrize("path", ["/ingest", "/ingest/single"])
@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_garbage_that_claims_to_be_compressed_is_refused(ingest: Client, path: str, encoding: str) -> None:
    """A body that is not what its encoding says, or stops early, is a 400."""
    for body in (b"garbage", b"", COMPRESS[encoding](b'{"traces": []}')[:-3]):
        async with ingest.post(
            path, data=body, headers={"Content-Encoding": encoding, "Content-Type": "application/json"}
        ) as response:
            await refused(response, 400)


async def test_a_wrong_entry_spoils_its_batch_alone(ingest: Client, settings: Settings) -> None:
    """A batch is stored whole or not at all, and its neighbours in time are stored."""

    async def bad() -> dict[str, Any]:
        body = {"traces": [entry(), entry(), entry(suffix=7)]}
        async with ingest.post("/ingest", json=body) as response:
            return await refused(response, 400)

    problem, receipt, _ = await asyncio.gather(bad(), post(ingest, entry()), bad())
    assert problem["detail"] == "Expected `str`, got `int` - at `$.traces[2].suffix`"
    assert problem["path"] == "$.traces[2].suffix"
    assert receipt["inserted"] == 1
    assert count(settings) == 1


async def test_a_body_that_cannot_be_parsed_has_no_path(ingest: Client) -> None:
    """Where there is no structure there is no place in it."""
    async with ingest.post("/ingest", data=b'{"traces": [', headers=JSON) as response:
        assert "path" not in await refused(response, 400)


async def test_ten_thousand_entries_and_no_more(ingest: Client, settings: Settings) -> None:
    """A batch of 10,000 is stored, one of 10,001 is a 413 and stores nothing."""
    entries = [entry() for _ in range(LIMITS.entries + 1)]
    async with ingest.post("/ingest", data=batch(*entries), headers=JSON) as response:
        await refused(response, 413)
    assert count(settings) == 0
    assert (await post(ingest, *entries[1:]))["inserted"] == LIMITS.entries


async def test_a_body_of_exactly_the_limit_is_taken(start_ingest: Any, settings: Settings) -> None:
    """Sixteen megabytes or what is set, one byte more is a 413, packed or not."""
    client = await start_ingest(msgspec.structs.replace(settings, max_body_mb=1))
    smallest = json.dumps({"traces": [entry(raw_line="")]}).encode()
    for extra, status in ((0, 200), (1, 413)):
        body = smallest[:-4] + b"x" * (MIB - len(smallest) + extra) + smallest[-4:]
        for encoding in COMPRESS:
            headers = {"Content-Encoding": encoding, "Content-Type": "application/json"}
            async with client.post("/ingest", data=io.BytesIO(COMPRESS[encoding](body)), headers=headers) as response:
                assert response.status == status, await response.text()
    assert count(settings) == 1


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ingest", 405),
        ("PUT", "/ingest", 405),
        ("HEAD", "/ingest", 405),
        ("GET", "/cleanup", 405),
        ("POST", "/health", 405),
        ("POST", "/traces/x", 405),
        ("DELETE", "/correlations", 405),
        ("GET", "/nowhere", 404),
        ("POST", "/ingest/", 404),
        ("GET", "/traces/a/b", 404),
        ("GET", "/%ff%00%0a", 404),
    ],
)
async def test_wrong_methods_and_paths_are_told_in_json(ingest: Client, method: str, path: str, status: int) -> None:
    """A known path with the wrong method is a 405 that says which are right, an unknown one a 404."""
    async with ingest.request(method, path) as response:
        if method == "HEAD":
            assert response.status == status
        else:
            await refused(response, status)
        assert ("Allow" in response.headers) == (status == 405)


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


@pytest.mark.parametrize("path", QUERY_PATHS)
async def test_query_paths_lead_to_the_query_port(ingest: Client, path: str) -> None:
    """Every path of the query port is a 307 there, its quoting untouched, and says so to those who read it."""
    url = URL(f"http://{ingest.host}:{ingest.port}{path}", encoded=True)
    async with ingest.session.get(url, allow_redirects=False) as response:
        assert response.status == 307
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
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    writer.close()
    assert b"Location: http://localhost:8100/traces/a%2Fb?x=%41\r\n" in head


@pytest.fixture
def guarded(settings: Settings) -> Settings:
    """Settings with secrets on both ports, the senders' being rotated."""
    return msgspec.structs.replace(settings, secret="new, old ,", query_secret="reader")


CALLS = [("POST", "/ingest"), ("POST", "/ingest/single"), ("DELETE", "/cleanup"), ("GET", "/metrics")]


@pytest.mark.parametrize(("method", "path"), CALLS)
async def test_secrets_guard_every_call(start_ingest: Any, guarded: Settings, method: str, path: str) -> None:
    """No secret is a 401 that names the ways, a wrong one a 403; nothing of the body is looked at."""
    client = await start_ingest(guarded)
    async with client.request(method, path, data=b"garbage") as response:
        await refused(response, 401)
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for wrong in ("no", "new,old", "ne", "\u00e9", " ,"):
        async with client.request(method, path, headers={"X-TraceHub-Secret": wrong}) as response:
            await refused(response, 403)
    async with client.request(method, path, headers={"Authorization": "Bearer no"}) as response:
        await refused(response, 403)
    async with client.request(method, path, headers={"Authorization": "Basic bmV3"}) as response:
        await refused(response, 401)


@pytest.mark.parametrize(
    "headers",
    [
        {"X-TraceHub-Secret": "new"},
        {"X-TraceHub-Secret": "old"},
        {"Authorization": "Bearer new"},
        {"Authorization": "bearer old"},
    ],
)
async def test_any_of_the_secrets_opens(start_ingest: Any, guarded: Settings, headers: dict[str, str]) -> None:
    """Old and new secret are right while they are rotated, in either header."""
    client = await start_ingest(guarded)
    assert (await post(client, entry(), headers=headers))["inserted"] == 1
    async with client.delete("/cleanup", headers=headers) as response:
        assert await response.json() == {"deleted": 0}
    async with client.get("/metrics", headers=headers) as response:
        assert response.status == 200


async def test_the_readers_secret_reads_metrics_and_no_more(start_ingest: Any, guarded: Settings) -> None:
    """Whoever may read may scrape both ports, and not write."""
    client = await start_ingest(guarded)
    reader = {"X-TraceHub-Secret": "reader"}
    async with client.get("/metrics", headers=reader) as response:
        assert response.status == 200
    async with client.delete("/cleanup", headers=reader) as response:
        await refused(response, 403)


async def test_health_tells_strangers_only_its_status(start_ingest: Any, guarded: Settings) -> None:
    """Without the secret, or with a wrong one, /health is open and says nothing of the installation."""
    client = await start_ingest(guarded)
    for headers in ({}, {"X-TraceHub-Secret": "wrong"}, {"X-TraceHub-Secret": "reader"}):
        async with client.get("/health", headers=headers) as response:
            assert (response.status, await response.json()) == (200, {"status": "healthy"})
    async with client.get("/health", headers={"X-TraceHub-Secret": "new"}) as response:
        assert (await response.json())["db"] == guarded.db


async def test_health_says_what_is_there(ingest: Client, settings: Settings) -> None:
    """Healthy means that a write worked; the answer names the file and how long entries stay."""
    await post(ingest, entry(), entry())
    async with ingest.get("/health") as response:
        answer = await response.json()
    expected = {"status": "healthy", "service": "tracehub", "db": settings.db, "retention_hours": 24.0, "entries": 2}
    assert expected.items() <= answer.items()


async def test_a_locked_file_is_a_503_and_passes(ingest: Client, settings: Settings) -> None:
    """While another program holds the file, writes and health say so; afterwards everything is as before."""
    with closing(sqlite3.connect(settings.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with ingest.post("/ingest", json={"traces": [entry()]}) as response:
            assert "lock" in (await refused(response, 503))["detail"]
            assert int(response.headers["Retry-After"]) >= 1
        async with ingest.get("/health") as response:
            answer = await response.json()
            assert (response.status, answer["status"]) == (503, "unhealthy")
            assert "lock" in answer["detail"]
        other.execute("ROLLBACK")
    assert (await post(ingest, entry()))["inserted"] == 1
    async with ingest.get("/health") as response:
        assert response.status == 200
    assert count(settings) == 1


async def test_no_stack_trace_reaches_a_client(ingest: Client, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody foresaw is a 500 in JSON; the log has the rest, and the service goes on."""

    ingest.app[INTAKE]._passing = None  # type: ignore[assignment]
    for headers in ({}, {"Connection": "close"}):
        caplog.clear()
        async with ingest.post("/ingest", json={"traces": [entry()]}, headers=headers) as response:
            await refused(response, 500)
        assert "Traceback" in caplog.text
    ingest.app[INTAKE]._passing = 0
    assert (await post(ingest, entry()))["inserted"] == 1


async def test_cleanup_deletes_what_is_past_retention(start_ingest: Any, settings: Settings) -> None:
    """DELETE /cleanup answers when what is due is gone, counts it, and leaves the rest."""
    day_ago_ms = int(time.time() * 1000) - 25 * 3_600_000
    with closing(Writer(settings.path, settings.retention_ms)) as writer:
        writer.write([[checkpoint(number, correlation_id="old") for number in range(1_200)]], day_ago_ms)
    client = await start_ingest(settings)
    await post(client, entry(), entry())
    async with client.delete("/cleanup") as response:
        assert (response.status, await response.json()) == (200, {"deleted": 1_200})
    async with client.delete("/cleanup") as response:
        assert await response.json() == {"deleted": 0}
    assert rows(settings.path, "SELECT correlation_id, entries FROM chain") == [("chain", 2)]


async def test_metrics_count_what_happened(ingest: Client) -> None:
    """Counters and gauges are in Prometheus text, and true."""
    a = entry()
    await post(ingest, a, entry())
    await post(ingest, a)
    async with ingest.get("/metrics") as response:
        assert response.content_type == "text/plain"
        lines = (await response.text()).splitlines()
    values = dict(line.split() for line in lines if not line.startswith("#"))
    assert values["tracehub_entries_inserted_total"] == "2"
    assert values["tracehub_entries_duplicate_total"] == "1"
    assert values["tracehub_queue_bytes"] == "0"
    assert float(values["tracehub_db_bytes"]) > 0
    assert {f"# TYPE {name}" for name in values} <= {line.rsplit(" ", 1)[0] for line in lines}


async def test_a_client_that_leaves_after_its_body_is_stored_all_the_same(ingest: Client, settings: Settings) -> None:
    """A commit is not torn by a client that does not wait for its answer."""
    body = json.dumps({"traces": [entry() for _ in range(500)]}).encode()
    _, writer = await asyncio.open_connection(ingest.host, ingest.port)
    writer.write(b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await writer.drain()
    writer.close()
    await until(lambda: count(settings) == 500)
    await until(lambda: ingest.app[INTAKE].held == 0)  # the file has it a moment before


async def test_openapi_is_served_here_too(ingest: Client) -> None:
    """The document that describes the calls is on both ports and open."""
    async with ingest.get("/openapi.json") as response:
        assert (await response.json())["openapi"].startswith("3.1")


@pytest.mark.parametrize("secret", ["", " , "])
def test_an_open_address_needs_a_secret(tmp_path: Path, secret: str) -> None:
    """On an address that others reach, a service without a secret, or with commas for one, does not start."""
    environ = {**os.environ, "TRACEHUB_SECRET": secret, "TRACEHUB_DB": str(tmp_path / "tracehub.db")}
    command = [sys.executable, "-m", "ingest_svc", "--host", "0.0.0.0", "--port", "0"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=20, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert "TRACEHUB_SECRET" in ended.stderr


async def test_the_limits_of_a_body_are_settings(start_ingest: Any, settings: Settings) -> None:
    """Entries in a batch and levels of nesting are refused past what the operator allows."""
    client = await start_ingest(msgspec.structs.replace(settings, max_entries=2, max_depth=3))
    for traces, status in (
        ([entry(), entry()], 200),
        ([entry(), entry(), entry()], 413),
        ([entry(data={"a": [[]]})], 200),
        ([entry(data={"a": [[[]]]})], 400),
    ):
        async with client.post("/ingest", json={"traces": traces}) as response:
            assert response.status == status, await response.text()
