"""Readers of a huge chain, while entries come in."""

import asyncio
import itertools
import socket
from collections.abc import Iterator

from conftest import Services, entry, until

from hard.followers import stuck
from hard.report import Report, Scale
from hard.stage import beside, connected, started
from hard.truth import is_whole
from shared.storage.sqlite import CHECKPOINT_PAGES, PAGE_BYTES, WAL_LIMIT, companions

PROMISE = "The WAL stays within its limit, however slowly clients read"
HOW = "Readers of all of a huge chain, over and over, slow ones and streams from the start that are never read; writers"
ALLOWED = WAL_LIMIT + CHECKPOINT_PAGES * PAGE_BYTES
BATCH = 500


async def run(scale: Scale, report: Report) -> None:
    """Make the chain, read it, write."""
    size, seconds = scale.of((4_000, 1), (200_000, 60))
    pages = itertools.count()
    sizes: list[int] = []
    with started("ingest_svc", "query_svc", TRACEHUB_QUERY_RATE="0") as services:
        await _make_chain(services, size, report)
        slow: list[socket.socket] = []
        for _ in range(10):
            slow += [stuck(services.query_port, "/traces/chain"), stuck(services.query_port)]
        readers = [_read(services, limit, pages) for limit in (1_000, 50_000)]
        async with beside(*readers, *(_write(services, sizes) for _ in range(2))):
            for second in range(seconds):
                report.progress(second, seconds, "seconds")
                await asyncio.sleep(1)
            await until(lambda: len(sizes) > seconds)
        for client in slow:
            client.close()
        assert max(sizes) <= ALLOWED, f"the WAL grew to {max(sizes) / 2**20:.0f} MB"
        await asyncio.to_thread(is_whole, services.db)
    report.tried(next(pages), "pages read")
    report.figure("entries_written", BATCH * len(sizes))
    report.figure("wal_max_mb", max(sizes) / 2**20)


async def _make_chain(services: Services, size: int, report: Report) -> None:
    async with connected(services.ingest_port) as connection:
        for number in range(size // 2_000):
            report.progress(number * 2_000, size, "entries of the chain")
            assert (await connection.post([entry(data={"x": "y" * 100}) for _ in range(2_000)])).status == 200


async def _read(services: Services, limit: int, pages: Iterator[int]) -> None:
    """All of the chain, over and over; each page counts."""
    async with connected(services.query_port) as connection:
        while True:
            after = ""
            while after is not None:
                answer = await connection.get(f"/traces/chain?limit={limit}&after={after}")
                if answer.status == 503:  # those that are never read hold all the room for answers
                    await asyncio.sleep(int(answer.headers["retry-after"]))
                    continue
                assert answer.status == 200, answer
                after = answer.json["next"]
                next(pages)


async def _write(services: Services, sizes: list[int]) -> None:
    """Batch after batch; the size of the WAL behind each."""
    wal = companions(services.db)[0]
    async with connected(services.ingest_port) as connection:
        for number in itertools.count():
            batch = [entry(correlation_id=f"{number}-{n % 50}", data={"x": "y" * 500}) for n in range(BATCH)]
            assert (await connection.post(batch)).status == 200
            sizes.append(wal.stat().st_size)
