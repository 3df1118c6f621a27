"""A file system without inodes has no room for a file, however much it has for bytes: whoever finds none says so."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from test_writer import HOUR_MS

from shared.errors import BadFile, DiskFull, TraceHubError, Unavailable
from shared.pidfile import supervising
from shared.storage.claim import Claim
from shared.storage.writer import Writer

NONE_LEFT = r"the file system has no inode left \(df -i\)"


@pytest.fixture
def path(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Where a database may be, with room for so many files."""
    options = f"size=300m,nr_inodes={request.param + 1},mode=700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", tmp_path], check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted")
    yield tmp_path / "tracehub.db"
    subprocess.run(["umount", "--lazy", tmp_path], check=True)


@pytest.mark.parametrize("path", [0], indirect=True)
def test_no_room_for_a_lock(path: Path) -> None:
    """Neither for the supervisor's nor for the writer's."""
    with pytest.raises(BadFile, match=rf"cannot write {path}.pid: {NONE_LEFT}"), supervising(path):
        pass
    with pytest.raises(Unavailable, match=rf"cannot write {path}.lock: {NONE_LEFT}"):
        Claim(path, 1).take()


@pytest.mark.parametrize(("path", "error"), [(0, Unavailable), (1, DiskFull), (2, DiskFull)], indirect=["path"])
def test_no_room_for_the_file_or_beside_it(path: Path, error: type[TraceHubError]) -> None:
    """The database, its WAL or the index of that."""
    with pytest.raises(error, match=NONE_LEFT):
        Writer(path, HOUR_MS)


@pytest.mark.parametrize("path", [3], indirect=True)
def test_no_room_for_the_reserve(path: Path) -> None:
    """Nothing is written without it, and it is taken as soon as another file has gone."""
    path.with_name("of-others").touch()
    with pytest.raises(DiskFull, match=NONE_LEFT):
        Writer(path, HOUR_MS)
    path.with_name("of-others").unlink()
    with closing(Writer(path, HOUR_MS)) as writer, pytest.raises(DiskFull, match=NONE_LEFT):
        writer.probe()
    subprocess.run(["mount", "-o", "remount,nr_inodes=9", path.parent], check=True)
    with closing(Writer(path, HOUR_MS)) as writer:
        writer.probe()
