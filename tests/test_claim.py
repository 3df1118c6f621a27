"""The lock that keeps a second ingest service from the file."""

import fcntl
import os
import stat
import threading
from pathlib import Path

import pytest
from patience import PATIENCE_S

from shared.env import Settings
from shared.errors import Unavailable
from shared.storage import locks
from shared.storage.claim import Claim


def test_a_file_is_claimed_once(tmp_path: Path) -> None:
    """The second claim is refused with the pid of the first; after a release there is a next."""
    path = tmp_path / "tracehub.db"
    first, second = Claim(path, 12_345), Claim(path, os.getpid())
    first.take()
    first.take()
    with pytest.raises(Unavailable, match=rf"pid 12345\) writes {path}"):
        second.take()
    assert (first.is_held(), second.is_held()) == (True, False)
    first.release()
    second.take()
    assert (first.is_held(), second.is_held()) == (False, True)
    second.release()


def test_a_lock_that_was_deleted_is_held_no_more(tmp_path: Path) -> None:
    """Who comes first has the next one."""
    first, second = (Claim(tmp_path / "tracehub.db", os.getpid()) for _ in range(2))
    first.take()
    (tmp_path / "tracehub.db.lock").unlink()
    assert not first.is_held()
    second.take()
    with pytest.raises(Unavailable, match="another ingest process"):
        first.take()
    second.release()
    first.take()
    first.release()


def test_who_only_looks_keeps_nobody_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks who holds the lock has it for a moment, which is long on a busy machine."""
    monkeypatch.setattr(locks, "LOOKS", int(PATIENCE_S / locks.TRY_S))
    lock = tmp_path / "tracehub.db.lock"
    lock.touch()
    with lock.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        threading.Timer(4 * locks.TRIES * locks.TRY_S, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        claim = Claim(tmp_path / "tracehub.db", os.getpid())
        claim.take()
    assert claim.is_held()
    claim.release()


def test_another_name_of_the_file_is_the_same_file(tmp_path: Path) -> None:
    """A symbolic link does not lead around the lock."""
    path, link = tmp_path / "tracehub.db", tmp_path / "link.db"
    path.touch()
    link.symlink_to(path)
    claim = Claim(Settings(db=str(path)).path, os.getpid())
    claim.take()
    with pytest.raises(Unavailable, match="another ingest process"):
        Claim(Settings(db=str(link)).path, os.getpid()).take()
    claim.release()


def test_the_lock_is_the_owners(tmp_path: Path) -> None:
    """Nobody else may hold the lock file open."""
    claim = Claim(tmp_path / "tracehub.db", os.getpid())
    claim.take()
    assert stat.S_IMODE((tmp_path / "tracehub.db.lock").stat().st_mode) == 0o600
    claim.release()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """What is missing and what to do about it is said."""
    with pytest.raises(Unavailable, match=r"nowhere does not exist: create it, or set TRACEHUB_DB"):
        Claim(tmp_path / "nowhere" / "tracehub.db", os.getpid()).take()
