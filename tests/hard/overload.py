"""More than the process can take in."""

import asyncio
import json
import os
import time
import uuid

from conftest import entry
from heartbeat import starved_s

from hard.report import NotHere, Report, Scale
from hard.stage import Connection, beside, connected, family, latencies, memory_mb, percentile, started, watch
from ingest_svc.timetable import LATE_S

PROMISE = (
    "Overload is answered with 503, and nine in ten senders that come back after Retry-After are stored then; memory "
    "grows by no more than TRACEHUB_QUEUE_MB; a small sender beside them is served all the while"
)
HOW = "Senders of batches of 5,000 that hold more than the queue and come back when told; one of batches of 10"
FILLS_CACHES = 60  # bodies: a service that has worked for a while holds 20,000 chains, and pages of the file
LEAST_MB = 24  # what a few bodies of 1.5 MB cost as entries, however small the queue
FOREIGN = 0.8  # seconds a second that all of them wait for a processor: more than they cost each other
TOKEN = "T" * 32
BODY = json.dumps(
    {"traces": [entry(correlation_id=f"{TOKEN}{n % 500}", data={"filler": "x" * 100}) for n in range(5_000)]}
)


class Crowd:
    """Senders of large batches, and how they fared."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.stored = 0
        self.refused = 0
        self.attempts: list[int] = []
        self.told_s: list[int] = []
        self.returns: list[bool] = []  # of those that came back when told: whether they were stored then
        self.is_over = False

    async def send(self) -> None:
        """Send, come back when told to, until it is over and nothing is left to send."""
        async with connected(self._port) as connection:
            while not self.is_over:
                self.attempts.append(await self.until_stored(connection))
                self.stored += 1

    async def until_stored(self, connection: Connection) -> int:
        """Send one body until it is stored; how often that took."""
        body = BODY.replace(TOKEN, uuid.uuid4().hex).encode()
        attempts, due_s = 1, 0.0
        while (answer := await connection.call("POST", "/ingest", body)).status != 200:
            assert answer.status == 503, answer
            self.refused += 1
            if time.monotonic() < due_s + LATE_S / 2:  # who comes later, as on a busy machine, does not come when told
                self.returns.append(False)
            attempts += 1
            self.told_s.append(int(answer.headers["retry-after"]))
            due_s = time.monotonic() + self.told_s[-1]
            await asyncio.sleep(self.told_s[-1])
        if attempts > 1:
            self.returns.append(True)
        return attempts


async def run(scale: Scale, report: Report) -> None:
    """Overload, and compare with before."""
    seconds, size, queue_mb = scale.of((4, 16, 16), (60, 120, 64))
    with started("ingest_svc", TRACEHUB_QUEUE_MB=str(queue_mb)) as services:
        port, pid = services.ingest_port, services.processes["ingest_svc"].pid
        crowd = Crowd(port)
        crowd.is_over = True
        async with connected(port) as connection:
            for _ in range(FILLS_CACHES):
                await crowd.until_stored(connection)
        alone = await latencies(port, scale.of(0.5, 5), size=10)
        memory = [memory_mb(pid)]
        crowd.is_over = False
        senders = [asyncio.create_task(crowd.send()) for _ in range(size)]
        beside_ms: list[float] = []
        begun, waited_s = time.monotonic(), _waited_s(pid)
        async with beside(watch(pid, memory), _small(port, beside_ms)):
            while (done := time.monotonic() - begun) < seconds:
                report.progress(done, seconds, "seconds of overload")
                await asyncio.sleep(0.1)
            crowd.is_over = True
            await asyncio.gather(*senders)
            drained_s = time.monotonic() - begun - done
            waited = (_waited_s(pid) - waited_s) / (done + drained_s)
    assert crowd.refused > size / 4, f"there was no overload: only {crowd.refused} refused"
    stored_then = _tell(crowd, report)
    grew = max(memory) - memory[0]
    report.figure("drained_s", drained_s)
    report.figure("memory_grew_mb", grew)
    report.figure("small_sender_alone_p99_ms", percentile(alone, 99))
    report.figure("small_sender_beside_p50_ms", percentile(beside_ms, 50))
    report.figure("small_sender_beside_p99_ms", percentile(beside_ms, 99))
    allowed_mb = max(LEAST_MB, queue_mb)
    assert grew <= allowed_mb, f"memory grew by {grew:.0f} MB instead of {allowed_mb:.0f} at most"
    if stored_then < 90 and waited > FOREIGN:
        raise NotHere("others use this machine: no appointment foresees how long a processor is waited for")
    assert stored_then >= 90, f"Retry-After is not true: {stored_then:.0f} % of those that came back then were stored"
    assert scale.short or percentile(beside_ms, 99) < 5_000, "a small sender was kept waiting"


def _waited_s(service: int) -> float:
    """How long the service, its writer and the senders have waited for a processor."""
    return sum(starved_s(str(pid)) for pid in (*family(service), os.getpid()))


def _tell(crowd: Crowd, report: Report) -> float:
    """How the large senders fared; returns how many percent of those that came back when told were stored then."""
    stored_then = 100 * sum(crowd.returns) / len(crowd.returns)
    report.tried(crowd.refused, "refusals")
    report.figure("stored_batches", crowd.stored)
    report.figure("attempts_p50", percentile(crowd.attempts, 50))
    report.figure("attempts_p99", percentile(crowd.attempts, 99))
    report.figure("attempts_most", max(crowd.attempts))
    report.figure("told_p50_s", percentile(crowd.told_s, 50))
    report.figure("stored_when_told_percent", stored_then)
    return stored_then


async def _small(port: int, took_ms: list[float]) -> None:
    """Small batches, one after the other: how long each took until it was stored."""
    async with connected(port) as connection:
        while True:
            batch = [entry() for _ in range(10)]
            begun = time.perf_counter()
            while (answer := await connection.post(batch)).status != 200:
                assert answer.status == 503, answer
                await asyncio.sleep(int(answer.headers["retry-after"]))
            took_ms.append((time.perf_counter() - begun) * 1000)
            await asyncio.sleep(0.02)
