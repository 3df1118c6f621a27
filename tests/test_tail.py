"""The tail: one cursor, and where each subscription begins and ends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Services, until, without_room_for_threads
from patience import PATIENCE_S

from query_svc import filters
from query_svc.subscription import Frames, Subscription
from query_svc.tail import Tail
from shared.errors import Unavailable
from shared.storage import pool as pooling
from shared.storage import tail_reader
from shared.storage.writer import Writer
from shared.web import running
from shared.wire import Entry


def some(count: int, chain: str = "chain") -> list[Entry]:
    """Entries unlike each other."""
    some.number += count  # type: ignore[attr-defined]
    first = some.number  # type: ignore[attr-defined]
    return [Entry("MA", chain, float(first + n), "s", "->", "REST", "/") for n in range(count)]


some.number = 0  # type: ignore[attr-defined]


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    """The write side of a file."""
    writer = Writer(tmp_path / "tracehub.db", 3_600_000)
    yield writer
    writer.close()


@pytest.fixture
async def tail(writer: Writer) -> AsyncIterator[Tail]:
    """A tail that runs."""
    tail = Tail(writer.path)
    await tail.open()
    async with running(tail.run()):
        yield tail


async def collect(pending: Subscription, upto: int) -> list[int]:
    """Row ids that a subscription is handed, up to one."""
    found: list[int] = []
    async with asyncio.timeout(PATIENCE_S):
        while not found or found[-1] < upto:
            frames = await pending.frames()
            assert frames, "behind"
            found += [int(line[4:]) for line in frames.split(b"\n") if line.startswith(b"id: ")]
    return found


async def test_subscriptions_begin_behind_their_start(tail: Tail, writer: Writer) -> None:
    """Whenever somebody subscribes while entries pour in, it is handed exactly what follows its start."""

    async def subscribe() -> None:
        async with tail.subscription() as pending:
            assert await collect(pending, 400) == list(range(pending.start + 1, 401))

    async with asyncio.TaskGroup() as group:
        for _ in range(40):
            group.create_task(subscribe())
            writer.write([some(10)], 0)
            await asyncio.sleep(0.001)
    assert tail.subscribers == 0


@pytest.mark.parametrize("chain", ["chain", None])
async def test_who_leaves_takes_nothing_from_others(tail: Tail, writer: Writer, chain: str | None) -> None:
    """Those that want the same are handed on what comes, and it nothing more; the last one leaves nothing behind."""
    async with tail.subscription(chain) as stays:
        async with tail.subscription(chain) as leaves:
            writer.write([some(1)], 0)
            assert await collect(stays, 1) == [1]
        writer.write([some(1)], 0)
        assert await collect(stays, 2) == [2]
        leaves.take()
        leaves.push(Frames([(2, b"late")]))  # by a tail that was just about to
        assert leaves.take() == b""
    assert (tail._by_chain, tail._by_filter) == ({}, {})


async def test_while_nobody_listens_nothing_is_read(tail: Tail, writer: Writer) -> None:
    """The next subscription begins with the newest entry, however much came in between."""
    writer.write([some(1000)], 0)
    await asyncio.sleep(0.3)
    assert tail.cursor == 0
    async with tail.subscription() as pending:
        assert pending.start == tail.cursor == 1000


async def test_retention_that_overtakes_the_tail_is_noticed(tail: Tail, writer: Writer) -> None:
    """Subscribers are sent to the file, which knows what is gone, from the last entry they were handed."""
    async with tail.subscription() as pending:
        async with tail._lock:
            writer.write([some(20)], 0)
            writer.expire(15, 100)
        assert await pending.frames() == b""
        assert pending.behind == 0
        await until(lambda: tail.cursor == 20)


async def test_a_look_that_fails_leaves_no_lock(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """It is repeated, and nobody who subscribes meanwhile waits for ever."""
    async with tail.subscription() as pending:
        failures = iter([Unavailable("later"), RuntimeError("odd")])
        own = tail._tail_reader
        assert own is not None
        look = own.entries_after

        def sometimes(row_id: int) -> Any:
            if failure := next(failures, None):
                raise failure
            return look(row_id)

        monkeypatch.setattr(own, "entries_after", sometimes)
        writer.write([some(5)], 0)
        async with asyncio.timeout(PATIENCE_S), tail.subscription("chain"):
            assert await collect(pending, 5) == [1, 2, 3, 4, 5]


async def test_why_it_waits_is_logged_once(
    tail: Tail, writer: Writer, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """However often it looks meanwhile."""
    looks = 0

    def damaged(_: int) -> Any:
        nonlocal looks
        looks += 1
        raise Unavailable("damaged")

    async with tail.subscription():
        monkeypatch.setattr(tail._tail_reader, "entries_after", damaged)
        await until(lambda: looks > 1)
    assert caplog.text.count("the tail waits: damaged") == 1


async def test_requests_do_not_hold_up_the_tail(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """While every connection for requests is busy, live entries come and streams begin."""
    monkeypatch.setattr(pooling, "DEADLINE_S", 2 * PATIENCE_S)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    busy = [asyncio.create_task(tail.reader._pool.rows(endless)) for _ in range(2 * pooling.CONNECTIONS)]
    await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_S), tail.subscription() as pending:
        writer.write([some(3)], 0)
        assert await collect(pending, 3) == [1, 2, 3]
    assert not any(task.done() for task in busy)
    for task in busy:
        task.cancel()
    await asyncio.wait(busy)


async def test_a_file_that_goes_and_comes(tail: Tail, writer: Writer, tmp_path: Path) -> None:
    """Without a file the reader says so; a new one is opened, and subscribers start over."""
    async with tail.subscription() as pending:
        await asyncio.to_thread(writer.path.unlink)
        with pytest.raises(Unavailable):
            await until(lambda: tail.reader is None)
        assert not pending._over
        fresh = Writer(tmp_path / "fresh.db", 1000)
        fresh.write([some(3)], 0)
        fresh.close()
        for suffix in ("-wal", "-shm"):
            writer.path.with_name(f"{writer.path.name}{suffix}").unlink(missing_ok=True)
        fresh.path.replace(writer.path)
        assert (await asyncio.wait_for(pending.frames(), PATIENCE_S), pending.behind) == (b"", None)
        assert await tail.reader.newest() == tail.cursor == 3


async def test_a_file_that_could_not_be_opened_is_opened_later(services: Services, http: aiohttp.ClientSession) -> None:
    """Also where that failed by something unforeseen, such as no memory for the thread of a connection."""
    services.start("query_svc")
    with without_room_for_threads(services.processes["query_svc"].pid):
        services.start("ingest_svc")
        await until(lambda: "the tail stumbled" in services.log("query_svc"))

    async def answers() -> bool:
        async with http.get(f"{services.query_url}/recent") as response:
            return response.status == 200

    await until(answers)


async def test_a_tail_that_is_behind_leaves_others_their_turn(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """Between two looks whoever waits for the event loop has it."""
    monkeypatch.setattr(tail_reader, "TURN_ENTRIES", 10)
    seen: list[int] = []

    async def watch() -> None:
        while tail.cursor < 500:
            seen.append(tail.cursor)
            await asyncio.sleep(0)

    async with tail.subscription():
        watching = asyncio.create_task(watch())
        writer.write([some(500)], 0)
        await asyncio.wait_for(watching, PATIENCE_S)
    assert set(seen) >= set(range(10, 500, 10))


async def test_filters_without_number_leave_others_their_turn(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """Also those that want nothing of what comes."""
    monkeypatch.setattr("query_svc.tail.TESTS", 10)
    turns = 0
    async with contextlib.AsyncExitStack() as stack:
        for number in range(20):
            wish = filters.Filter(correlation_id=f"{number}-*")
            await stack.enter_async_context(tail.subscription(None, wish))
        await asyncio.sleep(0.1)
        writer.write([some(10)], 0)
        while tail.cursor < 10:
            turns += tail._lock.locked()
            await asyncio.sleep(0)
    assert turns >= 19


async def test_a_pattern_is_read_once(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """However many commits are matched with it: there may be more patterns than are remembered."""
    read: list[str] = []
    glob = filters._glob

    def watched(pattern: str) -> Any:
        read.append(pattern)
        return glob(pattern)

    monkeypatch.setattr(filters, "_glob", watched)
    async with tail.subscription(None, filters.Filter(endpoint="/*")) as pending:
        for upto in range(1, 6):
            writer.write([some(1)], 0)
            await collect(pending, upto)
    assert read == ["/*"]


async def test_lag_is_what_is_not_handed_out_yet(tail: Tail, writer: Writer, monkeypatch: Any) -> None:
    """It grows while the tail is behind and is nothing when it has caught up."""
    monkeypatch.setattr(tail_reader, "TURN_ENTRIES", 10)
    seen: list[int] = []
    hand_out = tail._hand_out

    async def watched(entries: Any) -> None:
        seen.append(tail.lag.entries)
        await hand_out(entries)

    monkeypatch.setattr(tail, "_hand_out", watched)
    async with tail.subscription():
        writer.write([some(35)], 0)
        await until(lambda: tail.cursor == 35)
        await until(lambda: tail.lag.entries == 0)
    assert [lag for lag in seen if lag] == [25, 15, 5]
