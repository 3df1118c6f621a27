"""Both services as they run: two processes, one file, real HTTP."""

import asyncio
import contextlib
import gzip
import json
import signal
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
from conftest import Services, entry, events, payload, until
from patience import PATIENCE_S


async def test_an_acked_entry_is_visible_at_once(services: Services, http: aiohttp.ClientSession) -> None:
    """What the ingest port acknowledged, the query port gives back from that moment."""
    services.start("ingest_svc")
    services.start("query_svc")
    for number in range(50):
        sent = entry(correlation_id=f"chain/{number}", data={"n": number})
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [sent]}) as response:
            assert response.status == 200, await response.text()
        async with http.get(f"{services.query_url}/traces/chain%2F{number}") as response:
            answer = await response.json()
        assert [trace["timestamp"] for trace in answer["traces"]] == [sent["timestamp"]]
        assert answer["traces"][0]["data"] == {"n": number}


async def test_kill_9_of_ingest_loses_nothing_acked(services: Services, http: aiohttp.ClientSession) -> None:
    """An acked entry survives kill -9 of the ingest process, and is there once."""
    services.start("ingest_svc")
    services.start("query_svc")
    acked: set[str] = set()

    async def write(writer: int) -> None:
        number = 0
        while True:
            batch = [entry(correlation_id=f"w{writer}", suffix=f"{writer}-{number + n}") for n in range(20)]
            try:
                async with http.post(f"{services.ingest_url}/ingest", json={"traces": batch}) as response:
                    if response.status == 200:
                        acked.update(sent["suffix"] for sent in batch)
            except aiohttp.ClientError:
                return
            number += 20

    writers = [asyncio.create_task(write(writer)) for writer in range(8)]
    await until(lambda: len(acked) > 1_000)
    services.kill("ingest_svc")
    await asyncio.gather(*writers)
    services.start("ingest_svc")
    stored: list[str] = []
    for writer in range(8):
        async with http.get(f"{services.query_url}/traces/w{writer}") as response:
            answer: dict[str, Any] = await response.json()
        stored += [trace["suffix"] for trace in answer["traces"]]
    assert acked <= set(stored)
    assert len(stored) == len(set(stored))


async def test_a_resumed_stream_misses_and_repeats_nothing(services: Services, http: aiohttp.ClientSession) -> None:
    """A client that comes back with Last-Event-ID while entries pour in has every id once, in order."""
    services.start("ingest_svc")
    services.start("query_svc")

    async def pour() -> None:
        for _ in range(300):
            async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry() for _ in range(10)]}):
                pass

    pouring = asyncio.create_task(pour())
    ids: list[int] = []
    while len(ids) < 3000:
        headers = {"Last-Event-ID": str(ids[-1])} if ids else {"Last-Event-ID": "0"}
        async with http.get(f"{services.query_url}/stream?timeout=600", headers=headers) as response:
            seen = 0
            async for event in events(response):
                assert payload(event)["correlation_id"] == "chain"
                ids.append(int(event["id"]))
                seen += 1
                if seen == 400 or len(ids) == 3000:
                    break
    await pouring
    assert ids == list(range(1, 3001))


async def test_each_goes_on_while_the_other_is_down(services: Services, http: aiohttp.ClientSession) -> None:
    """Entries are taken in without a query process, and read without an ingest process."""
    services.start("ingest_svc")
    for _ in range(20):
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
            assert response.status == 200
    services.start("query_svc")
    assert services.kill("ingest_svc", signal.SIGTERM) == 0
    async with http.get(f"{services.query_url}/traces/chain") as response:
        assert (await response.json())["count"] == 20
    async with http.get(f"{services.query_url}/stream?timeout=600", headers={"Last-Event-ID": "18"}) as response:
        following = events(response)
        assert [(await anext(following))["id"] for _ in range(2)] == ["19", "20"]
        services.start("ingest_svc")
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}):
            pass
        assert (await anext(following))["id"] == "21"
        services.kill("query_svc")
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert (await response.json())["inserted"] == 1
    services.start("query_svc")
    async with http.get(f"{services.query_url}/stream?timeout=600", headers={"Last-Event-ID": "20"}) as response:
        following = events(response)
        assert [(await anext(following))["id"] for _ in range(2)] == ["21", "22"]


async def test_query_first(services: Services, http: aiohttp.ClientSession) -> None:
    """Started before there is a file, the query process waits for it; a stream opened on the empty file gets all."""
    services.start("query_svc")
    async with http.get(f"{services.query_url}/stream") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "1")
    services.start("ingest_svc")

    async def is_open() -> bool:
        async with http.get(f"{services.query_url}/health") as response:
            return response.status == 200

    await until(is_open)
    async with (
        http.get(f"{services.query_url}/stream?timeout=600") as all_chains,
        http.get(f"{services.query_url}/traces/chain/stream?timeout=600") as one_chain,
    ):
        await all_chains.content.readuntil(b"\n\n")
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry(), entry()]}):
            pass
        for response in (all_chains, one_chain):
            following = events(response)
            assert [(await anext(following))["id"] for _ in range(2)] == ["1", "2"]


async def test_several_query_processes_on_one_file(services: Services, http: aiohttp.ClientSession) -> None:
    """Each shows everything, live and stored, and the end of one is nothing to the others."""
    more = [Services(services.db, processes=services.processes) for _ in range(2)]
    services.start("ingest_svc")
    urls = []
    for number, each in enumerate((services, *more)):
        each.start("query_svc")
        services.processes[f"query_svc {number}"] = services.processes.pop("query_svc")
        urls.append(each.query_url)
    async with contextlib.AsyncExitStack() as stack:
        streams = []
        for url in urls:
            response = await stack.enter_async_context(http.get(f"{url}/stream?timeout=600"))
            await response.content.readuntil(b"\n\n")
            streams.append(events(response))
        for number in range(1, 101):
            async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}):
                pass
            if number == 50:
                services.kill("query_svc 2")
                streams.pop()
            for following in streams:
                assert (await anext(following))["id"] == str(number)
    for url in urls[:2]:
        async with http.get(f"{url}/traces/chain") as response:
            assert (await response.json())["count"] == 100


async def test_sigterm_ends_streams_within_seconds(services: Services, http: aiohttp.ClientSession) -> None:
    """Clients of a query process that stops see a clean end of the body, also while somebody does not read."""
    services.start("ingest_svc")
    services.start("query_svc")
    for _ in range(30):
        batch = [entry(data={"filler": "x" * 10_000}) for _ in range(50)]
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": batch}):
            pass

    async def all_wait() -> bool:
        async with http.get(f"{services.query_url}/stats") as response:
            return bool((await response.json())["subscribers"] == 3)

    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", services.query_port))
        stuck.sendall(b"GET /stream?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with http.get(f"{services.query_url}/stream?timeout=600") as response:
            await response.content.readuntil(b"\n\n")
            waiting = asyncio.create_task(http.get(f"{services.query_url}/traces/x", headers={"Prefer": "wait=60"}))
            await until(all_wait)
            async with asyncio.timeout(PATIENCE_S):
                assert await asyncio.to_thread(services.kill, "query_svc", signal.SIGTERM) == 0
                assert await response.read() == b""
                async with await waiting as answer:
                    assert (await answer.json())["traces"] == []
    assert "Traceback" not in services.log("query_svc")


async def test_a_reader_that_never_reads_costs_little(services: Services, http: aiohttp.ClientSession) -> None:
    """Fifty megabytes pour past twenty stuck readers; the query process stays small and others get all in time."""
    services.start("ingest_svc")
    services.start("query_svc")

    async def memory() -> int:
        async with http.get(f"{services.query_url}/stats") as response:
            stats: dict[str, int] = await response.json()
            return stats["memory_bytes"]

    before = await memory()
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            stuck = stack.enter_context(socket.socket())
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.connect(("127.0.0.1", services.query_port))
            stuck.sendall(b"GET /stream?last_event_id=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with http.get(f"{services.query_url}/stream?timeout=600") as response:
            await response.content.readuntil(b"\n\n")
            following = events(response)
            for _ in range(50):
                batch = [entry(data={"filler": "x" * 10_000}) for _ in range(100)]
                async with http.post(f"{services.ingest_url}/ingest", json={"traces": batch}):
                    pass
                for _ in batch:
                    last = await anext(following)
        assert last["id"] == "5000"
        assert await memory() - before < 120 * 2**20  # of which some are pages of the file that is mapped


DATA = Path(__file__).parents[2] / "shared" / "data" / "boutique-cpu-contention.ndjson.gz"


@pytest.mark.skipif(not DATA.exists(), reason="the recorded data is not here")
async def test_recorded_data_comes_out_as_it_went_in(services: Services, http: aiohttp.ClientSession) -> None:
    """46,038 entries of 497 chains: each once on the stream, each chain whole and in order, each summary true."""
    services.start("ingest_svc")
    services.start("query_svc")
    lines = await asyncio.to_thread(lambda: gzip.decompress(DATA.read_bytes()).splitlines())
    sent = [json.loads(line) for line in lines]

    async def feed() -> int:
        inserted = 0
        for start in range(0, len(lines), 500):
            body = b'{"traces":[' + b",".join(lines[start : start + 500]) + b"]}"
            headers = {"Content-Type": "application/json"}
            async with http.post(f"{services.ingest_url}/ingest", data=body, headers=headers) as response:
                inserted += (await response.json())["inserted"]
        return inserted

    async with http.get(f"{services.query_url}/stream?timeout=600") as response:
        await response.content.readuntil(b"\n\n")
        feeding = asyncio.create_task(feed())
        following = events(response)
        ids = [int((await anext(following))["id"]) for _ in range(len(sent))]
    assert ids == list(range(1, 46_039))
    assert (await feeding, await feed()) == (46_038, 0)
    chains: dict[str, list[dict[str, Any]]] = {}
    for one in sent:
        chains.setdefault(one["correlation_id"], []).append(one)
    async with http.get(f"{services.query_url}/correlations?limit=1000") as response:
        summaries = {one["correlation_id"]: one for one in (await response.json())["correlations"]}
    assert len(summaries) == len(chains) == 497
    for correlation_id, entries in chains.items():
        async with http.get(f"{services.query_url}/traces/{quote(correlation_id, safe='')}") as response:
            answer = await response.json()
        entries.sort(key=lambda one: one["timestamp"])
        assert answer["traces"] == [{"data": None, "hostname": "unknown", "raw_line": None, **one} for one in entries]
        summary = summaries[correlation_id]
        stamps = [one["timestamp"] for one in entries]
        assert (summary["trace_count"], summary["first_ts"], summary["last_ts"]) == (
            len(entries), stamps[0], stamps[-1],
        )  # fmt: skip
        assert sorted(summary["sources"]) == sorted({one["source_id"] for one in entries})


async def test_a_bad_file_in_place_of_the_good_one(services: Services, http: aiohttp.ClientSession) -> None:
    """Every answer says what is wrong with it and what to do, the second as the first; the good one is taken again."""
    services.start("ingest_svc")
    companions = [services.db.with_name(f"tracehub.db{ending}") for ending in ("", "-wal", "-shm")]
    good = services.db.parent / "good"
    good.mkdir()

    async def post() -> tuple[int, str]:
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
            return response.status, await response.text()

    assert (await post())[0] == 200
    for file in companions:
        file.rename(good / file.name)
    services.db.write_bytes(b"This is no database at all. " * 100)
    for _ in range(5):
        status, answer = await post()
        assert status == 503
        assert "restore a snapshot" in answer
    for file in companions:
        if (good / file.name).exists():
            (good / file.name).replace(file)

    async def is_stored() -> bool:
        return (await post())[0] == 200

    await until(is_stored)
