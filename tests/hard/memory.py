"""A quarter of an hour, or an hour, of steady load."""

import asyncio
import itertools
import random
import time

from conftest import Services, entry
from patience import PATIENCE_S

from hard.followers import follow
from hard.report import Report, Scale
from hard.stage import beside, connected, descriptors, memory_mb, started

PROMISE = "Under steady load neither process grows, in memory or in descriptors"
HOW = "Entries with a retention of a minute, queries, streams that come and go; the slope over the second half"
SAMPLE_S = 2.0
MAX_MB_A_MINUTE = 0.25
MOST_LEFT = 10  # descriptors, of connections that are kept


async def run(scale: Scale, report: Report) -> None:
    """Load, and measure every few seconds."""
    seconds = scale.of(2, 3_600 if scale.hour else 900)
    samples: list[tuple[float, list[float]]] = []
    with started("ingest_svc", "query_svc", TRACEHUB_RETENTION_HOURS="0.0167") as services:
        pids = [services.processes[name].pid for name in ("ingest_svc", "query_svc")]
        idle = [descriptors(pid) for pid in pids]
        async with beside(_send(services), _ask(services), *(_follow(services) for _ in range(10))):
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < seconds:
                report.progress(passed, seconds, "seconds")
                samples.append((passed, [measure(pid) for pid in pids for measure in (memory_mb, descriptors)]))
                await asyncio.sleep(min(SAMPLE_S, seconds / 10))
        begun = time.monotonic()
        while max(left := [descriptors(pid) - before for pid, before in zip(pids, idle, strict=True)]) > MOST_LEFT:
            assert time.monotonic() - begun < PATIENCE_S, f"{left} descriptors are still open when everybody has gone"
            await asyncio.sleep(0.1)
    report.tried(round(seconds / 60) or 1, "minutes")
    half = samples[len(samples) // 2 :]
    for place, name in enumerate(("ingest_memory_mb", "ingest_descriptors", "query_memory_mb", "query_descriptors")):
        slope = 60 * _slope([(at, values[place]) for at, values in half])
        report.figure(f"{name}_at_the_end", half[-1][1][place])
        report.figure(f"{name}_more_a_minute", slope)
        if not scale.short:
            limit = MAX_MB_A_MINUTE if "memory" in name else 0.5
            assert slope < limit, f"{name} grows by {slope:.2f} a minute"


def _slope(points: list[tuple[float, float]]) -> float:
    """By least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


async def _send(services: Services) -> None:
    async with connected(services.ingest_port) as connection:
        for number in itertools.count():
            chain = f"c{number // 4}"
            batch = [entry(correlation_id=chain, endpoint=f"/api/{n}", data={"n": number}) for n in range(10)]
            assert (await connection.post(batch)).status == 200
            if number % 50 == 0:
                assert (await connection.call("POST", "/ingest", b"{nonsense")).status == 400
            await asyncio.sleep(0.02)


async def _ask(services: Services) -> None:
    paths = (
        "/correlations",
        "/recent",
        "/stats",
        "/traces/c{}",
        "/traces/c{}?source=MA",
        "/correlations?q=1",
        "/health",
    )
    for number in itertools.count():
        async with connected(services.query_port) as connection:
            for path in paths:
                answer = await connection.get(path.format(number))
                assert answer.status == 200, answer
                await asyncio.sleep(0.02)


async def _follow(services: Services) -> None:
    """Come, stay a little, go in the middle of it, come back."""
    last: int | None = 0
    while True:
        path = random.choice(("/stream?timeout=30", "/traces/c1/stream", "/stream?source=MA"))
        stream = await follow(services.query_port, path, last)
        await asyncio.wait({stream.ended}, timeout=random.uniform(0.1, 5))
        last = stream.ids[-1] if stream.ids else random.choice((None, 0))
        stream.transport.abort()
