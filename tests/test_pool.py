"""Read-only connections that take turns."""

import asyncio
import contextlib
import random
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from conftest import until
from patience import PATIENCE_S

from shared.env import Settings
from shared.errors import BadFile, Unavailable
from shared.storage import pool as pooling
from shared.storage.pool import Pool
from shared.storage.writer import Writer
from shared.wire import Entry

COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT max(i) FROM n"
ENDLESS = 10**12


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """A file with one entry."""
    writer = Writer(tmp_path / "tracehub.db", 3_600_000)
    writer.write([[Entry("MA", "chain", 1.0, "a", "->", "REST", "/")]], 0)
    writer.close()
    return writer


@pytest.fixture
async def pool(writer: Writer) -> AsyncIterator[Pool]:
    """Its pool."""
    pool = await Pool.open(writer.path)
    yield pool
    await pool.close()


async def all_work(pool: Pool) -> bool:
    """Whether each connection answers, at the same time."""
    async with asyncio.timeout(PATIENCE_S):
        rows = await asyncio.gather(*(pool.row("SELECT count(*) FROM entry") for _ in range(12)))
    return rows == [(1,)] * 12 and len(pool._idle) == pooling.CONNECTIONS


async def test_a_query_past_its_deadline_is_stopped(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is Unavailable, and its connection is as good as before."""
    monkeypatch.setattr(pooling, "DEADLINE_S", 0.1)
    for _ in range(2 * pooling.CONNECTIONS):
        with pytest.raises(Unavailable, match="longer"):
            await pool.rows(COUNT, (ENDLESS,))
    monkeypatch.undo()
    assert await all_work(pool)


async def test_the_wait_for_a_connection_counts(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits behind slow queries is told so at his own deadline, in a busy pool as well; no connection gets lost."""
    monkeypatch.setattr(pooling, "DEADLINE_S", 60.0)
    slow = [asyncio.create_task(pool.rows(COUNT, (ENDLESS,))) for _ in range(pooling.CONNECTIONS)]
    await asyncio.sleep(0)
    monkeypatch.setattr(pooling, "DEADLINE_S", 0.1)
    async with asyncio.timeout(PATIENCE_S):
        told = await asyncio.gather(*(pool.row("SELECT 1") for _ in range(20)), return_exceptions=True)
    assert [(type(error), getattr(error, "retry_after", 0) > 0) for error in told] == [(Unavailable, True)] * 20
    assert all("other queries" in str(error) for error in told)
    for query in slow:
        query.cancel()
    await asyncio.wait(slow)
    monkeypatch.undo()
    assert await all_work(pool)


async def test_cancelled_queries_leave_the_pool_whole(pool: Pool) -> None:
    """Hundreds of requests given up at random moments, some twice, and every connection still answers."""
    dice = random.Random(7)

    async def give_up() -> None:
        asking = asyncio.create_task(pool.rows(COUNT, (dice.choice([1, 1_000, 100_000, ENDLESS]),)))
        await asyncio.sleep(dice.random() * 0.02)
        asking.cancel()
        if dice.random() < 0.3:
            await asyncio.sleep(0)
            asking.cancel()
        await asyncio.wait({asking})
        assert asking.cancelled() or asking.result()

    for _ in range(10):
        await asyncio.gather(*(give_up() for _ in range(30)))
    assert await all_work(pool)


async def test_a_query_cancelled_twice_keeps_its_connection_until_it_ends(pool: Pool) -> None:
    """A client may leave in the moment in which its time is over."""
    may_end = threading.Event()
    asked = asyncio.create_task(pool.call(lambda _: may_end.wait(PATIENCE_S)))
    await until(lambda: len(pool._idle) < pooling.CONNECTIONS)
    for _ in range(2):
        asked.cancel()
        await asyncio.sleep(0.05)
    assert not asked.done()
    assert len(pool._idle) == pooling.CONNECTIONS - 1
    may_end.set()
    await asyncio.wait({asked})
    assert asked.cancelled()
    assert await all_work(pool)


async def test_a_closed_pool_says_so_to_whoever_waits(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries that run are finished, those that wait for a connection are Unavailable, none hangs."""
    may_end = threading.Event()
    running = [asyncio.create_task(pool.call(lambda _: may_end.wait(PATIENCE_S))) for _ in range(pooling.CONNECTIONS)]
    waiting = [asyncio.create_task(pool.row("SELECT 1")) for _ in range(20)]
    await until(lambda: not pool._idle)
    async with asyncio.timeout(PATIENCE_S):
        closing = asyncio.create_task(pool.close())
        await asyncio.sleep(0.01)
        may_end.set()
        await closing
        assert await asyncio.gather(*running) == [True] * pooling.CONNECTIONS
        told = await asyncio.gather(*waiting, pool.row("SELECT 1"), return_exceptions=True)
        assert [type(error) for error in told] == [Unavailable] * 21
        await pool.close()


async def test_a_close_given_up_can_be_repeated(writer: Writer) -> None:
    """No thread stays behind, which would keep the process from ending."""
    pool = await Pool.open(writer.path)
    running = asyncio.create_task(pool.row(COUNT, (300_000,)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(pool.close())
    await asyncio.sleep(0.001)
    closing.cancel()
    await asyncio.wait({closing, running})
    await pool.close()
    await until(lambda: not any(connection._thread.is_alive() for connection in pool._connections))


async def test_nothing_can_be_written(pool: Pool) -> None:
    """The only writer is the ingest process."""
    with pytest.raises(Unavailable, match="read-only"):
        await pool.rows("DELETE FROM entry")
    assert await all_work(pool)


async def test_a_fault_of_the_query_is_ours(pool: Pool) -> None:
    """No sqlite3 error leaves the room."""
    with pytest.raises(BadFile):
        await pool.rows("SELECT nothing FROM nowhere")
    assert await all_work(pool)


@pytest.mark.parametrize(
    ("content", "error"), [(None, Unavailable), (b"", Unavailable), (b"no database at all" * 100, BadFile)]
)
async def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, error: type[Exception]) -> None:
    """Missing and empty files are waited for, others refused; no thread is left."""
    path = tmp_path / "odd#?%20.db"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(error):
        await Pool.open(path)


async def test_an_odd_file_name(tmp_path: Path) -> None:
    """What means something in a URI is part of a name here."""
    path = tmp_path / "odd #?%20[1].db"
    Writer(path, 1000).close()
    pool = await Pool.open(path)
    assert await pool.row("SELECT count(*) FROM entry") == (0,)
    await pool.close()


async def test_a_pool_knows_its_file(pool: Pool, writer: Writer, tmp_path: Path) -> None:
    """Another file under the same name is not the one that was opened."""
    assert pool.is_current()
    sqlite3.connect(tmp_path / "other").close()
    (tmp_path / "other").replace(writer.path)
    assert not pool.is_current()
    writer.path.unlink()
    assert not pool.is_current()


async def test_a_file_replaced_while_it_is_opened(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No pool has connections to one file and to the other."""
    connect = pooling._connect
    Writer(tmp_path / "other", 1000).close()

    async def connect_and_replace(path: Path) -> Any:
        connection = await connect(path)
        (tmp_path / "other").replace(path)
        monkeypatch.setattr(pooling, "_connect", connect)
        return connection

    monkeypatch.setattr(pooling, "_connect", connect_and_replace)
    with pytest.raises(Unavailable, match="replaced"):
        await Pool.open(writer.path)
    pool = await Pool.open(writer.path)
    assert pool.is_current()
    await pool.close()


def test_a_cancelled_opening_leaves_no_thread(settings: Settings) -> None:
    """Wherever the opening of the pool is cancelled, no thread of it answers to a loop that has ended."""
    Writer(settings.path, settings.retention_ms).close()

    async def open_and_cancel(turns: int) -> None:
        opening = asyncio.create_task(Pool.open(settings.path))
        for _ in range(turns):
            await asyncio.sleep(0)
        opening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await (await opening).close()

    others = set(threading.enumerate())  # a browser of other tests has some
    for turns in range(40):
        asyncio.run(open_and_cancel(turns))
        for thread in set(threading.enumerate()) - others:
            thread.join(PATIENCE_S)  # an exception in it is a warning, and so an error
            assert not thread.is_alive()
