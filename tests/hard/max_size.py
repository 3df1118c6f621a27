"""A file that may not grow beyond its limit."""

import asyncio
import itertools
import time
from pathlib import Path

from conftest import Services, entry

from hard.followers import follow, until_all
from hard.report import Report, Scale
from hard.stage import beside, connected, latencies, percentile, started
from hard.truth import is_whole, rows

PROMISE = (
    "With TRACEHUB_MAX_DB_MB the oldest entries make room for new ones: under steady load the file stays within the "
    "limit and ingest's p99 at most doubles, plus 2 ms; summaries stay correct, and a stream that is resumed "
    "from before is told of the gap"
)
HOW = (
    "A steady sender before and after the file has reached its limit; in between and at the end senders without a "
    "pause, whose entries have a chain and an endpoint each"
)
SENT_BYTES = 500
PAUSE_S = 0.005
EXCESS = 1.03  # what comes in before retention looks


async def run(scale: Scale, report: Report) -> None:
    """Below the limit, at it, flat out."""
    limit_mb, seconds = scale.of(2, 100), scale.of(1, 60)
    with started("ingest_svc", "query_svc", TRACEHUB_MAX_DB_MB=str(limit_mb)) as services:
        calm_ms = await latencies(services.ingest_port, scale.of(0.5, 20), PAUSE_S, size=10)
        sizes_mb: list[float] = []
        async with beside(*(_flood(services, sender) for sender in range(4))):
            await _until_at_the_limit(services, limit_mb)
        async with beside(_watch(services.db, sizes_mb), _progress(report, seconds)):
            await asyncio.sleep(scale.of(0.5, 3))  # retention catches up with the flood
            sizes_mb.clear()
            busy_ms = await latencies(services.ingest_port, seconds, PAUSE_S, size=10)
        steady_mb, most = max(sizes_mb), []
        async with beside(*(_flood(services, sender) for sender in range(4)), _watch(services.db, most)):
            await asyncio.sleep(seconds / 2)
        await _look(services, limit_mb)
    report.tried(seconds, "seconds at the limit under steady load")
    report.figure("limit_mb", limit_mb)
    report.figure("file_max_mb_under_steady_load", steady_mb)
    report.figure("file_max_mb_flat_out", max(most))
    report.figure("calm_p99_ms", percentile(calm_ms, 99))
    report.figure("p99_at_the_limit_ms", percentile(busy_ms, 99))
    allowed_mb = limit_mb * EXCESS
    assert scale.short or steady_mb <= allowed_mb, (
        f"the file had {steady_mb:.1f} MB instead of {allowed_mb:.1f} at most"
    )
    allowed = 2 * percentile(calm_ms, 99) + 2
    assert scale.short or percentile(busy_ms, 99) <= allowed, (
        f"p99 was {percentile(busy_ms, 99):.1f} ms instead of {allowed:.1f} at most"
    )


async def _flood(services: Services, sender: int) -> None:
    async with connected(services.ingest_port) as connection:
        for number in itertools.count():
            names = [f"{sender}-{number}-{n}" for n in range(50)]
            batch = [entry(correlation_id=name, endpoint=f"/{name}", data={"x": "y" * SENT_BYTES}) for name in names]
            assert (await connection.post(batch)).status == 200


async def _until_at_the_limit(services: Services, limit_mb: int) -> None:
    begun = time.monotonic()
    while not rows(services.db, "SELECT min(id) > 1 FROM entry")[0][0]:
        assert time.monotonic() - begun < 120, f"nothing was deleted: the file has {_size_mb(services.db):.1f} MB"
        await asyncio.sleep(0.1)


async def _watch(path: Path, sizes_mb: list[float]) -> None:
    while True:
        sizes_mb.append(_size_mb(path))
        await asyncio.sleep(0.1)


async def _progress(report: Report, seconds: float) -> None:
    for second in itertools.count():
        report.progress(second, seconds, "seconds at the limit")
        await asyncio.sleep(1)


def _size_mb(path: Path) -> float:
    return path.stat().st_size / 2**20


async def _look(services: Services, limit_mb: int) -> None:
    """After a cleanup: the newest are left, no more than had to be is gone, a stream is told."""
    async with connected(services.ingest_port) as connection:
        assert (await connection.call("DELETE", "/cleanup")).status == 200
    ((oldest, newest, count),) = rows(services.db, "SELECT min(id), max(id), count(*) FROM entry")
    assert count == newest - oldest + 1
    size_mb = int(rows(services.db, "PRAGMA page_count")[0][0]) * 4_096 / 2**20
    assert limit_mb / 2 < size_mb <= limit_mb, f"after a cleanup the file has {size_mb:.1f} MB, the limit is {limit_mb}"
    follower = await follow(services.query_port, "/stream?timeout=3600", last=10)
    await until_all([follower], lambda one: one.gaps and one.ids)
    follower.transport.abort()
    assert follower.gaps == [(11, oldest - 1)], follower.gaps
    await asyncio.to_thread(is_whole, services.db)
