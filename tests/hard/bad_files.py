"""A file or a place that cannot be used."""

import asyncio
import os
import random
import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from conftest import Services, entry
from patience import PATIENCE_S
from test_unusable_files import foreign, newer

from hard.report import Report, Scale
from hard.stage import Answer, connected, started
from shared.storage.sqlite import companions
from shared.storage.writer import Writer

PROMISE = (
    "A file that cannot be used is named: at the start in one clear line with an exit code, while the services run in "
    "the status of their answers"
)
HOW = (
    "Garbage, a foreign, a newer, a missing and a replaced file, a missing and an unwritable directory, a second "
    "ingest process, a lock of another program, a file that may not grow; bad files at the start, and in the place of "
    "the file while both services run, which then get the good one back"
)
SHORT = (
    "test_unusable_files.py::test_a_file_that_cannot_be_used_is_one_clear_line",
    "test_unusable_files.py::test_a_place_that_cannot_be_used_is_one_clear_line",
    "test_unusable_files.py::test_a_second_ingest_process_is_refused",
    "test_unusable_files.py::test_a_disk_that_fails_is_left_and_taken_again",
    "test_unusable_files.py::test_a_file_that_is_taken_away_is_missed",
    "test_ingest.py::test_a_locked_file_is_a_503_and_passes",
    "test_pool.py::test_files_that_cannot_be_read",
    "test_end_to_end.py::test_query_first",
)
HOUR_MS = 3_600_000
TOLD = ("move it away", "restore a snapshot", "another program", "upgrade the program", "cannot open", "not set up yet")


async def run(scale: Scale, report: Report) -> None:
    """Each kind of file, again and again: at the start, then while both services run."""
    rounds, waits_ms = scale.of(1, 10), []
    for number in range(rounds):
        for make in KINDS:
            report.progress(number * len(KINDS), rounds * len(KINDS), "bad files")
            with started() as services:
                make(services.db)
                _is_refused(services)
                _take_away(services.db)
                for name in ("ingest_svc", "query_svc"):
                    await asyncio.to_thread(services.start, name)
                waits_ms.append(await _replaced(services, make))
                for name, process in services.processes.items():
                    assert process.poll() is None, f"{name} ended: {services.log(name)}"
                    assert "Traceback" not in services.log(name), services.log(name)
    report.tried(rounds * len(KINDS), "bad files at the start and in place of a good one")
    report.figure("works_again_max_ms", max(waits_ms))


def _is_refused(services: Services) -> None:
    """The ingest process ends with one line that says what to do."""
    try:
        services.start("ingest_svc")
    except AssertionError:
        process = services.processes.pop("ingest_svc")
        assert process.wait() == 1, services.log("ingest_svc")
        (line,) = [one for one in services.log("ingest_svc").splitlines() if "may not survive a reboot" not in one]
        assert any(told in line for told in TOLD), line
    else:
        raise AssertionError("the service started on a file that cannot be used")


async def _replaced(services: Services, make: Callable[[Path], None]) -> float:
    """Milliseconds until both services work again, after a while on a bad file and with the good one back."""
    good = services.db.with_name("good.db")
    async with connected(services.ingest_port) as ingest, connected(services.query_port) as query:
        assert (await ingest.post([entry()])).status == 200
        await _until("a chain", lambda: query.get("/traces/chain"), 200)
        _move(services.db, good)
        make(services.db)
        await _until(make.__name__, lambda: query.get("/health"), 503)
        for answer in (await ingest.post([entry()]), await ingest.get("/health"), await query.get("/traces/chain")):
            assert answer.status == 503, answer
            assert any(told in answer.body.decode() for told in TOLD), answer
        _take_away(services.db)
        _move(good, services.db)
        begun = time.monotonic()
        await _until("writing again", lambda: ingest.post([entry()]), 200)
        await _until("reading again", lambda: query.get("/traces/chain"), 200)
        return (time.monotonic() - begun) * 1000


async def _until(what: str, ask: Callable[[], Awaitable[Answer]], status: int) -> None:
    begun = time.monotonic()
    while (answer := await ask()).status != status:
        assert time.monotonic() - begun < PATIENCE_S, f"{what}: {answer}"
        await asyncio.sleep(0.02)


def _move(path: Path, target: Path) -> None:
    """A file with its WAL, which SQLite would take for that of whatever stands in its place."""
    for place, aim in zip((path, *companions(path)), (target, *companions(target)), strict=True):
        if place.exists():
            place.rename(aim)


def _take_away(path: Path) -> None:
    for place in (path, *companions(path)):
        if place.is_dir():
            shutil.rmtree(place)
        place.unlink(missing_ok=True)


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(random.randrange(100, 100_000)))


def _text(path: Path) -> None:
    path.write_text("This is no database at all.\n" * random.randrange(1, 1_000))


def _cut_off(path: Path) -> None:
    Writer(path, HOUR_MS).close()
    os.truncate(path, random.randrange(1, 3) * 4096 + random.randrange(4096))


KINDS = (_garbage, _text, foreign, newer, _cut_off, Path.mkdir)
