"""Both services as they run: two processes, one file, real HTTP."""

import asyncio
from typing import Any

import aiohttp
from conftest import Services, entry, events, payload


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
    await asyncio.sleep(1.0)
    services.kill("ingest_svc")
    await asyncio.gather(*writers)
    services.start("ingest_svc")
    stored: list[str] = []
    for writer in range(8):
        async with http.get(f"{services.query_url}/traces/w{writer}") as response:
            answer: dict[str, Any] = await response.json()
        stored += [trace["suffix"] for trace in answer["traces"]]
    assert len(acked) > 100
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
        async with http.get(f"{services.query_url}/stream?timeout=30", headers=headers) as response:
            seen = 0
            async for event in events(response):
                assert payload(event)["correlation_id"] == "chain"
                ids.append(int(event["id"]))
                seen += 1
                if seen == 400 or len(ids) == 3000:
                    break
    await pouring
    assert ids == list(range(1, 3001))
