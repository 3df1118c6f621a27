"""The lock that keeps a second ingest process from the file."""

import os
import stat
from pathlib import Path

import pytest

from shared.env import Settings
from shared.errors import BadFile
from shared.storage.claim import Claim


def test_a_file_is_claimed_once(tmp_path: Path) -> None:
    """The second claim is refused with the pid of the first; after a release there is a next."""
    path = tmp_path / "tracehub.db"
    claim = Claim(path)
    with pytest.raises(BadFile, match=rf"pid {os.getpid()}\) writes {path}"):
        Claim(path)
    claim.release()
    Claim(path).release()


def test_another_name_of_the_file_is_the_same_file(tmp_path: Path) -> None:
    """A symbolic link does not lead around the lock."""
    path, link = tmp_path / "tracehub.db", tmp_path / "link.db"
    path.touch()
    link.symlink_to(path)
    claim = Claim(Settings(db=str(path)).path)
    with pytest.raises(BadFile, match="another ingest process"):
        Claim(Settings(db=str(link)).path)
    claim.release()


def test_the_lock_is_the_owners(tmp_path: Path) -> None:
    """Nobody else may hold the lock file open."""
    claim = Claim(tmp_path / "tracehub.db")
    assert stat.S_IMODE((tmp_path / "tracehub.db.lock").stat().st_mode) == 0o600
    claim.release()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """What is missing and what to do about it is said."""
    with pytest.raises(BadFile, match=r"nowhere does not exist: create it, or set TRACEHUB_DB"):
        Claim(tmp_path / "nowhere" / "tracehub.db")
