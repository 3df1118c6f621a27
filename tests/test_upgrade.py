"""The earlier release's file: upgraded by the ingest process, nothing lost, whatever happens on the way."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from conftest import Services, entry, until
from test_reserve import place  # noqa: F401  # what pytest finds by name here
from test_writer import HOUR_MS, rows

from shared.errors import DiskFull, Unavailable
from shared.storage import upgrade as upgrading
from shared.storage.pool import refuse_other_files
from shared.storage.sqlite import translated
from shared.storage.upgrade import needs_upgrade, upgrade
from shared.storage.writer import Writer

DAYS_MS = 24 * HOUR_MS
COLUMNS = (
    "source_id, correlation_id, timestamp, suffix, direction, operation, endpoint, data, hostname, raw_line, created_at"
)

Row = tuple[Any, ...]


def earlier_file(path: Path, some: list[Row]) -> None:
    """A file as the earlier release left it."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(
            """CREATE TABLE traces (
                id INTEGER PRIMARY KEY AUTOINCREMENT, source_id TEXT NOT NULL, correlation_id TEXT NOT NULL,
                timestamp REAL NOT NULL, suffix TEXT NOT NULL, direction TEXT NOT NULL, operation TEXT NOT NULL,
                endpoint TEXT NOT NULL, data TEXT, hostname TEXT, raw_line TEXT,
                created_at REAL DEFAULT (strftime('%s', 'now')), UNIQUE(correlation_id, timestamp, suffix))"""
        )
        for column in ("correlation_id", "timestamp", "source_id"):
            db.execute(f"CREATE INDEX idx_{column} ON traces({column})")
        db.executemany(f"INSERT INTO traces ({COLUMNS}) VALUES ({', '.join('?' * 11)})", some)
        db.commit()


def old(number: int, **fields: Any) -> Row:
    """A row of the earlier release, arrived just now."""
    values = {
        "source_id": "MA",
        "correlation_id": f"chain-{number % 50}",
        "timestamp": 1_700_000_000_000.25 + number,
        "suffix": f"{number:x}",
        "direction": "->",
        "operation": "REST",
        "endpoint": "/api",
        "data": '{"b": 1, "a": {}}',
        "hostname": "web-1",
        "raw_line": None,
        "created_at": int(time.time()),
    }
    return tuple({**values, **fields}.values())


def upgraded(path: Path, column: str) -> list[Any]:
    """What the upgraded file holds in a column of the `traces` view."""
    return [value for (value,) in rows(path, f"SELECT {column} FROM traces ORDER BY id")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the database file is."""
    return tmp_path / "tracehub.db"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"b": 1, "a": {}, "b": 1e400}', '{"b": 1, "a": {}, "b": 1e400}'),
        ("{}", "{}"),
        (None, None),
        ("null", None),
        ("", {"_unparsed": ""}),
        ('{"x": NaN}', {"_unparsed": '{"x": NaN}'}),
        ('{"x": {"y": [-Infinity]}}', {"_unparsed": '{"x": {"y": [-Infinity]}}'}),
        ('{"cut": "sho', {"_unparsed": '{"cut": "sho'}),
        ("[1, 2]", {"_unparsed": "[1, 2]"}),
        ("line\nbreak \0 \u2028", {"_unparsed": "line\nbreak \0 \u2028"}),
        ('{"a":\n1}', '{"a":1}'),
        (b"\xff\xfe", {"_unparsed": "b'\\xff\\xfe'"}),
        (17, {"_unparsed": "17"}),
        ('{"a":' + "[" * 100_000, {"_unparsed": '{"a":' + "[" * 100_000}),
    ],
)
def test_data_is_kept_or_wrapped(path: Path, before: Any, after: Any) -> None:
    """An object stays to the letter, what is none is kept as text within one, and nothing becomes null that was not."""
    earlier_file(path, [old(1, data=before)])
    upgrade(path, DAYS_MS)
    (data,) = upgraded(path, "data")
    assert (json.loads(data) if isinstance(after, dict) else data) == after


def test_every_field_comes_along(path: Path) -> None:
    """Fields, times of arrival and order are those of the old file; an unknown host is called so."""
    now = int(time.time())
    some = [
        old(1, correlation_id="a/b\n😀", timestamp=0.1, suffix="", direction="<-", raw_line="line\nbreak"),
        old(2, hostname=None, created_at=now - 7200),
        old(3, timestamp=1e308, created_at=None),
        old(4, source_id="x" * 5_000, endpoint="", created_at=now - 3600),
    ]
    earlier_file(path, some)
    upgrade(path, DAYS_MS)
    assert upgraded(path, "id") == [1, 2, 3, 4]
    assert upgraded(path, "hostname") == ["web-1", "unknown", "web-1", "web-1"]
    assert upgraded(path, "created_at") == [some[0][-1], now - 7200, 0, now - 3600]
    names = "source_id, correlation_id, suffix, direction, operation, endpoint, raw_line"
    for column in names.split(", "):
        assert upgraded(path, column) == [row[COLUMNS.split(", ").index(column)] for row in some]
    with closing(Writer(path, DAYS_MS)) as writer:
        assert (writer.oldest, writer.newest) == (1, 4)


def test_errors_are_counted(path: Path) -> None:
    """Entries of the old file that report an error are counted in the summaries of their chains."""
    failures = [old(1, data='{"error": "timeout"}'), old(51, data='{"status": 503}'), old(2, data='{"error": null}')]
    earlier_file(path, [*failures, old(101)])
    upgrade(path, DAYS_MS)
    assert rows(path, "SELECT correlation_id, errors FROM chain ORDER BY id") == [("chain-1", 2), ("chain-2", 0)]


@pytest.mark.parametrize(
    "odd",
    [
        {"timestamp": float("inf")},
        {"timestamp": float("-inf")},
        {"timestamp": -5.5},
        {"timestamp": "soon"},
        {"created_at": "yesterday"},
        {"created_at": float("inf")},
        {"created_at": -1e300},
        {"direction": "sideways"},
        {"direction": 5},
        {"source_id": b"\xff"},
        {"correlation_id": ""},
    ],
)
def test_odd_rows_do_not_stop_it(path: Path, odd: dict[str, Any]) -> None:
    """A row that today's rules would refuse comes along, as near to what it was as can be shown."""
    earlier_file(path, [old(1), old(2, **{"correlation_id": "chain-1", **odd}), old(3, correlation_id="chain-1")])
    upgrade(path, DAYS_MS)
    was = f"2 {odd['timestamp']}" if "timestamp" in odd else "2"
    assert upgraded(path, "suffix") == ["1", was, "3"]


def test_times_that_nobody_can_send_any_more_keep_entries_apart(path: Path) -> None:
    """They become one time, and what each was stands in the suffix."""
    times = [-1.5, -2.5, float("-inf"), "soon", "later", 0.0]
    earlier_file(path, [old(1, correlation_id="chain", timestamp=time) for time in times])
    upgrade(path, DAYS_MS)
    assert upgraded(path, "timestamp") == [0.0] * 6
    assert upgraded(path, "suffix") == ["1 -1.5", "1 -2.5", "1 -inf", "1 soon", "1 later", "1"]


def test_the_new_file_is_private_and_alone(path: Path) -> None:
    """A file that all could read is 0600 afterwards, and no companion of the way there is left."""
    earlier_file(path, [old(n) for n in range(10)])
    path.chmod(0o644)
    upgrade(path, DAYS_MS)
    assert [file.name for file in path.parent.iterdir()] == ["tracehub.db"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_an_interrupted_upgrade_left_is_no_obstacle(path: Path) -> None:
    """Remains of an earlier attempt, whole or torn, are thrown away."""
    earlier_file(path, [old(1)])
    for leftover in ("tracehub.db.upgrade", "tracehub.db.upgrade-wal", "tracehub.db.upgrade-shm"):
        path.with_name(leftover).write_bytes(b"torn" * 100)
    assert needs_upgrade(path)
    upgrade(path, DAYS_MS)
    assert not needs_upgrade(path)
    assert upgraded(path, "suffix") == ["1"]


def test_an_interruption_leaves_the_old_file(path: Path) -> None:
    """An upgrade that is told to stop does so between two slices, and the next one is whole."""
    earlier_file(path, [old(n) for n in range(5_000)])
    before, asked = path.read_bytes(), iter([True, False])
    with pytest.raises(Unavailable, match="interrupted"):
        upgrade(path, DAYS_MS, go_on=lambda: next(asked))
    assert path.read_bytes() == before
    upgrade(path, DAYS_MS)
    assert len(upgraded(path, "id")) == 5_000


def test_long_rows_are_taken_a_few_at_a_time(path: Path) -> None:
    """However long they are, memory holds some megabytes of them."""
    earlier_file(path, [old(n, data=f'{{"x":"{"y" * 2**20}"}}') for n in range(80)])
    tracemalloc.start()
    try:
        upgrade(path, DAYS_MS)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 40 * 2**20
    assert len(upgraded(path, "id")) == 80


def test_a_disk_that_gets_full_leaves_the_old_file(place: Path) -> None:  # noqa: F811  # the fixture
    """Wherever on the way the room ends, the old file is as it was or the new one whole."""
    old_file, path, filler = place.parent / "old.db", place / "tracehub.db", place / "of-others"
    earlier_file(old_file, [old(n, data=f'{{"x":"{"y" * 1_000}"}}') for n in range(1_000)])
    needed, came = old_file.stat().st_size, set()
    for room in range(needed, 3 * needed, needed // 8):
        shutil.copy(old_file, path)
        disk = os.statvfs(place)
        filler.write_bytes(bytes(disk.f_bavail * disk.f_frsize - room))
        try:
            upgrade(path, DAYS_MS)
        except DiskFull:
            assert path.read_bytes() == old_file.read_bytes()
        came.add(needs_upgrade(path))
        assert rows(path, "SELECT count(*) FROM traces") == [(1_000,)]
        for file in place.iterdir():
            file.unlink()
    assert came == {True, False}


def test_an_old_file_in_use_is_left_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While another process writes the old file, the upgrade is Unavailable and nothing has changed."""
    monkeypatch.setattr(upgrading, "BUSY_MS", 1)
    earlier_file(path, [old(1)])
    before = path.read_bytes()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unavailable, match="lock"):
            upgrade(path, DAYS_MS)
        other.execute("ROLLBACK")
    assert path.read_bytes() == before
    upgrade(path, DAYS_MS)
    assert upgraded(path, "suffix") == ["1"]


def test_readers_are_told_meanwhile(path: Path) -> None:
    """While it is upgraded a query process says that ingest does that, and not that somebody locks the file."""
    earlier_file(path, [old(1)])
    told: list[str] = []

    def look() -> bool:
        with translated(path), pytest.raises(Unavailable) as caught:
            refuse_other_files(path)
        told.append(str(caught.value))
        return True

    upgrade(path, DAYS_MS, look)
    assert told == [f"{path} is not set up yet: the ingest service does that"]


async def health(http: aiohttp.ClientSession, url: str) -> tuple[int, dict[str, Any]]:
    """Status and answer of /health."""
    async with http.get(f"{url}/health") as response:
        return response.status, await response.json()


def healthy(http: aiohttp.ClientSession, url: str) -> Callable[[], Any]:
    """A condition to wait for."""

    async def condition() -> bool:
        return (await health(http, url))[0] == 200

    return condition


async def test_it_is_interrupted_and_started_again(services: Services, http: aiohttp.ClientSession) -> None:
    """Killed on the way and started again, ingest answers 503 until it is done, and then nothing is missing."""
    total = 60_000
    earlier_file(services.db, [old(n, data='{"a": NaN}' if n % 10 == 0 else None) for n in range(total)])
    services.start("query_svc")
    assert (await health(http, services.query_url))[0] == 503
    services.start("ingest_svc")
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 503
        assert int(response.headers["Retry-After"]) > 0
        assert "upgrade" in (await response.json())["detail"]
    assert (await health(http, services.ingest_url))[0] == 503
    await until(services.db.with_name("tracehub.db.upgrade").exists)
    services.kill("ingest_svc", signal.SIGKILL)
    assert needs_upgrade(services.db)
    services.start("ingest_svc")
    await until(healthy(http, services.ingest_url), 30)
    await until(healthy(http, services.query_url))
    async with http.post(f"{services.ingest_url}/ingest", json={"traces": [entry()]}) as response:
        assert response.status == 200
    assert rows(services.db, "SELECT count(*), count(DISTINCT correlation_id) FROM traces") == [(total + 1, 51)]
    async with http.get(f"{services.query_url}/traces/chain-10?limit=3") as response:
        answer = await response.json()
    assert answer["count"] == total / 50
    assert [trace["data"] for trace in answer["traces"]] == [{"_unparsed": '{"a": NaN}'}] * 3
    assert f"{total} entries" in services.log("ingest_svc")
    assert rows(services.db, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_past_retention_is_upgraded_and_then_cleaned(
    services: Services, http: aiohttp.ClientSession
) -> None:
    """What was due long ago is deleted by retention afterwards, the rest stays, and new entries get new ids."""
    long_ago, now = int(time.time()) - 90_000, int(time.time())
    times = [long_ago] * 3_000 + [now] * 10
    earlier_file(services.db, [old(n, created_at=at) for n, at in enumerate(times)])
    services.start("ingest_svc")
    await until(healthy(http, services.ingest_url))
    async with http.delete(f"{services.ingest_url}/cleanup") as response:
        assert await response.json() == {"deleted": 3_000}
    assert rows(services.db, "SELECT min(id), count(*) FROM entry") == [(3_001, 10)]


@pytest.mark.parametrize("lock", ["IMMEDIATE", "EXCLUSIVE"])
async def test_it_waits_for_whoever_holds_the_old_file(
    services: Services, http: aiohttp.ClientSession, lock: str
) -> None:
    """While another process keeps the old file locked, ingest answers 503 with the reason; then it upgrades."""
    earlier_file(services.db, [old(1)])
    with closing(sqlite3.connect(services.db, isolation_level=None)) as other:
        other.execute(f"BEGIN {lock}")
        services.start("ingest_svc")

        async def says_why() -> bool:
            return "lock" in (await health(http, services.ingest_url))[1]["detail"]

        await until(says_why)
        other.execute("ROLLBACK")
    await until(healthy(http, services.ingest_url))
    assert upgraded(services.db, "suffix") == ["1"]


async def test_damage_that_is_found_on_the_way_is_told(services: Services, http: aiohttp.ClientSession) -> None:
    """The service, which is up by then, says what is wrong, in its log as well, and goes on without the file."""
    earlier_file(services.db, [old(n) for n in range(5_000)])
    size = services.db.stat().st_size
    with services.db.open("r+b") as file:
        file.seek(size // 4 // 4096 * 4096)
        file.write(b"\xff" * (size // 2))
    services.start("ingest_svc")

    async def says_why() -> bool:
        return "is damaged or no database" in (await health(http, services.ingest_url))[1]["detail"]

    await until(says_why)
    await until(lambda: "is damaged or no database" in services.log("ingest_svc"))
    assert "writer process ended" not in services.log("ingest_svc")
    services.db.rename(services.db.with_name("damaged.db"))
    await until(healthy(http, services.ingest_url))


async def test_a_stop_does_not_wait_for_the_upgrade(services: Services) -> None:
    """SIGTERM in the middle of an upgrade ends the process, and the old file is whole."""
    earlier_file(services.db, [old(n) for n in range(60_000)])
    services.start("ingest_svc")
    await until(services.db.with_name("tracehub.db.upgrade").exists)
    assert services.kill("ingest_svc", signal.SIGTERM) == 0
    assert needs_upgrade(services.db)
    assert rows(services.db, "SELECT count(*) FROM traces") == [(60_000,)]
