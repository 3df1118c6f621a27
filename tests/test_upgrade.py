"""The earlier release's file: upgraded by the ingest process, nothing lost, whatever happens on the way."""

import json
import os
import shutil
import sqlite3
import stat
import time
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from earlier import COLUMNS, earlier_file, old
from test_reserve import place  # noqa: F401  # what pytest finds by name here
from test_writer import HOUR_MS, rows

from shared.errors import DiskFull, Unavailable
from shared.storage import upgrade as upgrading
from shared.storage.pool import refuse_other_files
from shared.storage.sqlite import translated
from shared.storage.upgrade import needs_upgrade, upgrade
from shared.storage.writer import Writer

DAYS_MS = 24 * HOUR_MS


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
