"""kill -9 of the ingest process."""

import asyncio
import itertools
import random
import time

from conftest import entry, until

from hard.report import Report, Scale
from hard.stage import beside, connected, percentile, started
from hard.truth import is_whole, rows

PROMISE = "An acknowledged entry survives kill -9 of the ingest process, and is stored exactly once"
HOW = (
    "8 writers that send again what was not answered; SIGKILL at a random moment; after each restart the file is "
    "checked"
)
WRITERS = 8


class Writers:
    """What was sent, and what of it was acknowledged."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.acked: set[str] = set()

    async def write(self, writer: int) -> None:
        """Send batch after batch, each until it is acknowledged."""
        chains = [f"w{writer}-{number}" for number in range(50)]
        async with connected(self._port) as connection:
            for number in itertools.count():
                names = [f"{writer}-{number}-{place}" for place in range(random.randrange(1, 20))]
                batch = [
                    entry(correlation_id=random.choice(chains), suffix=name, direction=random.choice(("->", "<-")))
                    for name in names
                ]
                while not self.acked.issuperset(names):
                    try:
                        answer = await connection.post(batch)
                    except OSError:
                        await asyncio.sleep(0.02)
                        continue
                    assert answer.status == 200, answer
                    self.acked.update(names)


async def run(scale: Scale, report: Report) -> None:
    """Kill, restart, check; on a new file now and then, so that the checks stay quick."""
    rounds, kills = scale.of((1, 3), (20, 10))
    restarts: list[float] = []
    acked = 0
    for turn in range(rounds):
        report.progress(turn * kills, rounds * kills, "kills")
        acked += await _round(kills, restarts)
    report.tried(rounds * kills, "kills")
    report.figure("entries_acknowledged", acked)
    report.figure("restart_p50_ms", percentile(restarts, 50))


async def _round(kills: int, restarts: list[float]) -> int:
    """So many kills on one file; returns how many entries were acknowledged."""
    found: set[str] = set()
    cursor = 0
    with started("ingest_svc") as services:
        writers = Writers(services.ingest_port)
        async with beside(*(writers.write(number) for number in range(WRITERS))):
            for kill in range(kills):
                await asyncio.sleep(random.uniform(0.01, 0.6))
                await until(lambda enough=20 * (kill + 1): len(writers.acked) > enough)  # type: ignore[misc]
                services.kill("ingest_svc")
                acked = set(writers.acked)
                begun = time.monotonic()
                await asyncio.to_thread(services.start, "ingest_svc")
                restarts.append((time.monotonic() - begun) * 1000)
                news = rows(services.db, "SELECT id, suffix FROM traces WHERE id > ? ORDER BY id", (cursor,))
                for row_id, suffix in news:
                    assert suffix not in found, f"{suffix} is there twice"
                    found.add(suffix)
                    cursor = row_id
                assert acked <= found, f"after kill {kill + 1}: {len(acked - found)} acknowledged entries are gone"
                await asyncio.to_thread(is_whole, services.db)
    return len(writers.acked)
