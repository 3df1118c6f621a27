"""An ingest process without a file that it can use: one clear line at the start, answers that say so while it runs."""

import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from conftest import Services, entry, free_port, until
from patience import PATIENCE_S
from test_writer import HOUR_MS, rows

from shared.storage.sqlite import VERSION
from shared.storage.writer import Writer


def start_and_fail(path: Path) -> str:
    """The one line that the ingest process leaves behind when it cannot use its file; its exit code is 1."""
    ended = subprocess.run(
        [sys.executable, "-m", "ingest_svc", "--db", path, "--port", str(free_port())],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
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
def test_a_file_that_cannot_be_used_is_one_clear_line(
    tmp_path: Path, make: Callable[[Path], object], says: str
) -> None:
    """The process ends with one line that names the file and what is wrong, and changes nothing."""
    path = tmp_path / "tracehub.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    assert says in start_and_fail(path)
    assert (path.read_bytes() if path.is_file() else b"") == before


def test_nothing_is_left_beside_a_directory(tmp_path: Path) -> None:
    """Its parent is somebody else's, and no place for a lock."""
    assert "it is a directory" in start_and_fail(tmp_path)
    assert not tmp_path.with_name(f"{tmp_path.name}.lock").exists()


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
