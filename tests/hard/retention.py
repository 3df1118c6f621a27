"""Old entries leave while new ones come in."""

import asyncio
import time
from contextlib import closing
from pathlib import Path

from conftest import Services

from hard.followers import follow, until_all
from hard.report import Report, Scale
from hard.stage import connected, latencies, percentile, started
from hard.truth import is_whole, rows
from shared.storage.writer import Writer
from shared.wire import Entry

PROMISE = (
    "While old entries are deleted, ingest's p99 at most doubles, plus 2 ms; pages return to the file system, "
    "summaries stay correct, and a stream that is resumed from before is told of the gap"
)
HOW = "A file of entries that are past retention and some that are not; a steady sender before and during the deletion"
DAY_MS = 86_400_000
YOUNG = 2_000


async def run(scale: Scale, report: Report) -> None:
    """Delete, and look at what is left."""
    old = scale.of(20_000, 1_000_000)
    with started() as services:
        await asyncio.to_thread(_fill, services.db, old, report)
        before_pages = _pages(services.db)
        for name in ("ingest_svc", "query_svc"):
            services.start(name)
        calm_ms, busy_ms = await _delete(services, old, scale, report)
        after_pages = _pages(services.db)
        ((oldest, newest),) = rows(services.db, "SELECT min(id), max(id) FROM entry")
        assert oldest == old + 1, f"the oldest entry is {oldest}, not {old + 1}"
        await _gap(services, oldest, newest)
        await asyncio.to_thread(is_whole, services.db)
    report.tried(old, "entries deleted")
    report.figure("calm_p99_ms", percentile(calm_ms, 99))
    report.figure("p99_during_deletion_ms", percentile(busy_ms, 99))
    report.figure("file_before_pages", before_pages)
    report.figure("file_after_pages", after_pages)
    assert after_pages < before_pages / 2, "the pages did not come back"
    allowed = 2 * percentile(calm_ms, 99) + 2
    assert scale.short or percentile(busy_ms, 99) <= allowed, (
        f"p99 was {percentile(busy_ms, 99):.1f} ms instead of {allowed:.1f} at most"
    )


def _pages(path: Path) -> int:
    return int(rows(path, "PRAGMA page_count")[0][0])


def _fill(path: Path, old: int, report: Report) -> None:
    """Entries that arrived 25 hours ago, and some of the same chains that arrived an hour ago."""
    now_ms = int(time.time() * 1000)
    with closing(Writer(path, DAY_MS, synced=False)) as writer:
        for start in range(0, old, 2_000):
            report.progress(start, old, "old entries made")
            arrived_ms = now_ms - DAY_MS - 3_600_000 + 1_800_000 * start // old
            writer.write([[_entry(number) for number in range(start, start + 2_000)]], arrived_ms)
        writer.write([[_entry(old + number) for number in range(YOUNG)]], now_ms - 3_600_000)


def _entry(number: int) -> Entry:
    chain = f"both-{number % 10}" if number % 100 == 0 else f"chain-{number // 10}"
    return Entry(
        source_id=f"S{number % 8}",
        correlation_id=chain,
        timestamp=1_700_000_000_000.0 + number,
        suffix=f"{number:x}",
        direction="<-" if number % 2 else "->",
        operation="REST",
        endpoint=f"/api/{number % 10 // 2}",
        data='{"user":123456,"note":"' + "x" * 60 + '"}',
    )


async def _delete(services: Services, old: int, scale: Scale, report: Report) -> tuple[list[float], list[float]]:
    """Milliseconds that posts took before and during the deletion."""
    calm_ms = await latencies(services.ingest_port, scale.of(1, 20), 0.005, size=10)
    busy_ms: list[float] = []
    begun = time.monotonic()
    async with connected(services.ingest_port) as connection:
        deletion = asyncio.create_task(connection.call("DELETE", "/cleanup"))
        while not deletion.done():
            report.progress(time.monotonic() - begun, 120, "seconds of deleting")
            busy_ms += await latencies(services.ingest_port, 0.2, 0.005, size=10)
        answer = deletion.result()
    assert (answer.status, answer.json) == (200, {"deleted": old}), answer
    report.figure("deleted_in_s", time.monotonic() - begun)
    return calm_ms, busy_ms


async def _gap(services: Services, oldest: int, newest: int) -> None:
    """Streams resumed in the middle of what is gone: of everything, and of a chain that lost entries."""
    for path in ("/traces/both-0/stream", "/stream?timeout=3600"):
        follower = await follow(services.query_port, path, last=oldest // 2)
        await until_all([follower], lambda one: one.gaps and one.ids)
        assert follower.gaps == [(oldest // 2 + 1, oldest - 1)], follower.gaps
        follower.transport.abort()
    assert follower.ids == list(range(oldest, oldest + len(follower.ids)))
    assert oldest <= newest
