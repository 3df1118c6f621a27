"""Which files the writer takes: its own, none and empty ones; others are refused and left as they are."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from earlier import earlier_file, old
from test_writer import HOUR_MS, NOW_MS, checkpoint

from shared.errors import BadFile
from shared.storage import writer as writing
from shared.storage.sqlite import VERSION
from shared.storage.writer import Writer


def refusal(path: Path) -> str:
    """What a writer says instead of opening the file."""
    with pytest.raises(BadFile) as caught:
        Writer(path, HOUR_MS)
    return str(caught.value)


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    """Noise, a database of another program, one of a newer and one of the earlier release are left as they are."""
    noise, foreign, newer, earlier = files = [
        tmp_path / f"{name}.db" for name in ("noise", "foreign", "newer", "earlier")
    ]
    noise.write_bytes(b"This is no database at all. " * 100)
    with closing(sqlite3.connect(foreign)) as db:
        db.execute("CREATE TABLE customers (id)")
    with closing(Writer(newer, HOUR_MS)) as writer:
        writer._db.execute(f"PRAGMA user_version={VERSION + 1}")
    earlier_file(earlier, [old(1)])
    before = [path.read_bytes() for path in files]
    assert "no database" in refusal(noise)
    assert "another program" in refusal(foreign)
    assert f"version {VERSION + 1}" in refusal(newer)
    assert "restart the ingest service, which upgrades it" in refusal(earlier)
    assert [path.read_bytes() for path in files] == before


def test_an_empty_file_is_laid_out(tmp_path: Path) -> None:
    """A file of no bytes, such as a crash at the very start leaves, becomes a database."""
    path = tmp_path / "empty.db"
    path.touch()
    with closing(Writer(path, HOUR_MS)) as writer:
        assert writer.write([[checkpoint()]], NOW_MS) == [1]


def test_a_file_replaced_while_it_is_opened_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or what is acknowledged would go to a file that has no name any more."""
    path, other = tmp_path / "tracehub.db", tmp_path / "other.db"
    connect = writing.connect_writer
    for each in (path, other):
        Writer(each, HOUR_MS).close()

    def connect_and_replace(*arguments: Any, **options: Any) -> sqlite3.Connection:
        db = connect(*arguments, **options)
        other.replace(path)
        return db

    with monkeypatch.context() as patched:
        patched.setattr(writing, "connect_writer", connect_and_replace)
        with closing(Writer(path, HOUR_MS)) as writer:
            assert not writer.is_current()
    with closing(Writer(path, HOUR_MS)) as writer:
        assert writer.is_current()
