"""The ingest process and its file: it starts with one that it can use, says so where it cannot, and outlives faults."""

import asyncio
import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Services, entry, free_port, until, without_room_for_threads
from test_writer import HOUR_MS, checkpoint, rows

from ingest_svc.desk import Desk
from shared.env import Settings
from shared.storage.columns import columns
from shared.storage.sqlite import VERSION, companions
from shared.storage.writer import Writer


def start_and_fail(path: Path) -> str:
    """The one line that the ingest process leaves behind when it cannot use its file; its exit code is 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "ingest_svc", "--db", path, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if "may not survive a reboot" not in line]
    assert line.startswith("ingest_svc: ")
    assert str(path) in line or str(path.parent) in line
    return line


def garbage(path: Path) -> None:
    """Something else under the name of the file."""
    path.write_bytes(b"This is no database at all. " * 100)


def foreign(path: Path) -> None:
    """A database of another program."""
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE customers (id)")


def newer(path: Path) -> None:
    """A file of a version to come."""
    with closing(Writer(path, HOUR_MS)) as writer:
        writer._db.execute(f"PRAGMA user_version={VERSION + 1}")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (garbage, "move it away or restore a snapshot"),
        (foreign, "another program"),
        (newer, f"version {VERSION + 1}"),
        (Path.mkdir, "cannot open"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_line(tmp_path: Path, make: object, says: str) -> None:
    """The process ends with one line that names the file and what is wrong, and changes nothing."""
    path = tmp_path / "tracehub.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes() if path.is_file() else b""
    assert says in start_and_fail(path)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_a_place_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    """A directory that is missing, or where nobody may write, is named."""
    assert "does not exist" in start_and_fail(tmp_path / "nowhere" / "tracehub.db")
    assert "cannot write" in start_and_fail(Path("/proc/tracehub.db"))


def test_a_second_ingest_process_is_refused(services: Services) -> None:
    """Only one process writes; the second names the first and ends."""
    services.start("ingest_svc")
    assert f"pid {services.processes['ingest_svc'].pid}" in start_and_fail(services.db)
    services.kill("ingest_svc")
    services.start("ingest_svc")


async def test_a_stop_answers_what_is_on_its_way(services: Services, http: aiohttp.ClientSession) -> None:
    """SIGTERM under load: everything acked is there, the exit code is 0 and the WAL is folded in."""
    services.start("ingest_svc")
    acked = await _write_until(services, http, lambda: services.kill("ingest_svc", signal.SIGTERM))
    assert not services.db.with_name("tracehub.db-wal").exists()
    assert rows(services.db, "SELECT count(*) FROM traces")[0][0] >= acked > 100
    assert "Traceback" not in services.log("ingest_svc")


async def test_a_stop_while_a_writer_starts_waits_for_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The writer that is just being started is told at once, and is not killed in the end."""
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


async def test_kill_9_leaves_a_whole_file(services: Services, http: aiohttp.ClientSession) -> None:
    """Killed under load, again and again, the file stays whole and holds what was acked."""
    acked = 0
    for _ in range(3):
        services.start("ingest_svc")
        acked += await _write_until(services, http, lambda: services.kill("ingest_svc"))
    services.start("ingest_svc")
    assert rows(services.db, "PRAGMA integrity_check") == [("ok",)]
    ((count, first, last),) = rows(services.db, "SELECT count(*), min(id), max(id) FROM traces")
    assert count >= acked > 100
    assert (first, last) == (1, count)
    assert rows(services.db, "SELECT sum(entries) FROM chain") == [(count,)]


async def _write_until(services: Services, http: aiohttp.ClientSession, end: object) -> int:
    """Write from several sides, end it all after a moment, and tell how many entries were acked."""
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
    await asyncio.sleep(0.4)
    await asyncio.to_thread(end)  # type: ignore[arg-type]
    await asyncio.gather(*writers)
    return acked


async def test_a_disk_that_fails_is_left_and_taken_again(services: Services, http: aiohttp.ClientSession) -> None:
    """When writing fails below SQLite, writers are told to come back; when it works again, so does everything."""
    services.start("ingest_svc")

    async def post(size: int) -> int:
        large = entry(data={"x": "y" * size})
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [large]}) as response:
            assert response.status == 200 or "Retry-After" in response.headers
            return response.status

    assert await post(10) == 200
    pid = services.writer_pid()
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (300_000, resource.RLIM_INFINITY))
    assert await post(500_000) in (503, 507)
    assert await post(500_000) in (503, 507)
    async with http.get(f"{services.ingest_url}/health") as response:
        assert response.status in (200, 503)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    async def works() -> bool:
        return await post(500_000) == 200

    await until(works)
    assert rows(services.db, "SELECT count(*) FROM traces") == [(2,)]
    assert rows(services.db, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_that_is_taken_away_is_missed(services: Services, http: aiohttp.ClientSession) -> None:
    """When the file is deleted under the running services, what is acked from then on is in the new one."""
    services.start("ingest_svc")
    services.start("query_svc")
    for suffix in ("1", "2"):
        async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry(suffix=suffix)]}) as response:
            assert response.status == 200, await response.text()
        if suffix == "1":
            services.db.rename(services.db.with_name("kept.db"))
    assert rows(services.db, "SELECT id, suffix FROM traces") == [(1, "2")]

    async def is_seen() -> bool:
        async with http.get(f"{services.query_url}/traces/chain") as response:
            return response.status == 200 and [one["suffix"] for one in (await response.json())["traces"]] == ["2"]

    await until(is_seen)


async def test_a_flood_takes_no_more_than_the_queue(services: Services, http: aiohttp.ClientSession) -> None:
    """Bodies that never end fill the queue and no more: 503 for the rest, and room again when their senders leave."""
    services.environ["TRACEHUB_QUEUE_MB"] = "4"
    services.start("ingest_svc")

    async def metric(name: str) -> float:
        async with http.get(f"{services.ingest_url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"tracehub_{name} ")))

    async def flood() -> tuple[bytes, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", services.ingest_port)
        writer.write(b"POST /ingest HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n" + b" " * 900_000)
        try:
            return await asyncio.wait_for(reader.readline(), 1.5), writer
        except TimeoutError:
            return b"", writer

    before = await metric("memory_bytes")
    answers = await asyncio.gather(*(flood() for _ in range(60)))
    assert {line for line, _ in answers} == {b"", b"HTTP/1.1 503 Service Unavailable\r\n"}
    assert 0 < await metric("queue_bytes") <= 4 * 2**20
    assert await metric("memory_bytes") - before < 40 * 2**20
    for _, writer in answers:
        writer.close()

    async def is_free() -> bool:
        return await metric("queue_bytes") == 0

    await until(is_free)
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 200


async def test_everything_beside_the_file_is_private(services: Services, http: aiohttp.ClientSession) -> None:
    """The file, its WAL, its lock and the bells of readers are for their owner alone."""
    services.start("ingest_svc")
    services.start("query_svc")
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 200
    files = list(services.db.parent.glob("tracehub.db*"))
    assert len(files) == 6
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


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
    assert acked > 100
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
        assert {await asyncio.wait_for(status(), 10) for _ in range(2)} in ({0, 503}, {503})

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


async def test_a_writer_that_hangs_is_told(services: Services, http: aiohttp.ClientSession) -> None:
    """While a write does not come to its end the service says so; when it does, all is well."""
    services.start("ingest_svc")
    os.kill(services.writer_pid(), signal.SIGSTOP)
    async with http.get(f"{services.ingest_url}/health") as response:
        assert response.status == 503
        assert "has not finished" in (await response.json())["detail"]
    os.kill(services.writer_pid(), signal.SIGCONT)
    async with http.get(f"{services.ingest_url}/health") as response:
        assert response.status == 200


async def test_metrics_do_not_wait_for_a_writer_that_hangs(services: Services, http: aiohttp.ClientSession) -> None:
    """They are there when the disk stalls, without what the writer alone knows: a 0 would be a wrong number."""
    services.start("ingest_svc")

    async def named() -> set[str]:
        async with http.get(f"{services.ingest_url}/metrics", timeout=aiohttp.ClientTimeout(30)) as response:
            return {line.split()[0] for line in (await response.text()).splitlines() if not line.startswith("#")}

    everything = await named()
    os.kill(services.writer_pid(), signal.SIGSTOP)
    assert everything - await named() == {"tracehub_entries_dropped", "tracehub_writer_memory_bytes"}
    os.kill(services.writer_pid(), signal.SIGCONT)
    assert await named() == everything


async def test_the_writer_ends_with_its_service(services: Services) -> None:
    """However the service ends, its writer does not outlive it."""
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        services.start("ingest_svc")
        writer = services.writer_pid()
        services.kill("ingest_svc", number)
        await until(lambda pid=writer: not Path(f"/proc/{pid}").exists())  # type: ignore[misc]


async def test_a_request_that_gave_up_costs_the_others_nothing(settings: Settings) -> None:
    """When one who waits is cancelled, everyone else is settled, now and later."""
    desk = Desk(settings)
    await desk.open()
    waiting = [asyncio.create_task(desk.commit(columns([checkpoint(number)]))) for number in range(3)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    assert (told[0], type(told[1]), told[2]) == (1, asyncio.CancelledError, 1)
    assert await asyncio.wait_for(desk.commit(columns([checkpoint(9)])), 5) == 1
    await desk.close()
