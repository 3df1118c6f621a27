"""Files that somebody in a hurry puts in the place of others, or deletes: nothing is lost, and nothing gets mixed."""

import signal
import sqlite3
from contextlib import closing

import aiohttp
import pytest
from conftest import Services, entry, until
from hard.stage import connected

from shared.storage.snapshot import snapshot


async def store(services: Services, correlation_id: str) -> int:
    """Five hundred entries; gives the status."""
    async with connected(services.ingest_port) as ingest:
        return (await ingest.post([entry(correlation_id=correlation_id) for _ in range(500)])).status


@pytest.mark.parametrize(
    ("number", "querying"), [(0, True), (signal.SIGKILL, True), (signal.SIGKILL, False), (signal.SIGTERM, True)]
)
async def test_a_restored_snapshot_is_written_and_read(
    services: Services, http: aiohttp.ClientSession, number: int, querying: bool
) -> None:
    """Whether the ingest service goes on, was killed or stopped, and whatever it left beside the file."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    assert await store(services, "before") == 200
    copy = services.db.with_name("copy.db")
    assert snapshot(services.db, copy) == 500
    for _ in range(4):
        assert await store(services, "after") == 200
    if number:
        services.kill("ingest_svc", number)
    if not querying:
        services.kill("query_svc")
    copy.replace(services.db)
    if number:
        services.start("ingest_svc")
    if querying:
        await until(lambda: "another file now" in services.log("query_svc"))
    else:
        services.start("query_svc")

    async def is_stored() -> bool:
        return await store(services, "new") == 200

    await until(is_stored)

    async def counts() -> list[int]:
        found = []
        for name in ("before", "after", "new"):
            async with http.get(f"{services.query_url}/traces/{name}?limit=1") as response:
                found.append((await response.json()).get("count"))
        return found

    async def is_read() -> bool:
        return await counts() == [500, 0, 500]

    await until(is_read)
    with closing(sqlite3.connect(services.db)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("deleted", [["-wal"], ["-shm"], ["-wal", "-shm"]])
async def test_what_is_beside_the_file_may_be_deleted(
    services: Services, http: aiohttp.ClientSession, deleted: list[str]
) -> None:
    """What the WAL held is in the file, and both services go on with a new one."""
    for name in ("ingest_svc", "query_svc"):
        services.start(name)
    assert await store(services, "before") == 200
    for name in deleted:
        services.db.with_name(f"tracehub.db{name}").unlink()
    assert await store(services, "after") == 200

    async def is_read() -> bool:
        async with http.get(f"{services.query_url}/stats") as response:
            return bool((await response.json()).get("entries") == 1_000)

    await until(is_read)
    for name in ("ingest_svc", "query_svc"):
        services.kill(name)
    with closing(sqlite3.connect(services.db)) as db:
        assert db.execute("SELECT count(*) FROM entry").fetchall() == [(1_000,)]
