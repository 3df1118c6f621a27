"""What a stream says of entries that are gone and of a file that is another one: gaps and resets."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from conftest import Client, Services, entry, events, payload, until
from patience import PATIENCE_S
from test_query import expire, get, post
from test_stream import FOREVER, ids, nobody_listens, stream, take

from query_svc.handlers import TAIL
from query_svc.long_entries import HELD_BYTES, LONG_ENTRIES
from shared.env import Settings
from shared.storage.snapshot import snapshot
from shared.storage.sqlite import companions


@pytest.mark.parametrize("path", ["/stream", "/traces/chain/stream"])
@pytest.mark.parametrize("beyond", [6, 10**17, 10**40])
async def test_an_id_beyond_the_newest_is_a_reset(ingest: Client, query: Client, path: str, beyond: int) -> None:
    """A client that knows ids of another file is told, and gets everything from the start, then what comes."""
    await post(ingest, *(entry() for _ in range(5)))
    async with stream(query, path, beyond) as resumed:
        (reset,) = await take(resumed, 1)
        assert (reset["event"], "id" in reset) == ("reset", False)
        assert ids(await take(resumed, 5)) == [1, 2, 3, 4, 5]
        await post(ingest, entry(correlation_id="chain"))
        assert ids(await take(resumed, 1)) == [6]


async def test_gaps(ingest: Client, query: Client) -> None:
    """Who comes back too late is told what is gone; who comes first is not."""
    await post(ingest, *(entry(correlation_id="both") for _ in range(10)))
    await post(ingest, entry(correlation_id="both"), entry(correlation_id="young"))
    await expire(ingest, 10)

    async def told(path: str, last_id: int, count: int, **filters: str) -> list[Any]:
        async with stream(query, path, last_id, **filters) as resumed:
            return [event.get("id") or (event["event"], payload(event)) for event in await take(resumed, count)]

    lost = ("gap", {"from": 4, "to": 10})
    assert await told("/stream", 3, 3) == [("gap", {"from": 4, "to": 10, "lost": 7}), "11", "12"]
    assert await told("/stream", 3, 3, source="MA") == [lost, "11", "12"]
    assert await told("/stream", 10, 2) == ["11", "12"]
    assert await told("/stream", 0, 2) == ["11", "12"]
    assert await told("/stream", 99, 3) == [("reset", {}), "11", "12"]
    assert await told("/traces/both/stream", 3, 2) == [lost, "11"]
    assert await told("/traces/both/stream", 0, 1) == ["11"]
    assert await told("/traces/young/stream", 3, 1) == ["12"]
    await expire(ingest, 2)
    async with stream(query, last_id=3) as resumed:
        assert payload((await take(resumed, 1))[0]) == {"from": 4, "to": 12, "lost": 9}
        await post(ingest, entry())
        assert ids(await take(resumed, 1)) == [13]


async def test_a_chain_that_went_and_began_again(ingest: Client, query: Client) -> None:
    """Whoever had the beginning of it is told that more may have come before it went."""
    await post(ingest, *(entry(correlation_id="again") for _ in range(5)), entry(correlation_id="other"))
    await expire(ingest, 6)
    await post(ingest, entry(correlation_id="again"))
    async with stream(query, "/traces/again/stream", 3) as resumed:
        gap, event = await take(resumed, 2)
        assert (gap["event"], payload(gap), event["id"]) == ("gap", {"from": 4, "to": 6}, "7")


async def test_a_stream_that_began_before_all_entries_is_told_of_gaps(ingest: Client, query: Client) -> None:
    """What goes before the tail sees it was meant for whoever was there, also where nothing had come yet."""
    tail = query.app[TAIL]
    async with stream(query, last_id=0) as following:
        await until(lambda: tail.subscribers == 1)
        async with tail._lock:  # the tail stands still while entries come and go
            await post(ingest, *(entry() for _ in range(3)))
            await expire(ingest, 3)
        await post(ingest, entry())
        gap, event = await take(following, 2)
        assert (gap["event"], payload(gap), event["id"]) == ("gap", {"from": 1, "to": 3, "lost": 3}, "4")


@pytest.mark.parametrize("last_id", [0, 1])
async def test_a_long_entry_that_expires_in_line_is_told(ingest: Client, query: Client, last_id: int) -> None:
    """While others are being sent long entries one may wait so long that it goes, and what came after it as well."""
    long = query.app[LONG_ENTRIES]
    await long._room(HELD_BYTES)
    await post(ingest, entry(), entry(data={"x": "x" * 300_000}))
    async with stream(query, last_id=last_id) as resumed:
        assert ids(await take(resumed, 1 - last_id)) == [1][last_id:]
        await until(lambda: long._line)
        await post(ingest, entry())
        await expire(ingest, 3)
        long._give_back(HELD_BYTES)
        gap, event = await take(resumed, 2)
        assert (gap["event"], payload(gap), event["id"]) == ("gap", {"from": 2, "to": 2, "lost": 1}, "3")
    await nobody_listens(query)
    assert long.held == 0


async def test_a_replaced_file_starts_over(
    start_ingest: Any, ingest: Client, query: Client, settings: Settings
) -> None:
    """Connected streams are told that the ids are new ones and get the new file from its start; answers are from it."""
    await post(ingest, *(entry() for _ in range(50)))
    fresh = msgspec.structs.replace(settings, db=f"{settings.db}.fresh")
    other: Client = await start_ingest(fresh)
    await post(other, *(entry(suffix=f"fresh-{n}") for n in range(80)))
    async with (
        stream(query, last_id=40) as everything,
        stream(query, "/traces/chain/stream") as one,
        stream(query, source="MA") as filtered,
        stream(query, "/traces/nobody/stream") as none,
    ):
        assert ids(await take(everything, 10)) == list(range(41, 51))
        await take(one, 50)
        await other.close()
        for suffix in ("-wal", "-shm"):
            settings.path.with_name(f"tracehub.db{suffix}").unlink()
        fresh.path.replace(settings.path)
        for following in (everything, one, filtered):
            (reset,) = await take(following, 1)
            assert reset == {"event": "reset", "data": "{}"}
            assert ids(await take(following, 80)) == list(range(1, 81))
        assert (await take(none, 1))[0]["event"] == "reset"
        assert (await get(query, "/traces/chain"))["traces"][0]["suffix"] == "fresh-0"
    await nobody_listens(query)


async def test_a_file_replaced_during_a_replay(
    start_ingest: Any, ingest: Client, query: Client, settings: Settings
) -> None:
    """A client in the middle of the old file is told of the new one, and misses nothing of that."""
    filler = "x" * 20_000
    for _ in range(40):
        await post(ingest, *(entry(data={"filler": filler}) for _ in range(20)))
    fresh = msgspec.structs.replace(settings, db=f"{settings.db}.fresh")
    other: Client = await start_ingest(fresh)
    await post(other, *(entry() for _ in range(500)))
    await other.close()
    async with query.get("/stream", params=FOREVER, headers={"Last-Event-ID": "0"}) as response:
        await until(lambda: query.app[TAIL].subscribers == 1)
        before = query.app[TAIL].reader
        for suffix in ("-wal", "-shm"):
            settings.path.with_name(f"tracehub.db{suffix}").unlink()
        fresh.path.replace(settings.path)
        await until(lambda: query.app[TAIL]._reader not in (None, before))
        following = events(response)
        old = 0
        while "event" not in (event := (await take(following, 1))[0]):
            old += 1
            assert int(event["id"]) == old
        assert event["event"] == "reset"
        assert ids(await take(following, 500)) == list(range(1, 501))
    assert old < 800


@pytest.mark.parametrize("put", [shutil.copyfile, shutil.move])
async def test_a_snapshot_put_in_place_beside_a_query_process(
    services: Services, http: aiohttp.ClientSession, put: Callable[[Path, Path], Any]
) -> None:
    """However it was put there, and however ingest had ended, ingest starts with it and streams start over."""
    services.start("ingest_svc")
    services.start("query_svc")
    copy = services.db.with_name("copy.db")

    async def is_stored() -> bool:
        async with http.post(f"{services.ingest_url}/ingest/single", json=entry()) as sent:
            return sent.status == 200

    for _ in range(3):
        assert await is_stored()
    snapshot(services.db, copy)
    for _ in range(4):
        assert await is_stored()
    async with http.get(f"{services.query_url}/stream?timeout=600", headers={"Last-Event-ID": "0"}) as response:
        following = events(response)
        assert ids(await take(following, 7)) == list(range(1, 8))
        services.kill("ingest_svc")  # its last commits stay in the WAL
        put(copy, services.db)
        await asyncio.sleep(1)  # query processes look
        for companion in companions(services.db):
            companion.unlink()
        services.start("ingest_svc")
        await until(is_stored)
        had: list[str | None] = []  # since it was last told to start over
        async with asyncio.timeout(PATIENCE_S):
            while had != ["1", "2", "3", "4"]:
                event = await anext(following)
                had = [] if event.get("event") == "reset" else [*had, event.get("id")]
