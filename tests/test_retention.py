"""Retention: what is past its time goes by itself, between commits, and in the end the room it took."""

import asyncio
import sqlite3
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from types import SimpleNamespace

import msgspec
import pytest
from conftest import until
from test_writer import checkpoint, rows

from ingest_svc import retention as keeping
from ingest_svc.desk import Desk
from ingest_svc.messages import Done
from ingest_svc.retention import Retention
from shared.env import Settings
from shared.errors import Unavailable
from shared.storage.columns import columns
from shared.storage.sqlite import companions
from shared.storage.writer import Writer
from shared.web import running
from shared.wire import Entry

HOUR_MS = 3_600_000


@asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[Desk]:
    """A writer of the settings' file."""
    desk = Desk(settings)
    await desk.open()
    try:
        yield desk
    finally:
        await desk.close()


def some(numbers: range) -> list[Entry]:
    """Entries of ten chains."""
    return [checkpoint(number, correlation_id=f"{number % 10}", data='{"x":"' + "y" * 200 + '"}') for number in numbers]


def arrived(settings: Settings, numbers: range, at_ms: float) -> None:
    """Entries that arrived at that time, while nobody else writes."""
    with closing(Writer(settings.path, settings.retention_ms)) as writer:
        writer.write([some(numbers)], int(at_ms))


async def test_what_is_due_goes_and_is_counted(settings: Settings) -> None:
    """A cleanup deletes exactly what is past retention, in as many slices as it takes, and gives the pages back."""
    now_ms = time.time() * 1000
    arrived(settings, range(2_600), now_ms - 25 * HOUR_MS)
    arrived(settings, range(2_600, 2_700), now_ms - 23 * HOUR_MS)
    async with writing(settings) as desk:
        retention = Retention(desk, 24 * HOUR_MS)
        assert await retention.cleanup() == 2_600
        assert await retention.cleanup() == 0
        assert retention.deleted == 2_600
        assert rows(settings.path, "SELECT min(id), count(*) FROM entry") == [(2_601, 100)]
        assert rows(settings.path, "SELECT sum(entries), sum(expired) FROM chain") == [(100, 2_600)]
        assert rows(settings.path, "PRAGMA freelist_count") == [(0,)]


async def test_what_goes_by_itself_leaves_room_for_what_comes(settings: Settings) -> None:
    """A part of its pages stays in the file, where the next entries need not ask for any."""
    now_ms = time.time() * 1000
    arrived(settings, range(2_600), now_ms - HOUR_MS)
    arrived(settings, range(2_600, 3_000), now_ms)

    def pages() -> tuple[int, int]:
        return rows(settings.path, "PRAGMA page_count")[0][0], rows(settings.path, "PRAGMA freelist_count")[0][0]

    async with writing(settings) as desk:
        retention = Retention(desk, HOUR_MS / 60)
        async with running(retention.run()):
            await until(lambda: retention.deleted == 2_600 and pages()[1] < pages()[0] / 7)
    total, unused = pages()
    assert unused >= total // 8 > 0


async def test_commits_find_their_turn_in_between(settings: Settings) -> None:
    """A commit waits for one slice, not for all that is due; where commits keep coming, deleting keeps behind them."""
    arrived(settings, range(10_000), time.time() * 1000 - 25 * HOUR_MS)
    async with writing(settings) as desk:
        cleanup = asyncio.create_task(Retention(desk, 24 * HOUR_MS).cleanup())
        await asyncio.sleep(0)
        await desk.commit(columns(some(range(10_000, 10_001))))
        assert not cleanup.done()
        assert await cleanup == 10_000
        assert rows(settings.path, "SELECT id FROM entry") == [(10_001,)]


async def test_others_have_most_of_the_time(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """While others write, deleting leaves them twice the time that it takes; left alone it takes it all."""
    slices: dict[bool, float] = {False: 0.0, True: 0.0}
    pauses: dict[bool, float] = {False: 0.0, True: 0.0}
    call = Desk.call

    async def watched(desk: Desk, operation: str, *arguments: float | None) -> Done:
        done = await call(desk, operation, *arguments)
        if operation == "expire":
            slices[others] += done.seconds
        return done

    async def pause(seconds: float) -> None:
        pauses[others] += seconds
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Desk, "call", watched)
    monkeypatch.setattr(keeping, "asyncio", SimpleNamespace(Lock=asyncio.Lock, sleep=pause))
    for others in (False, True):
        arrived(settings, range(20_000), time.time() * 1000 - 25 * HOUR_MS)
        async with writing(settings) as desk:
            cleanup = asyncio.create_task(Retention(desk, 24 * HOUR_MS).delete())
            calls = 0
            while not cleanup.done():
                if others:
                    await desk.call("dropped")
                    calls += 1
                await asyncio.sleep(0)
            assert cleanup.result() == 20_000
    assert calls > 100
    assert pauses[True] > 1.5 * slices[True]
    assert pauses[False] == 0


@pytest.mark.parametrize(("size", "usual"), [(1, range(1_000, 1_001)), (1_000, range(6_000, 10_001))])
async def test_slices_are_as_large_as_the_commits_beside_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, size: int, usual: range
) -> None:
    """Beside small commits all slices are short; with large ones that fill the writer's time more entries go."""
    slices: list[int] = []
    call = Desk.call

    async def watched(desk: Desk, operation: str, *arguments: float | None) -> Done:
        done = await call(desk, operation, *arguments)
        if operation == "expire" and done.value:
            slices.append(done.value)
        return done

    async def send(first: int) -> None:
        for start in range(first, 10**9, size):
            await desk.commit(columns(some(range(start, start + size))))

    monkeypatch.setattr(Desk, "call", watched)
    for start in range(0, 30_000, 10_000):
        arrived(settings, range(start, start + 10_000), time.time() * 1000 - 25 * HOUR_MS)
    async with writing(settings) as desk:
        senders = [asyncio.create_task(send((1 + number) * 10**6)) for number in range(8)]
        await Retention(desk, 24 * HOUR_MS).delete()
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)
    assert statistics.median(slices) in usual


async def test_a_file_that_takes_its_place_keeps_what_is_young(settings: Settings) -> None:
    """What was found to be past retention is of one file: another one, put there meanwhile, loses nothing for it."""
    arrived(settings, range(20_000), time.time() * 1000 - 25 * HOUR_MS)
    restored = Settings(db=f"{settings.db}.restored")
    arrived(restored, range(5_000), time.time() * 1000 - HOUR_MS)
    async with writing(settings) as desk:
        retention = Retention(desk, 24 * HOUR_MS)
        cleanup = asyncio.create_task(retention.cleanup())
        while not retention.deleted:
            await desk.call("dropped")
        for companion in companions(settings.path):
            companion.unlink()
        restored.path.rename(settings.path)
        with pytest.raises(Unavailable, match="opened anew"):
            await cleanup
        assert await retention.cleanup() == 0
        assert rows(settings.path, "SELECT count(*) FROM traces") == [(5_000,)]


async def test_two_cleanups_share_the_work(settings: Settings) -> None:
    """Cleanups at the same time count each entry once."""
    arrived(settings, range(3_000), time.time() * 1000 - 25 * HOUR_MS)
    async with writing(settings) as desk:
        retention = Retention(desk, 24 * HOUR_MS)
        assert sum(await asyncio.gather(*(retention.cleanup() for _ in range(3)))) == 3_000


async def test_the_oldest_make_room_where_the_file_has_a_size(settings: Settings) -> None:
    """The file stays within its size however much comes, the newest entries stay, summaries and counts are true."""
    megabytes = 2
    async with writing(settings) as desk:
        retention = Retention(desk, settings.retention_ms, megabytes * 2**20)
        for turn in range(30):
            await desk.commit(columns(some(range(turn * 1_000, (turn + 1) * 1_000))))
            await retention.delete()
        await retention.give_back(keeping.SPARE_PART)
        (pages,), (unused,) = (rows(settings.path, f"PRAGMA {name}")[0] for name in ("page_count", "freelist_count"))
        assert pages * 4096 <= megabytes * 2**20
        assert (pages - unused) * 4096 > megabytes * 2**20 * 0.6, "no more goes than has to"
        ((oldest, newest, count),) = rows(settings.path, "SELECT min(id), max(id), count(*) FROM entry")
        assert (newest, count) == (30_000, 30_000 - oldest + 1)
        assert retention.deleted == oldest - 1
        assert rows(settings.path, "SELECT sum(entries), sum(expired) FROM chain") == [(count, oldest - 1)]


async def test_a_size_that_nothing_fits_in_keeps_it_running(settings: Settings) -> None:
    """Where even an empty file is too large all entries go, and new ones are taken in."""
    async with writing(settings) as desk:
        retention = Retention(desk, settings.retention_ms, 1)
        for turn in range(2):
            await desk.commit(columns(some(range(turn * 100, (turn + 1) * 100))))
            assert await retention.delete() == 100


async def test_entries_go_by_themselves(settings: Settings) -> None:
    """Without anybody asking, entries go when their time is over, and those that come meanwhile stay theirs."""
    brief = msgspec.structs.replace(settings, retention_hours=0.0003)  # about a second
    came_s: list[float] = []

    def all_were_due() -> bool:
        gone = retention.deleted
        return not gone or time.monotonic() - came_s[gone - 1] > brief.retention_ms / 1000

    async with writing(brief) as desk:
        retention = Retention(desk, brief.retention_ms)
        async with running(retention.run()):
            for number in range(5):
                came_s.append(time.monotonic())
                await desk.commit(columns(some(range(number, number + 1))))
                await asyncio.sleep(0.1)
                assert all_were_due()
            await until(lambda: retention.deleted)
            assert all_were_due()
            await until(lambda: retention.deleted == 5)
            assert all_were_due()


async def test_a_retention_of_next_to_nothing_leaves_the_processor_alone(settings: Settings) -> None:
    """However little it is, there is a pause between two looks."""
    async with writing(settings) as desk, running(Retention(desk, 1e-6).run()):
        started = time.monotonic()
        await asyncio.sleep(0.3)
        assert desk.calls <= 3 * (time.monotonic() - started) / keeping.MIN_PAUSE_S + 3


async def test_trouble_does_not_end_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that is locked, or an error that nobody foresaw, puts retention off and is logged; it goes on."""
    monkeypatch.setattr(keeping, "MAX_PAUSE_S", 0.01)
    arrived(settings, range(10), time.time() * 1000 - 25 * HOUR_MS)
    async with writing(settings) as desk:
        retention = Retention(desk, 24 * HOUR_MS)
        async with running(retention.run()):
            with (
                monkeypatch.context() as broken,
                closing(sqlite3.connect(settings.path, isolation_level=None)) as other,
            ):
                other.execute("BEGIN IMMEDIATE")
                await until(lambda: "another program holds a lock" in caplog.text)
                broken.setattr(keeping, "SLICE_ENTRIES", None)
                await until(lambda: "TypeError" in caplog.text)
            await until(lambda: retention.deleted == 10)


async def test_why_it_waits_is_logged_once(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    """However long it does, and as often as it looks where the size has a limit."""
    desk = Desk(settings)  # that was not opened
    async with running(Retention(desk, 100.0).run()):
        await until(lambda: "retention waits" in caplog.text)
        await asyncio.sleep(0.1)
    assert caplog.text.count("retention waits") == 1
