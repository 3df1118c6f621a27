"""kill -9 of the query process."""

import asyncio
import contextlib
import itertools
import random

from conftest import entry, until

from hard.followers import follow
from hard.report import Report, Scale
from hard.stage import beside, connected, started
from hard.truth import rows

PROMISE = "A stream that is resumed misses nothing and repeats nothing, however often the query process is killed"
HOW = "Stream clients that reconnect with their last id while entries come in; SIGKILL at a random moment"
PAUSE_S = 0.02  # between two batches


class Client:
    """What one client got, over all its connections."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.ids: list[int] = []

    async def live(self) -> None:
        """Follow; when cut off, come back."""
        while True:
            try:
                stream = await follow(self._port, last=self.ids[-1] if self.ids else 0)
            except OSError:
                await asyncio.sleep(random.uniform(0.02, 0.1))
                continue
            begun = len(self.ids)
            try:
                while not stream.ended.done():
                    self.ids[begun:] = stream.ids
                    await asyncio.wait({stream.ended}, timeout=0.05)
            finally:
                self.ids[begun:] = stream.ids
                stream.transport.abort()


async def pour(port: int) -> None:
    """Entries without end."""
    async with connected(port) as connection:
        for number in itertools.count():
            answer = await connection.post([entry(correlation_id=f"c{number % 9}") for _ in range(5)])
            assert answer.status == 200, answer
            await asyncio.sleep(PAUSE_S)


async def run(scale: Scale, report: Report) -> None:
    """Kill, restart, and in the end count."""
    kills = scale.of(2, 50)
    with started("ingest_svc", "query_svc") as services:
        clients = [Client(services.query_port) for _ in range(scale.of(20, 100))]
        async with beside(*(client.live() for client in clients)):
            async with beside(pour(services.ingest_port)):
                for kill in range(kills):
                    report.progress(kill, kills, "kills")
                    await asyncio.sleep(random.uniform(0.05, 1.0))
                    services.kill("query_svc")
                    await asyncio.to_thread(services.start, "query_svc")
            async with connected(services.ingest_port) as connection:
                await connection.get("/health")  # behind what was still on its way
            there = [id for (id,) in rows(services.db, "SELECT id FROM entry ORDER BY id")]
            with contextlib.suppress(AssertionError):  # what is missing is told below
                await until(lambda: all(client.ids and client.ids[-1] == there[-1] for client in clients))
        for client in clients:
            assert client.ids == sorted(set(client.ids)), "a client got an entry twice, or out of order"
            assert client.ids == there, (
                f"a client did not get {len(set(there) - set(client.ids))} of {len(there)} entries"
            )
    report.tried(kills, "kills")
    report.tried(len(clients), "clients")
    report.figure("entries_each", len(there))
