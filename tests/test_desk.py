"""The ingest service and its writer process: neither's end loses what was acked, and whoever waits is told."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Client, Services, entry, until, without_room_for_threads
from hard.stage import connected
from hard.trouble import troubled
from patience import PATIENCE_S
from test_writer import checkpoint, rows

from ingest_svc import handlers
from ingest_svc.desk import Desk
from ingest_svc.handlers import DESK
from shared.env import Settings
from shared.errors import Unavailable
from shared.storage.columns import columns
from shared.storage.sqlite import companions


async def _write_until(services: Services, http: aiohttp.ClientSession, end: Callable[[], object]) -> int:
    """Write from several sides, end it all when some were acked, and tell how many entries were acked."""
    acked = 0

    async def write() -> None:
        nonlocal acked
        while True:
            traces = [entry(correlation_id=f"c{n % 7}", data={"x": "y" * 100}) for n in range(20)]
            try:
                async with http.post(f"{services.ingest_url}/ingest", json={"traces": traces}) as response:
                    if response.status != 200:
                        return
                    acked += (await response.json())["inserted"]
            except aiohttp.ClientError:
                return

    writers = [asyncio.create_task(write()) for _ in range(6)]
    await until(lambda: acked > 400)
    await asyncio.to_thread(end)
    await asyncio.gather(*writers)
    return acked


async def test_a_stop_answers_what_is_on_its_way(services: Services, http: aiohttp.ClientSession) -> None:
    """SIGTERM under load: everything acked is there, the exit code is 0 and the WAL is folded in."""
    services.start("ingest_svc")
    codes: list[int] = []
    acked = await _write_until(services, http, lambda: codes.append(services.kill("ingest_svc", signal.SIGTERM)))
    assert codes == [0]
    assert not services.db.with_name("tracehub.db-wal").exists()
    assert rows(services.db, "SELECT count(*) FROM traces")[0][0] >= acked
    assert "Traceback" not in services.log("ingest_svc")


async def test_kill_9_leaves_a_whole_file(services: Services, http: aiohttp.ClientSession) -> None:
    """Killed under load, again and again, the file stays whole and holds what was acked."""
    acked = 0
    for _ in range(3):
        services.start("ingest_svc")
        acked += await _write_until(services, http, lambda: services.kill("ingest_svc"))
    services.start("ingest_svc")
    assert rows(services.db, "PRAGMA integrity_check") == [("ok",)]
    ((count, first, last),) = rows(services.db, "SELECT count(*), min(id), max(id) FROM traces")
    assert count >= acked
    assert (first, last) == (1, count)
    assert rows(services.db, "SELECT sum(entries) FROM chain") == [(count,)]


async def test_the_writer_ends_with_its_service(services: Services) -> None:
    """However the service ends, its writer does not outlive it."""
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        services.start("ingest_svc")
        writer = services.writer_pid()
        services.kill("ingest_svc", number)
        await until(lambda pid=writer: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_writer_leaves_the_signals_of_all_processes_to_its_service(settings: Settings, number: int) -> None:
    """What Ctrl-C and service managers send to every process ends no writer, not even one that is starting."""
    desk = Desk(settings)
    opening = asyncio.create_task(desk.open())
    await until(lambda: desk._process)
    assert desk._process is not None
    desk._process.send_signal(number)
    await opening
    assert await desk.commit(columns([checkpoint()])) == 1
    desk._process.send_signal(number)
    assert await desk.commit(columns([checkpoint()])) == 0
    await desk.close()


async def test_a_stop_while_a_writer_starts_waits_for_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The writer that is just being started is told at once, and is not killed in the end."""
    monkeypatch.setattr("ingest_svc.desk.STOP_S", PATIENCE_S)  # a start may take longer than a stop should
    desk = Desk(settings)
    await desk.open()
    connect, connecting, may_go_on = asyncio.get_running_loop().create_connection, asyncio.Event(), asyncio.Event()

    async def slowly(*arguments: Any, **named: Any) -> Any:
        connecting.set()
        await may_go_on.wait()
        return await connect(*arguments, **named)

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", slowly)
    assert desk._process is not None
    desk._process.kill()
    await connecting.wait()
    closing = asyncio.create_task(desk.close())
    await asyncio.sleep(0)
    may_go_on.set()
    await closing
    assert not [record for record in caplog.records if "does not end" in record.message]


async def test_a_writer_that_is_killed_is_replaced(services: Services, http: aiohttp.ClientSession) -> None:
    """Killed under load, the writer is started anew; senders are told to come back, and nothing acked is lost."""
    services.start("ingest_svc")
    killed = 0

    def kill() -> None:
        nonlocal killed
        os.kill(services.writer_pid(), signal.SIGKILL)
        killed += 1

    acked = 0
    for _ in range(3):
        acked += await _write_until(services, http, kill)

        async def is_back() -> bool:
            async with http.get(f"{services.ingest_url}/health") as response:
                return response.status == 200

        await until(is_back)
    ((count, first, last),) = rows(services.db, "SELECT count(*), min(id), max(id) FROM traces")
    assert count >= acked
    assert (first, last) == (1, count)
    assert "another one starts" in services.log("ingest_svc")


async def test_a_writer_is_replaced_where_no_thread_can_be_started(
    services: Services, http: aiohttp.ClientSession
) -> None:
    """While memory is short senders are told so; when there is some again, another writer takes over."""
    services.start("ingest_svc")

    async def status() -> int:
        """0: the connection was closed, for the writer had the batch in hand when it died."""
        try:
            async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
                return response.status
        except aiohttp.ServerDisconnectedError:
            return 0

    assert await status() == 200
    with without_room_for_threads(services.processes["ingest_svc"].pid):
        os.kill(services.writer_pid(), signal.SIGKILL)
        assert {await asyncio.wait_for(status(), PATIENCE_S) for _ in range(2)} in ({0, 503}, {503})

    async def is_back() -> bool:
        return await status() == 200

    await until(is_back)


async def test_a_writer_that_gives_up_says_why(services: Services, http: aiohttp.ClientSession) -> None:
    """When the next one finds the file unusable the service says so, and goes on when there is one again."""
    services.start("ingest_svc")
    writer = services.writer_pid()
    services.db.write_bytes(b"no database" * 1_000)
    for companion in companions(services.db):
        companion.unlink()
    os.kill(writer, signal.SIGKILL)

    async def detail() -> str:
        async with http.get(f"{services.ingest_url}/health") as response:
            return str((await response.json()).get("detail"))

    async def says_why() -> bool:
        return "no database" in await detail()

    await until(says_why)
    await until(lambda: "no database" in services.log("ingest_svc"))
    services.db.unlink()

    async def is_healthy() -> bool:
        return await detail() == "None"

    await until(is_healthy)


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="there is no C compiler")
async def test_what_could_not_be_synced_is_not_found_later() -> None:
    """The entry that was refused for it is in the WAL already; whoever opens the file next does not see it."""
    with troubled("ingest_svc") as (services, trouble):
        async with connected(services.ingest_port) as ingest:
            assert (await ingest.post([entry(suffix="synced")])).status == 200
            trouble.syncs_fail(True)
            assert (await ingest.post([entry(suffix="refused")])).status == 503
        services.kill("ingest_svc", signal.SIGTERM)
        assert rows(services.db, "SELECT suffix FROM traces") == [("synced",)]


@contextlib.contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """The writer hangs, and whoever looks after it soon gives up."""
    os.kill(process.pid, signal.SIGSTOP)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(handlers, "PATIENCE_S", 0.1)
            yield
    finally:
        os.kill(process.pid, signal.SIGCONT)


async def test_a_writer_that_hangs_is_told(ingest: Client) -> None:
    """While a write does not come to its end the service says so; when it does, all is well."""
    with stopped(ingest.app[DESK]._process):
        async with ingest.get("/health") as response:
            assert response.status == 503
            assert "has not finished" in (await response.json())["detail"]
    assert (await ingest.get("/health")).status == 200


async def test_a_writer_that_hangs_is_asked_once(ingest: Client) -> None:
    """However many look after it and give up, again and again: nothing piles up here, or waits to be done later."""
    desk = ingest.app[DESK]
    before = desk.calls
    with stopped(desk._process):
        for _ in range(3):
            told = await asyncio.gather(*(ingest.get("/health") for _ in range(10)))
            assert {response.status for response in told} == {503}
    assert desk.calls == before + 1
    assert (await ingest.get("/health")).status == 200


async def test_metrics_do_not_wait_for_a_writer_that_hangs(ingest: Client) -> None:
    """They are there when the disk stalls, without what the writer alone knows: a 0 would be a wrong number."""

    async def named() -> set[str]:
        async with ingest.get("/metrics") as response:
            return {line.split()[0] for line in (await response.text()).splitlines() if not line.startswith("#")}

    everything = await named()
    with stopped(ingest.app[DESK]._process):
        assert everything - await named() == {"tracehub_entries_dropped", "tracehub_writer_memory_bytes"}
    assert await named() == everything


async def test_a_request_that_gave_up_costs_the_others_nothing(settings: Settings) -> None:
    """When one who waits is cancelled, everyone else is settled, now and later."""
    desk = Desk(settings)
    await desk.open()
    waiting = [asyncio.create_task(desk.commit(columns([checkpoint(number)]))) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_S)
    assert (told[0], type(told[1]), told[2]) == (1, asyncio.CancelledError, 1)
    assert await asyncio.wait_for(desk.commit(columns([checkpoint(9)])), PATIENCE_S) == 1
    await desk.close()


@pytest.mark.parametrize("name", ["tracehub.db*", "*.lock"])
async def test_a_file_that_was_deleted_is_still_written_by_one(settings: Settings, name: str) -> None:
    """Also where the lock went with it: of two services only the one that has the new lock stores, until it ends."""
    first, second = Desk(settings), Desk(settings)
    await first.open()
    assert await first.commit(columns([checkpoint(1)])) == 1
    for file in settings.path.parent.glob(name):
        file.unlink()
    await second.open()
    assert await second.commit(columns([checkpoint(2)])) == 1
    with pytest.raises(Unavailable, match=rf"another ingest process \(pid {os.getpid()}\) writes"):
        await first.commit(columns([checkpoint(3)]))
    await second.close()

    async def goes_on() -> bool:
        with contextlib.suppress(Unavailable):
            return await first.commit(columns([checkpoint(3)])) == 1
        return False

    await until(goes_on)
    assert rows(settings.path, "SELECT timestamp FROM traces WHERE timestamp > 1") == [(2.0,), (3.0,)]
    await first.close()


async def test_a_desk_that_is_closed_lets_go_of_the_file(settings: Settings) -> None:
    """Another one may have it, whether the process goes on or not."""
    for number in range(2):
        desk = Desk(settings)
        await desk.open()
        assert await desk.commit(columns([checkpoint(number)])) == 1
        await desk.close()
