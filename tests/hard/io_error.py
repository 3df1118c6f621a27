"""A disk that fails at the moment of the sync."""

import asyncio
import time

from conftest import entry
from patience import PATIENCE_S

from hard.report import Report, Scale
from hard.stage import Connection, connected
from hard.trouble import Trouble, troubled
from hard.truth import is_whole, rows

PROMISE = (
    "What could not be synced is not acknowledged: senders get no 200 and health says 503 until the file has been "
    "opened anew"
)
HOW = "fsync and fdatasync of the database file and its WAL fail with EIO for a while, again and again"


async def run(scale: Scale, report: Report) -> None:
    """Fail, ask, recover; with readers that keep the file open, and without."""
    faults = scale.of(2, 40)
    waits_ms: list[float] = []
    for names in (("ingest_svc", "query_svc"), ("ingest_svc",)):
        with troubled(*names) as (services, trouble):
            async with connected(services.ingest_port) as connection:
                acked = await _fail(connection, trouble, faults // 2, report, waits_ms)
            found = [suffix for (suffix,) in rows(services.db, "SELECT suffix FROM traces")]
            assert len(found) == len(set(found)), "an entry is there twice"
            assert set(acked) <= set(found), "acknowledged entries are gone"
            assert set(found) <= set(acked), f"{len(set(found) - set(acked))} refused entries are there all the same"
            await asyncio.to_thread(is_whole, services.db)
            assert "Traceback" not in services.log("ingest_svc")
    report.tried(faults, "faults")
    report.figure("works_again_max_ms", max(waits_ms))


async def _fail(
    connection: Connection, trouble: Trouble, faults: int, report: Report, waits_ms: list[float]
) -> list[str]:
    """Post before, during and after each fault; returns what was acknowledged."""
    acked: list[str] = []

    async def post(name: str, size: int) -> int:
        names = [f"{name}-{place}" for place in range(size)]
        answer = await connection.post([entry(suffix=suffix) for suffix in names])
        if answer.status == 200:
            acked.extend(names)
        else:
            assert int(answer.headers["retry-after"]) > 0, answer
        return answer.status

    for fault in range(faults):
        report.progress(fault, faults, "faults")
        assert await post(f"{fault} before", 5) == 200
        trouble.syncs_fail(True)
        for number in range(1 + fault % 20):
            assert await post(f"{fault} {number}", 5 + 400 * (fault % 3)) == 503, "acknowledged without a sync"
        health = await connection.get("/health")
        assert health.status == 503, health
        assert health.json["detail"], "health does not say why"
        trouble.syncs_fail(False)
        waits_ms.append(await _until_it_works(connection))
    return acked


async def _until_it_works(connection: Connection) -> float:
    begun = time.monotonic()
    while (await connection.get("/health")).status != 200:
        assert time.monotonic() - begun < PATIENCE_S, "the disk is sound again, and health is not"
        await asyncio.sleep(0.05)
    return (time.monotonic() - begun) * 1000
