"""Group commit: whoever waits is settled, each with its own count, in one transaction where that is possible."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from conftest import until
from test_writer import checkpoint, rows

from ingest_svc.desk import Desk
from ingest_svc.group_commit import GAP_ENTRIES, GROUP_ENTRIES, GroupCommit
from shared.doorbell import Doorbell
from shared.env import Settings
from shared.errors import DiskFull, FileFault, Unavailable
from shared.web import running


@asynccontextmanager
async def commits_into(settings: Settings) -> AsyncIterator[tuple[GroupCommit, Desk]]:
    """Commits into the settings' file."""
    writer, doorbell = Desk(settings), Doorbell(settings.path)
    await writer.open()
    commits = GroupCommit(writer, doorbell)
    try:
        async with running(commits.run()):
            yield commits, writer
    finally:
        await writer.close()
        doorbell.close()


def in_the_file_itself(path: Path) -> int:
    """How many entries a reader finds that does not look into the WAL."""
    with closing(sqlite3.connect(f"{path.as_uri()}?immutable=1", uri=True)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM entry").fetchone()[0])
        except sqlite3.DatabaseError:  # read while it was written
            return 0


async def test_a_gap_folds_the_wal_into_the_file(settings: Settings) -> None:
    """When enough was written and nobody waits, what the WAL holds is in the file itself."""
    async with commits_into(settings) as (commits, _):
        await commits.commit([checkpoint(number) for number in range(GAP_ENTRIES - 1)])
        assert in_the_file_itself(settings.path) < GAP_ENTRIES - 1
        await commits.commit([checkpoint(GAP_ENTRIES)])
        await until(lambda: in_the_file_itself(settings.path) == GAP_ENTRIES)


async def test_what_waits_is_one_transaction_and_each_has_its_count(settings: Settings) -> None:
    """Requests that wait together share a transaction and get the counts of their own entries."""
    a, b, c = map(checkpoint, range(3))
    async with commits_into(settings) as (commits, _):
        counts = await asyncio.gather(*(commits.commit(batch) for batch in ([a], [a, b, b], [c, b, a], [c], [])))
        assert counts == [1, 1, 1, 0, 0]
        assert (commits.commits, commits.inserted, commits.duplicates) == (1, 3, 5)
        assert rows(settings.path, "SELECT count(*) FROM traces") == [(3,)]


async def test_a_request_that_gave_up_costs_the_others_nothing(settings: Settings) -> None:
    """When one who waits is cancelled, everyone else is settled, now and later."""
    async with commits_into(settings) as (commits, _):
        waiting = [asyncio.create_task(commits.commit([checkpoint(number)])) for number in range(3)]
        await asyncio.sleep(0)
        waiting[1].cancel()
        told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
        assert (told[0], type(told[1]), told[2]) == (1, asyncio.CancelledError, 1)
        assert await asyncio.wait_for(commits.commit([checkpoint(9)]), 5) == 1


async def test_a_failure_is_told_to_all_of_its_group_and_passes(scarce: None, settings: Settings) -> None:
    """A transaction that fails stores nothing of its group; the next one works."""
    batches = [[checkpoint(number, data=f'{{"a":"{"x" * 5000}"}}')] for number in range(200)]
    async with commits_into(settings) as (commits, writer):
        await writer.call(lambda writer: writer._db.execute("PRAGMA max_page_count=100").fetchone())
        told = await asyncio.gather(*map(commits.commit, batches), return_exceptions=True)
        assert {type(error) for error in told} == {DiskFull}
        assert rows(settings.path, "SELECT count(*) FROM traces") == [(0,)]
        await writer.call(lambda writer: writer._db.execute("PRAGMA max_page_count=1000000").fetchone())
        assert await asyncio.gather(*map(commits.commit, batches)) == [1] * 200


async def test_a_group_has_a_size(settings: Settings) -> None:
    """More than a transaction takes is left to the next one."""
    batch = GROUP_ENTRIES // 2
    async with commits_into(settings) as (commits, _):
        batches = [[checkpoint(n * batch + m) for m in range(batch)] for n in range(3)]
        assert await asyncio.gather(*map(commits.commit, batches)) == [batch] * 3
        assert commits.commits == 2


async def test_a_file_that_failed_is_opened_anew(settings: Settings, tmp_path: Path) -> None:
    """After a fault below SQLite the file is closed, refused for a moment and opened again, nothing acked lost."""
    async with commits_into(settings) as (commits, writer):
        assert await commits.commit([checkpoint(1)]) == 1

        def fail(writer: object) -> None:
            raise FileFault("the disk is on fire", retry_after=5)

        with pytest.raises(FileFault):
            await writer.call(fail)

        async def works() -> bool:
            try:
                return await commits.commit([checkpoint(1), checkpoint(2)]) == 1
            except Unavailable:
                return False

        await until(works)
        assert rows(settings.path, "SELECT count(*) FROM traces") == [(2,)]
