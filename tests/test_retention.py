"""Retention: what is past its time goes by itself, between commits, and in the end the room it took."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
from conftest import until
from test_writer import checkpoint, rows

from ingest_svc import retention as keeping
from ingest_svc.desk import Desk
from ingest_svc.retention import Retention
from shared.env import Settings
from shared.errors import Unavailable
from shared.storage.writer import Writer
from shared.web import running

HOUR_MS = 3_600_000


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[Desk]:
    """A writer of the test's file."""
    writer = Desk(settings)
    await writer.open()
    yield writer
    await writer.close()


async def arrive(writer: Desk, numbers: range, at_ms: float) -> None:
    """Entries that arrived at that time."""
    batch = [
        checkpoint(number, correlation_id=f"{number % 10}", data='{"x":"' + "y" * 200 + '"}') for number in numbers
    ]
    await writer.call(lambda writer: writer.write([batch], int(at_ms)))


async def test_what_is_due_goes_and_is_counted(writer: Desk, settings: Settings) -> None:
    """A cleanup deletes exactly what is past retention, in as many slices as it takes, and gives the pages back."""
    now_ms = time.time() * 1000
    await arrive(writer, range(2_600), now_ms - 25 * HOUR_MS)
    await arrive(writer, range(2_600, 2_700), now_ms - 23 * HOUR_MS)
    retention = Retention(writer, 24 * HOUR_MS)
    assert await retention.cleanup() == 2_600
    assert await retention.cleanup() == 0
    assert retention.deleted == 2_600
    assert rows(settings.path, "SELECT min(id), count(*) FROM entry") == [(2_601, 100)]
    assert rows(settings.path, "SELECT sum(entries), sum(expired) FROM chain") == [(100, 2_600)]
    assert rows(settings.path, "PRAGMA freelist_count") == [(0,)]


async def test_commits_find_their_turn_in_between(writer: Desk, settings: Settings) -> None:
    """A commit waits for one slice, not for all that is due; where commits keep coming, deleting keeps behind them."""
    now_ms = time.time() * 1000
    await arrive(writer, range(10_000), now_ms - 25 * HOUR_MS)
    cleanup = asyncio.create_task(Retention(writer, 24 * HOUR_MS).cleanup())
    await asyncio.sleep(0)
    await arrive(writer, range(10_000, 10_001), now_ms)
    assert not cleanup.done()
    assert await cleanup == 10_000
    assert rows(settings.path, "SELECT id FROM entry") == [(10_001,)]


async def test_others_have_most_of_the_time(writer: Desk) -> None:
    """While others write, deleting leaves them twice the time that it takes; left alone it takes it all."""
    taken = {}
    for others in (False, True):
        await arrive(writer, range(20_000), time.time() * 1000 - 25 * HOUR_MS)
        cleanup = asyncio.create_task(Retention(writer, 24 * HOUR_MS).delete())
        calls, started = 0, time.monotonic()
        while not cleanup.done():
            if others:
                await writer.call(lambda writer: writer.newest)
                calls += 1
            await asyncio.sleep(0)
        taken[others] = time.monotonic() - started
        assert cleanup.result() == 20_000
    assert calls > 100
    assert taken[True] > 1.5 * taken[False]


async def test_two_cleanups_share_the_work(writer: Desk) -> None:
    """Cleanups at the same time count each entry once."""
    await arrive(writer, range(3_000), time.time() * 1000 - 25 * HOUR_MS)
    retention = Retention(writer, 24 * HOUR_MS)
    assert sum(await asyncio.gather(*(retention.cleanup() for _ in range(3)))) == 3_000


async def test_the_oldest_make_room_where_the_file_has_a_size(settings: Settings) -> None:
    """The file stays within its size however much comes, the newest entries stay, summaries and counts are true."""
    megabytes = 2
    sized = msgspec.structs.replace(settings, max_db_mb=megabytes)
    desk = Desk(sized)
    await desk.open()
    retention = Retention(desk, sized.retention_ms, megabytes * 2**20)
    for turn in range(30):
        await arrive(desk, range(turn * 1_000, (turn + 1) * 1_000), time.time() * 1000)
        await retention.delete()
    await retention.give_back(keeping.SPARE_PART)
    (pages,), (unused,) = (rows(settings.path, f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count"))
    assert pages * 4096 <= megabytes * 2**20
    assert (pages - unused) * 4096 > megabytes * 2**20 * 0.6, "no more goes than has to"
    ((oldest, newest, count),) = rows(settings.path, "SELECT min(id), max(id), count(*) FROM entry")
    assert (newest, count) == (30_000, 30_000 - oldest + 1)
    assert retention.deleted == oldest - 1
    assert rows(settings.path, "SELECT sum(entries), sum(expired) FROM chain") == [(count, oldest - 1)]
    await desk.close()


async def test_a_size_that_nothing_fits_in_keeps_it_running(settings: Settings) -> None:
    """Where even an empty file is too large all entries go, and new ones are taken in."""
    desk = Desk(settings)
    await desk.open()
    retention = Retention(desk, settings.retention_ms, 1)
    for turn in range(2):
        await arrive(desk, range(turn * 100, (turn + 1) * 100), time.time() * 1000)
        assert await retention.delete() == 100
    await desk.close()


async def test_entries_go_by_themselves(settings: Settings) -> None:
    """Without anybody asking, entries go soon after their time, and those that come meanwhile stay theirs."""
    brief = msgspec.structs.replace(settings, retention_hours=0.0003)  # about a second
    writer = Desk(brief)
    await writer.open()
    retention = Retention(writer, brief.retention_ms)
    async with running(retention.run()):
        started = time.monotonic()
        for number in range(5):
            await arrive(writer, range(number, number + 1), time.time() * 1000)
            await asyncio.sleep(0.1)
        assert retention.deleted == 0
        await until(lambda: retention.deleted == 5)
        assert time.monotonic() - started > 1.4
    await writer.close()


async def test_trouble_does_not_end_it(
    writer: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is locked, or an error that nobody foresaw, puts retention off and is logged; it goes on."""
    monkeypatch.setattr(keeping, "MAX_PAUSE_S", 0.01)
    await arrive(writer, range(10), time.time() * 1000 - 25 * HOUR_MS)
    troubles = iter([Unavailable("another program holds a lock"), KeyError("unforeseen")])
    horizon = Writer.horizon

    def troubled(self: Writer, cutoff_ms: float, now_ms: float) -> int:
        for trouble in troubles:
            raise trouble
        return horizon(self, cutoff_ms, now_ms)

    monkeypatch.setattr(Writer, "horizon", troubled)
    retention = Retention(writer, 24 * HOUR_MS)
    async with running(retention.run()):
        await until(lambda: retention.deleted == 10)
    assert "another program holds a lock" in caplog.text
    assert "KeyError" in caplog.text
