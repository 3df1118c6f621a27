"""The ingest port: what it answers, and that it stored what it said and nothing else."""

import asyncio
import io
import json
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest
from aiohttp import ClientResponse
from conftest import Client, entry, until
from test_writer import checkpoint, rows

from ingest_svc.handlers import INTAKE
from shared.env import Settings
from shared.storage.writer import Writer

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


async def test_cleanup_of_a_locked_file_is_a_503_and_passes(start_ingest: Any, settings: Settings) -> None:
    """It does not say that all that was due is gone while another program holds the file."""
    with closing(Writer(settings.path, settings.retention_ms)) as writer:
        writer.write([[checkpoint(1)]], int(time.time() * 1000) - 25 * 3_600_000)
    client = await start_ingest(settings)
    with closing(sqlite3.connect(settings.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        async with client.delete("/cleanup") as response:
            assert "lock" in (await refused(response, 503))["detail"]
            assert int(response.headers["Retry-After"]) >= 1
        other.execute("ROLLBACK")
    async with client.delete("/cleanup") as response:
        assert response.status == 200
    assert count(settings) == 0


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
