"""Senders that take their time."""

import asyncio
import time

from patience import PATIENCE_S

from hard.report import Report, Scale
from hard.stage import beside, connected, latencies, memory_mb, percentile, started

PROMISE = (
    "Slow and silent senders do not hold up one that works normally, and one that takes too long over a body is told "
    "408"
)
HOW = "Connections that send one byte of a body a second, others that send nothing; one that posts beside them"
BODY_S = 30  # TRACEHUB_BODY_TIMEOUT_S


async def run(scale: Scale, report: Report) -> None:
    """Dawdle, and compare."""
    slow, silent, seconds = scale.of((100, 50, 2), (1_000, 500, BODY_S + 10))
    with started("ingest_svc", TRACEHUB_BODY_TIMEOUT_S=str(scale.of(1, BODY_S))) as services:
        port, pid = services.ingest_port, services.processes["ingest_svc"].pid
        alone = await latencies(port, scale.of(0.5, 5), size=10)
        before, statuses, crowd_ms = memory_mb(pid), [], []
        async with beside(
            *(_dawdle(port, statuses) for _ in range(slow)), *(_say_nothing(port) for _ in range(silent))
        ):
            begun = time.monotonic()
            while (passed := time.monotonic() - begun) < seconds or (len(statuses) < slow and passed < 2 * PATIENCE_S):
                report.progress(passed, seconds, "seconds")
                crowd_ms += await latencies(port, 0.5, size=10)
            grew = memory_mb(pid) - before
        async with connected(port) as connection:
            assert (await connection.get("/health")).status == 200
    assert len(statuses) == slow, f"{slow - len(statuses)} of {slow} slow senders were not let go"
    assert set(statuses) == {408}, set(statuses)
    report.tried(slow, "slow senders")
    report.tried(silent, "silent ones")
    report.figure("alone_p99_ms", percentile(alone, 99))
    report.figure("beside_p50_ms", percentile(crowd_ms, 50))
    report.figure("beside_p99_ms", percentile(crowd_ms, 99))
    report.figure("memory_grew_mb", grew)
    assert scale.short or percentile(crowd_ms, 50) < 10 * percentile(alone, 99) + 20, "a healthy sender was slowed down"
    assert grew < 100, f"memory grew by {grew:.0f} MB"


async def _dawdle(port: int, statuses: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        answer = asyncio.create_task(reader.readline())
        while not (await asyncio.wait({answer}, timeout=1))[0]:
            writer.write(b" ")
        statuses.append(int(answer.result().split()[1]))
    finally:
        writer.close()


async def _say_nothing(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.sleep(3_600)
    finally:
        writer.close()
