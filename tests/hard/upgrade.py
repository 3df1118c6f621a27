"""The earlier release's file, large and damaged."""

import asyncio
import json
import random
import time
from pathlib import Path

from earlier import earlier_file, old

from hard.report import Report, Scale
from hard.stage import connected, started
from hard.truth import is_whole, rows
from shared.storage.upgrade import needs_upgrade

PROMISE = (
    "A file of the earlier release is upgraded completely, with progress in the log, however often the upgrade is "
    "interrupted"
)
HOW = "A million rows, some of them with broken data; the ingest process is killed at random moments of the upgrade"
SHORT = ("test_upgrade_service.py::test_it_is_interrupted_and_started_again",)
BROKEN = ('{"a": NaN}', "", "no json", '{"cut": "sho', "[1]", "line\nbreak")
KILLS = 20
ROWS = 1_000_000


def row(number: int) -> tuple[object, ...]:
    """A row of the old file."""
    broken = number % 10 == 0
    return old(
        number,
        correlation_id=f"chain-{number // 20}",
        data=BROKEN[number // 10 % len(BROKEN)] if broken else f'{{"n": {number}}}',
    )


async def run(scale: Scale, report: Report) -> None:
    """Interrupt, finish, compare every row."""
    with started() as services:
        await asyncio.to_thread(earlier_file, services.db, map(row, range(ROWS)))
        begun = time.monotonic()
        for kill in range(KILLS):
            report.progress(kill, KILLS, "kills")
            await asyncio.to_thread(services.start, "ingest_svc")
            await asyncio.sleep(random.uniform(0.05, 4))
            services.kill("ingest_svc")
            assert needs_upgrade(services.db), "the upgrade was done before it could be interrupted"
        await asyncio.to_thread(services.start, "ingest_svc")
        begun = time.monotonic()
        async with connected(services.ingest_port) as connection:
            while (await connection.get("/health")).status != 200:
                assert time.monotonic() - begun < 600, services.log("ingest_svc")
                report.progress(time.monotonic() - begun, 60, "seconds of upgrading")
                await asyncio.sleep(0.2)
        report.figure("upgraded_in_s", time.monotonic() - begun)
        log = services.log("ingest_svc")
        assert " %" in log, "there was no progress in the log"
        assert f"all {ROWS} entries" in log
        await asyncio.to_thread(_compare, services.db)
    report.tried(KILLS, "kills")
    report.figure("rows", ROWS)


def _compare(path: Path) -> None:
    is_whole(path)
    found = rows(path, "SELECT suffix, timestamp, correlation_id, data FROM traces ORDER BY id")
    assert len(found) == ROWS
    for number, (suffix, timestamp, correlation_id, data) in enumerate(found):
        values = row(number)
        assert (suffix, timestamp, correlation_id) == (values[3], values[2], values[1]), number
        was = values[7]
        assert (json.loads(data) == {"_unparsed": was}) if was in BROKEN else data == was, (number, data)
