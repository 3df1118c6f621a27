"""An upgrade as services and their callers see it: told, interrupted, waited for."""

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import aiohttp
import pytest
from conftest import Services, entry, until
from earlier import earlier_file, old
from test_writer import rows

from shared.storage.sqlite import companions
from shared.storage.upgrade import needs_upgrade


async def health(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of /health."""
    async with http.get(f"{url}/health") as response:
        return response.status, await response.json()


def healthy(http: aiohttp.ClientSession, url: str) -> Callable[[], Any]:
    """A condition to wait for."""

    async def condition() -> bool:
        return (await health(http, url))[0] == 200

    return condition


TOTALS = (60_000, 300_000, 1_500_000)  # rows: a machine that is busy with others interrupts the upgrade of more


def make(services: Services, total: int) -> None:
    """A file of the earlier release with so many rows, in the place of what is there."""
    for file in (services.db, *companions(services.db), services.db.with_name("ingest_svc.log")):
        file.unlink(missing_ok=True)
    earlier_file(services.db, [old(n, data='{"a": NaN}' if n % 10 == 0 else None) for n in range(total)])


async def interrupted(services: Services, number: int) -> int | None:
    """End ingest in the middle of its upgrade; gives its exit code, None where it was through before."""
    beside = services.db.with_name("tracehub.db.upgrade")
    await until(lambda: beside.exists() or "upgraded" in services.log("ingest_svc"))
    code = services.kill("ingest_svc", number)
    return code if needs_upgrade(services.db) else None


async def test_it_is_interrupted_and_started_again(services: Services, http: aiohttp.ClientSession) -> None:
    """Killed on the way and started again, ingest answers 503 until it is done, and then nothing is missing."""
    make(services, 1)
    services.start("query_svc")
    assert (await health(http, services.query_url))[0] == 503
    for total in TOTALS:
        make(services, total)
        services.start("ingest_svc")
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
            refused = await response.json()
        unhealthy, _ = await health(http, services.ingest_url)
        if await interrupted(services, signal.SIGKILL) is not None:
            break
    assert needs_upgrade(services.db)
    assert (response.status, unhealthy) == (503, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert "upgrade" in refused["detail"]
    services.start("ingest_svc")
    await until(healthy(http, services.ingest_url))
    await until(healthy(http, services.query_url))
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 200
    assert rows(services.db, "SELECT count(*), count(DISTINCT correlation_id) FROM traces") == [(total + 1, 51)]
    async with http.get(f"{services.query_url}/traces/chain-10?limit=3") as response:
        answer = await response.json()
    assert answer["count"] == total / 50
    assert [trace["data"] for trace in answer["traces"]] == [{"_unparsed": '{"a": NaN}'}] * 3
    assert f"{total} entries" in services.log("ingest_svc")
    assert rows(services.db, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_past_retention_is_upgraded_and_then_cleaned(
    services: Services, http: aiohttp.ClientSession
) -> None:
    """What was due long ago is deleted by retention afterwards, the rest stays, and new entries get new ids."""
    long_ago, now = int(time.time()) - 90_000, int(time.time())
    times = [long_ago] * 3_000 + [now] * 10
    earlier_file(services.db, [old(n, created_at=at) for n, at in enumerate(times)])
    services.start("ingest_svc")
    await until(healthy(http, services.ingest_url))
    async with http.delete(f"{services.ingest_url}/cleanup") as response:
        assert await response.json() == {"deleted": 3_000}
    assert rows(services.db, "SELECT min(id), count(*) FROM entry") == [(3_001, 10)]


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_it_waits_for_whoever_holds_the_old_file(
    services: Services, http: aiohttp.ClientSession, lock: str
) -> None:
    """While another process keeps the old file locked, ingest answers 503 with the reason; then it upgrades."""
    earlier_file(services.db, [old(1)])
    with closing(sqlite3.connect(services.db, isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        services.start("ingest_svc")

        async def says_why() -> bool:
            return "lock" in (await health(http, services.ingest_url))[1]["detail"]

        await until(says_why)
        other.execute("ROLLBACK")
    await until(healthy(http, services.ingest_url))
    assert rows(services.db, "SELECT suffix FROM traces") == [("1",)]


async def test_damage_that_is_found_on_the_way_is_told(services: Services, http: aiohttp.ClientSession) -> None:
    """The service, which is up by then, says what is wrong, in its log as well, and goes on without the file."""
    earlier_file(services.db, [old(n) for n in range(5_000)])
    size = services.db.stat().st_size
    with services.db.open("r+b") as file:
        file.seek(size // 4 // 4096 * 4096)
        file.write(b"\xff" * (size // 2))
    services.start("ingest_svc")

    async def says_why() -> bool:
        return "is damaged or no database" in (await health(http, services.ingest_url))[1]["detail"]

    await until(says_why)
    await until(lambda: "is damaged or no database" in services.log("ingest_svc"))
    assert "writer process ended" not in services.log("ingest_svc")
    services.db.rename(services.db.with_name("damaged.db"))
    await until(healthy(http, services.ingest_url))


async def test_a_stop_does_not_wait_for_the_upgrade(services: Services) -> None:
    """SIGTERM in the middle of an upgrade ends the process, and the old file is whole."""
    for total in TOTALS:
        make(services, total)
        services.start("ingest_svc")
        if (code := await interrupted(services, signal.SIGTERM)) is not None:
            break
    assert code == 0
    assert rows(services.db, "SELECT count(*) FROM traces") == [(total,)]
