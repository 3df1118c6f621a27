"""A disk without room."""

import asyncio
import contextlib
import itertools
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from conftest import Services, entry
from patience import PATIENCE_S

from hard.report import NotHere, Report, Scale
from hard.stage import beside, connected, memory_mb, percentile, started
from hard.trouble import troubled
from hard.truth import is_whole, rows

PROMISE = (
    "On a full disk senders get 507 within a second, memory stays flat and reading goes on, and writing resumes by "
    "itself when there is room; the ingest service can start and delete on a full disk, which makes room"
)
HOW = (
    "A small tmpfs that entries fill and that is then enlarged; one on which another program takes the last byte and "
    "the ingest service starts anew; where none can be mounted, writes that find no room"
)
WRITERS = 4
FILLER = "x" * 2_000


async def run(scale: Scale, report: Report) -> None:
    """Fill, stay full for a while, make room; fill, start, delete."""
    try:
        with _small_disk(8) as (services, grow):
            await _try(services, grow, scale, report)
        await _delete(scale, report)
        report.figure("disk", "tmpfs")
    except NotHere:
        with troubled("ingest_svc", "query_svc") as (services, trouble):
            asyncio.get_running_loop().call_later(0.5, trouble.disk_is_full, True)
            await _try(services, lambda: trouble.disk_is_full(False), scale, report)
        report.figure("disk", "simulated")
    report.tried(1, "full disk")


@contextlib.contextmanager
def _small_disk(megabytes: int) -> Iterator[tuple[Services, Callable[[], None]]]:
    with started() as services:
        place = services.db.parent
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=700", "tmpfs", place]
        if subprocess.run(mount, capture_output=True, check=False).returncode:
            raise NotHere("a tmpfs cannot be mounted")
        try:
            for name in ("ingest_svc", "query_svc"):
                services.start(name)
            yield services, lambda: _grow(place)
        finally:
            for name in list(services.processes):
                services.kill(name)
            subprocess.run(["umount", place], check=True)


def _grow(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=256m", place], check=True)


class Writers:
    """What was acknowledged, and how long refusals took."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acked: set[str] = set()
        self.refusals_ms: list[float] = []
        self.is_full = asyncio.Event()

    async def write(self, writer: int) -> None:
        """Batch after batch, with a pause after each that is refused for want of room."""
        async with connected(self._port) as connection:
            for number in itertools.count():
                names = [f"{writer}-{number}-{place}" for place in range(10)]
                begun = time.perf_counter()
                answer = await connection.post([entry(suffix=name, data={"filler": FILLER}) for name in names])
                took = (time.perf_counter() - begun) * 1000
                assert answer.status in (200, 507), answer
                if answer.status == 200:
                    self.acked.update(names)
                    continue
                assert int(answer.headers["retry-after"]) > 0
                assert b"no room" in answer.body
                self.is_full.set()
                self.refusals_ms.append(took)
                await asyncio.sleep(0.05)


async def _read(port: int) -> None:
    async with connected(port) as connection:
        while True:
            for path in ("/traces/chain?limit=10", "/correlations", "/health", "/recent"):
                answer = await connection.get(path)
                assert answer.status == 200, (path, answer)
            await asyncio.sleep(0.05)


async def _try(services: Services, grow: Callable[[], None], scale: Scale, report: Report) -> None:
    writers = Writers(services.ingest_port)
    async with beside(*(writers.write(number) for number in range(WRITERS)), _read(services.query_port)):
        await asyncio.wait_for(writers.is_full.wait(), PATIENCE_S)
        await asyncio.sleep(scale.of(1, 15))  # the heap takes its size
        pids = [process.pid for process in services.processes.values()]
        before, full_s = [memory_mb(pid) for pid in pids], scale.of(1, 30)
        for second in range(full_s):
            report.progress(second, full_s, "seconds on a full disk")
            await asyncio.sleep(1)
        grew = max(memory_mb(pid) - was for pid, was in zip(pids, before, strict=True))
        assert grew < 8, f"{grew:.1f} MB more memory after {full_s} s on a full disk"
        held = len(writers.acked)
        grow()
        begun = time.monotonic()
        while len(writers.acked) < held + 100:
            assert time.monotonic() - begun < PATIENCE_S, "with room again, writing did not go on in time"
            await asyncio.sleep(0.02)
        report.figure("recovered_after_ms", (time.monotonic() - begun) * 1000)
    slowest_ms = max(writers.refusals_ms)
    assert scale.short or slowest_ms < 1_000, f"a refusal took {slowest_ms:.0f} ms"
    assert writers.acked <= {suffix for (suffix,) in rows(services.db, "SELECT suffix FROM traces")}
    await asyncio.to_thread(is_whole, services.db)
    report.figure("refusal_p50_ms", percentile(writers.refusals_ms, 50))
    report.figure("refusal_max_ms", slowest_ms)
    report.figure("memory_grew_mb", grew)


async def _delete(scale: Scale, report: Report) -> None:
    """Fill the disk to the last byte, start on it, delete what is past retention, and write again."""
    waits_ms: list[float] = []
    rounds = scale.of(1, 20)
    for number in range(rounds):
        report.progress(number, rounds, "full disks with deletions")
        with _small_disk(scale.of(8, 40 + 20 * (number % 3))) as (services, _):
            newest = await _fill(services)
            services.kill("ingest_svc", (signal.SIGKILL, signal.SIGTERM)[number % 2])
            with contextlib.suppress(OSError), services.db.with_name("of-others").open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(4096))
            services.environ["TRACEHUB_RETENTION_HOURS"] = "0.0003"
            await asyncio.to_thread(services.start, "ingest_svc")
            begun = time.monotonic()
            async with connected(services.ingest_port) as connection:
                answer = await connection.call("DELETE", "/cleanup")
                assert answer.status == 200, answer
                while (await connection.post([entry()])).status != 200:
                    assert time.monotonic() - begun < PATIENCE_S, (
                        f"no room after deletions: {services.log('ingest_svc')}"
                    )
                    await asyncio.sleep(0.02)
            waits_ms.append((time.monotonic() - begun) * 1000)
            while rows(services.db, "SELECT count(*) FROM entry WHERE id <= ?", (newest,)) != [(0,)]:
                assert time.monotonic() - begun < PATIENCE_S, "entries past retention are still there"
                await asyncio.sleep(0.02)
            await asyncio.to_thread(is_whole, services.db)
    report.tried(rounds, "full disks with deletions")
    report.figure("writing_again_max_ms", max(waits_ms))


async def _fill(services: Services) -> int:
    """Write until there is no room; returns the newest row id."""
    async with connected(services.ingest_port) as connection:
        while True:
            batch = [entry(correlation_id=f"c{n}", data={"filler": FILLER}) for n in range(10)]
            if (await connection.post(batch)).status == 507:
                return int(rows(services.db, "SELECT max(id) FROM entry")[0][0])
