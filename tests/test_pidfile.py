"""Who supervises a database is found, and told to end, whatever has become of the place."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from patience import PATIENCE_S
from test_reserve import place  # noqa: F401  # what pytest finds by name here

from shared import pidfile
from shared.errors import BadFile, Taken, Unavailable
from shared.pidfile import Supervision, pid_path, stop, supervising
from shared.storage import locks
from shared.storage.claim import Claim

SUPERVISOR = """
import sys, time
from pathlib import Path
from shared.pidfile import supervising
with supervising(Path(sys.argv[1])):
    print("supervising", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def read_only(place: Path, tmp_path: Path) -> Iterator[Path]:  # noqa: F811  # the fixture
    """The same place, where nothing can be written."""
    view = tmp_path / "view"
    view.mkdir()
    subprocess.run(["mount", "--bind", place, view], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", view], check=True)
    yield view
    subprocess.run(["umount", "--lazy", view], check=True)


def test_a_server_is_stopped_where_nothing_can_be_written(place: Path, read_only: Path) -> None:  # noqa: F811  # likewise
    """As on a file system that has become read-only."""
    command = [sys.executable, "-c", SUPERVISOR, str(place / "tracehub.db")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as supervisor:
        try:
            assert supervisor.stdout is not None and supervisor.stdout.readline()
            assert stop(read_only / "tracehub.db") == supervisor.pid
        finally:
            supervisor.kill()


def test_a_file_that_cannot_be_read_is_no_sign_that_nobody_runs(tmp_path: Path) -> None:
    """It is said instead."""
    path = pid_path(tmp_path / "tracehub.db")
    path.symlink_to(path)
    with pytest.raises(BadFile, match=f"cannot read {path}"):
        stop(tmp_path / "tracehub.db")


def test_services_that_nobody_supervises_are_named(tmp_path: Path) -> None:
    """As those whose supervisor was killed: `tracehub start` sends its user here, so it is said what to end."""
    claim = Claim(tmp_path / "tracehub.db", os.getpid())
    claim.take()
    told = rf"runs under .*: an ingest service \(pid {os.getpid()}\) runs by itself, and perhaps a query service; "
    with pytest.raises(Unavailable, match=f"{told}tracehub status shows the pids to end$"):
        stop(tmp_path / "tracehub.db")
    claim.release()
    with pytest.raises(Unavailable, match=r"runs under tracehub start or make run-all$"):
        stop(tmp_path / "tracehub.db")


def test_a_server_that_has_ended_leaves_no_pid(tmp_path: Path) -> None:
    """Another program may have it by then, and the next server has the lock a moment before it says who it is."""
    path = tmp_path / "tracehub.db"
    with supervising(path):
        assert pid_path(path).read_text().split() == [str(os.getpid())]
    assert pid_path(path).read_text().split() == []


def test_a_file_that_was_deleted_is_taken_anew(tmp_path: Path) -> None:
    """With its directory, or without; whoever was faster has it, and the first one is told."""
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "tracehub.db"
    with supervising(path) as first:
        shutil.rmtree(folder)
        with pytest.raises(BadFile, match="No such file or directory"):
            first.keep()
        folder.mkdir()
        first.keep()
        assert pid_path(path).read_text().split() == [str(os.getpid())]
        second = Supervision(path)
        with pytest.raises(Taken, match=rf"has a server already \(pid {os.getpid()}\)"):
            second.take()
        first.keep()
        pid_path(path).unlink()
        second.take()
        with pytest.raises(Taken, match="has a server already"):
            first.keep()
        second.end()
        first.keep()


def test_a_server_that_ends_by_itself_meanwhile_is_no_fault(tmp_path: Path) -> None:
    """Its pid is written still, a child that it was starting has the lock for a moment, and it is gone."""
    path = pid_path(tmp_path / "tracehub.db")
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    path.write_text(f"{ended.pid}\n")
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        release = threading.Timer(0.3, fcntl.flock, (held, fcntl.LOCK_UN))
        release.start()
        assert stop(tmp_path / "tracehub.db") == ended.pid
        release.join()


def test_who_only_looks_keeps_nobody_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that is to stop a server: the next one starts all the same."""
    monkeypatch.setattr(locks, "LOOKS", int(PATIENCE_S / locks.TRY_S))
    path = tmp_path / "tracehub.db"
    with pid_path(path).open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(4 * locks.TRIES * locks.TRY_S, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        with supervising(path), pytest.raises(Taken):
            Supervision(path).take()


def test_two_that_stop_take_neither_for_the_server(tmp_path: Path) -> None:
    """Where a server was killed its pid stands there still, and may be another program's by now."""
    path = tmp_path / "tracehub.db"
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as another:
        try:
            pid_path(path).write_text(f"{another.pid}\n")
            with pid_path(path).open() as other:
                fcntl.flock(other, fcntl.LOCK_SH)
                with pytest.raises(Unavailable, match=r"no server of .* runs"):
                    stop(path)
            assert another.poll() is None
        finally:
            another.kill()


def test_a_server_that_has_yet_to_say_who_it_is_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then the pid of one that was killed stands there, which may be another program's by now."""
    monkeypatch.setattr(pidfile, "LOOK_S", 0.5)
    path = tmp_path / "tracehub.db"
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleep) as another, subprocess.Popen(sleep) as server, pid_path(path).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            pid_path(path).write_text(f"{another.pid}\n")
            threading.Timer(0.2, pid_path(path).write_text, (f"{server.pid}\n",)).start()
            ended = threading.Thread(target=lambda: (server.wait(), fcntl.flock(lock, fcntl.LOCK_UN)))
            ended.start()
            assert stop(path) == server.pid
            ended.join()
            assert another.poll() is None
        finally:
            another.kill()
            server.kill()
