"""A snapshot has its name when it is whole, and not before."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from patience import PATIENCE_S
from test_reserve import place  # noqa: F401  # what pytest finds by name here
from test_writer import HOUR_MS, checkpoint, rows

from shared.errors import BadFile, DiskFull, TraceHubError
from shared.storage.snapshot import snapshot
from shared.storage.writer import Writer

ENTRIES = 100_000
DATA = '{"a":"' + 100 * "x" + '"}'


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file whose copy takes a moment."""
    path = tmp_path / "tracehub.db"
    with closing(Writer(path, HOUR_MS, synced=False)) as writer:
        writer.write([[checkpoint(number, data=DATA) for number in range(ENTRIES)]], 0)
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_one_that_was_cut_short_has_no_name(database: Path, tmp_path: Path, number: int) -> None:
    """Nobody takes it for a backup, and the next one may have the name."""
    backups = tmp_path / "backups"
    backups.mkdir()
    target = backups / "copy.db"
    command = [sys.executable, "-m", "tracehub_server.snapshot", str(target)]
    copying = subprocess.Popen(command, env={**os.environ, "TRACEHUB_DB": str(database)}, stdout=subprocess.DEVNULL)
    while not any(backups.iterdir()):
        assert copying.poll() is None
        time.sleep(0.001)
    copying.send_signal(number)
    copying.wait(PATIENCE_S)
    if target.exists():  # it was done by then
        assert rows(target, "SELECT count(*) FROM traces") == [(ENTRIES,)]
        target.unlink()
    assert snapshot(database, target) == ENTRIES


def test_one_that_fails_leaves_nothing(tmp_path: Path) -> None:
    """Not even what there was of it."""
    (tmp_path / "tracehub.db").write_bytes(b"no database" * 1_000)
    backups = tmp_path / "backups"
    backups.mkdir()
    with pytest.raises(TraceHubError):
        snapshot(tmp_path / "tracehub.db", backups / "copy.db")
    assert list(backups.iterdir()) == []


def test_one_that_finds_no_room_leaves_nothing(database: Path, place: Path) -> None:  # noqa: F811  # the fixture
    """It is named as it was asked for, and what there was of it gives its room back."""
    with pytest.raises(DiskFull, match=f"no room left for {place / 'copy.db'}$"):
        snapshot(database, place / "copy.db")
    assert list(place.iterdir()) == []


def test_a_name_that_is_no_text(database: Path, tmp_path: Path) -> None:
    """SQLite takes none: the file is named, and nothing is left of it."""
    target = tmp_path / os.fsdecode(b"copy-\xff.db")
    with pytest.raises(BadFile, match=r"copy-.*\.db: not UTF-8, .* choose another name$"):
        snapshot(database, target)
    assert not list(tmp_path.glob("copy-*"))


def test_the_root_directory_is_no_file_to_be_made(database: Path) -> None:
    """It is told as one that exists."""
    with pytest.raises(BadFile, match=r"^/ exists"):
        snapshot(database, Path("/"))
