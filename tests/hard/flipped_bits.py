"""Bits that flipped on the disk."""

import asyncio
import os
import random
import shutil
import signal
from pathlib import Path

from conftest import Services, entry

from hard.report import Report, Scale
from hard.stage import Answer, connected, started
from shared.storage.sqlite import companions

PROMISE = (
    "Damage that SQLite detects is answered with 503 or ends the start with one line; both say what to do, and no "
    "running process dies"
)
HOW = "Random bits flipped in copies of the file or of its WAL; both services start on them, are asked and written to"
WHAT_TO_DO = "restore a snapshot"
PATHS = ("/health", "/traces/c3", "/traces/c5?limit=3", "/correlations", "/recent", "/stats", "/recent?source=M")


async def run(scale: Scale, report: Report) -> None:
    """Flip, start, ask."""
    dice = random.Random(1) if scale.short else random.Random()
    copies = scale.of(3, 120)
    seen: dict[str, int] = {"answers as if nothing were": 0, "refused at the start": 0, "503": 0}
    with started("ingest_svc") as services:
        async with connected(services.ingest_port) as connection:
            for number in range(40):
                batch = [entry(correlation_id=f"c{place % 50}", data={"n": number}) for place in range(200)]
                assert (await connection.post(batch)).status == 200
        os.kill(services.writer_pid(), signal.SIGSTOP)  # or it may fold its WAL when it sees its service go
        services.kill("ingest_svc")
        with started() as folded:
            _copy(services.db, folded.db, with_wal=True)
            folded.start("ingest_svc")
            folded.kill("ingest_svc", signal.SIGTERM)
            for number in range(copies):
                report.progress(number, copies, "damaged copies")
                in_wal = number % 3 == 2
                with started() as copy:
                    _copy(services.db if in_wal else folded.db, copy.db, with_wal=in_wal)
                    _flip(companions(copy.db)[0] if in_wal else copy.db, 2 ** dice.randrange(8), dice)
                    seen[await _outcome(copy)] += 1
    report.tried(copies, "damaged copies")
    for name, count in seen.items():
        report.figure(name.replace(" ", "_"), count)


def _copy(source: Path, target: Path, *, with_wal: bool) -> None:
    shutil.copyfile(source, target)
    if with_wal:
        shutil.copyfile(companions(source)[0], companions(target)[0])


def _flip(file: Path, bits: int, dice: random.Random) -> None:
    content = bytearray(file.read_bytes())
    for _ in range(bits):
        content[dice.randrange(len(content))] ^= 1 << dice.randrange(8)
    file.write_bytes(content)


async def _outcome(services: Services) -> str:
    """How the services do on a damaged file."""
    try:
        await asyncio.to_thread(services.start, "ingest_svc")
    except AssertionError:
        return _refusal(services)
    await asyncio.to_thread(services.start, "query_svc")
    answers: list[Answer] = []
    async with connected(services.query_port) as query, connected(services.ingest_port) as ingest:
        for _ in range(2):
            answers += [await query.get(path) for path in PATHS]
            answers += [await ingest.post([entry(correlation_id=f"c{n}")]) for n in range(50)]
            answers += [await ingest.get("/health"), await ingest.call("DELETE", "/cleanup")]
    refused = [answer for answer in answers if answer.status != 200]
    for answer in refused:
        assert answer.status == 503, answer
        assert WHAT_TO_DO.encode() in answer.body or b"not set up" in answer.body, answer
    for name, process in services.processes.items():
        assert process.poll() is None, f"{name} ended: {services.log(name)}"
        assert "Traceback" not in services.log(name), services.log(name)
    return "503" if refused else "answers as if nothing were"


def _refusal(services: Services) -> str:
    process = services.processes.pop("ingest_svc")
    assert process.wait() == 1, services.log("ingest_svc")
    lines = [line for line in services.log("ingest_svc").splitlines() if "may not survive a reboot" not in line]
    assert len(lines) == 1, lines
    (line,) = lines
    assert WHAT_TO_DO in line or "another program" in line or "upgrade the program" in line, line
    return "refused at the start"
