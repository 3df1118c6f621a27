"""A disk without room."""

import asyncio
import contextlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from conftest import Services, entry

from hard.report import NotHere, Report, Scale
from hard.stage import beside, connected, memory_mb, percentile, started
from hard.trouble import troubled
from hard.truth import is_whole, rows

PROMISE = (
    "On a full disk writers get 507 within a second, memory stays flat, reading goes on, and with room writing goes on "
    "by itself"
)
HOW = "A small tmpfs that entries fill and that is made larger; where none can be mounted, writes that find no room"
WRITERS = 4
FILLER = "x" * 2_000


async def run(scale: Scale, report: Report) -> None:
    """Fill, stay full for a while, make room."""
    try:
        with _small_disk() as (services, grow):
            await _try(services, grow, scale, report)
        report.figure("disk", "tmpfs")
    except NotHere:
        with troubled("ingest_svc", "query_svc") as (services, trouble):
            asyncio.get_running_loop().call_later(0.5, trouble.disk_is_full, True)
            await _try(services, lambda: trouble.disk_is_full(False), scale, report)
        report.figure("disk", "simulated")
    report.tried(1, "full disk")


@contextlib.contextmanager
def _small_disk() -> Iterator[tuple[Services, Callable[[], None]]]:
    with started() as services:
        place = services.db.parent
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", place], capture_output=True, check=False
        )
        if mounted.returncode:
            raise NotHere("a tmpfs cannot be mounted")
        try:
            for name in ("ingest_svc", "query_svc"):
                services.start(name)
            yield services, lambda: _grow(place)
        finally:
            for process in services.processes.values():
                process.kill()
                process.wait()
            subprocess.run(["umount", place], check=True)


def _grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", place], check=True)


async def _try(services: Services, grow: Callable[[], None], scale: Scale, report: Report) -> None:
    acked: set[str] = set()
    refusals_ms: list[float] = []
    is_full = asyncio.Event()

    async def write(writer: int) -> None:
        async with connected(services.ingest_port) as connection:
            for number in itertools.count():
                names = [f"{writer}-{number}-{place}" for place in range(10)]
                begun = time.perf_counter()
                answer = await connection.post([entry(suffix=name, data={"filler": FILLER}) for name in names])
                took = (time.perf_counter() - begun) * 1000
                assert answer.status in (200, 507), answer
                if answer.status == 200:
                    acked.update(names)
                    continue
                assert int(answer.headers["retry-after"]) > 0
                assert b"no room" in answer.body
                is_full.set()
                refusals_ms.append(took)
                await asyncio.sleep(0.05)

    async def read() -> None:
        async with connected(services.query_port) as connection:
            while True:
                for path in ("/traces/chain?limit=10", "/correlations", "/health", "/recent"):
                    answer = await connection.get(path)
                    assert answer.status == 200, (path, answer)
                await asyncio.sleep(0.05)

    async with beside(*(write(number) for number in range(WRITERS)), read()):
        await asyncio.wait_for(is_full.wait(), 60)
        await asyncio.sleep(1)
        pids = [process.pid for process in services.processes.values()]
        before, full_s = [memory_mb(pid) for pid in pids], scale.of(1, 30)
        for second in range(full_s):
            report.progress(second, full_s, "seconds on a full disk")
            await asyncio.sleep(1)
        grew = max(memory_mb(pid) - was for pid, was in zip(pids, before, strict=True))
        assert grew < 8, f"{grew:.1f} MB more memory after {full_s} s on a full disk"
        held = len(acked)
        grow()
        begun = time.monotonic()
        while len(acked) < held + 100:
            assert time.monotonic() - begun < 20, "with room again, writing did not go on within 20 s"
            await asyncio.sleep(0.02)
        report.figure("recovered_after_ms", (time.monotonic() - begun) * 1000)
    assert max(refusals_ms) < 1_000, f"a refusal took {max(refusals_ms):.0f} ms"
    assert acked <= {suffix for (suffix,) in rows(services.db, "SELECT suffix FROM entry")}
    await asyncio.to_thread(is_whole, services.db)
    report.figure("refusal_p50_ms", percentile(refusals_ms, 50))
    report.figure("refusal_max_ms", max(refusals_ms))
    report.figure("memory_grew_mb", grew)
